package rafttest

import (
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Violation says which invariant a run broke. The numbers are those of docs/RELIABILITY.md.
type Violation struct {
	Invariant string
	Text      string
}

func (v *Violation) Error() string { return v.Invariant + ": " + v.Text }

// truth is what the simulator knows of one cluster and no member does: everything that was ever appended, made
// durable, committed, applied and acknowledged. It is fed by the simulated node, which stands between the shipping
// code and its surroundings, and compares each new fact with all earlier ones.
type truth struct {
	voters  int
	leaders map[ra.Term]ra.UID
	// entries holds every entry that was ever in a member's log. With its predecessor's term it is the log matching
	// property by induction: same index and term, same content and same past.
	entries map[position]content
	// committed holds what was decided, from index 1.
	committed []position
	sums      []uint32
	members   map[ra.UID]*durable
	broken    *Violation
}

// position names an entry: no two entries of a cluster have the same one (I3).
type position struct {
	index ra.Index
	term  ra.Term
}

type content struct {
	sum      uint32
	prevTerm ra.Term
}

// durable is what of a member would survive a crash at this moment.
type durable struct {
	state ra.HardState
	// log has the terms of the durable entries, from index 1.
	log []ra.Term
	// promise is the newest term in which entries were acknowledged, and up to where in that term.
	promise raft.Position
}

func newTruth(voters []ra.UID) *truth {
	t := &truth{
		voters:  len(voters),
		leaders: map[ra.Term]ra.UID{},
		entries: map[position]content{},
		members: map[ra.UID]*durable{},
	}
	for _, uid := range voters {
		t.members[uid] = &durable{}
	}
	return t
}

// breach records the first violation; later ones are only its consequences.
func (t *truth) breach(invariant, format string, args ...any) {
	if t.broken == nil {
		t.broken = &Violation{invariant, fmt.Sprintf(format, args...)}
	}
}

// leads: uid became the leader of a term, with a log whose terms termAt tells. I1: nobody else does or did. I4: its
// log holds everything that was committed.
func (t *truth) leads(uid ra.UID, term ra.Term, termAt func(ra.Index) (ra.Term, bool)) {
	if other, ok := t.leaders[term]; ok && other != uid {
		t.breach("I1", "%s and %s both lead term %d", other, uid, term)
	}
	t.leaders[term] = uid
	for _, c := range t.committed {
		if c.term > term {
			return // a leader of the past, which has not heard of the later ones yet
		}
		if got, known := termAt(c.index); known && got != c.term {
			t.breach("I4", "%s leads term %d with term %d at index %d, where term %d is committed", uid, term, got, c.index, c.term)
		}
	}
}

// appended: uid put e behind an entry of prevTerm. I3.
func (t *truth) appended(uid ra.UID, e *ra.Entry, prevTerm ra.Term) {
	at, what := position{e.Index, e.Term}, content{ra.Checksum(e.Body), prevTerm}
	old, seen := t.entries[at]
	if !seen {
		t.entries[at] = what
		return
	}
	if old != what {
		t.breach("I3", "%s has another entry at index %d of term %d: behind term %d, not %d; sum %08x, not %08x",
			uid, e.Index, e.Term, prevTerm, old.prevTerm, what.sum, old.sum)
	}
}

// stored: a state of uid became durable. I2: the vote of a term never changes; I7: the term never falls.
func (t *truth) stored(uid ra.UID, s ra.HardState) {
	d := t.members[uid]
	switch old := d.state; {
	case s.Term < old.Term:
		t.breach("I7", "the durable term of %s fell from %d to %d", uid, old.Term, s.Term)
	case s.Term == old.Term && old.Vote != "" && s.Vote != old.Vote:
		t.breach("I2", "%s voted for %s and then for %q in term %d", uid, old.Vote, s.Vote, s.Term)
	}
	d.state = s
}

// wrote: an order of uid became durable.
func (t *truth) wrote(uid ra.UID, o *order) {
	if o.state != nil {
		t.stored(uid, *o.state)
	}
	if !o.apply(t.members[uid]) {
		t.breach("I7", "%s makes entries durable that do not follow its last one", uid)
	}
}

// promised: uid says that it voted for candidate in a term. I2: only what is durable may be said.
func (t *truth) promised(uid, candidate ra.UID, term ra.Term) {
	if s := t.members[uid].state; s.Term < term || s.Term == term && s.Vote != candidate {
		t.breach("I2", "%s granted its vote in term %d to %s before that was durable: %+v", uid, term, candidate, s)
	}
}

// acknowledged: uid, in a term, says that its log is durable up to an entry. I6 rests on it.
func (t *truth) acknowledged(uid ra.UID, term ra.Term, up raft.Position) {
	d := t.members[uid]
	have := ra.Index(len(d.log))
	switch {
	case up.Index > have:
		t.breach("I6", "%s acknowledged index %d with only %d durable", uid, up.Index, have)
	case up.Index > 0 && d.log[up.Index-1] != up.Term:
		t.breach("I6", "%s acknowledged index %d of term %d, durable there is term %d", uid, up.Index, up.Term, d.log[up.Index-1])
	}
	if d.promise.Term < term {
		d.promise = raft.Position{Term: term}
	}
	d.promise.Index = max(d.promise.Index, up.Index)
}

// removes: uid, in a term, removes the entries from an index on. I6: what it has acknowledged to the leader of that
// term it keeps, because the leader counts on it.
func (t *truth) removes(uid ra.UID, term ra.Term, from ra.Index) {
	if p := t.members[uid].promise; p.Term == term && from <= p.Index {
		t.breach("I6", "%s removes index %d, but has acknowledged %d in the same term %d", uid, from, p.Index, term)
	}
}

// commits: uid moved its commit index over an entry. I6 for the first to do so: the entry is durable on a quorum, and
// one of the leader's own term vouches for it. I6 and I5 for the others: it is the same entry.
func (t *truth) commits(uid ra.UID, e *ra.Entry, leads bool, last ra.Index, term ra.Term) {
	if int(e.Index) <= len(t.committed) {
		if c := t.committed[e.Index-1]; c.term != e.Term || t.sums[e.Index-1] != ra.Checksum(e.Body) {
			t.breach("I5", "%s applies term %d at index %d, where term %d is committed", uid, e.Term, e.Index, c.term)
		}
		return
	}
	if int(e.Index) != len(t.committed)+1 {
		t.breach("I5", "%s applies index %d behind %d", uid, e.Index, len(t.committed))
		return
	}
	if !leads {
		t.breach("I6", "%s commits index %d before any leader did", uid, e.Index)
	}
	have := 0
	for _, d := range t.members {
		if int(e.Index) <= len(d.log) && d.log[e.Index-1] == e.Term {
			have++
		}
	}
	if have <= t.voters/2 {
		t.breach("I6", "%s commits index %d of term %d, durable on %d of %d", uid, e.Index, e.Term, have, t.voters)
	}
	if leads && e.Index == last && e.Term != term {
		t.breach("I6", "%s commits up to index %d of term %d while it leads term %d", uid, e.Index, e.Term, term)
	}
	t.committed = append(t.committed, position{e.Index, e.Term})
	t.sums = append(t.sums, ra.Checksum(e.Body))
}

// recovered: uid came back with a state and a log. It must be exactly what was durable, or that with the batch which was
// being written at the moment of the crash, whole. I2, I7 and I9: nothing durable is lost; I12: nothing else appears.
func (t *truth) recovered(uid ra.UID, maybe *durable, s ra.HardState, terms []ra.Term) {
	d := t.members[uid]
	switch {
	case d.is(s, terms):
	case maybe != nil && maybe.is(s, terms):
		if s != d.state {
			t.stored(uid, s)
		}
	default:
		t.breach("I9", "%s came back with %+v and terms %v, durable was %+v and %v", uid, s, terms, d.state, d.log)
	}
	d.state = s
	d.log = append(d.log[:0], terms...)
}

func (d *durable) is(s ra.HardState, terms []ra.Term) bool {
	return d.state == s && slices.Equal(d.log, terms)
}

func (d *durable) clone() *durable { return &durable{state: d.state, log: slices.Clone(d.log)} }

// cut removes the entries from an index on.
func (d *durable) cut(from ra.Index) {
	if from >= 1 && int(from) <= len(d.log) {
		d.log = d.log[:from-1]
	}
}

// write adds an entry behind the last one, and reports whether it fits there.
func (d *durable) write(p raft.Position) bool {
	if int(p.Index) != len(d.log)+1 {
		return false
	}
	d.log = append(d.log, p.Term)
	return true
}
