package raftlog

import (
	"fmt"
	"math"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
)

// cut is a truncation, or the replacement of the whole log by a snapshot, whose order does not stand in a flushed file
// yet.
//
// A file of the write-ahead log is released when what it holds is in segments, so segments must get exactly what was
// valid at the file's end. Less would be a hole if the crash comes before the cut is durable, and so would be what was
// appended later: the write-ahead log remembers how far the log reached. That is why the entries that a cut removes are
// kept until its own file is flushed. They are no more than unreleased files hold anyway.
type cut struct {
	// seq is the number of the cut's order, 0 as long as that was not given.
	seq uint64
	// from is the first index that was removed, 1 for a reset. reset is the snapshot's index, 0 for a truncation.
	from, reset ra.Index
	// base is up to where a snapshot stood for the log before, so that the mem table need not have had anything up to there.
	base ra.Index
	// tail is what the mem table had from there on.
	tail memtable.View
}

// after reports whether the cut came after the order seq.
func (c *cut) after(seq uint64) bool { return c.seq == 0 || c.seq > seq }

// Truncate removes the entries from index from on. An order with that Truncate must go to the write-ahead log.
func (l *Log) Truncate(from ra.Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from <= l.base.Index {
		_ = l.fail("entry %d is removed, compacted are those up to %d", from, l.base.Index)
		return
	}
	l.cut(from)
}

// cut removes the entries from an index above the base on.
func (l *Log) cut(from ra.Index) {
	l.cuts = append(l.cuts, cut{from: from, base: l.base.Index, tail: l.table.View(from, l.last)})
	l.table.Truncate(from)
	l.last = min(l.last, from-1)
	l.segs.Truncate(l.uid, from)
	l.measure()
}

// Install says that a snapshot that was received is in force. If keep, the log has its last entry, and the entries above
// stay. Otherwise nothing of the log stays, and an order with that Reset must go to the write-ahead log.
func (l *Log) Install(p Position, keep bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	term, ok := l.term(p.Index)
	switch {
	case p.Index < l.base.Index || keep && (!ok || term != p.Term):
		_ = l.fail("snapshot at %d of term %d (keep %v) does not fit a log from %d to %d", p.Index, p.Term, keep, l.base.Index, l.last)
	case keep:
		l.release(p)
	default:
		l.replace(p)
	}
}

// Overtaken says that a snapshot is in place of which the log has not heard, because the member's life ended before. It is
// for the beginning of the next one, when all orders are durable: the log then is what Recover would make of it. If it does
// not have the snapshot's last entry nothing of it stays, and it NeedsReset.
func (l *Log) Overtaken(p Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case p.Index <= l.base.Index:
	case l.has(p):
		l.release(p)
	default:
		l.replace(p)
		l.reset = true
	}
}

// replace puts a snapshot in place of the whole log.
func (l *Log) replace(p Position) {
	l.cuts = append(l.cuts, cut{from: 1, reset: p.Index, base: l.base.Index, tail: l.table.View(1, math.MaxUint64)})
	l.table = memtable.Table{}
	l.base, l.last = p, p.Index
	l.segs.Truncate(l.uid, 1)
	l.measure()
}

// Release says that a durable snapshot of this member covers the entries up to an index: mem table and segments let go
// of them (LOG-05). What the log does not reach stays for later.
func (l *Log) Release(upTo ra.Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	upTo = min(upTo, l.last)
	if term, ok := l.term(upTo); ok && upTo > l.base.Index {
		l.release(Position{upTo, term})
	}
}

func (l *Log) release(p Position) {
	l.base = p
	l.table.Drop(p.Index)
	l.letGo()
}

// letGo tells segments what the snapshot stands for. But what an outstanding cut removed must not lose its beginning:
// after a crash the rest of it would look like what follows the snapshot.
func (l *Log) letGo() {
	floor := l.base.Index
	for i := range l.cuts {
		floor = min(floor, l.cuts[i].from-1)
	}
	if floor > 0 {
		l.segs.Drop(l.uid, floor)
	}
	l.measure()
}

// noCut is beyond every index.
const noCut = ra.Index(math.MaxUint64)

// lowestCut returns the lowest index that outstanding cuts removed.
func (l *Log) lowestCut() ra.Index {
	from := noCut
	for i := range l.cuts {
		from = min(from, l.cuts[i].from)
	}
	return from
}

// measure looks up what segments hold above the snapshot.
func (l *Log) measure() {
	upTo := l.last
	if first := l.table.First(); first != 0 {
		upTo = first - 1
	}
	l.segBytes = l.segs.Bytes(l.uid, l.base.Index+1, upTo)
	first, last := l.segs.Bounds(l.uid)
	if first = max(first, l.base.Index+1); first > min(last, l.last) {
		first = 0
	}
	l.firstSeg = first
}

// Order says that an order of the member, numbered as the write-ahead log numbers it, is about to be given to the
// write-ahead log: every one, before wal.Batch.Append sees it. To say it again, because there was no room, does no harm.
// It fails with ErrOutOfStep if the order does not match what was done to the log, and must not be given then.
func (l *Log) Order(op *wal.Op) error {
	if op.Seq <= l.ordered.Load() {
		return nil
	}
	if op.Reset != 0 || op.Truncate != 0 {
		if err := l.number(op); err != nil {
			return err
		}
	}
	l.ordered.Store(op.Seq)
	return nil
}

// number gives the cuts that the order carries its number.
func (l *Log) number(op *wal.Op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var due []cut
	if op.Reset != 0 {
		due = append(due, cut{from: 1, reset: op.Reset})
	}
	if op.Truncate != 0 {
		due = append(due, cut{from: op.Truncate})
	}
	k := slices.IndexFunc(l.cuts, func(c cut) bool { return c.seq == 0 })
	for _, d := range due {
		if k < 0 || k == len(l.cuts) || l.cuts[k].from != d.from || l.cuts[k].reset != d.reset {
			return l.fail("order %d (reset %d, truncate %d) is none of the log's", op.Seq, op.Reset, op.Truncate)
		}
		l.cuts[k].seq = op.Seq
		l.reset = l.reset && d.reset == 0
		k++
	}
	return nil
}

// Range returns what a closed file of the write-ahead log holds of the member, for segment.Set.Flush: nothing if that is
// flushed already. It stays as it is while the flush goes on. It fails with ErrOutOfStep if the log was not told of the
// file's orders.
func (l *Log) Range(s *wal.Span) (segment.Range, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.broken != nil:
		return segment.Range{}, l.broken
	case lowest(s) == 0:
		return segment.Range{UID: l.uid}, nil
	case s.Seq > l.ordered.Load():
		return segment.Range{}, l.fail("file with order %d is flushed, the log knows of %d", s.Seq, l.ordered.Load())
	case s.Seq <= l.flushed:
		return segment.Range{UID: l.uid}, nil
	}
	r := segment.Range{UID: l.uid, Cut: lowest(s)}
	if s.First == 0 {
		return r, nil
	}
	view := l.version(s.First, s.Last, s.Seq)
	if due := max(s.First, l.gone(s.Seq)+1); s.Seq > l.recovered && due <= s.Last && !covers(view, due, s.Last) {
		return segment.Range{}, l.fail("a file has entries %d to %d, the log not", due, s.Last)
	}
	r.Entries = view.All()
	return r, nil
}

// lowest returns the lowest index from which on a file makes void what older files brought, 0 for none.
func lowest(s *wal.Span) ra.Index {
	switch {
	case s.Reset != 0 || s.Deleted:
		return 1
	case s.Truncated != 0 && (s.First == 0 || s.Truncated < s.First):
		return s.Truncated
	}
	return s.First
}

// covers reports whether a view reaches from lo or below to hi.
func covers(v memtable.View, lo, hi ra.Index) bool {
	n := ra.Index(v.Len())
	return n > 0 && v.First() <= lo && v.First()+n-1 == hi
}

// gone returns up to where a snapshot stood for the log when the order seq was the last one, or later: the log may have lost
// the snapshot since, and begun anew.
func (l *Log) gone(seq uint64) ra.Index {
	upTo := l.base.Index
	for i := range l.cuts {
		if c := &l.cuts[i]; c.after(seq) {
			upTo = max(upTo, c.base)
		}
	}
	return upTo
}

// version returns the entries from lo to hi as they were when the order seq was the last one.
func (l *Log) version(lo, hi ra.Index, seq uint64) memtable.View {
	// What later cuts did not reach is in the table still. What they removed is in their tails; of the tails at an index
	// the oldest counts.
	below := noCut
	var later []memtable.View
	for i := range l.cuts {
		if c := &l.cuts[i]; c.after(seq) && c.from < below {
			later = append(later, c.tail.Between(max(lo, c.from), min(hi, below-1)))
			below = c.from
		}
	}
	v := l.table.View(lo, min(hi, below-1))
	for _, tail := range slices.Backward(later) {
		v = v.Then(tail)
	}
	return v
}

// Flushed says that the Range of the same span is durable in segments, whatever else happened since it was asked for.
// What the next files do not change leaves the mem table.
func (l *Log) Flushed(s *wal.Span) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Seq <= l.flushed {
		return
	}
	l.flushed = s.Seq
	if cut := lowest(s); cut != 0 {
		l.flushedTo = min(l.flushedTo, cut-1)
	}
	l.flushedTo = max(l.flushedTo, s.Last)
	l.cuts = slices.DeleteFunc(l.cuts, func(c cut) bool { return !c.after(s.Seq) })
	// Of what was recovered nobody knows in which file an entry stands: an entry may have been removed by the next file
	// and appended again by the one behind that. It stays until all of these files are flushed.
	if s.Seq >= l.recovered {
		l.table.Drop(min(l.flushedTo, l.lowestCut()-1))
	}
	// The flush may have shown again what later cuts removed, or brought what the snapshot stands for.
	if from := l.lowestCut(); from != noCut {
		l.segs.Truncate(l.uid, from)
	}
	l.letGo()
}

// String describes the log in one line, for people.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%s: snapshot %d/%d, table %d to %d, last %d, flushed to %d at order %d, %d cuts, ordered %d",
		l.uid, l.base.Index, l.base.Term, l.table.First(), l.table.Last(), l.last, l.flushedTo, l.flushed, len(l.cuts), l.ordered.Load())
}
