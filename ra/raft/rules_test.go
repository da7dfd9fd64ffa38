package raft

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ranked returns members a, b and c, of which one is no voter, or a promotable one.
func ranked(uid ra.UID, membership ra.Membership) []ra.Member {
	all := members("a", "b", "c")
	for i := range all {
		if all[i].UID == uid {
			all[i].Membership = membership
		}
	}
	return all
}

// started returns member a as it starts with what is restored.
func started(t testing.TB, s Restored) *Raft {
	t.Helper()
	r, err := New(Config{Self: "a", MachineVersion: 2}, s)
	if err != nil {
		t.Fatal(err)
	}
	r.Orders()
	return r
}

// ELE-03: an ordinary leader steps down before a pre-vote of a higher term, and answers it. To one of its own term or a
// lower one it sends appends, to all peers and also to those that it had put off.
func TestLeaderStepsDownBeforeAPreVote(t *testing.T) {
	ask := Message{Kind: PreVoteRequest, From: "c", Term: 2, Index: 9, LogTerm: 2, Token: 4}
	for ask.Term = 1; ask.Term <= 2; ask.Term++ {
		r := leading(t, nil)
		r.lead.peers[2].retreat()
		o := stepped(r, ask)
		_, toB := sentKind(o, Append, "b")
		_, toC := sentKind(o, Append, "c")
		if o.Role != ra.Leader || o.Term != 2 || len(o.Messages) != 2 || !toB || !toC {
			t.Errorf("of term %d: %v", ask.Term, o)
		}
	}
	ask.Term = 3
	o := stepped(leading(t, nil), ask)
	if o.Role != ra.Follower || o.Term != 3 || o.Leader != "" || o.Timer != TimerArm {
		t.Errorf("of a higher term: %v", o)
	}
	if m, sent := sentKind(o, PreVoteReply, "c"); !sent || m.Reject || m.Token != 4 || m.Term != 3 {
		t.Errorf("of a higher term, answered: %v", o)
	}
}

// ELE-03, REP-34: with the appends go the heartbeats that are due, to those that have not confirmed the round.
func TestPreVoteBringsHeartbeats(t *testing.T) {
	ask := Message{Kind: PreVoteRequest, From: "c", Term: 2, Index: 2, LogTerm: 2, Token: 4}
	r := inRole(t, ra.Leader)
	ask.Term = r.Term()
	stepped(r, Message{Kind: Query, Query: 1})
	o := stepped(r, ask)
	toB, sentB := sentKind(o, Heartbeat, "b")
	toC, sentC := sentKind(o, Heartbeat, "c")
	if !sentB || !sentC || toB.Query != 1 || toC.Query != 1 {
		t.Errorf("a query waits: %v", o)
	}
	stepped(r, Message{Kind: HeartbeatReply, From: "b", Term: r.Term(), Query: 1})
	if o = stepped(r, ask); len(o.Messages) == 0 {
		t.Errorf("it is answered, and nobody hears of the leader: %v", o)
	}
	if _, sent := sentKind(o, Heartbeat, "c"); sent {
		t.Errorf("no query waits: %v", o)
	}
}

// ELE-04: an answer with a higher term, whatever else it says, makes the asker a follower of that term. One with a lower
// term counts: whoever answers a pre-vote adopts no term.
func TestPreVoteAnswerOfAnotherTerm(t *testing.T) {
	for _, reject := range []bool{false, true} {
		r := restored(t, 3)
		stepped(r, Message{Kind: ElectionTimeout})
		o := stepped(r, Message{Kind: PreVoteReply, From: "b", Term: 7, Token: 1, Reject: reject})
		if o.Role != ra.Follower || !o.SaveState || o.State != (ra.HardState{Term: 7}) || o.Timer != TimerArm || o.Class != Long {
			t.Errorf("a higher term, rejected %t: %v", reject, o)
		}
	}
	r := restored(t, 3)
	stepped(r, Message{Kind: ElectionTimeout})
	if o := stepped(r, Message{Kind: PreVoteReply, From: "b", Term: 2, Token: 1}); o.Role != ra.Candidate || o.Term != 4 {
		t.Errorf("a lower term: %v", o)
	}
}

// VER-02: the no-op of an election carries the version in force, and that of an only member the newest that can run here,
// if it is not older.
func TestNoopCarriesAVersion(t *testing.T) {
	alone := members("a", "d")
	alone[1].Membership = ra.NonVoter
	for _, test := range []struct {
		members       []ra.Member
		inForce, want uint32
	}{
		{members("a", "b", "c"), 1, 1}, {members("a", "b", "c"), 2, 2}, {members("a"), 1, 2}, {alone, 1, 1}, {members("a"), 3, 3},
	} {
		c := Configuration{Members: test.members}
		r := started(t, Restored{Configurations: []Configuration{c}, Version: test.inForce})
		o := stepped(r, Message{Kind: Campaign})
		if c.voters() > 1 {
			o = stepped(r, Message{Kind: PreVoteReply, From: "b", Token: 1})
		}
		o = stepped(r, Message{Kind: Written, Seq: o.Seq})
		if c.voters() > 1 {
			o = stepped(r, Message{Kind: VoteReply, From: "b", Term: 1})
		}
		if o.Role != ra.Leader || len(o.Append) != 1 || o.Append[0].Kind() != ra.KindNoop {
			t.Fatalf("%v: %v", c, o)
		}
		if got, ok := DecodeVersion(o.Append[0].Payload()); !ok || got != test.want {
			t.Errorf("%v, version %d in force: the no-op carries %d", c, test.inForce, got)
		}
	}
}

// elected makes a brand-new member the leader of term 1, with the vote of b. The no-op is not durable yet.
func elected(r *Raft) *Orders {
	stepped(r, Message{Kind: Campaign})
	o := stepped(r, Message{Kind: PreVoteReply, From: "b", Token: 1})
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	return stepped(r, Message{Kind: VoteReply, From: "b", Term: 1})
}

// VER-03, VER-04: a leader puts the highest version in force that all members can run, as soon as the last of them has said
// so, voter or not, and once. One that comes back with newer code, or is removed, does not stand in the way any more.
func TestUpgradeWaitsForAll(t *testing.T) {
	all := members("a", "b", "c")
	all[2].Membership = ra.NonVoter
	r := started(t, Restored{Configurations: []Configuration{{Members: all}}})
	seq := elected(r).Seq
	last := ra.Index(1)
	for _, step := range []struct {
		from    ra.UID
		version uint32
		want    uint32 // of the no-op that follows, 0 if none does
	}{
		{"b", 2, 0}, {"b", 2, 0}, {"c", 1, 1}, {"c", 1, 0}, {"b", 5, 0}, {"b", 0, 0}, {"c", 4, 2}, {"b", 1, 0}, {"b", 9, 0}, {"c", 9, 0},
	} {

		stepped(r, Message{Kind: Written, Seq: seq})
		o := stepped(r, Message{Kind: AppendReply, From: step.from, Term: 1, LogTerm: 1, Index: last, Last: last, Version: step.version})
		if len(o.Append) != min(1, int(step.want)) {
			t.Fatalf("%s can do %d: %v", step.from, step.version, o)
		}
		for _, e := range o.Append {
			if got, ok := DecodeVersion(e.Payload()); !ok || e.Kind() != ra.KindNoop || got != step.want {
				t.Errorf("%s can do %d: the no-op carries %d", step.from, step.version, got)
			}
			seq, last = o.Seq, e.Index
		}
	}
}

// VER-04: a late answer of an earlier life does not hold up an upgrade; a node that comes back does until its member has
// said what it can run, in an answer or because it wants to be elected: it may have older code.
func TestUpgradeAfterRestart(t *testing.T) {
	for _, asks := range []bool{false, true} {
		r := started(t, Restored{Configurations: []Configuration{{Members: members("a", "b", "c")}}})
		o := elected(r)
		stepped(r, Message{Kind: Written, Seq: o.Seq})
		says := func(from ra.UID, version uint32) int {
			return len(stepped(r, Message{Kind: AppendReply, From: from, Term: 1, LogTerm: 1, Index: 1, Last: 1, Version: version}).Append)
		}
		says("b", 2)
		if asks {
			stepped(r, Message{Kind: PreVoteRequest, From: "b", Term: 1, Index: 1, LogTerm: 1, Version: 1})
		} else {
			stepped(r, Message{Kind: NodeDown, From: "b"})
			stepped(r, Message{Kind: NodeUp, From: "b"})
			if says("c", 2) != 0 {
				t.Error("b has not said what it can run now")
			}
			says("b", 1)
		}
		says("c", 2)
		if says("b", 2) != 1 {
			t.Errorf("asks %v: all can run version 2", asks)
		}
	}
}

// VER-04: an answer that was under way since before its sender can run more says nothing any more.
func TestUpgradeDespiteLateAnswer(t *testing.T) {
	r := started(t, Restored{Configurations: []Configuration{{Members: members("a", "b", "c")}}})
	o := elected(r)
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	version := uint32(0)
	for _, answer := range []Message{{From: "b", Version: 2}, {From: "b", Version: 1}, {From: "c", Version: 2}} {
		answer.Kind, answer.Term, answer.LogTerm, answer.Index, answer.Last = AppendReply, 1, 1, 1, 1
		for _, e := range stepped(r, answer).Append {
			version, _ = DecodeVersion(e.Payload())
		}
	}
	if version != 2 {
		t.Errorf("version %d is in force", version)
	}
}

// VER-04: who stands in the way of an upgrade and is removed does so no longer.
func TestUpgradeAfterRemoval(t *testing.T) {
	r := started(t, Restored{Configurations: []Configuration{{Members: members("a", "b", "c")}}})
	o := elected(r)
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 1, LogTerm: 1, Index: 1, Last: 1, Version: 7})
	o = stepped(r, Message{Kind: Change, Op: Remove, Members: members("c")})
	if len(o.Append) != 2 || o.Append[0].Kind() != ra.KindConfig || o.Append[1].Kind() != ra.KindNoop {
		t.Fatalf("c is removed: %v", o)
	}
	if got, _ := DecodeVersion(o.Append[1].Payload()); got != 2 {
		t.Errorf("the no-op carries %d", got)
	}
}

// FSM-03: a member that waits for missing entries refuses once more when the logs turn out to conflict, and then waits
// for an append that does not. What it has refused already it refuses again only if the leader asks for an answer: that
// may not have heard, or have given up what it was told about (REP-14).
func TestConflictAfterMissingEntriesIsRefused(t *testing.T) {
	r := restored(t, 6, 1, 1, 2, 2)
	for _, step := range []struct {
		index   ra.Index
		term    ra.Term
		force   bool
		answer  string
		waiting string
	}{
		{9, 5, false, "AppendReply a->b term=6 index=4 logterm=2 last=9 version=2 reject", "missing"},
		{9, 5, false, "", "missing"},
		{9, 5, true, "AppendReply a->b term=6 index=4 logterm=2 last=9 version=2 reject", "missing"},
		{12, 5, true, "AppendReply a->b term=6 index=4 logterm=2 last=12 version=2 reject", "missing"},
		{4, 5, false, "AppendReply a->b term=6 index=3 logterm=2 last=4 version=2 reject", "term_mismatch"},
		{4, 5, false, "", "term_mismatch"}, {9, 5, false, "", "term_mismatch"},
		{3, 2, true, "AppendReply a->b term=6 index=3 logterm=2 last=3 version=2", ""},
	} {
		o := stepped(r, Message{
			Kind: Append, From: "b", Term: 6, Index: step.index, LogTerm: step.term, Last: step.index, Force: step.force,
		})
		answer := ""
		for _, m := range o.Messages {
			answer += m.String()
		}
		if answer != step.answer || r.Status().Waiting != step.waiting {
			t.Errorf("at %d/%d: answer %q, waits for %q", step.index, step.term, answer, r.Status().Waiting)
		}
	}
}

// REP-15, REP-32: what a leader or candidate of an old term sends is answered with the own term, and has no other
// effect.
func TestOldTermsAreAnswered(t *testing.T) {
	for _, test := range []struct {
		m    Message
		want string
	}{
		{Message{Kind: Append, Index: 7, LogTerm: 1, Last: 8, Commit: 1}, "AppendReply a->c term=2 last=7 reject"},
		{Message{Kind: Heartbeat, Query: 5}, "HeartbeatReply a->c term=2"},
		{Message{Kind: InstallSnapshot, Index: 9, LogTerm: 1, Chunk: 1}, "InstallSnapshotReply a->c term=2 index=2 reject"},
		{Message{Kind: VoteRequest, Index: 9, LogTerm: 1}, "VoteReply a->c term=2 reject"},
	} {
		follower := restored(t, 2, 1, 2)
		stepped(follower, Message{Kind: Append, From: "b", Term: 2, Index: 2, LogTerm: 2, Last: 2, Commit: 2})
		for _, r := range []*Raft{follower, leading(t, nil)} {
			before := r.Status().String()
			test.m.From, test.m.Term = "c", 1
			o := stepped(r, test.m)
			if len(o.Messages) != 1 || o.Messages[0].String() != test.want || o.Seq != 0 || r.Status().String() != before {
				t.Errorf("%v: %v", test.m, o)
			}
		}
	}
}

// FSM-07: candidates, snapshots and answers from outside the configuration do not disturb a leader, of whatever term;
// the same from a member of a higher term ends its leadership, and so do appends and heartbeats of strangers.
func TestStrangersDoNotDisturbALeader(t *testing.T) {
	waiting := func() *Raft {
		r := leading(t, nil)
		asked(r, Message{Kind: Transfer, To: "b"})
		return r
	}
	for kind := range lastPeerKind + 1 {
		for _, lead := range []func() *Raft{waiting, func() *Raft { return leading(t, nil) }} {
			m := Message{Kind: kind, From: "z", Term: 2, Index: 9, LogTerm: 2, Last: 9, Chunk: 1}
			r := lead()
			before := r.Status().String()
			if o := stepped(r, m); len(o.Messages) != 0 || o.Failed != nil || r.Status().String() != before {
				t.Errorf("%v: %v", m, o)
			}
			m.Term = 9
			o := stepped(r, m)
			if honoured := kind == Append || kind == Heartbeat; honoured && (o.Leader != "z" || o.Term != 9) {
				t.Errorf("%v is not followed: %v", m, o)
			} else if !honoured && (len(o.Messages) != 0 || r.Status().String() != before) {
				t.Errorf("%v: %v", m, o)
			}
			m.From = "c"
			if o := stepped(lead(), m); o.Leader == "a" || o.Term != 9 {
				t.Errorf("%v leaves the leader: %v", m, o)
			}
		}
	}
}

// FSM-07, thesis 4.1: a follower hears candidates and snapshots of members that it does not know yet.
func TestFollowersHearStrangers(t *testing.T) {
	if o := stepped(restored(t, 1), Message{Kind: PreVoteRequest, From: "z", Term: 1, Token: 1}); len(o.Messages) != 1 || o.Messages[0].Reject {
		t.Errorf("a pre-vote: %v", o)
	}
	if o := stepped(restored(t, 1), Message{Kind: VoteRequest, From: "z", Term: 2}); o.State != (ra.HardState{Term: 2, Vote: "z"}) {
		t.Errorf("a vote: %v", o)
	}
	if o := stepped(restored(t, 1), Message{Kind: InstallSnapshot, From: "z", Term: 1, Index: 9, LogTerm: 1, Chunk: 1}); o.Role != ra.ReceiveSnapshot {
		t.Errorf("a snapshot: %v", o)
	}
}

// TIM-03: whoever refuses a pre-vote of a worse candidate and knows no leader that is well arms its own timer, unless it
// runs already: repeated refusals do not put the own election off.
func TestRefusedPreVoteArmsTheTimer(t *testing.T) {
	worse := Message{Kind: PreVoteRequest, From: "c", Term: 1, Token: 1, Version: 1}
	config := []Configuration{{Members: ranked("a", ra.NonVoter)}}
	// The timer of a non-voter that lost the connection to its leader is over.
	lost := started(t, Restored{State: ra.HardState{Term: 1}, Last: 1, Runs: []TermRun{{1, 1}}, Configurations: config, Version: 1})
	stepped(lost, Message{Kind: Append, From: "b", Term: 1, Index: 1, LogTerm: 1, Last: 1})
	stepped(lost, Message{Kind: LeaderLost, From: "b"})
	stepped(lost, Message{Kind: ElectionTimeout})
	// A brand-new one that knows no leader has no timer until somebody wants an election; the version is too old.
	fresh := started(t, Restored{Configurations: config, Version: 2})
	stepped(fresh, Message{Kind: Campaign})
	for name, r := range map[string]*Raft{"lost leader": lost, "no leader": fresh} {
		o := stepped(r, worse)
		if m, _ := sentKind(o, PreVoteReply, "c"); !m.Reject || o.Timer != TimerArm || o.Class != Long {
			t.Errorf("%s: %v", name, o)
		}
		if o = stepped(r, worse); len(o.Messages) != 1 || o.Timer != TimerKeep {
			t.Errorf("%s, again: %v", name, o)
		}
	}
	// The leader is well and has handed over: it is not for this member to stand.
	worse.Force = true
	if o := stepped(inRole(t, ra.Follower), worse); len(o.Messages) != 1 || !o.Messages[0].Reject || o.Timer != TimerKeep {
		t.Errorf("a hand-over: %v", o)
	}
}

// TIM-03, ELE-05: a candidate's first timer is short, later ones medium. As long as nobody has refused it asks again in the
// same term: a voter may be storing its vote. After a refusal it asks first whether another term would help.
func TestCandidateTimers(t *testing.T) {
	r := restored(t, 1)
	stepped(r, Message{Kind: Campaign})
	o := stepped(r, Message{Kind: PreVoteReply, From: "b", Term: 1, Token: 1})
	if o.Role != ra.Candidate || o.Term != 2 || o.Timer != TimerArm || o.Class != Short {
		t.Errorf("first election: %v", o)
	}
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	for range 3 {
		o = stepped(r, Message{Kind: ElectionTimeout})
		_, toB := sentKind(o, VoteRequest, "b")
		_, toC := sentKind(o, VoteRequest, "c")
		if o.Role != ra.Candidate || o.Term != 2 || o.Seq != 0 || !toB || !toC || o.Timer != TimerArm || o.Class != Medium {
			t.Errorf("nobody has answered: %v", o)
		}
	}
	stepped(r, Message{Kind: VoteReply, From: "b", Term: 2, Reject: true})
	o = stepped(r, Message{Kind: ElectionTimeout})
	if _, asked := sentKind(o, PreVoteRequest, "c"); o.Role != ra.PreVote || o.Seq != 0 || !asked || o.Timer != TimerArm || o.Class != Long {
		t.Errorf("b has refused: %v", o)
	}
	o = stepped(r, Message{Kind: PreVoteReply, From: "c", Term: 2, Token: 2})
	if o.Role != ra.Candidate || o.Term != 3 || o.Timer != TimerArm || o.Class != Short {
		t.Errorf("second election: %v", o)
	}
	stepped(r, Message{Kind: Written, Seq: o.Seq})
	if o = stepped(r, Message{Kind: ElectionTimeout}); o.Role != ra.Candidate || o.Term != 3 {
		t.Errorf("the refusal was of the term before: %v", o)
	}
}

// prevote steps a pre-vote request of a member's present term, and reports whether it is granted.
func prevote(t *testing.T, r *Raft, from ra.UID, force bool) bool {
	t.Helper()
	o := stepped(r, Message{Kind: PreVoteRequest, From: from, Term: r.Term(), Index: 9, LogTerm: r.Term(), Token: 7, Force: force})
	m, sent := sentKind(o, PreVoteReply, from)
	if !sent || o.Seq != 0 {
		t.Errorf("pre-vote of %s: %v", from, o)
	}
	return !m.Reject
}

// ELE-02, I18: a candidate whom nobody has refused stands in the way of others, except of one that the leader hands over to.
func TestCandidateIsNotDisturbed(t *testing.T) {
	r := restored(t, 1)
	stepped(r, Message{Kind: Campaign})
	seq := stepped(r, Message{Kind: PreVoteReply, From: "b", Term: 1, Token: 1}).Seq
	if prevote(t, r, "c", false) {
		t.Error("granted while the own vote is being stored")
	}
	stepped(r, Message{Kind: Written, Seq: seq})
	if prevote(t, r, "c", false) {
		t.Error("granted while others store their votes")
	}
	if !prevote(t, r, "c", true) {
		t.Error("a hand-over is refused")
	}
	ahead := Message{Kind: PreVoteRequest, From: "c", Term: 3, Index: 9, LogTerm: 2, Token: 7}
	if m, _ := sentKind(stepped(r, ahead), PreVoteReply, "c"); m.Reject {
		t.Error("one of a later term is refused")
	}
	stepped(r, Message{Kind: VoteReply, From: "b", Term: 2, Reject: true})
	if !prevote(t, r, "c", false) {
		t.Error("refused by one who was refused")
	}
}

// ELE-02, ELE-06, I18: whoever has voted for somebody helps nobody else to another term, until its timer ends, or it knows a
// leader. The timer waits for the disk, and for no further request.
func TestVoterWaitsForWhomItElects(t *testing.T) {
	r := restored(t, 1)
	ask := Message{Kind: VoteRequest, From: "b", Term: 2}
	seq := stepped(r, ask).Seq
	if o := stepped(r, Message{Kind: ElectionTimeout}); o.Role != ra.Follower || len(o.Messages) != 0 || o.Timer != TimerArm || o.Class != Long {
		t.Errorf("timeout while the vote is being stored: %v", o)
	}
	if prevote(t, r, "c", false) {
		t.Error("granted to another while the vote is being stored")
	}
	if o := stepped(r, Message{Kind: Written, Seq: seq}); len(o.Messages) != 1 || o.Messages[0].Reject || o.Messages[0].Kind != VoteReply {
		t.Errorf("no vote: %v", o)
	}
	if prevote(t, r, "c", false) || !prevote(t, r, "b", false) || !prevote(t, r, "c", true) {
		t.Error("pre-votes after the vote")
	}
	if o := stepped(r, ask); o.Timer != TimerKeep {
		t.Errorf("asked again: %v", o)
	}
	if o := stepped(r, Message{Kind: ElectionTimeout}); o.Role != ra.PreVote || !prevote(t, r, "c", false) {
		t.Errorf("timeout: %v", o)
	}
	led := restored(t, 1)
	stepped(led, Message{Kind: Written, Seq: stepped(led, ask).Seq})
	stepped(led, Message{Kind: Append, From: "b", Term: 2})
	stepped(led, Message{Kind: LeaderDown, From: "b"})
	if !prevote(t, led, "c", false) {
		t.Error("refused for the sake of a leader that is gone")
	}
	newer := restored(t, 1)
	stepped(newer, ask)
	if o := stepped(newer, Message{Kind: AppendReply, From: "c", Term: 3}); o.Term != 3 || !prevote(t, newer, "c", false) {
		t.Error("refused for the sake of an earlier term")
	}
	idle := started(t, Restored{State: ra.HardState{Term: 1}, Configurations: []Configuration{{Members: ranked("a", ra.NonVoter)}}})
	stepped(idle, Message{Kind: Written, Seq: stepped(idle, ask).Seq})
	if stepped(idle, Message{Kind: ElectionTimeout}); !prevote(t, idle, "c", false) {
		t.Error("a non-voter waits for ever")
	}
}

// FSM-08, SNX-03: a candidate of whatever kind gives way to the leader of its term, also if that sends a snapshot.
func TestCandidateTakesSnapshot(t *testing.T) {
	snapshot := func(term ra.Term) Message {
		return Message{Kind: InstallSnapshot, From: "b", Term: term, Index: 9, LogTerm: 1, Chunk: 1}
	}
	r := restored(t, 1)
	stepped(r, Message{Kind: Campaign})
	if o := stepped(r, snapshot(1)); o.Role != ra.ReceiveSnapshot || o.Leader != "b" {
		t.Errorf("while it asks: %v", o)
	}
	r = restored(t, 1)
	stepped(r, Message{Kind: Campaign})
	stepped(r, Message{Kind: PreVoteReply, From: "b", Term: 1, Token: 1})
	if o := stepped(r, snapshot(2)); o.Role != ra.ReceiveSnapshot || o.Leader != "b" {
		t.Errorf("in the election: %v", o)
	}
}

// QRY-12, ELE-20: why a transfer is refused. A refused one leaves the leader as it was.
func TestTransferRefused(t *testing.T) {
	lead := func(c *ra.Member) *Raft {
		r := leading(t, nil)
		if c != nil {
			stepped(r, Message{Kind: Change, Members: []ra.Member{*c}})
		}
		return r
	}
	none := ranked("c", ra.NonVoter)[2]
	promotable := member("d")
	promotable.Membership = ra.Promotable
	behind := Message{Kind: AppendReply, From: "c", Term: 2, Reject: true, Index: 1, LogTerm: 1, Last: 2}
	for _, test := range []struct {
		change *ra.Member
		event  Message
		to     ra.UID
		want   Refusal
	}{
		{&none, Message{}, "c", NotVoter}, {&none, behind, "c", NotVoter}, {&promotable, Message{}, "d", NotVoter},
		{nil, Message{}, "a", AlreadyLeader}, {nil, Message{}, "z", NotMember}, {nil, Message{}, "", NotMember},
		{nil, behind, "c", NotUpToDate}, {nil, Message{Kind: NodeDown, From: "b"}, "b", NotUpToDate},
	} {
		r := lead(test.change)
		stepped(r, test.event)
		got := r.Step(&Message{Kind: Transfer, To: test.to})
		o := r.Orders()
		if _, sent := sentKind(o, TimeoutNow, test.to); got.Refused != test.want || sent || o.Role != ra.Leader {
			t.Errorf("to %q, want %v: %v, %v", test.to, test.want, got.Refused, o)
		}
		if got := asked(r, Message{Kind: Propose, Entries: proposals(1)}); got.Refused != Accepted {
			t.Errorf("after a refused transfer to %q: %v", test.to, got.Refused)
		}
	}
}

// ELE-08, QRY-11: a member that is no voter starts no election, whoever wants one.
func TestNonVotersDoNotCampaign(t *testing.T) {
	for _, membership := range []ra.Membership{ra.Promotable, ra.NonVoter} {
		for _, m := range []Message{{Kind: Campaign}, {Kind: TimeoutNow, From: "b", Term: 1}} {
			r := started(t, Restored{State: ra.HardState{Term: 1}, Configurations: []Configuration{{Members: ranked("a", membership)}}})
			if o := stepped(r, m); o.Role != ra.Follower || len(o.Messages) != 0 || o.Seq != 0 || o.Term != 1 {
				t.Errorf("%v, %v: %v", membership, m, o)
			}
		}
	}
}

// SNX-07, ELE-09: what a leader knew of its peers ends with its leadership. When it leads anew, snapshots that were sent
// or put off, and what was confirmed, are forgotten.
func TestPeersStartNormalAgain(t *testing.T) {
	r := leading(t, nil)
	stepped(r, Message{Kind: SnapshotTaken, Index: 2, LogTerm: 2})
	stepped(r, Message{Kind: LogTruncated, Index: 2})
	for _, uid := range []ra.UID{"b", "c"} {
		stepped(r, Message{Kind: AppendReply, From: uid, Term: 2, Reject: true, Index: 0, Last: 2})
	}
	stepped(r, Message{Kind: InstallSnapshotReply, From: "c", Term: 2, Reject: true})
	if p := r.Status().Peers; p[0].Status != "sending_snapshot" || p[1].Status != "snapshot_backoff" {
		t.Fatalf("%+v", p)
	}
	if o := stepped(r, Message{Kind: ReadFailed}); o.Role != ra.Follower {
		t.Fatalf("%v", o)
	}
	win(r, 3)
	o := r.Orders()
	for _, p := range r.Status().Peers {
		m, sent := sentKind(o, Append, p.UID)
		if p.Status != "replicating" || p.Match != 0 || p.Next != 4 || !sent || m.Index != 2 || m.Last != 3 {
			t.Errorf("%+v: %v", p, o)
		}
	}
}

// ELE-20, I18: what the leader that hands over still says does not end the round that it asked for. A refusal lets it be heard.
func TestHandOverGoesOn(t *testing.T) {
	begin := func() *Raft {
		r := restored(t, 1)
		stepped(r, Message{Kind: Append, From: "b", Term: 1})
		o := stepped(r, Message{Kind: TimeoutNow, From: "b", Term: 1})
		if m, sent := sentKind(o, PreVoteRequest, "c"); !sent || !m.Force {
			t.Fatalf("asked to stand: %v", o)
		}
		return r
	}
	said := []Message{{Kind: Heartbeat, Query: 3}, {Kind: Append}, {Kind: InstallSnapshot, Index: 9, LogTerm: 1, Chunk: 1}}
	r := begin()
	for _, m := range said {
		m.From, m.Term = "b", 1
		if o := stepped(r, m); o.Role != ra.PreVote || len(o.Messages) != 0 {
			t.Errorf("%v: %v", m, o)
		}
	}
	if o := stepped(r, Message{Kind: PreVoteReply, From: "c", Term: 1, Token: 1}); o.Role != ra.Candidate {
		t.Errorf("granted: %v", o)
	}
	for _, m := range said {
		r := begin()
		stepped(r, Message{Kind: PreVoteReply, From: "c", Term: 1, Token: 0, Reject: true}) // of an earlier round
		m.From, m.Term = "b", 1
		if o := stepped(r, m); o.Role != ra.PreVote {
			t.Errorf("an old refusal, %v: %v", m, o)
		}
		stepped(r, Message{Kind: PreVoteReply, From: "c", Term: 1, Token: 1, Reject: true})
		if o := stepped(r, m); o.Role != ra.Follower && o.Role != ra.ReceiveSnapshot {
			t.Errorf("refused, %v: %v", m, o)
		}
	}
	r = begin()
	stepped(r, Message{Kind: ElectionTimeout})
	if o := stepped(r, Message{Kind: Heartbeat, From: "b", Term: 1, Query: 3}); o.Role != ra.Follower {
		t.Errorf("in a round of its own: %v", o)
	}
}
