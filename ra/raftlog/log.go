// Package raftlog is one member's view of its log: the snapshot, then what is in segments, then the mem table.
//
// It says where an entry lives and decides nothing. The member appends, truncates and reads; the node's segment writer
// asks what a full file of the write-ahead log held (Range), writes that to segments, and says so (Flushed). Between the
// two the log keeps the order: see Order.
//
// This package makes no compatibility promise.
package raftlog

import (
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
)

var (
	// ErrCompacted says that an entry is not kept any more, because a snapshot stands for it.
	ErrCompacted = ra.ErrCompacted
	// ErrOutOfStep says that the log was told something that contradicts what it was told before: a mistake of its owner.
	// The member must stop; what is on the disk is sound.
	ErrOutOfStep = errors.New("raftlog: out of step")
)

// DamageError says which entries of a log cannot be read.
type DamageError = segment.DamageError

// Position names an entry by index and term. Equal positions in two logs mean equal logs up to there (Raft paper,
// section 5.3).
type Position struct {
	Index ra.Index
	Term  ra.Term
}

// Log is the log of one member. Append, Truncate, Order, Release and Install belong to the member's goroutine, Range and
// Flushed to the segment writer's, in the order of the files; all others may be called by any. Nothing but Read and the
// functions that say so touches the disk.
//
// An entry is in the mem table as long as the only other place that is sure to have it is the write-ahead log. So
// entries from the table's first one on are read from the table, whatever segments have there, and segments are never
// asked beyond the log's own first and last index: what lies outside is void, or not yet noted there as gone.
type Log struct {
	uid  ra.UID
	segs *segment.Set
	// ordered is the number of the newest order that the write-ahead log may have.
	ordered atomic.Uint64

	mu    sync.Mutex // guards what follows; not held while the disk is read
	table memtable.Table
	base  Position // the last entry that is gone; the snapshot stands for it
	last  ra.Index
	cuts  []cut // whose orders are not in flushed files, oldest first

	flushed   uint64   // the last order in the newest flushed file
	flushedTo ra.Index // as of that order, all entries up to here are in segments
	recovered uint64   // orders up to here were recovered: Range cannot tell them apart
	reset     bool     // the write-ahead log must be told of the snapshot

	segBytes int64 // of the entries that are only in segments
	firstSeg ra.Index
	broken   error
}

// New returns the log of a member that has none yet.
func New(uid ra.UID, segs *segment.Set) *Log {
	return &Log{uid: uid, segs: segs}
}

// Append adds entries behind the last one. It fails with ErrOutOfStep if they do not follow it, or if the log was
// misused before.
func (l *Log) Append(entries []ra.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	if entries[0].Index != l.last+1 {
		return l.fail("entry %d is appended behind %d", entries[0].Index, l.last)
	}
	if err := l.table.Append(entries); err != nil {
		return l.fail("%v", err)
	}
	l.last = entries[len(entries)-1].Index
	return nil
}

// fail notes a misuse, which ends the log.
func (l *Log) fail(format string, args ...any) error {
	if l.broken == nil {
		l.broken = fmt.Errorf("%w: %s: %s", ErrOutOfStep, l.uid, fmt.Sprintf(format, args...))
	}
	return l.broken
}

// Read appends to into the entries from lo to hi, as far as the log has them and maxBytes of bodies allow, but at least
// one; fewer may be returned for no reason. It fails with ErrCompacted if lo is not kept any more, with a
// *segment.DamageError, which matches ra.ErrDamaged, if it cannot be read, and with the file system's errors.
func (l *Log) Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error) {
	if lo > hi {
		return into, nil
	}
	out, below, err := l.readTable(into, lo, hi, maxBytes)
	if err != nil || below == 0 {
		return out, err
	}
	start := len(out)
	if out, err = l.segs.Read(out, l.uid, lo, below, maxBytes); err != nil {
		return into, err
	}
	if len(out) == start {
		return into, l.missing(lo, below)
	}
	for i := start; i < len(out); i++ {
		maxBytes -= len(out[i].Body)
	}
	if out[len(out)-1].Index == below && below < hi && maxBytes > 0 {
		return l.readMore(out, below+1, hi, maxBytes), nil
	}
	return out, nil
}

// readTable reads from the mem table if lo is there. Otherwise it returns up to where the entries stand in segments only.
func (l *Log) readTable(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, ra.Index, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch first := l.table.First(); {
	case l.broken != nil:
		return into, 0, l.broken
	case lo <= l.base.Index:
		return into, 0, ErrCompacted
	case lo > l.last:
		return into, 0, fmt.Errorf("%w: entry %d is read, the last one of %s is %d", ErrOutOfStep, lo, l.uid, l.last)
	case first == 0:
		return into, min(hi, l.last), nil
	case lo < first:
		return into, min(hi, first-1), nil
	}
	return l.table.Read(into, lo, hi, maxBytes), 0, nil
}

// readMore reads from the mem table what fits.
func (l *Log) readMore(into []ra.Entry, lo, hi ra.Index, maxBytes int) []ra.Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.table.Entry(lo); !ok || len(e.Body) > maxBytes {
		return into
	}
	return l.table.Read(into, lo, hi, maxBytes)
}

// missing says why segments have nothing of the entries from lo to hi: they were released meanwhile, or are lost.
func (l *Log) missing(lo, hi ra.Index) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lo <= l.base.Index {
		return ErrCompacted
	}
	return lost(l.uid, lo, hi)
}

// lost is the error for entries that nobody has.
func lost(uid ra.UID, lo, hi ra.Index) error {
	return &segment.DamageError{UID: uid, First: lo, Last: hi, Cause: fmt.Errorf("%w: in no segment", ra.ErrCorrupt)}
}

// Term returns the term of the entry at index i. It is known for the entries that are kept and for the last one that is
// not, index 0 of an empty log included.
func (l *Log) Term(i ra.Index) (ra.Term, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term(i)
}

func (l *Log) term(i ra.Index) (ra.Term, bool) {
	switch {
	case i == l.base.Index:
		return l.base.Term, true
	case i < l.base.Index || i > l.last:
		return 0, false
	}
	if t, ok := l.table.Term(i); ok {
		return t, true
	}
	return l.segs.Term(l.uid, i)
}

// Base returns the last entry that is not kept any more.
func (l *Log) Base() (ra.Index, ra.Term) {
	p := l.Snapshot()
	return p.Index, p.Term
}

// Snapshot returns the position that the newest snapshot stands for that the log was told of: what lies above is kept.
func (l *Log) Snapshot() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.base
}

// Last returns the last index: the snapshot's if nothing lies above it.
func (l *Log) Last() ra.Index {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Runs yields the first index and the term of each stretch of entries of one term that are kept, as they are now.
func (l *Log) Runs() iter.Seq2[ra.Index, ra.Term] {
	l.mu.Lock()
	defer l.mu.Unlock()
	runs := l.runs(l.base.Index)
	return func(yield func(ra.Index, ra.Term) bool) {
		for i := range runs {
			if (i == 0 || runs[i].Term != runs[i-1].Term) && !yield(runs[i].First, runs[i].Term) {
				return
			}
		}
	}
}

// runs returns the stretches of one term above an index, in order: those in segments as far as the mem table does not
// reach, then those of the mem table.
func (l *Log) runs(above ra.Index) []segment.Run {
	first, upTo := l.table.First(), l.last
	if first != 0 {
		upTo = first - 1
	}
	var out []segment.Run
	for _, r := range l.segs.Runs(l.uid) {
		r.First, r.Last = max(r.First, above+1), min(r.Last, upTo)
		if r.First <= r.Last {
			out = append(out, r)
		}
	}
	for e := range l.table.View(max(first, above+1), l.last).All() {
		if n := len(out) - 1; n >= 0 && out[n].Term == e.Term && out[n].Last+1 == e.Index && !out[n].Damaged {
			out[n].Last = e.Index
			continue
		}
		out = append(out, segment.Run{First: e.Index, Last: e.Index, Term: e.Term})
	}
	return out
}

// Bytes returns about how many bytes the entries above the snapshot have.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segBytes + int64(l.table.Bytes())
}

// FirstSegment returns the lowest index above the snapshot that segments hold, 0 if there is none (SNAP-01).
func (l *Log) FirstSegment() ra.Index {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.firstSeg
}
