package raft

import (
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// pass lets about n seconds pass: ticks to those who want them, and election timers expire.
func (g *group) pass(n int) {
	g.t.Helper()
	for range n {
		for _, uid := range g.order {
			s := g.members[uid]
			if s.tick {
				g.do(uid, Message{Kind: Tick})
			}
			if s.timer == TimerArm {
				s.timer = TimerKeep
				g.do(uid, Message{Kind: ElectionTimeout})
			}
		}
	}
}

// demote makes a member a non-voter. Offers of leadership are lost.
func (g *group) demote(leader, uid ra.UID) {
	g.t.Helper()
	m := member(uid)
	m.Membership = ra.NonVoter
	s := g.members[leader]
	if got := s.raft.Step(&Message{Kind: Change, Op: Set, Members: []ra.Member{m}}); got.Refused != Accepted {
		g.t.Fatal(got.Refused)
	}
	g.carryOut(s)
	for range 10 {
		for _, uid := range g.order {
			s := g.members[uid]
			inbox := s.inbox
			s.inbox = nil
			for i := range inbox {
				if inbox[i].Kind != TimeoutNow {
					s.raft.Step(&inbox[i])
				}
			}
			g.written(s)
			g.carryOut(s)
		}
	}
}

// I18, bug 79: a leader was demoted, and steps down because its node suspects the others. Nobody hears of it. It may
// not stand for election, and the others take it for a leader that is well: without a word from it, for ever.
func TestDemotedLeaderIsNotFollowedForEver(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.demote("a", "a")
	if a := g.members["a"]; a.role != ra.Leader || a.raft.isVoter() || a.raft.mayLead() {
		t.Fatalf("a is to lead as a non-voter: %v", a.raft.Status())
	}
	g.cut["a"] = true
	g.do("a", Message{Kind: NodeDown, From: "b"})
	g.cut["a"] = false
	g.do("a", Message{Kind: NodeUp, From: "b"})
	g.pass(20)
	if g.members["b"].role != ra.Leader && g.members["c"].role != ra.Leader {
		t.Errorf("no leader:\n%v\n%v\n%v", g.members["a"].raft.Status(), g.members["b"].raft.Status(), g.members["c"].raft.Status())
	}
}

// I18, CMD-03: a non-voter that starts again finds the leader of a cluster that has nothing to send to it. Commands to
// it would be held until then. When it knows the leader its timer rests.
func TestRestartedNonVoterFindsTheLeader(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.demote("a", "c")
	g.pass(3)
	s := g.members["c"]
	r, err := New(Config{Self: "c"}, Restored{
		State: s.state, Last: 2, Runs: []TermRun{{1, 1}}, Commit: 2, Configurations: []Configuration{s.raft.Configuration()},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.raft, s.seq, s.timer = r, 0, TimerKeep
	g.carryOut(s)
	g.pass(3)
	if r.Leader() != "a" || s.timer == TimerArm || g.members["a"].raft.Term() != 1 {
		t.Errorf("c: %v, timer %v; a: %v", r.Status(), s.timer, g.members["a"].raft.Status())
	}
}

// SNX-03: a late chunk of an earlier attempt comes in the batch of the chunk before it. One order stores one chunk, so
// the second is not taken: otherwise the first were lost, and the snapshot spoilt.
func TestTwoChunksInOneBatch(t *testing.T) {
	r, err := New(Config{Self: "b"}, Restored{Configurations: []Configuration{{Members: members("a", "b")}}})
	if err != nil {
		t.Fatal(err)
	}
	r.Orders()
	chunk := func(k uint32) *Message {
		return &Message{Kind: InstallSnapshot, From: "a", To: "b", Term: 1, Index: 10, LogTerm: 1, Chunk: k, Data: []byte{byte(k)}}
	}
	for _, batch := range [][]uint32{{1, 2}, {2, 3, 2}, {3, 4}} {
		for _, k := range batch {
			r.Step(chunk(k))
		}
		o := r.Orders()
		if o.Snapshot.Op != SnapshotStore || o.Snapshot.Chunk != batch[0] || o.Snapshot.Data[0] != byte(batch[0]) {
			t.Errorf("chunks %v: ordered is %+v", batch, o.Snapshot)
		}
		if last := o.Messages[len(o.Messages)-1]; last.Chunk != batch[0] {
			t.Errorf("chunks %v: said to have arrived are %d", batch, last.Chunk)
		}
	}
}

// REP-10, REP-11, FSM-03: where the logs have other terms in turn, the leader's guesses are wrong more than once. Each is
// answered at once, not when the follower has waited long enough.
func TestLogsThatDifferInManyTermsMeetAtOnce(t *testing.T) {
	r, err := New(Config{Self: "b"}, Restored{
		State: ra.HardState{Term: 6}, Last: 20, Runs: []TermRun{{1, 1}, {4, 2}, {9, 4}},
		Configurations: []Configuration{{Members: members("a", "b")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Orders()
	leader := terms{last: 20, runs: []TermRun{{1, 1}, {7, 3}, {11, 5}}}
	next := Position{20, 5}
	for tries := 0; ; tries++ {
		o := stepped(r, Message{Kind: Append, From: "a", Term: 6, Index: next.Index, LogTerm: next.Term, Last: next.Index, Force: true})
		if r.Role() == ra.Follower {
			if next != (Position{3, 1}) {
				t.Errorf("the logs meet at %v", next)
			}
			return
		}
		if len(o.Messages) != 1 || !o.Messages[0].Reject || tries == 9 {
			t.Fatalf("try %d at %v is answered with %v", tries, next, o.Messages)
		}
		next = leader.lastWithin(o.Messages[0].Index, o.Messages[0].LogTerm)
	}
}

// ELE-20, I18: the last entries before a hand-over are lost on their way to the successor, which therefore is not elected.
// It is asked again when it has caught up, so that nobody waits for the end of the hand-over.
func TestHandOverSurvivesALostAppend(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	a, b := g.members["a"], g.members["b"]
	a.raft.Step(&Message{Kind: Propose, Entries: proposals(1)})
	if got := a.raft.Step(&Message{Kind: Transfer, To: "b"}); got.Refused != Accepted {
		t.Fatal(got.Refused)
	}
	g.carryOut(a)
	b.inbox = slices.DeleteFunc(b.inbox, func(m Message) bool { return m.Kind == Append })
	g.run()
	if a.role != ra.AwaitCondition || b.role == ra.Leader {
		t.Fatalf("the first offer is to fail:\n%v\n%v", a.raft.Status(), b.raft.Status())
	}
	for range 3 {
		g.do("a", Message{Kind: Tick})
	}
	if b.role != ra.Leader {
		t.Errorf("after three seconds:\n%v\n%v", a.raft.Status(), b.raft.Status())
	}
}
