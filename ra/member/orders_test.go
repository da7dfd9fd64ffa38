package member

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// REP-03, CMD-01: entries that are many bytes go out in several messages, each where the one before ended, none twice.
func TestLargeEntriesAreSentPiecewise(t *testing.T) {
	h := newHost(t, "b")
	h.lead()
	h.sent = nil
	for range 6 {
		h.command(150) // two fit into a message
	}
	h.Flush()
	next := ra.Index(2)
	for _, m := range h.sent {
		if m.Kind != raft.Append {
			continue
		}
		if m.Index+1 != next || int(m.Last-m.Index) != len(m.Entries) || len(m.Entries) > 2 {
			t.Errorf("expected entry %d next, got %v", next, &m)
		}
		next = m.Last + 1
	}
	if next != 8 {
		t.Errorf("sent are the entries below %d", next)
	}
}

// Contract of raft.Sent: what was ordered behind an append that was cut short is not sent, and ordered anew.
func TestNothingFollowsAnAppendThatWasCutShort(t *testing.T) {
	h := newHost(t, "b", "c")
	h.cfg.MaxAppendBytes = 1
	h.log = []ra.Entry{entry(1, 1, ra.KindCommand), entry(2, 1, ra.KindCommand), entry(3, 1, ra.KindCommand)}
	for _, m := range []raft.Message{
		{Kind: raft.Append, To: "b", Index: 0, Last: 2},
		{Kind: raft.Append, To: "b", Index: 2, Last: 3},
		{Kind: raft.Append, To: "c", Index: 2, Last: 3},
		{Kind: raft.Heartbeat, To: "b"},
	} {
		h.send(&m)
	}
	if h.count(raft.Append, "b") != 1 || h.count(raft.Append, "c") != 1 || h.count(raft.Heartbeat, "b") != 1 {
		t.Errorf("sent are %v", h.sent)
	}
	if len(h.Server.sent) != 2 || h.Server.sent[0].Index != 1 || h.Server.sent[0].Last != 2 || h.Server.sent[0].Bytes != len(h.log[1].Body) {
		t.Errorf("the core is told %v", h.Server.sent)
	}
}

// FSM-04, CMD-12: an order that the store has no room for waits, later ones queue behind it, commands are held, or are
// refused if the disk is full, which may take long; with room again everything goes on in order. The other members get
// the entries meanwhile.
func TestBacklog(t *testing.T) {
	for _, full := range []error{ra.ErrOverloaded, ra.ErrDiskFull} {
		h := newHost(t, "b", "c")
		h.lead()
		h.full = full
		first := h.command(0)
		h.Flush()
		if !h.Stalled() || h.Status().Role != ra.AwaitCondition || h.Failed() != nil {
			t.Fatalf("stalled %v, %+v, %v", h.Stalled(), h.Status(), h.Failed())
		}
		if h.count(raft.Append, "b") == 0 || h.lastTo(raft.Append, "b").Last != 2 {
			t.Error("the entry was not sent")
		}
		held := h.command(0)
		h.Flush()
		h.Resume() // for nothing
		h.Flush()
		refused := errors.Is(full, ra.ErrDiskFull)
		if refused {
			h.calls.wantOpen(first)
			h.calls.want(held, ra.ErrDiskFull)
		} else {
			h.calls.wantOpen(first, held)
		}
		h.full = nil
		h.Resume()
		h.Flush()
		if h.Stalled() || h.Status().Role != ra.Leader {
			t.Fatalf("stalled %v, %+v", h.Stalled(), h.Status())
		}
		if refused {
			held = h.command(0) // is taken now
			h.Flush()
		}
		h.synced()
		h.acked(3)
		h.calls.want(first, nil)
		h.calls.want(held, nil)
	}
}

// FSM-04, ELE-10: while an order waits, the term that comes behind it waits too, and so does what depends on it: the
// vote. Orders reach the store in the order of their numbers.
func TestBacklogKeepsTheOrderOfOrders(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	h.full = ra.ErrOverloaded
	h.command(0)
	h.Flush()
	h.step(raft.Message{
		Kind: raft.Append, From: "c", Term: 3, Index: 1, LogTerm: 1, Last: 2, Entries: []ra.Entry{entry(2, 3, ra.KindNoop)},
	})
	h.step(raft.Message{Kind: raft.VoteRequest, From: "b", Term: 4, Index: 9, LogTerm: 3})
	if len(h.Backlog()) != 3 || h.count(raft.AppendReply, "c") != 0 {
		t.Errorf("waiting are %d orders, sent %v", len(h.Backlog()), h.sent)
	}
	before := len(h.stored)
	h.full = nil
	h.Resume()
	h.Flush()
	h.synced()
	got := h.stored[before:]
	if len(got) != 3 || got[0].Entries[0].Term != 1 || got[1].State.Term != 3 || got[2].State.Term != 4 {
		t.Fatalf("stored are %+v", got)
	}
	if m := h.lastTo(raft.VoteReply, "b"); !m.Reject {
		t.Errorf("a member without storage gives its vote: %v", &m)
	}
}

// A store that fails for good stops the member, and nobody is left waiting (I15, ErrDamaged).
func TestStoreThatFailsStopsTheMember(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	h.full = errDisk
	n := h.command(0)
	h.Flush()
	if !errors.Is(h.Failed(), errDisk) || !errors.Is(h.Failed(), ra.ErrDamaged) {
		t.Fatalf("stopped: %v", h.Failed())
	}
	h.calls.want(n, errDisk)
}

// The same while the backlog is given to it.
func TestStoreThatFailsLaterStopsTheMember(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	h.full = ra.ErrDiskFull
	n := h.command(0)
	h.Flush()
	h.full = errDisk
	h.Resume()
	if !errors.Is(h.Failed(), errDisk) {
		t.Fatalf("stopped: %v", h.Failed())
	}
	h.calls.want(n, errDisk)
}

// Bug 65: a leader that cannot read its log hands over.
func TestLeaderThatCannotReadHandsOver(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	h.read = errDisk
	n := h.command(0)
	h.Flush()
	if st := h.Status(); st.Role != ra.Follower || h.count(raft.TimeoutNow, "b") != 1 {
		t.Errorf("%+v, sent %v", st, h.sent)
	}
	h.calls.wantOpen(n) // it is in the log, and may still be committed
}

// A member that cannot read what it must apply stops rather than leave it out (I5).
func TestUnreadableCommittedEntryStopsTheMember(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	n := h.command(0)
	h.Flush()
	h.synced()
	h.read = errDisk
	h.acked(2)
	if !errors.Is(h.Failed(), errDisk) || h.Status().Applied != 1 {
		t.Errorf("%+v, stopped: %v", h.Status(), h.Failed())
	}
	if h.calls.want(n, errDisk); !ra.MayHaveBeenApplied(h.calls.results[n].Err) {
		t.Errorf("the command ended with %v", h.calls.results[n].Err)
	}
}

// TIM-01: the timer and the tick are the shell's; they follow the orders.
func TestTimerAndTick(t *testing.T) {
	h := newHost(t, "b", "c")
	if h.armed {
		t.Error("a brand-new member has a timer (API-07)")
	}
	h.step(raft.Message{Kind: raft.Campaign})
	if !h.armed || h.timer != raft.Long {
		t.Errorf("after a pre-vote: armed %v, class %v", h.armed, h.timer)
	}
	h.step(raft.Message{Kind: raft.Heartbeat, From: "b", Term: 1})
	if h.armed || h.ticking {
		t.Errorf("a follower at rest: armed %v, ticking %v", h.armed, h.ticking)
	}
	h = newHost(t, "b")
	h.lead()
	if !h.ticking { // b has not said that it knows what is committed
		t.Error("a leader with a peer behind has no tick")
	}
	h.step(raft.Message{Kind: raft.AppendReply, From: "b", Term: 1, LogTerm: 1, Index: 1, Last: 1, Commit: 1})
	if h.ticking {
		t.Error("an idle leader has a tick")
	}
}

// MAC-04: entries carry the time of the batch that made them, and a no-op that of the election, not of what the member
// did before.
func TestEntriesCarryTheTimeOfTheirBatch(t *testing.T) {
	h := newHost(t, "b", "c")
	h.now = 1000
	h.step(raft.Message{Kind: raft.Campaign})
	h.step(raft.Message{Kind: raft.PreVoteReply, From: "b", Token: 1})
	h.synced()
	h.now = 5000
	h.step(raft.Message{Kind: raft.VoteReply, From: "b", Term: 1})
	h.now = 4000 // the clock was set back
	h.command(0)
	h.Flush()
	h.now = 6000
	h.command(0)
	h.Flush()
	for i, want := range []int64{5000, 5000, 6000} {
		if got := h.log[i].Time(); got != want {
			t.Errorf("entry %d has time %d, want %d", i+1, got, want)
		}
	}
}
