package segment

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// maxIndex is beyond every index.
const maxIndex = ra.Index(math.MaxUint64)

// span is a range of visible entries: those of one row that nothing newer replaced.
type span struct {
	first, last ra.Index
	row         int // in member.rows
}

// member is what the files hold of one member. The zero value is a member without anything.
//
// Invariants: rows are sorted by generation, then file, then index; spans are sorted and disjoint and lie above floor.
type member struct {
	rows  []row
	spans []span
	// floor is the index up to which a snapshot stands for the log (COMP-01).
	floor ra.Index
	// ceiling, if not 0, hides all from there on: a truncation that is durable elsewhere, but not noted in a file yet.
	ceiling ra.Index
	// forgotten: the member is deleted.
	forgotten bool
}

// add puts new rows in place. Older generations may come after younger ones, when files are opened.
func (m *member) add(rows ...row) {
	m.rows = append(m.rows, rows...)
	slices.SortFunc(m.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.gen, b.gen), cmp.Compare(a.file, b.file), cmp.Compare(a.first, b.first))
	})
	m.settle()
}

// removeFile forgets the rows of a file that is gone.
func (m *member) removeFile(number uint64) {
	m.rows = slices.DeleteFunc(m.rows, func(r row) bool { return r.file == number })
	m.settle()
}

// settle works out anew what is visible.
func (m *member) settle() {
	m.spans = m.spans[:0]
	if m.forgotten {
		m.spans = nil
		return
	}
	for i := 0; i < len(m.rows); {
		next := i
		cut := maxIndex
		for ; next < len(m.rows) && m.rows[next].gen == m.rows[i].gen; next++ {
			cut = min(cut, m.rows[next].cut)
		}
		m.spans = without(m.spans, cut, maxIndex)
		for ; i < next; i++ {
			m.show(i)
		}
	}
	m.spans = without(m.spans, 0, m.floor)
}

// show makes the entries of row i visible, in place of what is visible there.
func (m *member) show(i int) {
	r := &m.rows[i]
	if r.count == 0 {
		return
	}
	s := span{first: r.first, last: r.last(), row: i}
	m.spans = without(m.spans, s.first, s.last)
	at := sort.Search(len(m.spans), func(k int) bool { return m.spans[k].first > s.first })
	m.spans = slices.Insert(m.spans, at, s)
}

// without takes the indexes from lo to hi out of spans.
func without(spans []span, lo, hi ra.Index) []span {
	from := sort.Search(len(spans), func(k int) bool { return spans[k].last >= lo })
	to := sort.Search(len(spans), func(k int) bool { return spans[k].first > hi })
	if from >= to {
		return spans
	}
	var rest [2]span
	n := 0
	if s := spans[from]; s.first < lo {
		rest[n] = span{s.first, lo - 1, s.row}
		n++
	}
	if s := spans[to-1]; s.last > hi {
		rest[n] = span{hi + 1, s.last, s.row}
		n++
	}
	return slices.Replace(spans, from, to, rest[:n]...)
}

// at returns the visible span that holds index i, with what is hidden cut off.
func (m *member) at(i ra.Index) (span, bool) {
	if m.ceiling != 0 && i >= m.ceiling {
		return span{}, false
	}
	k := sort.Search(len(m.spans), func(k int) bool { return m.spans[k].last >= i })
	if k == len(m.spans) || m.spans[k].first > i {
		return span{}, false
	}
	s := m.spans[k]
	if m.ceiling != 0 {
		s.last = min(s.last, m.ceiling-1)
	}
	return s, true
}

// all returns the visible spans, with what is hidden cut off.
func (m *member) all() []span {
	out := slices.Clone(m.spans)
	if m.ceiling != 0 {
		out = without(out, m.ceiling, maxIndex)
	}
	return out
}

// needed says which rows must stay on the disk: those with visible entries, the hidden ones included, and those that make
// void what an older row in another file has, which would come back without them. What lies below the floor may come
// back: the floor comes from a snapshot and is there again after a restart. What lies on it must not: whether log and
// snapshot are of one history is seen by the entry that both end with, before there is a floor.
func (m *member) needed() []bool {
	keep := m.holders()
	for _, s := range m.spans {
		keep[s.row] = true
	}
	return keep
}

// holders says which rows make void what an older row in another file has, which would come back without them.
func (m *member) holders() []bool {
	holds := make([]bool, len(m.rows))
	var older pinned
	for i := 0; i < len(m.rows); {
		start, holder := i, i
		for ; i < len(m.rows) && m.rows[i].gen == m.rows[start].gen; i++ {
			if m.rows[i].cut <= m.rows[holder].cut {
				holder = i
			}
		}
		// The row with the lowest cut of a generation holds down what the others do; of its copies the latest is enough.
		h := &m.rows[holder]
		holds[holder] = older.reach(h.file) >= m.threatened(h)
		for k := start; k < i; k++ {
			if r := &m.rows[k]; r.count > 0 {
				older.note(r.file, r.last())
			}
		}
	}
	return holds
}

// threatened returns the lowest index that an older row must reach for r to be needed against it.
func (m *member) threatened(r *row) ra.Index {
	switch {
	case !m.forgotten:
		return max(r.cut, m.floor)
	case r.count == 0 && r.cut == 1:
		// The note that the member is deleted holds as long as there is anything else of it.
		return 1
	}
	return maxIndex
}

// pinned remembers the highest index of the rows so far, and the highest among those of other files than that one's.
type pinned struct {
	file        uint64
	best, other ra.Index
}

func (p *pinned) note(file uint64, last ra.Index) {
	switch {
	case file == p.file:
		p.best = max(p.best, last)
	case last >= p.best:
		p.other, p.best, p.file = p.best, last, file
	default:
		p.other = max(p.other, last)
	}
}

// reach returns the highest index in files other than the given one.
func (p *pinned) reach(file uint64) ra.Index {
	if file == p.file {
		return p.other
	}
	return p.best
}
