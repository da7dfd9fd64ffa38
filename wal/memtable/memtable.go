// Package memtable holds one member's entries that are in the write-ahead log and not yet in a segment.
//
// A Table belongs to one goroutine. What it hands out as a View may be read by others for as long as they like: entries
// are never overwritten in place, a truncation only lets go of them (MT-01).
//
// This package makes no compatibility promise.
package memtable

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ErrGap says that entries were to be appended that do not follow the last one.
var ErrGap = errors.New("memtable: entries do not follow each other")

// Chunks grow with the table, so that a small table is small and a large one has few of them.
const (
	minChunk = 4
	maxChunk = 256
)

// chunk holds entries with consecutive indexes. A slot that was filled once is never written again: a chunk that is cut
// loses its spare capacity with it.
type chunk []ra.Entry

func (c chunk) first() ra.Index { return c[0].Index }
func (c chunk) last() ra.Index  { return c[len(c)-1].Index }

// part is a chunk of a table with the length of its bodies, so that nobody has to look at old entries to drop them.
type part struct {
	chunk
	bytes int
}

// Table holds entries with consecutive indexes. The zero value is empty and ready, and owns no memory.
type Table struct {
	chunks []part
	first  ra.Index // lowest index, 0 if empty; the first chunk may hold lower ones, which are dropped
	last   ra.Index // highest index, 0 if empty
	bytes  int
}

// Len returns the number of entries.
func (t *Table) Len() int {
	if len(t.chunks) == 0 {
		return 0
	}
	return int(t.Last() - t.first + 1)
}

// Bytes returns the length of all bodies together.
func (t *Table) Bytes() int { return t.bytes }

// First returns the lowest index, 0 if the table is empty.
func (t *Table) First() ra.Index { return t.first }

// Last returns the highest index, 0 if the table is empty.
func (t *Table) Last() ra.Index { return t.last }

// Append adds entries, which must follow each other and the last one; into an empty table they may begin anywhere above
// index 0. It fails with ErrGap and takes nothing otherwise. Bodies are shared, not copied.
func (t *Table) Append(entries []ra.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	next := t.Last() + 1
	if next == 1 {
		next = max(entries[0].Index, 1)
	}
	for i := range entries {
		if entries[i].Index != next+ra.Index(i) {
			return fmt.Errorf("%w: entry %d where %d is due", ErrGap, entries[i].Index, next+ra.Index(i))
		}
	}
	if len(t.chunks) == 0 {
		t.first = entries[0].Index
	}
	t.last = entries[len(entries)-1].Index
	for len(entries) > 0 {
		n := t.fill(entries)
		entries = entries[n:]
	}
	return nil
}

// fill puts as many entries into the last chunk as fit, in a new chunk if it has no room, and returns their number.
func (t *Table) fill(entries []ra.Entry) int {
	n := len(t.chunks)
	if n == 0 || len(t.chunks[n-1].chunk) == cap(t.chunks[n-1].chunk) {
		size := minChunk
		if n > 0 {
			size = max(minChunk, 2*len(t.chunks[n-1].chunk))
		}
		size = min(max(size, len(entries)), maxChunk)
		t.chunks = append(t.chunks, part{chunk: make(chunk, 0, size)})
		n++
	}
	last := &t.chunks[n-1]
	k := min(len(entries), cap(last.chunk)-len(last.chunk))
	add := bodies(entries[:k])
	last.chunk, last.bytes = append(last.chunk, entries[:k]...), last.bytes+add
	t.bytes += add
	return k
}

// Truncate removes all entries from index from on.
func (t *Table) Truncate(from ra.Index) {
	if from <= t.first {
		*t = Table{}
		return
	}
	t.last = min(t.last, from-1)
	for n := len(t.chunks); n > 0 && t.chunks[n-1].last() >= from; n-- {
		c := &t.chunks[n-1]
		if keep := int(from) - int(c.first()); keep > 0 {
			less := bodies(c.chunk[keep:])
			c.chunk, c.bytes = c.chunk[:keep:keep], c.bytes-less
			t.bytes -= less
			return
		}
		t.bytes -= c.bytes
		*c = part{}
		t.chunks = t.chunks[:n-1]
	}
}

// Drop removes all entries up to index upTo. Memory is given back a chunk at a time.
func (t *Table) Drop(upTo ra.Index) {
	switch {
	case len(t.chunks) == 0 || upTo < t.first:
		return
	case upTo >= t.Last():
		*t = Table{}
		return
	}
	gone := 0
	for t.chunks[gone].last() <= upTo {
		t.bytes -= t.visible(gone)
		gone++
	}
	t.chunks = slices.Delete(t.chunks, 0, gone)
	c := t.chunks[0]
	from := max(t.first, c.first()) - c.first()
	t.bytes -= bodies(c.chunk[from : upTo+1-c.first()])
	t.first = upTo + 1
}

// visible returns the length of the bodies of chunk i that are not dropped.
func (t *Table) visible(i int) int {
	c := &t.chunks[i]
	if c.first() < t.first {
		return bodies(c.chunk[t.first-c.first():])
	}
	return c.bytes
}

// start returns the index of the first entry of chunk k. For the last chunk, which most questions are about, it does not
// look at the entries: the first of them have long left the processor's cache.
func (t *Table) start(k int) ra.Index {
	if k < len(t.chunks)-1 {
		return t.chunks[k].first()
	}
	return t.last + 1 - ra.Index(len(t.chunks[k].chunk))
}

// find returns the number of the chunk that holds index i, which is in the table.
func (t *Table) find(i ra.Index) int {
	// Most questions are about the newest entries.
	if n := len(t.chunks) - 1; i >= t.start(n) {
		return n
	}
	return sort.Search(len(t.chunks), func(k int) bool { return t.chunks[k].last() >= i })
}

// Entry returns the entry at index i, if it is here.
func (t *Table) Entry(i ra.Index) (ra.Entry, bool) {
	if i < t.first || i > t.Last() || i == 0 {
		return ra.Entry{}, false
	}
	k := t.find(i)
	return t.chunks[k].chunk[i-t.start(k)], true
}

// Term returns the term of the entry at index i, if it is here.
func (t *Table) Term(i ra.Index) (ra.Term, bool) {
	e, ok := t.Entry(i)
	return e.Term, ok
}

// Read appends the entries from lo to hi to dst, as far as they are here from lo on without a gap, and stops before the
// bodies together exceed maxBytes; but one entry is always read if lo is here.
func (t *Table) Read(dst []ra.Entry, lo, hi ra.Index, maxBytes int) []ra.Entry {
	hi = min(hi, t.Last())
	if lo < t.first || lo > hi || lo == 0 {
		return dst
	}
	start := len(dst)
	for k := t.find(lo); k < len(t.chunks) && lo <= hi; k++ {
		c, first := t.chunks[k].chunk, t.start(k)
		end := first + ra.Index(len(c)) // behind the chunk
		part := c[lo-first : min(hi+1, end)-first]
		n := 0
		for n < len(part) && (len(part[n].Body) <= maxBytes || n == 0 && len(dst) == start) {
			maxBytes -= len(part[n].Body)
			n++
		}
		dst = append(dst, part[:n]...)
		if n < len(part) {
			break
		}
		lo = end
	}
	return dst
}

// View is a range of entries that stays as it was when it was taken, and may be read by any goroutine.
type View struct {
	chunks []chunk
}

// View returns the entries from lo to hi that are here.
func (t *Table) View(lo, hi ra.Index) View {
	lo, hi = max(lo, t.first), min(hi, t.Last())
	if lo > hi || lo == 0 {
		return View{}
	}
	var v View
	for k := t.find(lo); k < len(t.chunks) && lo <= hi; k++ {
		c := t.chunks[k].chunk
		v.chunks = append(v.chunks, c[lo-c.first():min(hi, c.last())+1-c.first()])
		lo = c.last() + 1
	}
	return v
}

// First returns the lowest index, 0 if the view is empty.
func (v View) First() ra.Index {
	if len(v.chunks) == 0 {
		return 0
	}
	return v.chunks[0].first()
}

// Between returns the part of the view from lo to hi.
func (v View) Between(lo, hi ra.Index) View {
	var out View
	for _, c := range v.chunks {
		if from, to := max(lo, c.first()), min(hi, c.last()); from <= to {
			out.chunks = append(out.chunks, c[from-c.first():to+1-c.first()])
		}
	}
	return out
}

// Then returns the view followed by next, whose entries follow its own.
func (v View) Then(next View) View {
	return View{chunks: slices.Concat(v.chunks, next.chunks)}
}

// Len returns the number of entries in the view.
func (v View) Len() int {
	n := 0
	for _, c := range v.chunks {
		n += len(c)
	}
	return n
}

// All yields the entries in the order of their indexes.
func (v View) All() iter.Seq[ra.Entry] {
	return func(yield func(ra.Entry) bool) {
		for _, c := range v.chunks {
			for _, e := range c {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// bodies returns the length of all bodies.
func bodies(entries []ra.Entry) int {
	n := 0
	for i := range entries {
		n += len(entries[i].Body)
	}
	return n
}
