package raftlog

import (
	"fmt"
	"math"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
)

// Recover puts the log of a member together from what the write-ahead log and the segments have, above a snapshot that
// is in place (zero if there is none). It takes m.Entries over, and tells segments what m and the snapshot make void, so
// segments should be cleaned only when all members are recovered.
//
// The snapshot may be ahead of the log, or of another history than the log's end, if the crash came before the log heard
// of it. Then the log counts as empty, and NeedsReset. What else does not fit together is damage: a gap above the
// snapshot, entries that cannot be read, an end that is not the one that the write-ahead log knows. The error then
// matches ra.ErrDamaged.
func Recover(m *wal.Member, segs *segment.Set, snap Position) (*Log, error) {
	uid := m.Writer.UID()
	if m.Mark.What&wal.DamagedLog != 0 {
		return nil, fmt.Errorf("%w: the write-ahead log lost entries of %s from %d on", ra.ErrDamaged, uid, m.Mark.From)
	}
	switch {
	case m.Reset != 0:
		segs.Truncate(uid, 1)
	case m.Truncated != 0:
		segs.Truncate(uid, m.Truncated)
	}
	l := &Log{uid: uid, segs: segs, table: m.Entries, recovered: m.Writer.Seq()}
	l.ordered.Store(l.recovered)
	if err := l.join(m.Writer.Last(), snap); err != nil {
		return nil, err
	}
	return l, nil
}

// join joins the log to its snapshot.
func (l *Log) join(end ra.Index, snap Position) error {
	if l.last = l.table.Last(); l.last == 0 {
		_, l.last = l.segs.Bounds(l.uid)
	}
	_, whole := l.term(snap.Index)
	switch {
	case end < snap.Index, whole && !l.has(snap):
		l.startOver(snap)
		return nil
	case end == snap.Index && !whole:
		// All of it was released, or came as a snapshot. What there is lies below the snapshot.
		l.table, l.last = new(memtable.Table), end
	}
	if err := l.check(end, snap); err != nil {
		return err
	}
	l.release(snap)
	return nil
}

// has reports whether the log has the snapshot's last entry.
func (l *Log) has(snap Position) bool {
	term, ok := l.term(snap.Index)
	return ok && term == snap.Term
}

// startOver lets the snapshot take the place of the log. As long as the order is not durable that says so, nothing of the
// log may go away, or what is left of it could pass for what follows the snapshot.
func (l *Log) startOver(snap Position) {
	l.cuts = append(l.cuts, cut{from: 1, reset: snap.Index, tail: l.table.View(1, math.MaxUint64)})
	l.table, l.base, l.last, l.reset = new(memtable.Table), snap, snap.Index, true
	l.segs.Truncate(l.uid, 1)
	l.measure()
}

// check looks for damage above the snapshot.
func (l *Log) check(end ra.Index, snap Position) error {
	next := snap.Index + 1
	for _, r := range l.runs(snap.Index) {
		if r.First != next || r.Damaged {
			return lost(l.uid, next, r.Last)
		}
		next = r.Last + 1
	}
	if next != end+1 {
		return fmt.Errorf("%w: the log of %s reaches from %d to %d, but the write-ahead log knows that it ended at %d",
			ra.ErrDamaged, l.uid, snap.Index, next-1, end)
	}
	return nil
}

// NeedsReset reports whether an order with Reset, up to the snapshot, must be the next that the write-ahead log gets.
func (l *Log) NeedsReset() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reset
}
