package raft

import "testing"

// REP-07, REP-12: in a settled cluster nothing can be committed before a peer has confirmed more than is committed, so
// the leader's own disk and late confirmations can wait; once one has, its own disk is what counts.
func TestPatience(t *testing.T) {
	r := leading(t, nil)
	want := Patience{Term: 2, Acks: 2, Written: true}
	if got := r.Patience(); got != want {
		t.Errorf("at rest: %+v", got)
	}
	seq := stepped(r, Message{Kind: Propose, Entries: proposals(1)}).Seq
	if got := r.Patience(); got != want {
		t.Errorf("with an entry that nobody has: %+v", got)
	}
	stepped(r, Message{Kind: AppendReply, From: "b", Term: 2, LogTerm: 2, Index: 3, Last: 3})
	want.Written = false
	if got := r.Patience(); got != want {
		t.Errorf("with an entry that needs the leader's disk: %+v", got)
	}
	stepped(r, Message{Kind: Written, Seq: seq})
	want = Patience{Term: 2, Acks: 3, Written: true}
	if got := r.Patience(); got != want {
		t.Errorf("committed: %+v", got)
	}
}

// Whoever has something left to send, to change or to hand over hears of everything.
func TestNoPatience(t *testing.T) {
	limits := DefaultLimits
	limits.MaxInflightEntries = 4
	for what, messages := range map[string][]Message{
		"a window that is full": {{Kind: Propose, Entries: proposals(9)}},
		"a peer that is probed": {{Kind: NodeDown, From: "c"}, {Kind: NodeUp, From: "c"}},
		"another configuration": {{Kind: Change, Op: Remove, Members: members("c")}},
		"a new member":          {{Kind: Change, Op: Set, Members: members("d")}},
		"no leadership":         {{Kind: AppendReply, From: "c", Term: 3}},
	} {
		r := leading(t, &limits)
		stepped(r, Message{Kind: AppendReply, From: "c", Term: 2, LogTerm: 2, Index: 2, Last: 2})
		if r.Patience() == (Patience{}) {
			t.Fatal("there is none at rest")
		}
		for _, m := range messages {
			stepped(r, m)
		}
		if got := r.Patience(); got != (Patience{}) {
			t.Errorf("%s: %+v", what, got)
		}
	}
}
