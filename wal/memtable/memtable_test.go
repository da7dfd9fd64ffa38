package memtable

import (
	"errors"
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// some returns unsealed entries lo to hi of one term, whose bodies have different lengths.
func some(term ra.Term, lo, hi ra.Index) []ra.Entry {
	var out []ra.Entry
	for i := lo; i <= hi; i++ {
		out = append(out, ra.Entry{Index: i, Term: term, Body: make([]byte, 1+int(i)%7)})
	}
	return out
}

// TestTableIsAListOfEntries compares a table with a plain slice under random operations (MT-01, MT-02, LOG-03).
func TestTableIsAListOfEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table
		var want []ra.Entry
		term := ra.Term(1)
		first := func() ra.Index {
			if len(want) == 0 {
				return 0
			}
			return want[0].Index
		}
		type frozen struct {
			view View
			want []ra.Entry
		}
		var views []frozen
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				lo := rapid.Uint64Range(1, 1000).Draw(t, "lo")
				if len(want) > 0 {
					lo = uint64(want[len(want)-1].Index) + 1
				}
				n := rapid.Uint64Range(1, 600).Draw(t, "n")
				add := some(term, ra.Index(lo), ra.Index(lo+n-1))
				if err := table.Append(add); err != nil {
					t.Fatal(err)
				}
				want = append(slices.Clone(want), add...)
			},
			"truncate": func(t *rapid.T) {
				k := rapid.IntRange(0, len(want)).Draw(t, "keep")
				from := first() + ra.Index(k)
				table.Truncate(from)
				want = want[:k]
				term++
			},
			"drop": func(t *rapid.T) {
				k := rapid.IntRange(0, len(want)).Draw(t, "gone")
				if k > 0 {
					table.Drop(want[k-1].Index)
				} else {
					table.Drop(max(first(), 1) - 1)
				}
				want = want[k:]
			},
			"view": func(t *rapid.T) {
				if len(want) == 0 {
					return
				}
				lo := rapid.IntRange(0, len(want)-1).Draw(t, "lo")
				hi := rapid.IntRange(lo, len(want)-1).Draw(t, "hi")
				views = append(views, frozen{table.View(want[lo].Index, want[hi].Index), want[lo : hi+1]})
			},
			"": func(t *rapid.T) {
				check(t, &table, want)
				for _, v := range views {
					if got := slices.Collect(v.view.All()); !same(got, v.want) || v.view.Len() != len(v.want) {
						t.Fatal("a view has changed")
					}
				}
			},
		})
	})
}

// check compares everything that a table tells with the entries it should hold.
func check(t *rapid.T, table *Table, want []ra.Entry) {
	if table.Len() != len(want) || table.Bytes() != bodies(want) {
		t.Fatalf("%d entries of %d bytes, want %d of %d", table.Len(), table.Bytes(), len(want), bodies(want))
	}
	if len(want) == 0 {
		if table.First() != 0 || table.Last() != 0 || table.chunks != nil {
			t.Fatal("an empty table still owns something")
		}
		return
	}
	lo, hi := want[0].Index, want[len(want)-1].Index
	if got := table.Read(nil, lo, hi, 1<<30); !same(got, want) {
		t.Fatal("reads other entries than were appended")
	}
	for _, i := range []ra.Index{lo - 1, lo, (lo + hi) / 2, hi, hi + 1} {
		term, ok := table.Term(i)
		if ok != (i >= lo && i <= hi) || ok && term != want[i-lo].Term {
			t.Fatalf("term of %d is %d, %v", i, term, ok)
		}
	}
}

// same reports whether the two hold the very same entries.
func same(a, b []ra.Entry) bool {
	return slices.EqualFunc(a, b, func(x, y ra.Entry) bool {
		return x.Index == y.Index && x.Term == y.Term && unsafe.SliceData(x.Body) == unsafe.SliceData(y.Body)
	})
}

func TestReadStopsAtBytes(t *testing.T) {
	var table Table
	if err := table.Append(some(1, 10, 20)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ maxBytes, want int }{{0, 1}, {4, 1}, {9, 2}, {10, 2}, {1000, 11}} {
		if got := len(table.Read(nil, 10, 20, c.maxBytes)); got != c.want {
			t.Errorf("%d bytes: %d entries, want %d", c.maxBytes, got, c.want)
		}
	}
	if got := table.Read(nil, 9, 20, 1000); got != nil {
		t.Errorf("reads %d entries from an index that is not there", len(got))
	}
}

func TestAppendRefusesGaps(t *testing.T) {
	var table Table
	if err := table.Append([]ra.Entry{{Index: 0, Body: []byte{1}}}); !errors.Is(err, ErrGap) {
		t.Errorf("index 0: %v", err)
	}
	if err := table.Append(some(1, 5, 6)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]ra.Entry{some(1, 6, 7), some(1, 8, 8), append(some(1, 7, 7), some(1, 9, 9)...)} {
		if err := table.Append(bad); !errors.Is(err, ErrGap) {
			t.Errorf("entries from %d behind 6: %v, want ErrGap", bad[0].Index, err)
		}
	}
	if table.Len() != 2 {
		t.Errorf("%d entries after refused ones, want 2", table.Len())
	}
}

func TestEmptyTableIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Table{}); size > 48 {
		t.Errorf("an empty table takes %d bytes", size)
	}
}

func BenchmarkAppendDrop(b *testing.B) {
	b.ReportAllocs()
	var table Table
	one := some(1, 1, 1)
	for i := ra.Index(1); b.Loop(); i++ {
		one[0].Index = i
		if err := table.Append(one); err != nil {
			b.Fatal(err)
		}
		if i%10000 == 0 {
			table.Drop(i)
		}
	}
}

// TestViewParts cuts and joins views.
func TestViewParts(t *testing.T) {
	var table Table
	var all []ra.Entry
	for i := ra.Index(5); i <= 30; i++ {
		all = append(all, ra.Entry{Index: i, Term: 1})
		if err := table.Append(all[len(all)-1:]); err != nil {
			t.Fatal(err)
		}
	}
	whole := table.View(1, 100)
	if whole.First() != 5 || (View{}).First() != 0 {
		t.Fatalf("views begin at %d and %d, want 5 and 0", whole.First(), (View{}).First())
	}
	for lo := ra.Index(1); lo <= 32; lo++ {
		for hi := ra.Index(0); hi <= 32; hi++ {
			want := table.View(lo, hi)
			got := whole.Between(lo, hi)
			if !same(slices.Collect(got.All()), slices.Collect(want.All())) {
				t.Fatalf("between %d and %d: %v, want %v", lo, hi, slices.Collect(got.All()), slices.Collect(want.All()))
			}
			joined := whole.Between(1, lo-1).Then(whole.Between(lo, 100))
			if joined.Len() != whole.Len() || !same(slices.Collect(joined.All()), all) {
				t.Fatalf("cut at %d and joined again: %v", lo, slices.Collect(joined.All()))
			}
		}
	}
}
