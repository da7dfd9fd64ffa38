package raft

import (
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// leading returns a leader of term 2 whose no-op at 2 is committed by b; c has said nothing.
func leading(t testing.TB, limits *Limits) *Raft {
	r := restored(t, 1, 1)
	if limits != nil {
		r.limits = limits
	}
	win(r, 2)
	stepped(r, Message{Kind: Written, Seq: r.Orders().Seq})
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 2, Last: 2})
	return r
}

// ranges returns the appends to b as pairs of first and last index.
func ranges(o *Orders) [][2]ra.Index {
	var all [][2]ra.Index
	for _, m := range o.Messages {
		if m.Kind == Append && m.To == "b" && m.Last > m.Index {
			all = append(all, [2]ra.Index{m.Index + 1, m.Last})
		}
	}
	return all
}

// REP-03, bug 87: what is under way is bounded by entries and bytes, and the window opens again.
func TestWindow(t *testing.T) {
	limits := DefaultLimits
	limits.MaxEntriesPerAppend, limits.MaxInflightEntries, limits.MaxInflightBytes = 4, 10, 1000
	r := leading(t, &limits)
	o := stepped(r, Message{Kind: Propose, Entries: proposals(20)})
	if got := ranges(o); len(got) != 3 || got[2] != [2]ra.Index{11, 12} {
		t.Fatalf("20 entries in a window of 10 are sent as %v", got)
	}
	if o = stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 4, Last: 12}); len(ranges(o)) != 1 || ranges(o)[0] != [2]ra.Index{13, 14} {
		t.Errorf("two are confirmed: %v", o)
	}
	// Only entry 13 fitted into the message, and it was large: nothing more until it is confirmed.
	if o = stepped(r, Message{Kind: Sent, To: "b", Last: 14, Index: 13, Bytes: 1200}); len(ranges(o)) != 0 {
		t.Errorf("the window of bytes is full: %v", o)
	}
	if o = stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 13, Last: 13}); len(ranges(o)) == 0 || ranges(o)[0][0] != 14 {
		t.Errorf("all that was sent is confirmed: %v", o)
	}
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 22, Last: 22})
	if p := r.lead.peers[1]; p.bytes != 0 || p.next != 23 || p.match != 22 {
		t.Errorf("at rest: %+v", p)
	}
}

// Bound of uncommitted entries, and proposals that make no sense.
func TestProposalsRefused(t *testing.T) {
	limits := DefaultLimits
	limits.MaxUncommitted = 8
	r := leading(t, &limits)
	if got := asked(r, Message{Kind: Propose, Entries: proposals(9)}); got.Refused != Overloaded {
		t.Errorf("nine entries: %v", got)
	}
	if got := asked(r, Message{Kind: Propose, Entries: proposals(8)}); got.Refused != Accepted || got.Index != 3 {
		t.Errorf("eight entries: %v", got)
	}
	if got := asked(r, Message{Kind: Propose, Entries: proposals(1)}); got.Refused != Overloaded {
		t.Errorf("one more: %v", got)
	}
	for _, e := range []ra.Entry{{}, {Body: make([]byte, 5)}, NewProposal(0, 0, nil), NewProposal(ra.KindConfig, 0, nil)} {
		if got := asked(leading(t, nil), Message{Kind: Propose, Entries: []ra.Entry{e}}); got.Refused != Malformed {
			t.Errorf("%v: %v", e, got)
		}
	}
}

// asked steps a request, closes the batch, and returns the result.
func asked(r *Raft, m Message) Result {
	result := r.Step(&m)
	r.Orders()
	return result
}

// FSM-03: a member that waits for entries repeats its answer after a while, and follows again.
func TestAwaitEnds(t *testing.T) {
	r := inRole(t, ra.AwaitCondition)
	for range DefaultLimits.AwaitTicks - 1 {
		if o := stepped(r, Message{Kind: Tick}); len(o.Messages) != 0 || o.Role != ra.AwaitCondition {
			t.Fatalf("too early: %v", o)
		}
	}
	o := stepped(r, Message{Kind: Tick})
	if m, sent := sentKind(o, AppendReply, "b"); !sent || !m.Reject || m.Last != 9 || o.Role != ra.Follower || o.NeedTick {
		t.Errorf("at the end: %v", o)
	}
	for _, m := range []Message{
		{Kind: LeaderDown, From: "b"}, {Kind: NodeDown, From: "b"}, {Kind: VoteRequest, From: "c", Term: 1}, {Kind: StepDown, From: "b", Term: 1},
	} {
		if o := stepped(inRole(t, ra.AwaitCondition), m); o.Role != ra.Follower {
			t.Errorf("%v: %v", m, o)
		}
	}
	if o := stepped(inRole(t, ra.AwaitCondition), Message{Kind: Campaign}); o.Role != ra.PreVote {
		t.Errorf("campaign: %v", o)
	}
}

// FSM-06, bug 57: the reception of a snapshot ends when nothing comes, when the leader goes, and with a higher term.
func TestReceptionEnds(t *testing.T) {
	r := inRole(t, ra.ReceiveSnapshot)
	for range DefaultLimits.SnapshotTicks - 1 {
		stepped(r, Message{Kind: Tick})
		stepped(r, Message{Kind: Append, From: "b", Term: 1, Index: 9, LogTerm: 1, Last: 9}) // keeps nobody waiting
	}
	if o := stepped(r, Message{Kind: Tick}); o.Role != ra.Follower || o.Snapshot.Op != SnapshotAbort || o.Timer != TimerArm {
		t.Errorf("at the end: %v", o)
	}
	for _, m := range []Message{
		{Kind: LeaderDown, From: "b"}, {Kind: LeaderLost, From: "b"}, {Kind: NodeDown, From: "b"}, {Kind: StepDown, From: "b", Term: 1},
		{Kind: VoteRequest, From: "c", Term: 2}, {Kind: Append, From: "c", Term: 2}, {Kind: WALDown},
	} {
		if o := stepped(inRole(t, ra.ReceiveSnapshot), m); o.Role == ra.ReceiveSnapshot || o.Snapshot.Op != SnapshotAbort {
			t.Errorf("%v: %v", m, o)
		}
	}
}

// SNX-03: what is committed here already, or of a machine that cannot run here, is refused.
func TestSnapshotRefused(t *testing.T) {
	for _, m := range []Message{
		{Kind: InstallSnapshot, From: "b", Term: 1, Index: 4, LogTerm: 1, Chunk: 1},
		{Kind: InstallSnapshot, From: "b", Term: 1, Index: 9, LogTerm: 1, Chunk: 1, Version: 3},
	} {
		o := stepped(inRole(t, ra.Follower), m)
		if reply, sent := sentKind(o, InstallSnapshotReply, "b"); !sent || !reply.Reject || o.Role != ra.Follower || o.Snapshot.Op != SnapshotNone {
			t.Errorf("%v: %v", m, o)
		}
	}
}

// SNX-06: a transfer that stands still is repeated, then given up for a while, then tried again; each time longer.
func TestSnapshotBackoff(t *testing.T) {
	r := leading(t, nil)
	stepped(r, Message{Kind: SnapshotTaken, Index: 2, LogTerm: 2})
	stepped(r, Message{Kind: LogTruncated, Index: 2})
	o := stepped(r, Message{Kind: AppendReply, From: "c", Term: 2, Reject: true, Index: 0, Last: 1})
	if m, sent := sentKind(o, InstallSnapshot, "c"); !sent || m.Index != 2 || m.Chunk != 1 {
		t.Fatalf("no snapshot is sent: %v", o)
	}
	for _, wait := range []int{5, 10, 20} {
		resent := 0
		for r.Status().Peers[1].Status != "snapshot_backoff" {
			if _, sent := sentKind(stepped(r, Message{Kind: Tick}), InstallSnapshot, "c"); sent {
				resent++
			}
		}
		if resent == 0 {
			t.Error("a chunk that is not answered is not sent again")
		}
		ticks := 0
		for sent := false; !sent; ticks++ {
			_, sent = sentKind(stepped(r, Message{Kind: Tick}), InstallSnapshot, "c")
		}
		if ticks != wait {
			t.Errorf("tried again after %d ticks, want %d", ticks, wait)
		}
	}
	stepped(r, Message{Kind: InstallSnapshotReply, From: "c", Term: 2, Reject: true})
	if o := stepped(r, Message{Kind: NodeUp, From: "c"}); len(o.Messages) == 0 {
		t.Errorf("the node is back and nothing is sent: %v", o)
	}
	stepped(r, Message{Kind: AppendReply, From: "c", Term: 2, LogTerm: 2, Index: 2, Last: 2})
	if p := r.Status().Peers[1]; p.Match != 2 || p.Status != "replicating" {
		t.Errorf("installed: %v", p)
	}
}

// SNX-06, FSM-05, FAIL-04: a leader that waits leads, and goes on with snapshots as with all else: whoever gets one may be
// the vote or the acknowledgement that is lacking.
func TestWaitingLeaderSendsSnapshots(t *testing.T) {
	for what, wait := range map[string]Message{"hand-over": {Kind: Transfer, To: "b"}, "storage": {Kind: WALDown}} {
		r := leading(t, nil)
		stepped(r, Message{Kind: SnapshotTaken, Index: 2, LogTerm: 2})
		stepped(r, Message{Kind: LogTruncated, Index: 2})
		stepped(r, Message{Kind: AppendReply, From: "c", Term: 2, Reject: true, Index: 0, Last: 1})
		stepped(r, Message{Kind: InstallSnapshotReply, From: "c", Term: 2, Reject: true})
		stepped(r, Message{Kind: Tick})
		stepped(r, Message{Kind: Tick})
		stepped(r, wait)
		if s := r.Status(); s.Role != ra.AwaitCondition || s.Peers[1].Status != "snapshot_backoff" {
			t.Fatalf("%s: %v", what, s)
		}
		for range firstBackoff - 3 {
			if o := stepped(r, Message{Kind: Tick}); o.Role != ra.AwaitCondition {
				t.Fatalf("%s: %v", what, o)
			}
		}
		o := stepped(r, Message{Kind: Tick})
		if _, sent := sentKind(o, InstallSnapshot, "c"); !sent {
			t.Errorf("%s: after the pause: %v", what, o)
		}
	}
}

// API-07: a brand-new member is silent, whatever else happens, until its leader speaks, somebody wants it to stand, or it
// hears of a term: then its cluster has begun, and if the candidate that it may have elected dies before it says a word
// there is nobody else to stand.
func TestSilenceOfABrandNewMember(t *testing.T) {
	fresh := func() *Raft {
		return started(t, Restored{Configurations: []Configuration{{Members: members("a", "b", "c")}}})
	}
	r := fresh()
	for _, m := range []Message{
		{Kind: NodeUp, From: "b"}, {Kind: NodeDown, From: "b"}, {Kind: LeaderDown, From: "b"}, {Kind: WALDown}, {Kind: WALUp},
		{Kind: PreVoteRequest, From: "b", Token: 1}, {Kind: Tick}, {Kind: VoteReply, From: "b"},
	} {
		if o := stepped(r, m); o.Timer == TimerArm || o.Role != ra.Follower && o.Role != ra.AwaitCondition {
			t.Errorf("%v: %v", m, o)
		}
	}
	if o := stepped(r, Message{Kind: VoteRequest, From: "b", Term: 1}); o.Timer != TimerArm || o.Class != Long {
		t.Errorf("it hears of a term: %v", o)
	}
	if o := stepped(fresh(), Message{Kind: Campaign}); o.Role != ra.PreVote || o.Timer != TimerArm {
		t.Errorf("it is told to stand: %v", o)
	}
	r = fresh()
	if o := stepped(r, Message{Kind: Append, From: "b", Term: 1}); o.Leader != "b" {
		t.Errorf("it has a leader: %v", o)
	}
	if o := stepped(r, Message{Kind: LeaderDown, From: "b"}); o.Timer != TimerArm {
		t.Errorf("it had a leader: %v", o)
	}
}

// FSM-04, FAIL-03, FAIL-04: without a write-ahead log nobody votes, acknowledges or leads for long. That a leader leads can
// be confirmed without.
func TestWALDown(t *testing.T) {
	r := inRole(t, ra.Follower)
	stepped(r, Message{Kind: WALDown})
	for _, m := range []Message{
		{Kind: Append, From: "b", Term: 1, Index: 4, LogTerm: 1, Last: 4, Force: true}, {Kind: ElectionTimeout}, {Kind: Campaign},
	} {
		if o := stepped(r, m); len(o.Messages) != 0 || o.Seq != 0 || o.Role != ra.AwaitCondition {
			t.Errorf("%v: %v", m, o)
		}
	}
	o := stepped(r, Message{Kind: Heartbeat, From: "b", Term: 1, Query: 1})
	if m, sent := sentKind(o, HeartbeatReply, "b"); !sent || m.Query != 1 || len(o.Messages) != 1 || o.Role != ra.AwaitCondition {
		t.Errorf("a round of queries: %v", o)
	}
	o = stepped(r, Message{Kind: VoteRequest, From: "c", Term: 2, Index: 9, LogTerm: 2})
	if m, sent := sentKind(o, VoteReply, "c"); !sent || !m.Reject {
		t.Errorf("a vote without a disk: %v", o)
	}
	if o = stepped(r, Message{Kind: WALUp}); o.Role != ra.Follower {
		t.Errorf("the disk is back: %v", o)
	}

	l := inRole(t, ra.Leader)
	stepped(l, Message{Kind: WALDown})
	if got := asked(l, Message{Kind: Propose, Entries: proposals(1)}); got.Refused != Waiting {
		t.Errorf("a proposal: %v", got)
	}
	if o = stepped(l, Message{Kind: WALUp}); o.Role != ra.Leader || o.Term != 1 {
		t.Errorf("the disk is back: %v", o)
	}
	stepped(l, Message{Kind: WALDown})
	for range DefaultLimits.StorageTicks - 1 {
		o = stepped(l, Message{Kind: Tick})
	}
	if _, sent := sentKind(o, TimeoutNow, "b"); sent {
		t.Errorf("hands over too soon: %v", o)
	}
	// Then it offers to hand over, to one after the other, and leads until somebody accepts: queries go on (FAIL-07).
	var offered []ra.UID
	for range 4 {
		o = stepped(l, Message{Kind: Tick})
		for _, m := range o.Messages {
			if m.Kind == TimeoutNow {
				offered = append(offered, m.To)
			}
		}
	}
	if !slices.Contains(offered, "b") || !slices.Contains(offered, "c") || o.Leader != "a" || o.Role != ra.AwaitCondition {
		t.Errorf("offered to %v: %v", offered, o)
	}
	if _, sent := sentKind(stepped(l, Message{Kind: Query, Query: 1}), Heartbeat, "b"); !sent {
		t.Error("does not answer queries")
	}
	if o = stepped(l, Message{Kind: VoteRequest, From: "c", Term: 2, Index: 9, LogTerm: 2}); o.Leader != "" || o.Term != 2 {
		t.Errorf("stands in the way of its successor: %v", o)
	}
	if _, sent := sentKind(stepped(l, Message{Kind: Tick}), StepDown, "b"); !sent {
		t.Error("does not say again that it leads no more")
	}
}

// FSM-04: a follower that cannot store knows who leads, though it takes nothing in, so that calls go there.
func TestFollowerWithoutStorageKnowsTheLeader(t *testing.T) {
	for _, m := range []Message{
		{Kind: Append, From: "c", Term: 2, Index: 9, LogTerm: 2, Last: 9},
		{Kind: InstallSnapshot, From: "c", Term: 2, Index: 9, LogTerm: 2, Chunk: 1},
	} {
		r := inRole(t, ra.Follower)
		stepped(r, Message{Kind: WALDown})
		if o := stepped(r, m); o.Leader != "c" || len(o.Messages) != 0 || o.Role != ra.AwaitCondition {
			t.Errorf("%v: %v", m.Kind, o)
		}
	}
}

// FSM-05: nobody takes over, and the leader goes on in the same term.
func TestHandOverEnds(t *testing.T) {
	r := leading(t, nil)
	if got := asked(r, Message{Kind: Transfer, To: "b"}); got.Refused != Accepted || r.Role() != ra.AwaitCondition {
		t.Fatalf("%v, %v", got, r.Status())
	}
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 2, Last: 2}) // it still listens as the leader
	for range DefaultLimits.AwaitTicks {
		stepped(r, Message{Kind: Tick})
	}
	if o := r.Orders(); o.Role != ra.Leader || o.Term != 2 {
		t.Errorf("%v", o)
	}
	// QRY-12: a member that lacks entries is no target, entries of this batch excepted.
	r = leading(t, nil)
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, Reject: true, Index: 1, LogTerm: 1, Last: 2})
	if got := asked(r, Message{Kind: Transfer, To: "b"}); got.Refused != NotUpToDate {
		t.Errorf("to one that lacks entries: %v", got)
	}
}

// MEM-04, FSM-10: a leader that was demoted leads until a voter takes over, and asks for it until one does.
func TestDemotedLeader(t *testing.T) {
	r := leading(t, nil)
	demoted := member("a")
	demoted.Membership = ra.NonVoter
	stepped(r, Message{Kind: Change, Members: []ra.Member{demoted}})
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 3, Last: 3, Commit: 2})
	for range 3 {
		o := stepped(r, Message{Kind: AppendReply, From: "c", Term: 2, LogTerm: 2, Index: 3, Last: 3, Commit: 2})
		if o.Commit != 3 || o.Role != ra.Leader || o.Removed {
			t.Fatalf("%v", o)
		}
		if _, sent := sentKind(stepped(r, Message{Kind: Tick}), TimeoutNow, "b"); !sent {
			t.Error("does not ask b to take over")
		}
	}
	if o := stepped(r, Message{Kind: PreVoteRequest, From: "b", Term: 2, Index: 3, LogTerm: 2, Token: 1, Force: true}); len(o.Messages) != 1 {
		t.Errorf("stands in the way of its successor: %v", o)
	}
}

// REP-11, FAIL-11: a follower that lost what it had confirmed is counted with less.
func TestLostData(t *testing.T) {
	r := leading(t, nil)
	stepped(r, Message{Kind: Propose, Entries: proposals(1)})
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, Reject: true, Index: 0, Last: 2})
	if p := r.Status().Peers[0]; p.Match != 0 || p.Next != 1 || p.Status != "probing" {
		t.Errorf("%+v", p)
	}
	if r.Commit() != 2 {
		t.Errorf("commit index is %d", r.Commit())
	}
}

// Broken invariants stop the member with a reason, and nothing else comes out any more.
func TestBrokenInvariantsStop(t *testing.T) {
	for name, m := range map[string]Message{
		"two leaders":         {Kind: Append, From: "c", Term: 1, Index: 4, LogTerm: 1, Last: 4},
		"committed is gone":   {Kind: Append, From: "b", Term: 1, Index: 2, Last: 2},
		"log cut too far":     {Kind: LogTruncated, Index: 3},
		"committed is undone": {Kind: Append, From: "b", Term: 9, Index: 1, LogTerm: 1, Entries: []ra.Entry{ra.Seal(ra.NewBody(nil), ra.Header{Index: 2, Term: 5, Kind: ra.KindNoop})}},
	} {
		r := inRole(t, ra.Follower)
		m.To = "a"
		if m.Term > 1 {
			stepped(r, Message{Kind: StepDown, From: "b", Term: m.Term})
		}
		o := stepped(r, m)
		if o.Failed == nil || len(o.Messages) != 0 || o.Seq != 0 {
			t.Errorf("%s: %v", name, o)
		}
		if got := asked(r, Message{Kind: Campaign}); got.Refused != Stopped || r.Orders().Failed == nil {
			t.Errorf("%s: goes on with %v", name, got)
		}
	}
	if o := stepped(inRole(t, ra.Leader), Message{Kind: Heartbeat, From: "b", Term: 1}); o.Failed == nil {
		t.Errorf("a second leader: %v", o)
	}
}

// I5, I10: a loss was accepted on another member, and the new leader's log ends before what this one has applied, which is
// in its snapshot and not in its log any more. It stops when it sees an entry that cannot have been there, instead of
// confirming what it does not have, or taking that for its repair.
func TestLeaderWithLessThanTheSnapshot(t *testing.T) {
	noop := func(i ra.Index, term ra.Term) ra.Entry {
		return ra.Seal(ra.NewBody(nil), ra.Header{Index: i, Term: term, Kind: ra.KindNoop})
	}
	for _, suspect := range []bool{false, true} {
		for _, c := range []struct {
			m    Message
			stop bool
		}{
			{Message{Index: 5, LogTerm: 1, Last: 5}, false},
			{Message{Index: 5, LogTerm: 1, Last: 6, Entries: []ra.Entry{noop(6, 1)}}, false},
			{Message{Index: 5, LogTerm: 1, Last: 6, Entries: []ra.Entry{noop(6, 2)}}, true},
			{Message{Index: 6, LogTerm: 2, Last: 6}, true},
		} {
			r := started(t, Restored{
				State: ra.HardState{Term: 1}, Snapshot: Position{34, 1}, Last: 34,
				Configurations: []Configuration{{Members: members("a", "b", "c")}}, Suspect: suspect, Epoch: 50,
			})
			c.m.Kind, c.m.From, c.m.Term, c.m.Force = Append, "b", 2, true
			if o := stepped(r, c.m); (o.Failed != nil) != c.stop || c.stop && len(o.Messages) != 0 {
				t.Errorf("suspect: %v; %v: %v, %v", suspect, &c.m, o, o.Failed)
			}
		}
	}
}

// I5, I10: a loss was accepted while a sound member that had committed more was out of reach. When it comes back it takes it
// for granted that its leader has all of that, and says so before it has seen an entry. The leader counts it for nothing, as
// their terms differ there, and the member does not take itself for repaired.
func TestAcknowledgesAnotherLog(t *testing.T) {
	for _, suspect := range []bool{false, true} {
		leader := leading(t, nil) // of term 2, with a no-op at 2
		stepped(leader, Message{Kind: Propose, Entries: proposals(4)})
		stepped(leader, Message{Kind: Written, Seq: leader.disk.seq})
		member, err := New(Config{Self: "c"}, Restored{
			State: ra.HardState{Term: 1}, Snapshot: Position{3, 1}, Last: 4, Runs: []TermRun{{4, 1}}, Commit: 4,
			Configurations: []Configuration{{Members: members("a", "b", "c")}}, Suspect: suspect, Epoch: 50,
		})
		if err != nil {
			t.Fatal(err)
		}
		member.Orders()
		stepped(member, Message{Kind: Heartbeat, From: "a", Term: 2, Query: 1})
		if suspect {
			o := stepped(leader, Message{Kind: SuspectNotice, From: "c", Term: 1, Index: 4, Token: member.episode})
			goal, told := sentKind(o, SuspectReply, "c")
			if !told || goal.Index != 6 || goal.LogTerm != 2 {
				t.Fatalf("the goal: %v", o)
			}
			goal.Index = 4 // as if the notice had come when the leader's log ended there
			stepped(member, goal)
		}
		if o := stepped(member, Message{Kind: Written, Seq: member.disk.seq}); o.Repaired {
			t.Errorf("repaired by another log: %v", o)
		}
		o := stepped(member, Message{Kind: NodeUp, From: "a"})
		ack, sent := sentKind(o, AppendReply, "a")
		if !sent || ack.Reject || ack.Index != 4 || ack.LogTerm != 1 || o.Repaired {
			t.Fatalf("suspect: %v; the member comes back: %v", suspect, o)
		}
		if o := stepped(leader, ack); o.Commit != 2 || leader.lead.peers[2].match != 0 {
			t.Errorf("suspect: %v; %v: %v, %+v", suspect, &ack, o, leader.lead.peers[2])
		}
		ack.LogTerm = 2
		if stepped(leader, ack); leader.lead.peers[2].match != 4 {
			t.Errorf("suspect: %v; %v: %+v", suspect, &ack, leader.lead.peers[2])
		}
	}
}

// Members that share their scratch have the same orders as members that do not.
func TestSharedScratch(t *testing.T) {
	shared := new(Orders)
	for range 2 {
		r, err := New(Config{Self: "a", Scratch: shared}, Restored{Configurations: []Configuration{{Members: members("a")}}})
		if err != nil {
			t.Fatal(err)
		}
		r.Orders()
		o := stepped(r, Message{Kind: Campaign})
		if o != shared || o.Seq != 1 || o.State != (ra.HardState{Term: 1, Vote: "a"}) {
			t.Errorf("%v", o)
		}
	}
}

// A leader that waits is the leader still: for queries and acknowledgements, before a second one, and before a member
// of a higher term.
func TestWaitingLeaderLeads(t *testing.T) {
	wait := func() *Raft {
		r := leading(t, nil)
		asked(r, Message{Kind: Transfer, To: "b"})
		return r
	}
	r := wait()
	if o := stepped(r, Message{Kind: Query, Query: 1}); len(o.Messages) != 2 {
		t.Errorf("a query: %v", o)
	}
	if o := stepped(r, Message{Kind: HeartbeatReply, From: "c", Term: 2, Query: 1}); o.QueriesReady != 1 {
		t.Errorf("its confirmation: %v", o)
	}
	for _, kind := range []Kind{Append, Heartbeat, InstallSnapshot} {
		if o := stepped(wait(), Message{Kind: kind, From: "b", Term: 2}); o.Failed == nil {
			t.Errorf("%v of a second leader: %v", kind, o)
		}
		if o := stepped(wait(), Message{Kind: kind, From: "b", Term: 3, Index: 2, LogTerm: 2}); o.Failed != nil || o.Leader != "b" {
			t.Errorf("%v of the next leader: %v", kind, o)
		}
	}
	if o := stepped(wait(), Message{Kind: PreVoteRequest, From: "c", Term: 3}); o.Role != ra.Follower || o.Term != 3 {
		t.Errorf("a member of a higher term: %v", o)
	}
}

// MAC-04: entries have the time that was set, which never goes back; what a member says about itself.
func TestClockAndAccessors(t *testing.T) {
	r := leading(t, nil)
	r.SetClock(70)
	r.SetClock(60)
	o := stepped(r, Message{Kind: Propose, Entries: []ra.Entry{NewProposal(ra.KindTimeout, 5, []byte("x"))}})
	e, err := ra.OpenEntry(o.Append[0].Body)
	if err != nil || e.Index != 3 || e.Term != 2 || e.Time() != 70 || e.Kind() != ra.KindTimeout || e.Flags() != 5 || string(e.Payload()) != "x" {
		t.Errorf("%v, %v", e, err)
	}
	term, known := r.TermAt(2)
	if r.Term() != 2 || r.Leader() != "a" || r.log.end() != (Position{3, 2}) || term != 2 || !known || r.Configuration().String() != "0:{a b c}" {
		t.Errorf("%v", r.Status())
	}
}
