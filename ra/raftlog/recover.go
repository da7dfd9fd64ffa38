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
// of it. Then the log counts as empty, and NeedsReset. What else does not fit together is damage: entries that the
// write-ahead log has marked as lost, a snapshot that is missing, a gap above it, entries that cannot be read, an end
// that is not the one that the write-ahead log knows. The error then matches ra.ErrDamaged, and the log that is returned
// with it holds what is certain: the snapshot and the entries that follow it without a gap, as the log once was. What it
// leaves out, NeedsCut or NeedsReset tells.
func Recover(m *wal.Member, segs *segment.Set, snap Position) (*Log, error) {
	uid := m.Writer.UID()
	switch {
	case m.Reset != 0:
		segs.Truncate(uid, 1)
	case m.Truncated != 0:
		segs.Truncate(uid, m.Truncated)
	}
	l := &Log{uid: uid, segs: segs, table: *m.Entries, recovered: m.Writer.Seq()}
	l.ordered.Store(l.recovered)
	from, err := l.marked(m, snap)
	if err == nil {
		if err = l.join(m.Writer.Last(), snap); err == nil {
			return l, nil
		}
		from = m.Writer.Last() + 1
	}
	l.salvage(from, snap)
	return l, err
}

// Disowns reports whether a snapshot cannot be of the log that m and the segments have, as is so for one of a history that was
// given up, which has come back from a backup. Nothing is known of that if the log is damaged, or if none of it is known to be
// committed. It changes nothing, and is to be asked before Recover.
func Disowns(m *wal.Member, segs *segment.Set, snap Position) bool {
	if m.Mark.What != 0 || snap.Index == 0 {
		return false
	}
	return RuledOut(snap, min(m.Applied, m.Writer.Last()), termsOf(m, segs))
}

// termsOf returns what tells the term of an entry that m or the segments have.
func termsOf(m *wal.Member, segs *segment.Set) func(ra.Index) (ra.Term, bool) {
	return func(i ra.Index) (ra.Term, bool) {
		term, ok := m.Entries.Term(i)
		if void := m.Reset != 0 || m.Truncated != 0 && i >= m.Truncated; !ok && !void {
			term, ok = segs.Term(m.Writer.UID(), i)
		}
		return term, ok
	}
}

// Follows reports whether it is known how the log that m and the segments have goes on from a snapshot: it has the entry there,
// of this term or another, or nothing above, or began anew there. If not, the two may be of different histories: the snapshot
// came from a leader, and a crash before the log heard of it. It changes nothing, and is to be asked before Recover.
func Follows(m *wal.Member, segs *segment.Set, snap Position) bool {
	if snap.Index == 0 || m.Writer.Last() <= snap.Index || m.Reset == snap.Index {
		return true
	}
	_, ok := termsOf(m, segs)(snap.Index)
	return ok
}

// RuledOut reports whether nothing committed stands at p in a log that is committed up to known, by what term knows of it:
// what is committed keeps its term, and no term is lower than one before it. What is not committed rules out nothing, since it
// may be of a later term than what takes its place.
func RuledOut(p Position, known ra.Index, term func(ra.Index) (ra.Term, bool)) bool {
	if p.Index <= known {
		at, ok := term(p.Index)
		return ok && at != p.Term
	}
	before, ok := term(known)
	return ok && before > p.Term
}

// marked returns from where on entries are known to be lost, and an error if any are. That is so, too, if segments are ahead
// of the write-ahead log: then one of them is not what it was.
func (l *Log) marked(m *wal.Member, snap Position) (ra.Index, error) {
	switch {
	case m.Mark.What&wal.DamagedLog != 0:
		from := max(m.Mark.From, 1)
		return from, fmt.Errorf("%w: entries of %s are lost from %d on", ra.ErrDamaged, l.uid, from)
	case m.Reset > snap.Index:
		return 1, fmt.Errorf("%w: the snapshot that stands for the log of %s up to %d is missing", ra.ErrDamaged, l.uid, m.Reset)
	}
	if term, ok := l.segs.Term(l.uid, m.Before); ok && m.Before > snap.Index && m.BeforeTerm != 0 && term != m.BeforeTerm {
		// Equal terms at an index mean equal logs up to there (Raft's Log Matching), so that nobody knows what is right below.
		return 1, fmt.Errorf("%w: the segments of %s have term %d at %d, which was of term %d: they are not those of this log",
			ra.ErrDamaged, l.uid, term, m.Before, m.BeforeTerm)
	}
	if _, last := l.segs.Bounds(l.uid); last > m.Highest {
		// Only what was durable in the write-ahead log gets into segments. A snapshot that is ahead of it is no excuse.
		return m.Writer.Last() + 1, fmt.Errorf("%w: the segments of %s reach up to %d, the write-ahead log never beyond %d",
			ra.ErrDamaged, l.uid, last, m.Highest)
	}
	return 0, nil
}

// join joins the log to its snapshot.
func (l *Log) join(end ra.Index, snap Position) error {
	l.reach()
	_, whole := l.term(snap.Index)
	switch {
	case end < snap.Index, whole && !l.has(snap):
		l.startOver(snap)
		return nil
	case end == snap.Index && !whole:
		// All of it was released, or came as a snapshot. What there is lies below the snapshot.
		l.table, l.last = memtable.Table{}, end
	}
	if next := l.intact(snap); next != end+1 {
		return fmt.Errorf("%w: the log of %s is intact from %d to %d, but ended at %d", ra.ErrDamaged, l.uid, snap.Index, next-1, end)
	}
	l.release(snap)
	return nil
}

// reach finds out up to where table or segments have entries.
func (l *Log) reach() {
	if l.last = l.table.Last(); l.last == 0 {
		_, l.last = l.segs.Bounds(l.uid)
	}
}

// has reports whether the log has the snapshot's last entry.
func (l *Log) has(snap Position) bool {
	term, ok := l.term(snap.Index)
	return ok && term == snap.Term
}

// Holds reports whether the log has what a snapshot at p would stand for: a later one, or the entry there.
func (l *Log) Holds(p Position) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.Index <= l.base.Index || l.has(p)
}

// startOver lets the snapshot take the place of the log. As long as the order is not durable that says so, nothing of the
// log may go away, or what is left of it could pass for what follows the snapshot.
func (l *Log) startOver(snap Position) {
	l.cuts = append(l.cuts, cut{from: 1, reset: snap.Index, tail: l.table.View(1, math.MaxUint64)})
	l.table, l.base, l.last, l.reset = memtable.Table{}, snap, snap.Index, true
	l.segs.Truncate(l.uid, 1)
	l.measure()
}

// intact returns the index behind the entries that follow the snapshot without a gap and can be read as far as is known.
func (l *Log) intact(snap Position) ra.Index {
	next := snap.Index + 1
	for _, r := range l.runs(snap.Index) {
		if r.First != next || r.Damaged {
			break
		}
		next = r.Last + 1
	}
	return next
}

// salvage makes the log that of what is certain, if it is not from from on.
func (l *Log) salvage(from ra.Index, snap Position) {
	l.reach()
	_, whole := l.term(snap.Index)
	if snap.Index > 0 && (min(from-1, l.last) < snap.Index || whole && !l.has(snap)) {
		l.startOver(snap)
		return
	}
	l.cut(min(from, l.intact(snap)))
	l.release(snap)
}

// NeedsReset reports whether an order with Reset, up to the snapshot, must be the next that the write-ahead log gets.
func (l *Log) NeedsReset() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reset
}

// NeedsCut returns the index from which on Recover, or Lose, has left the log out: an order with that Truncate must be
// the next that the write-ahead log gets. 0: none is needed.
func (l *Log) NeedsCut() ra.Index {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.cuts {
		if c := &l.cuts[i]; c.seq == 0 && c.reset == 0 {
			return c.from
		}
	}
	return 0
}

// Lose says that the entries from an index on cannot be read, as a *segment.DamageError says: the log ends before. If
// not even the snapshot can be, from is not above that, and the log is empty: everything is gone. It must not be called
// while a member uses the log; see NeedsCut.
func (l *Log) Lose(from ra.Index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from > l.base.Index {
		l.cut(from)
		return
	}
	l.cut(1)
	for i := range l.cuts {
		if c := &l.cuts[i]; c.seq == 0 { // no snapshot takes the place of what it removed
			c.reset = 0
		}
	}
	l.segs.Restart(l.uid)
	l.base, l.reset = Position{}, false
}
