package warm

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestAnything: whatever is warmed, nothing faults, changes or is allocated. What it is good for only benchmarks show:
// BenchmarkTouch, and examples/compare at 1000x4.
func TestAnything(t *testing.T) {
	type large [100]uint64
	value := large{}
	body := bytes.Repeat([]byte{7}, 1000)
	var none *large
	var nothing any
	allocs := testing.AllocsPerRun(100, func() {
		Value(&value)
		Value(none)
		Value(&struct{}{})
		Slice(body, 4096)
		Slice(body[999:], 64)
		Slice(body[:0], 64)
		Slice([]large(nil), 4)
		Pointee(&value, 100000)
		Pointee(nothing, 64)
		Pointee(t, 256)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if value != (large{}) || !bytes.Equal(body, bytes.Repeat([]byte{7}, 1000)) {
		t.Error("something was changed")
	}
}

// TestWildAddresses: addresses that are out of date, in no memory at all or at its very ends, do no harm.
func TestWildAddresses(t *testing.T) {
	here := uintptr(unsafe.Pointer(new(int)))
	for _, at := range []uintptr{1, 63, 4095, here ^ 1<<46, 1 << 50, ^uintptr(0) - 4096} {
		for _, n := range []uintptr{1, 64, 65, 4096} {
			load(*(*unsafe.Pointer)(unsafe.Pointer(&at)), n)
		}
	}
}

// BenchmarkTouch follows pointers from line to line through 64 MiB, more than caches hold: one after the other, and eight ways
// at once, each of which asks for its next line when it has come to one.
func BenchmarkTouch(b *testing.B) {
	type line struct {
		next *line
		_    [56]byte
	}
	lines := make([]line, 64<<20/64)
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(lines))
	for i, at := range order {
		lines[at].next = &lines[order[(i+1)%len(order)]]
	}
	for name, ways := range map[string]int{"one": 1, "eight": 8} {
		b.Run(name, func(b *testing.B) {
			at := make([]*line, ways)
			for i := range at {
				at[i] = &lines[order[i*len(order)/ways]]
			}
			for i := 0; i < b.N; i++ {
				k := i % ways
				at[k] = at[k].next
				Value(at[k])
			}
		})
	}
}

// TestGroup: every value is in one group, which begins when all before it are done; few values are in none.
func TestGroup(t *testing.T) {
	for _, n := range []int{0, 1, group - 1, group, 2*group + 3} {
		warmed := 0
		for done := range n {
			if end := Group(done, n); end > done {
				if done != warmed {
					t.Errorf("of %d: a group begins at %d, the one before ended at %d", n, done, warmed)
				}
				warmed = end
			}
		}
		if n >= group && warmed != n || n < group && warmed != 0 {
			t.Errorf("of %d values %d are warmed", n, warmed)
		}
	}
}
