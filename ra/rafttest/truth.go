package rafttest

import (
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
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
	leaders map[ra.Term]ra.UID
	// entries holds every entry that was ever in a member's log. With its predecessor's term it is the log matching
	// property by induction: same index and term, same content and same past.
	entries map[position]content
	// order is where they stand, as they were first appended.
	order []position
	// configs holds those of them that are configurations, as they were first appended.
	configs []configuration
	// committed holds what was decided, from index 1, and states what the machine is behind each.
	committed []position
	decided   []ra.Term // in which terms
	states    []applied
	members   map[ra.UID]*durable
	// ended is where the deletion of the cluster is committed, 0 if it is not.
	ended    ra.Index
	upgrades int // of the machine
	broken   *Violation
}

// position names an entry: no two entries of a cluster have the same one (I3).
type position struct {
	index ra.Index
	term  ra.Term
}

type content struct {
	sum      uint32
	prevTerm ra.Term
	kind     ra.Kind
	payload  uint32          // checksum
	version  machine.Version // of a no-op
}

// configuration is an entry that holds one.
type configuration struct {
	at      position
	members []ra.Member
	checked bool // whether it might be appended
}

// durable is what of a member would survive a crash at this moment.
type durable struct {
	seq   uint64 // of the last order
	state ra.HardState
	// log has the terms of the entries that the write-ahead log and segments have, from index first on. The snapshot may
	// be ahead of them.
	first ra.Index
	log   []ra.Term
	snap  raft.Position
	// lost is what it had before its disk decayed, until it is repaired.
	lost *durable
	// healed: so is the order that says so. A crash may come between that and repaired.
	healed bool
	// promise is the newest term in which entries were acknowledged, and up to where in that term.
	promise raft.Position
	deleted bool // the member, for good
}

func newTruth() *truth {
	return &truth{leaders: map[ra.Term]ra.UID{}, entries: map[position]content{}, members: map[ra.UID]*durable{}}
}

// joins: a member begins with nothing.
func (t *truth) joins(uid ra.UID) { t.members[uid] = &durable{first: 1} }

func (d *durable) last() ra.Index { return d.first + ra.Index(len(d.log)) - 1 }

// term returns the term of a durable entry in the log.
func (d *durable) term(i ra.Index) (ra.Term, bool) {
	if i < d.first || i > d.last() {
		return 0, false
	}
	return d.log[i-d.first], true
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
	for i, c := range t.committed {
		if t.decided[i] > term {
			return // a leader of the past, which has not heard of the later ones yet
		}
		if got, known := termAt(c.index); known && got != c.term {
			t.breach("I4", "%s leads term %d with term %d at index %d, where term %d is committed", uid, term, got, c.index, c.term)
		}
	}
}

// appended: uid put e behind an entry of prevTerm. I3.
func (t *truth) appended(uid ra.UID, e *ra.Entry, prevTerm ra.Term) {
	at := position{e.Index, e.Term}
	what := content{ra.Checksum(e.Body), prevTerm, e.Kind(), ra.Checksum(e.Payload()), 0}
	if e.Kind() == ra.KindNoop {
		v, _ := raft.DecodeVersion(e.Payload())
		what.version = machine.Version(v)
	}
	old, seen := t.entries[at]
	if !seen {
		t.entries[at] = what
		t.order = append(t.order, at)
		if e.Kind() == ra.KindConfig {
			members, err := raft.DecodeMembers(e.Payload())
			if err != nil {
				t.breach("I8", "%s appends a configuration at index %d that nobody can read: %v", uid, e.Index, err)
			}
			t.configs = append(t.configs, configuration{at: at, members: members})
		}
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

// acknowledged: uid, in a term, says that its log is durable up to an entry. I6 rests on it. What a durable snapshot
// stands for is durable.
func (t *truth) acknowledged(uid ra.UID, term ra.Term, up raft.Position) {
	d := t.members[uid]
	switch have, ok := d.term(up.Index); {
	case up.Index <= d.snap.Index:
	case !ok:
		t.breach("I6", "%s acknowledged index %d with only %d durable", uid, up.Index, d.last())
	case have != up.Term:
		t.breach("I6", "%s acknowledged index %d of term %d, durable there is term %d", uid, up.Index, up.Term, have)
	}
	if d.promise.Term < term {
		d.promise = raft.Position{Term: term}
	}
	d.promise.Index = max(d.promise.Index, up.Index)
}

// relies: uid takes its log, whose terms term tells, to be durable up to an index. I6 rests on it: a leader counts itself as
// far as that.
func (t *truth) relies(uid ra.UID, upTo ra.Index, term func(ra.Index) (ra.Term, bool)) {
	d := t.members[uid]
	if upTo <= d.snap.Index {
		return
	}
	have, ok := d.term(upTo)
	if want, _ := term(upTo); !ok || have != want {
		t.breach("I6", "%s takes index %d of term %d for durable, durable is %d up to %d", uid, upTo, want, have, d.last())
	}
}

// removes: uid, in a term, removes the entries from an index on. I6: what it has acknowledged to the leader of that
// term it keeps, because the leader counts on it.
func (t *truth) removes(uid ra.UID, term ra.Term, from ra.Index) {
	if p := t.members[uid].promise; p.Term == term && from <= p.Index {
		t.breach("I6", "%s removes index %d, but has acknowledged %d in the same term %d", uid, from, p.Index, term)
	}
}

// snapshot: a snapshot of uid at a position is durable. I9: it does not go back, and holds what was committed only.
func (t *truth) snapshot(uid ra.UID, index ra.Index, term ra.Term) {
	d := t.members[uid]
	at := raft.Position{Index: index, Term: term}
	if index < d.snap.Index {
		t.breach("I9", "the snapshot of %s went back from %d to %d", uid, d.snap.Index, index)
	}
	if at != d.snap {
		t.covers(uid, at)
	}
	d.snap = at
}

// covers: what uid says with a snapshot at a position is committed up to there.
func (t *truth) covers(uid ra.UID, at raft.Position) {
	if at.Index < 1 || int(at.Index) > len(t.committed) || t.committed[at.Index-1].term != at.Term {
		t.breach("I5", "%s has a snapshot at index %d of term %d, which is not committed", uid, at.Index, at.Term)
	}
}

// stateAt returns the state of the machine behind a committed entry.
func (t *truth) stateAt(i ra.Index) (applied, bool) {
	switch {
	case i == 0:
		return applied{}, true
	case int(i) > len(t.states):
		return applied{}, false
	}
	return t.states[i-1], true
}

// commit is a commit index that moves over an entry.
type commit struct {
	uid ra.UID
	at  position
	// leads, last and term: the member leads that term, and its commit index goes on to last. configs are those that may
	// be in force there.
	leads   bool
	last    ra.Index
	term    ra.Term
	configs [][]ra.Member
}

// commits: uid moved its commit index over an entry. I6 for the first to do so: the entry is durable on a quorum, and
// one of the leader's own term vouches for it. I6 and I5 for the others: it is the same entry.
func (t *truth) commits(c *commit) {
	i := c.at.index
	if int(i) <= len(t.committed) {
		if was := t.committed[i-1]; was != c.at {
			t.breach("I5", "%s commits term %d at index %d, where term %d is committed", c.uid, c.at.term, i, was.term)
		}
		return
	}
	if int(i) != len(t.committed)+1 {
		t.breach("I5", "%s commits index %d behind %d", c.uid, i, len(t.committed))
		return
	}
	if !c.leads {
		t.breach("I6", "%s commits index %d before any leader did", c.uid, i)
	}
	if !slices.ContainsFunc(c.configs, func(members []ra.Member) bool { return t.quorum(members, c.at) }) {
		t.breach("I6", "%s commits index %d of term %d without a quorum of %v", c.uid, i, c.at.term, c.configs)
	}
	if c.leads && i == c.last && c.at.term != c.term {
		t.breach("I6", "%s commits up to index %d of term %d while it leads term %d", c.uid, i, c.at.term, c.term)
	}
	t.committed, t.decided = append(t.committed, c.at), append(t.decided, c.term)
	state, _ := t.stateAt(i - 1)
	switch what := t.entries[c.at]; {
	case t.ended != 0:
	case what.kind == ra.KindCommand:
		state.apply(i, what.payload)
	case what.kind == ra.KindNoop && what.version > state.version:
		state.upgrade(i, what.version)
		t.upgrades++
	case what.kind == ra.KindDelete:
		t.ended = i
	}
	t.states = append(t.states, state)
}

// quorum reports whether an entry is durable on a majority of the voters.
func (t *truth) quorum(members []ra.Member, at position) bool {
	have, voters := 0, 0
	for i := range members {
		if members[i].Membership != ra.Voter {
			continue
		}
		voters++
		if d := t.members[members[i].UID]; d != nil {
			if d.counts(at) {
				have++
			}
		}
	}
	return have > voters/2
}

// configured: a member has a configuration in force. I8: it is that of the newest entry of its log, or what the snapshot
// below says.
func (t *truth) configured(uid ra.UID, log *raftlog.Log, first []ra.Member, got raft.Configuration) {
	want := raft.Configuration{Members: first}
	base, _ := log.Base()
	last := log.Last()
	for i := range t.configs {
		c := &t.configs[i]
		if c.at.index < want.Index || c.at.index > last {
			continue
		}
		if c.at.index <= base {
			if t.committed[c.at.index-1] == c.at {
				want = raft.Configuration{Index: c.at.index, Members: c.members}
			}
		} else if term, ok := log.Term(c.at.index); ok && term == c.at.term {
			want = raft.Configuration{Index: c.at.index, Members: c.members}
		}
	}
	if !sameMembers(want.Members, got.Members) {
		t.breach("I8", "%s has configuration %v in force, its log says %v", uid, got, want)
	}
}

// sameMembers compares two configurations, in any order.
func sameMembers(a, b []ra.Member) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] && !slices.Contains(b, a[i]) {
			return false
		}
	}
	return true
}

// recovery is what a member came back with.
type recovery struct {
	seq    uint64
	state  ra.HardState
	snap   raft.Position
	base   raft.Position
	last   ra.Index
	terms  []ra.Term // of the entries above base
	resets bool
	// known: the write-ahead log knows the member.
	known bool
}

// recovered: uid came back. It must be exactly what was durable, or that with the batch which was being written at the
// moment of the crash, whole. I2, I7 and I9: nothing durable is lost; I12: nothing else appears. A snapshot may have
// become durable that nobody had heard of.
func (t *truth) recovered(uid ra.UID, maybe *durable, r *recovery) {
	d := t.members[uid]
	if d.deleted || maybe != nil && maybe.deleted && !r.known {
		if r.known {
			t.breach("I12", "%s was deleted, and is back with %+v", uid, *r)
		}
		d.deleted = true
		return
	}
	if r.snap.Index > 0 {
		t.snapshot(uid, r.snap.Index, r.snap.Term)
	} else if d.snap.Index > 0 {
		t.breach("I9", "%s lost its snapshot at %d", uid, d.snap.Index)
	}
	promise, snap := d.promise, d.snap
	if maybe != nil && r.seq == maybe.seq && r.seq != d.seq {
		if r.state != d.state {
			t.stored(uid, r.state)
		}
		d = maybe
	}
	terms, resets := d.above(snap)
	if r.seq != d.seq || r.state != d.state || r.resets != resets || r.base != snap || !slices.Equal(r.terms, terms) {
		t.breach("I9", "%s came back with %+v, durable was %+v, should have terms %v (reset %v)", uid, *r, *d, terms, resets)
	}
	again := d.clone()
	again.promise, again.snap = promise, snap
	t.members[uid] = again
	if again.healed && again.lost != nil {
		t.repaired(uid)
	}
}

// above returns what of the log counts above a snapshot, and whether the log is replaced by it.
func (d *durable) above(snap raft.Position) (terms []ra.Term, reset bool) {
	if term, ok := d.term(snap.Index); d.last() < snap.Index || ok && term != snap.Term {
		return nil, true
	}
	return d.log[snap.Index+1-d.first:], false
}

func (d *durable) clone() *durable {
	c := *d
	c.log = slices.Clone(d.log)
	return &c
}

// cut removes the entries from an index on.
func (d *durable) cut(from ra.Index) {
	if from >= d.first && from <= d.last() {
		d.log = d.log[:from-d.first]
	}
}

// reset replaces the log by a snapshot.
func (d *durable) reset(at ra.Index) { d.first, d.log = at+1, d.log[:0] }

// write adds an entry behind the last one, and reports whether it fits there.
func (d *durable) write(p raft.Position) bool {
	if p.Index != d.last()+1 {
		return false
	}
	d.log = append(d.log, p.Term)
	return true
}
