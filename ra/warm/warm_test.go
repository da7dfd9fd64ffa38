package warm

import (
	"bytes"
	"testing"
	"unsafe"
)

// TestAnything: whatever is warmed, nothing faults, changes or is allocated. What it is good for only a benchmark shows
// (examples/compare at 1000x4).
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
