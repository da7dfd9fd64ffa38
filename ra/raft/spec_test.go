package raft

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// stepped steps a message into a member and returns the orders.
func stepped(r *Raft, m Message) *Orders {
	if m.Kind.FromPeer() {
		m.To = r.self
	}
	r.Step(&m)
	return r.Orders()
}

// sentKind returns the first message of a kind that is to be sent to a member.
func sentKind(o *Orders, kind Kind, to ra.UID) (Message, bool) {
	for _, m := range o.Messages {
		if m.Kind == kind && m.To == to {
			return m, true
		}
	}
	return Message{}, false
}

// restored returns a member with a log of these terms.
func restored(t testing.TB, term ra.Term, log ...ra.Term) *Raft {
	t.Helper()
	s := Restored{State: ra.HardState{Term: term}, Configurations: []Configuration{{Members: members("a", "b", "c")}}}
	for _, entry := range log {
		if s.Last++; len(s.Runs) == 0 || s.Runs[len(s.Runs)-1].Term != entry {
			s.Runs = append(s.Runs, TermRun{s.Last, entry})
		}
	}
	r, err := New(Config{Self: "a", MachineVersion: 2}, s)
	if err != nil {
		t.Fatal(err)
	}
	r.Orders()
	return r
}

// Raft paper 5.4.1, ELE-06, ELE-02: votes and pre-votes go to logs that are as complete as one's own.
func TestUpToDateRule(t *testing.T) {
	for _, test := range []struct {
		log     []ra.Term
		index   ra.Index
		term    ra.Term
		granted bool
	}{
		{[]ra.Term{1}, 1, 1, true}, {[]ra.Term{1}, 1, 2, true}, {[]ra.Term{1}, 2, 1, true}, {[]ra.Term{1, 1}, 1, 2, true},
		{[]ra.Term{1, 1}, 2, 1, true}, {[]ra.Term{1, 1}, 1, 1, false}, {[]ra.Term{2}, 1, 1, false},
		{[]ra.Term{2}, 9, 1, false}, {nil, 0, 0, true},
	} {
		r := restored(t, 2, test.log...)
		o := stepped(r, Message{Kind: PreVoteRequest, From: "b", Term: 2, Index: test.index, LogTerm: test.term, Token: 5})
		m, sent := sentKind(o, PreVoteReply, "b")
		if !sent || m.Reject == test.granted || m.Token != 5 || o.Seq != 0 || r.State() != (ra.HardState{Term: 2}) {
			t.Errorf("log %v, candidate %d/%d: %v", test.log, test.index, test.term, o)
		}
		o = stepped(r, Message{Kind: VoteRequest, From: "b", Term: 3, Index: test.index, LogTerm: test.term})
		if !test.granted {
			if m, sent := sentKind(o, VoteReply, "b"); !sent || !m.Reject || r.State().Vote != "" {
				t.Errorf("log %v, candidate %d/%d: %v", test.log, test.index, test.term, o)
			}
			continue
		}
		if len(o.Messages) != 0 || o.State.Vote != "b" {
			t.Errorf("the vote is out before it is durable, or not to be stored: %v", o)
		}
		if m, sent := sentKind(stepped(r, Message{Kind: Written, Seq: o.Seq}), VoteReply, "b"); !sent || m.Reject {
			t.Errorf("log %v, candidate %d/%d: no vote", test.log, test.index, test.term)
		}
	}
}

// ELE-06, bug 3: one vote a term, repeated to the same candidate only, also after stepping down.
func TestOneVoteATerm(t *testing.T) {
	r := restored(t, 1)
	o := stepped(r, Message{Kind: VoteRequest, From: "b", Term: 2})
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	if m, _ := sentKind(stepped(r, Message{Kind: VoteRequest, From: "c", Term: 2}), VoteReply, "c"); !m.Reject {
		t.Error("a second vote")
	}
	if m, sent := sentKind(stepped(r, Message{Kind: VoteRequest, From: "b", Term: 2}), VoteReply, "b"); !sent || m.Reject {
		t.Error("the vote is not repeated")
	}
	leader := inRole(t, ra.Leader)
	stepped(leader, Message{Kind: ReadFailed}) // steps down in its own term
	if m, _ := sentKind(stepped(leader, Message{Kind: VoteRequest, From: "b", Term: 1, Index: 99, LogTerm: 1}), VoteReply, "b"); !m.Reject {
		t.Error("a second vote after stepping down")
	}
}

// Thesis 9.6, I2, I19: a pre-vote stores nothing and is refused while the leader is seen alive, hand-overs excepted.
// Whoever asks does not lead.
func TestPreVote(t *testing.T) {
	ask := Message{Kind: PreVoteRequest, From: "c", Term: 7, Index: 9, LogTerm: 7, Token: 1}
	granted := func(r *Raft, m Message) bool {
		o := stepped(r, m)
		reply, sent := sentKind(o, PreVoteReply, m.From)
		if !sent || o.SaveState || o.Term != 1 {
			t.Errorf("to %v: %v", m, o)
		}
		return !reply.Reject
	}
	r := inRole(t, ra.Follower) // of b
	if granted(r, ask) {
		t.Error("granted although the leader is well")
	}
	force := ask
	force.Force = true
	if !granted(r, force) {
		t.Error("refused although the leader handed over")
	}
	newer := force
	newer.Protocol = ProtocolVersion + 1
	if granted(r, newer) {
		t.Error("granted to a protocol of the future")
	}
	own := ask
	own.From = "b"
	if !granted(r, own) || r.Leader() != "" {
		t.Error("the leader asks for votes, and is still taken for the leader")
	}
	r = inRole(t, ra.Follower)
	stepped(r, Message{Kind: LeaderLost, From: "b"})
	if !granted(r, ask) {
		t.Error("refused although the leader is lost")
	}
	r = restored(t, 1)
	stepped(r, Message{Kind: Append, From: "z", Term: 1})
	if r.Leader() != "z" || !granted(r, ask) {
		t.Errorf("refused for the sake of %q, which is no member as far as is known, so that its end would not be heard of", r.Leader())
	}
}

// VER-12.
func TestPreVoteMachineVersion(t *testing.T) {
	for version, want := range map[uint32]bool{0: false, 1: true, 2: true, 3: false} {
		r := restored(t, 1)
		stepped(r, Message{Kind: VersionInForce, Version: 1})
		o := stepped(r, Message{Kind: PreVoteRequest, From: "b", Term: 1, Version: version})
		if m, _ := sentKind(o, PreVoteReply, "b"); m.Reject == want {
			t.Errorf("version %d: %v", version, o)
		}
	}
}

// ELE-04, bug 82: answers of another round do not count.
func TestPreVoteRounds(t *testing.T) {
	r := restored(t, 1)
	stepped(r, Message{Kind: ElectionTimeout})
	stepped(r, Message{Kind: ElectionTimeout})
	for _, m := range []Message{
		{Kind: PreVoteReply, From: "b", Term: 1, Token: 1}, {Kind: PreVoteReply, From: "b", Term: 1, Token: 2, Reject: true},
		{Kind: PreVoteReply, From: "z", Term: 1, Token: 2},
	} {
		if stepped(r, m); r.Role() != ra.PreVote {
			t.Errorf("%v counts", m)
		}
	}
	if stepped(r, Message{Kind: PreVoteReply, From: "b", Term: 1, Token: 2}); r.Role() != ra.Candidate {
		t.Error("no majority")
	}
	// The disk is slow: the candidate does not open term after term.
	if o := stepped(r, Message{Kind: ElectionTimeout}); o.Seq != 0 || o.Timer != TimerArm || o.Class != Medium {
		t.Errorf("an election before the one before is stored: %v", o)
	}
}

// TIM-02, TIM-03: the length of the timer says what happened to the leader. One whose node is back hears who follows it, and
// says so if it leads no more (I18).
func TestTimers(t *testing.T) {
	for _, test := range []struct {
		event Message
		class TimerClass
		known bool
	}{
		{Message{Kind: LeaderDown, From: "b"}, ReallyShort, false}, {Message{Kind: LeaderLost, From: "b"}, Short, true},
		{Message{Kind: NodeDown, From: "b"}, Long, true}, {Message{Kind: StepDown, From: "b", Term: 1}, Medium, false},
	} {
		r := inRole(t, ra.Follower)
		o := stepped(r, test.event)
		if o.Timer != TimerArm || o.Class != test.class || (o.Leader == "b") != test.known {
			t.Errorf("%v: %v", test.event, o)
		}
		o = stepped(r, Message{Kind: NodeUp, From: "b"})
		if _, asked := sentKind(o, AppendReply, "b"); asked != test.known || test.known && o.Timer != TimerCancel {
			t.Errorf("%v, then up: %v", test.event, o)
		}
		for _, m := range []Message{{Kind: LeaderDown, From: "c"}, {Kind: NodeDown, From: "c"}, {Kind: StepDown, From: "c", Term: 1}} {
			if o := stepped(inRole(t, ra.Follower), m); o.Timer != TimerKeep {
				t.Errorf("%v: %v", m, o)
			}
		}
	}
	if o := stepped(inRole(t, ra.Follower), Message{Kind: ElectionTimeout}); o.Role != ra.Follower {
		t.Errorf("a cancelled timer has effect: %v", o)
	}
}

// I19, FSM: a leader that suspects a majority of nodes steps down; fewer, and it goes on without them.
func TestLeaderWithoutNodes(t *testing.T) {
	r := inRole(t, ra.Leader)
	if o := stepped(r, Message{Kind: NodeDown, From: "b"}); o.Role != ra.Leader {
		t.Errorf("one node down: %v", o)
	}
	o := stepped(r, Message{Kind: Propose, Entries: proposals(1)})
	if _, sent := sentKind(o, Append, "b"); sent {
		t.Errorf("sent to a node that is down: %v", o)
	}
	if o = stepped(r, Message{Kind: NodeUp, From: "b"}); len(o.Messages) == 0 {
		t.Errorf("nothing sent to a node that is back: %v", o)
	}
	stepped(r, Message{Kind: NodeDown, From: "b"})
	if o = stepped(r, Message{Kind: NodeDown, From: "c"}); o.Role != ra.Follower || o.Leader != "" || o.Timer != TimerArm {
		t.Errorf("both nodes down: %v", o)
	}
}

// MEM-01, bug 71 (Ongaro 2015): no change before the no-op of the term is committed, nor while another is in flight.
func TestChangeGate(t *testing.T) {
	r := restored(t, 1, 1)
	win(r, 2)
	change := Message{Kind: Change, Members: members("d")}
	if got := r.Step(&change); r.Role() != ra.Leader || got.Refused != ChangeNotPermitted {
		t.Errorf("before the no-op is committed: %v", got)
	}
	o := r.Orders()
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 2, Last: 2})
	if got := r.Step(&change); got.Refused != Accepted || got.Index != 3 {
		t.Errorf("after it is committed: %v", got)
	}
	if got := r.Step(&Message{Kind: Change, Members: members("e")}); got.Refused != ChangeNotPermitted {
		t.Errorf("a second change: %v", got)
	}
}

// win makes a restored member the leader of a term.
func win(r *Raft, term ra.Term) {
	stepped(r, Message{Kind: Campaign})
	o := stepped(r, Message{Kind: PreVoteReply, From: "b", Term: term - 1, Token: r.token})
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	r.Step(&Message{Kind: VoteReply, From: "b", To: "a", Term: term})
}

// Bugs 7 and 18: what non-voters and strangers have, and whom they elect, does not count.
func TestOnlyVotersCount(t *testing.T) {
	all := members("a", "b", "c", "d")
	all[1].Membership, all[2].Membership = ra.NonVoter, ra.Promotable
	r, err := New(Config{Self: "a"}, Restored{Configurations: []Configuration{{Members: all}}})
	if err != nil {
		t.Fatal(err)
	}
	stepped(r, Message{Kind: Campaign})
	for _, uid := range []ra.UID{"b", "c"} {
		if stepped(r, Message{Kind: PreVoteReply, From: uid, Token: 1}); r.Role() != ra.PreVote {
			t.Fatalf("%s counts in a pre-vote", uid)
		}
	}
	o := stepped(r, Message{Kind: PreVoteReply, From: "d", Token: 1})
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	for _, uid := range []ra.UID{"b", "c", "z"} {
		if stepped(r, Message{Kind: VoteReply, From: uid, Term: 1}); r.Role() != ra.Candidate {
			t.Fatalf("%s counts in an election", uid)
		}
	}
	o = stepped(r, Message{Kind: VoteReply, From: "d", Term: 1})
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	for _, uid := range []ra.UID{"b", "c", "z"} {
		if o = stepped(r, Message{Kind: AppendReply, From: uid, Term: 1, LogTerm: 1, Index: 1, Last: 1}); o.Commit != 0 {
			t.Fatalf("%s counts in a commit", uid)
		}
	}
	if o = stepped(r, Message{Kind: AppendReply, From: "d", Term: 1, LogTerm: 1, Index: 1, Last: 1}); o.Commit != 1 {
		t.Errorf("two voters of two: %v", o)
	}
}

// REP-07, bugs 18 and 19: an answer confirms nothing that was not sent in this leadership, nor one of another term.
func TestStaleReplies(t *testing.T) {
	r := restored(t, 1, 1)
	win(r, 2)
	stepped(r, Message{Kind: Written, Seq: r.Orders().Seq})
	for _, m := range []Message{
		{Kind: AppendReply, From: "b", Term: 1, LogTerm: 1, Index: 1, Last: 1}, {Kind: AppendReply, From: "b", Term: 1, LogTerm: 1, Index: 2, Last: 2},
		{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 9, Last: 9},
		{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 2, Last: 1},
		{Kind: AppendReply, From: "b", Term: 2, Reject: true, Index: 7, Last: 9},
		{Kind: InstallSnapshotReply, From: "b", Term: 2, Index: 2, Chunk: 1},
	} {
		if o := stepped(r, m); o.Commit != 0 || r.Status().Peers[0].Match != 0 {
			t.Errorf("%v: %v", m, r.Status())
		}
	}
}

// REP-12: others' disks may be a majority without the leader's. A single member waits for its own (bug 22).
func TestOwnDisk(t *testing.T) {
	r := restored(t, 1, 1)
	win(r, 2)
	r.Orders()
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 2, Last: 2})
	if o := stepped(r, Message{Kind: AppendReply, From: "c", Term: 2, LogTerm: 2, Index: 2, Last: 2}); o.Commit != 2 {
		t.Errorf("two of three disks: %v", o)
	}
	g := newGroup(t, "a")
	g.members["a"].hold = true
	a := g.members["a"].raft
	if g.do("a", Message{Kind: Campaign}); a.Role() != ra.Candidate {
		t.Errorf("leader before its vote is durable: %v", a.Status())
	}
	o := stepped(a, Message{Kind: Written, Seq: 1})
	if a.Role() != ra.Leader || o.Commit != 0 {
		t.Errorf("%v", o)
	}
	if o = stepped(a, Message{Kind: Written, Seq: o.Seq}); o.Commit != 1 {
		t.Errorf("after its own sync: %v", o)
	}
}

// REP-31 to REP-33: a majority must confirm; a single member need not ask; used numbers are refused.
func TestQueryNeedsMajority(t *testing.T) {
	r := inRole(t, ra.Leader)
	o := stepped(r, Message{Kind: Query, Query: 1})
	if _, sent := sentKind(o, Heartbeat, "b"); !sent || o.QueriesReady != 0 || !o.NeedTick {
		t.Errorf("%v", o)
	}
	if o = stepped(r, Message{Kind: HeartbeatReply, From: "b", Term: 1, Query: 7}); o.QueriesReady != 0 {
		t.Errorf("a round that was never asked for is confirmed: %v", o)
	}
	if o = stepped(r, Message{Kind: HeartbeatReply, From: "b", Term: 1, Query: 1}); o.QueriesReady != 1 {
		t.Errorf("%v", o)
	}
	if got := r.Step(&Message{Kind: Query, Query: 1}); got.Refused != Malformed {
		t.Errorf("a used number: %v", got)
	}
	stepped(r, Message{Kind: Query, Query: 4})
	if o = stepped(r, Message{Kind: Heartbeat, From: "b", Term: 2, Query: 1}); o.QueriesLost != 4 {
		t.Errorf("stepping down: %v", o)
	}
	g := newGroup(t, "a")
	g.do("a", Message{Kind: Campaign})
	if o = stepped(g.members["a"].raft, Message{Kind: Query, Query: 1}); o.QueriesReady != 1 {
		t.Errorf("alone: %v", o)
	}
}

// I18: a follower that has started anew, and hears of its leader by a heartbeat before it could ask, learns what is committed
// though nothing new comes.
func TestRestartedFollowerLearnsCommit(t *testing.T) {
	g := newGroup(t, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.propose("a", 3)
	leader := g.members["a"].raft
	commit := leader.Commit()
	stepped(leader, Message{Kind: AppendReply, From: "b", Term: 1, LogTerm: 1, Index: commit, Last: commit, Commit: commit})
	for _, c := range []struct {
		says ra.Index
		told bool
	}{{commit, false}, {commit - 2, true}, {commit, false}} {
		stepped(leader, Message{Kind: Query, Query: leader.lead.querySent + 1})
		o := stepped(leader, Message{Kind: HeartbeatReply, From: "b", Term: 1, Query: leader.lead.querySent, Commit: c.says})
		m, told := sentKind(o, Append, "b")
		if told != c.told || told && m.Commit != commit {
			t.Errorf("a follower that says %d is told %v: %v", c.says, told, o)
		}
	}
}

// I18: a member that takes another for its leader is told that it is not.
func TestMistakenFollowersAreTold(t *testing.T) {
	for _, kind := range []Kind{AppendReply, HeartbeatReply, InstallSnapshotReply} {
		for _, from := range []ra.UID{"b", "z"} {
			for _, term := range []ra.Term{0, 1} {
				o := stepped(inRole(t, ra.Follower), Message{Kind: kind, From: from, Term: term})
				if m, sent := sentKind(o, StepDown, from); !sent || m.Term != 1 {
					t.Errorf("%v of term %d from %s: %v", kind, term, from, o)
				}
			}
		}
	}
}
