package raft

import (
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Every role has an answer to every message (bugs of ra: a snapshot that reached a candidate, commands while waiting).
func TestNoCellIsEmpty(t *testing.T) {
	for role := range handlers {
		for kind := range handlers[role] {
			if handlers[role][kind] == nil {
				t.Errorf("role %v has no answer to %v", ra.Role(role), Kind(kind))
			}
		}
	}
	for kind := range kinds {
		if Kind(kind).String() == "" {
			t.Errorf("kind %d has no name", kind)
		}
	}
}

// inRole returns member a of three in a role, as real messages bring it there.
func inRole(t testing.TB, role ra.Role) *Raft {
	g := newGroup(t, "a", "b", "c")
	a := g.members["a"].raft
	switch role {
	case ra.Follower:
		g.do("b", Message{Kind: Campaign})
		g.propose("b", 3)
	case ra.PreVote:
		g.cut["a"] = true
		g.do("a", Message{Kind: Campaign})
	case ra.Candidate:
		g.members["a"].hold = true
		g.do("a", Message{Kind: Campaign})
	case ra.Leader:
		g.do("a", Message{Kind: Campaign})
		g.propose("a", 3)
	case ra.AwaitCondition:
		g.do("b", Message{Kind: Campaign})
		g.do("a", Message{Kind: Append, From: "b", To: "a", Term: 1, Index: 9, LogTerm: 1, Last: 9})
	case ra.ReceiveSnapshot:
		g.do("b", Message{Kind: Campaign})
		g.do("a", Message{Kind: InstallSnapshot, From: "b", To: "a", Term: 1, Index: 9, LogTerm: 1, Chunk: 1})
	}
	if a.Role() != role {
		t.Fatalf("a is %v, should be %v", a.Role(), role)
	}
	return a
}

// garbage returns a message of a kind whose fields are zero, huge, of strangers, or plausible.
func garbage(rng *rand.Rand, kind Kind) Message {
	number := func() uint64 { return [...]uint64{0, 1, 2, 3, 5, 9, 1 << 62, 1<<64 - 1}[rng.IntN(8)] }
	uid := func() ra.UID { return [...]ra.UID{"", "a", "b", "c", "z"}[rng.IntN(5)] }
	m := Message{
		Kind: kind, Op: ChangeOp(rng.IntN(4)), Reject: rng.IntN(2) == 0, Force: rng.IntN(2) == 0, Done: rng.IntN(2) == 0,
		Chunk: uint32(number()), Protocol: uint32(rng.IntN(3)), Version: uint32(rng.IntN(2)), From: uid(), To: uid(),
		Term: ra.Term(number()), Index: ra.Index(number()), LogTerm: ra.Term(number()), Last: ra.Index(number()),
		Commit: ra.Index(number()), Query: number(), Token: number(), Seq: number(), Bytes: int(number()),
	}
	if kind.FromPeer() && rng.IntN(4) > 0 {
		m.To = "a"
	}
	for range rng.IntN(3) {
		e := ra.Entry{Index: m.Index + 1, Term: ra.Term(number())}
		if rng.IntN(3) > 0 {
			e.Body = NewProposal(ra.Kind(rng.IntN(9)), 0, []byte{1, 2}).Body
		}
		m.Entries = append(m.Entries, e)
		m.Members = append(m.Members, ra.Member{UID: uid(), Membership: ra.Membership(rng.IntN(5))})
	}
	return m
}

// Whatever comes in whatever role: no panic, and what comes out is sane. A member may stop for it, as when a second
// leader of its term speaks up, but only with a reason.
func TestGarbage(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for role := range roles {
		for kind := range kinds {
			for range 60 {
				r := inRole(t, ra.Role(role))
				for range 3 {
					m := garbage(rng, Kind(kind))
					commit, term := r.commit, r.state.Term
					r.Step(&m)
					o := r.Orders()
					if o.Commit < commit || o.Term < term || o.Commit > r.log.last {
						t.Fatalf("role %v, %+v: commit %d, term %d after %d, %d", ra.Role(role), m, o.Commit, o.Term, commit, term)
					}
				}
				_ = r.Status().String()
			}
		}
	}
}

// Messages of strangers and zero messages change nothing but, from a leader or candidate of a higher term, the term.
func TestZeroMessages(t *testing.T) {
	for role := range roles {
		for kind := range kinds {
			r := inRole(t, ra.Role(role))
			if !Kind(kind).FromPeer() {
				continue
			}
			before := r.Status().String()
			for _, m := range []Message{
				{Kind: Kind(kind)}, {Kind: Kind(kind), From: "b", To: "z", Term: 9}, {Kind: Kind(kind), From: "a", To: "a", Term: 9},
			} {
				r.Step(&m)
				if o := r.Orders(); len(o.Messages) > 0 || o.Seq != 0 || r.Status().String() != before {
					t.Errorf("role %v: %+v has an effect: %v", ra.Role(role), m, r.Status())
				}
			}
		}
	}
	r := inRole(t, ra.Leader)
	if got := r.Step(&Message{Kind: Kind(kinds)}); got != (Result{}) {
		t.Errorf("an unknown kind answers %v", got)
	}
}
