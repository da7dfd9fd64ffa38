package wal

import "github.com/heliopolis-raft/heliopolis/ra"

// Damage says what of a member is lost.
type Damage uint8

// The kinds of damage, which may come together.
const (
	// DamagedLog: entries are missing, from Mark.From on.
	DamagedLog Damage = 1 << iota
	// DamagedState: term and vote are older than what the member once promised.
	DamagedState
	// DamagedRegistration: name and configuration are lost or old.
	DamagedRegistration

	anyDamage = DamagedLog | DamagedState | DamagedRegistration
)

// Mark is what recovery, or the member's owner, found damaged of a member. It is durable, and stays until an Op with
// Repaired takes it back: the member takes no part until then (I10).
type Mark struct {
	What Damage
	// From is the first index that is not to be trusted, with DamagedLog: what the member's log held below is known to
	// have been there at the end. 0 and 1 mean that nothing is.
	From ra.Index
	// Era is the member's era (Op.Era). It is no damage: a sound member's is kept, too.
	Era Era
}

// Era is a time of a member's life, which begins when it goes on without something that it has lost: it was repaired, or the loss
// accepted. What lies beside the log from earlier eras may be of a history that was given up.
type Era struct {
	// Number counts the eras, from 0.
	Number uint32
	// Index and Term are those of the snapshot that was in force when the era began; 0 if there was none.
	Index ra.Index
	Term  ra.Term
}

// Ended reports whether a snapshot of an era of that number is of one that has ended by e, and was not in force when e began.
func (e Era) Ended(number uint32, index ra.Index, term ra.Term) bool {
	return number < e.Number && (index != e.Index || term != e.Term)
}

// healed returns the mark of the member when it is sound again.
func (m *Mark) healed() Mark { return Mark{Era: m.Era} }

// Add merges the damage of other into the mark.
func (m *Mark) Add(other Mark) {
	if other.What&DamagedLog != 0 {
		if m.What&DamagedLog == 0 {
			m.From = other.From
		} else {
			m.From = min(m.From, other.From)
		}
	}
	m.What |= other.What
}

// live is what the log has durable of one member beside its entries: what goes into the state file.
type live struct {
	reg      Registration
	state    ra.HardState
	stateSeq uint64 // the order that state came with, or a later one of the same row
	seq      uint64
	base     uint64 // seq where the files that are not released begin
	last     ra.Index
	lastTerm ra.Term // of the entry there, 0 if not known
	applied  ra.Index
	mark     Mark
	deleted  bool
}

// apply notes one row.
func (s *live) apply(r *row) {
	if r.seqHi != 0 {
		s.seq = r.seqHi
	}
	if r.flags&rowRegister != 0 {
		s.reg = r.reg
	}
	if r.flags&rowReset != 0 {
		s.last = r.reset
	}
	if r.flags&rowTruncate != 0 {
		// What is removed was not committed, unless it was lost: then nothing is known of what will take its place.
		s.last, s.applied = r.truncate-1, min(s.applied, r.truncate-1)
	}
	if r.flags&rowEntries != 0 {
		s.last = r.last()
	}
	if r.flags&(rowReset|rowTruncate|rowEntries) != 0 {
		s.lastTerm = r.lastTerm
	}
	if r.flags&rowState != 0 {
		s.state, s.stateSeq = r.state, r.seqHi
	}
	if r.flags&rowApplied != 0 {
		s.applied = max(s.applied, r.applied)
	}
	if r.flags&rowMark != 0 {
		s.mark = r.mark
	}
	s.deleted = s.deleted || r.flags&rowDelete != 0
}
