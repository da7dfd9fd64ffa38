package rafttest

import (
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// progress is how far a member was when it was last looked at in this life.
type progress struct {
	status member.Status
	snap   ra.Index
}

// advanced compares a member with what it was. I7: in one life nothing falls, and what the log has let go of is applied.
// REP-13: at the end of a batch all that is committed is applied, unless the code is too old for it (VER-07), or it comes
// after the end of the cluster.
func (p *peer) advanced(now member.Status) {
	was, t := &p.progress, p.cluster.truth
	snap := p.log.Snapshot().Index
	switch {
	case now.Term < was.status.Term:
		t.breach("I7", "the term of %s fell from %d to %d", p.uid, was.status.Term, now.Term)
	case now.Commit < was.status.Commit:
		t.breach("I7", "the commit index of %s fell from %d to %d", p.uid, was.status.Commit, now.Commit)
	case now.Applied < was.status.Applied:
		t.breach("I7", "%s has applied %d, and had %d", p.uid, now.Applied, was.status.Applied)
	case now.Applied < now.Commit && (t.ended == 0 || now.Applied < t.ended) && !p.server.Stuck():
		t.breach("REP-13", "%s has applied %d at the end of a batch, committed is %d", p.uid, now.Applied, now.Commit)
	case snap < was.snap:
		t.breach("I7", "the snapshot of %s went back from %d to %d", p.uid, was.snap, snap)
	}
	if base, _ := p.log.Base(); base > snap || base > p.log.Last() {
		t.breach("I7", "%s has let go of its log up to %d: snapshot %d, last index %d", p.uid, base, snap, p.log.Last())
	}
	*was = progress{now, snap}
}

// changedBy looks at the configurations that a leader has appended. I8: not before an entry of its own term is committed,
// only when the configuration before is, and with one voter more or less at most, so that any two majorities of neighbours
// meet.
func (t *truth) changedBy(uid ra.UID, first []ra.Member) {
	for i := range t.configs {
		c := &t.configs[i]
		if c.checked || t.leaders[c.at.term] != uid {
			continue
		}
		c.checked = true
		before := &configuration{members: first}
		for k := range t.configs[:i] {
			if b := &t.configs[k]; b.at.index < c.at.index && b.at.index > before.at.index && t.precedes(b.at, c.at) {
				before = b
			}
		}
		if int(before.at.index) > len(t.committed) {
			t.breach("I8", "%s changes the configuration at %d, while the one at %d is not committed", uid, c.at.index, before.at.index)
		}
		if !t.ownCommitted(c.at) {
			t.breach("I8", "%s changes the configuration at %d before it has committed anything in term %d", uid, c.at.index, c.at.term)
		}
		if n := voterChanges(before.members, c.members); n > 1 {
			t.breach("I8", "%s changes %d voters at once at %d: from %v to %v", uid, n, c.at.index, before.members, c.members)
		}
	}
}

// precedes reports whether entry a is in the past of entry b, as the predecessors of all entries tell.
func (t *truth) precedes(a, b position) bool {
	for b.index > a.index {
		what, ok := t.entries[b]
		if !ok {
			return false
		}
		b = position{b.index - 1, what.prevTerm}
	}
	return a == b
}

// ownCommitted reports whether an entry of the same term, before the one at a position, is committed.
func (t *truth) ownCommitted(at position) bool {
	for i := min(len(t.committed), int(at.index)-1) - 1; i >= 0 && t.committed[i].term >= at.term; i-- {
		if t.committed[i].term == at.term {
			return true
		}
	}
	return false
}

// voterChanges counts the voters that only one of two configurations has.
func voterChanges(a, b []ra.Member) (n int) {
	for _, pair := range [...][2][]ra.Member{{a, b}, {b, a}} {
		for i := range pair[0] {
			if m := &pair[0][i]; m.Membership == ra.Voter && !isVoter(pair[1], m.UID) {
				n++
			}
		}
	}
	return n
}

func isVoter(members []ra.Member, uid ra.UID) bool {
	for i := range members {
		if members[i].UID == uid && members[i].Membership == ra.Voter {
			return true
		}
	}
	return false
}
