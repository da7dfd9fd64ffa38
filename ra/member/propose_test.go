package member

import (
	"errors"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// CMD-01, CMD-02: a command is answered with the machine's reply when it is applied, and not before.
func TestCommandIsAnsweredWhenApplied(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	first, second := h.command(0), h.command(0)
	h.Flush()
	h.synced()
	h.calls.wantOpen(first, second)
	h.acked(2)
	h.calls.want(first, nil)
	h.calls.wantOpen(second)
	h.acked(3)
	if r := h.calls.results[second]; r.Err != nil || r.Reply != 2 || r.Index != 3 || r.Term != 1 || r.Leader != "a" {
		t.Errorf("the second command ended with %+v", r)
	}
}

// CMD-03: a member that knows a leader sends callers there. They know that nothing was applied.
func TestFollowerRedirects(t *testing.T) {
	h := newHost(t, "b", "c")
	h.step(raft.Message{Kind: raft.Heartbeat, From: "b", Term: 1})
	n, q := h.command(0), h.query()
	h.Flush()
	for _, n := range []int{n, q} {
		h.calls.want(n, ra.ErrNotLeader)
		var e *ra.NotLeaderError
		if r := h.calls.results[n]; !errors.As(r.Err, &e) || e.Leader.Node != "b" || r.Leader != "b" || ra.MayHaveBeenApplied(r.Err) {
			t.Errorf("call %d ended with %+v", n, r)
		}
	}
}

// CMD-03: calls are held while no leader is known, no more than MaxHeld, and sent to the leader that comes up.
func TestHeldUntilALeaderIsKnown(t *testing.T) {
	h := newHost(t, "b", "c")
	var held []int
	for range 4 {
		held = append(held, h.command(0))
	}
	held = append(held, h.query())
	over := h.query()
	h.Flush()
	late := h.command(0)
	h.Flush()
	h.calls.want(over, ra.ErrOverloaded)
	h.calls.want(late, ra.ErrOverloaded)
	h.calls.wantOpen(held...)
	h.step(raft.Message{Kind: raft.Heartbeat, From: "c", Term: 1})
	for _, n := range held {
		h.calls.want(n, ra.ErrNotLeader)
	}
}

// CMD-03, MEM-03: who is held through a whole round of an election hears that this member knows no leader: others may, if
// it was removed.
func TestHeldAreGivenBack(t *testing.T) {
	h := newHost(t, "b", "c")
	held := []int{h.command(0), h.query()}
	h.Flush()
	h.step(raft.Message{Kind: raft.ElectionTimeout})
	h.calls.wantOpen(held...)
	h.step(raft.Message{Kind: raft.ElectionTimeout})
	for _, n := range held {
		h.calls.want(n, ra.ErrNotLeader)
	}
	later := h.command(0)
	h.Flush()
	h.step(raft.Message{Kind: raft.ElectionTimeout})
	h.calls.wantOpen(later)
}

// CMD-03: the follower of a leader whose entries do not fit waits for some that do; those who were held need not.
func TestHeldAreRedirectedByAFollowerThatWaits(t *testing.T) {
	h := newHost(t, "b", "c")
	n := h.command(0)
	h.Flush()
	h.step(raft.Message{Kind: raft.Append, From: "b", Term: 4, Index: 7, LogTerm: 3, Last: 7})
	if h.Status().Role != ra.AwaitCondition {
		t.Fatalf("is to wait: %+v", h.Status())
	}
	h.calls.want(n, ra.ErrNotLeader)
}

// CMD-12: during a hand-over calls are held; when it has failed they are proposed, in the order in which they came,
// before those that come with its end. Bug 26.
func TestHeldCommandsKeepTheirOrder(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	h.Server.Step(&raft.Message{Kind: raft.Transfer, To: "b"})
	calls := []int{h.command(0), h.command(0)}
	h.Flush()
	if h.Status().Role != ra.AwaitCondition {
		t.Fatalf("is to hand over: %+v", h.Status())
	}
	calls = append(calls, h.command(0))
	h.Flush()
	h.calls.wantOpen(calls...)
	for range raft.DefaultLimits.AwaitTicks {
		h.Server.Step(&raft.Message{Kind: raft.Tick})
	}
	calls = append(calls, h.command(0)) // in the batch that ends the wait
	h.Flush()
	h.synced()
	h.acked(5)
	if !slices.Equal(h.calls.order, calls) || !slices.Equal(h.applied, []uint64{0, 1, 2, 3}) {
		t.Errorf("calls end in order %v, applied in order %v", h.calls.order, h.applied)
	}
}

// I15, I21: a command that makes no sense is refused alone.
func TestMalformedCommandIsRefusedAlone(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	before := h.command(0)
	h.Command(Command{Proposal: ra.Entry{Body: []byte("short")}, Caller: h.calls.caller(99)})
	h.Command(Command{Proposal: raft.NewProposal(ra.KindConfig, 0, nil), Caller: h.calls.caller(98)})
	after := h.command(0)
	h.Flush()
	h.synced()
	h.acked(3)
	h.calls.want(before, nil)
	h.calls.want(after, nil)
	h.calls.want(98, ErrMalformed)
	h.calls.want(99, ErrMalformed)
}

// I13, REP-33: a query is answered when a majority has confirmed this leader after the query came in.
func TestQueryWaitsForItsProof(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	q := h.query()
	h.Flush()
	h.calls.wantOpen(q)
	h.step(raft.Message{Kind: raft.HeartbeatReply, From: "b", Term: 1, Query: 1})
	h.calls.want(q, nil)
	later := h.query()
	h.Flush()
	h.step(raft.Message{Kind: raft.HeartbeatReply, From: "b", Term: 1, Query: 1}) // an old proof
	h.calls.wantOpen(later)
}

// REP-36: queries of a leader that is none any more go to the new one, once it is known.
func TestQueriesOfALostLeadershipAreRedirected(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	q := h.query()
	h.Flush()
	h.step(raft.Message{Kind: raft.VoteRequest, From: "c", Term: 2, Index: 1, LogTerm: 1})
	h.calls.wantOpen(q)
	h.step(raft.Message{Kind: raft.Heartbeat, From: "c", Term: 2})
	h.calls.want(q, ra.ErrNotLeader)
}

// I15: a command that another leader's entry replaced was certainly not applied.
func TestOverwrittenCommandIsSuperseded(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	n := h.command(0)
	h.Flush()
	h.step(raft.Message{
		Kind: raft.Append, From: "b", Term: 2, Index: 1, LogTerm: 1, Last: 2, Commit: 1,
		Entries: []ra.Entry{entry(2, 2, ra.KindNoop)},
	})
	h.calls.wantOpen(n)
	h.step(raft.Message{Kind: raft.Append, From: "b", Term: 2, Index: 2, LogTerm: 2, Last: 2, Commit: 2})
	h.calls.want(n, ra.ErrSuperseded)
}

// I15: when a member stops, every call ends. What is in the log may still be applied; nothing else was.
func TestStopEndsEveryCall(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	logged, asked := h.command(0), h.query()
	h.Flush()
	h.Server.Step(&raft.Message{Kind: raft.Transfer, To: "b"})
	held := h.command(0)
	h.Flush()
	fresh, freshQuery := h.command(0), h.query()
	h.Stop(ra.ErrClosed)
	after := h.command(0)
	h.Flush()
	h.calls.want(logged, ra.ErrClosed)
	for _, n := range []int{asked, held, fresh, freshQuery, after} {
		h.calls.want(n, ra.ErrNoProcess)
	}
	for n, r := range h.calls.results {
		if ra.MayHaveBeenApplied(r.Err) != (n == logged) {
			t.Errorf("call %d: %v", n, r.Err)
		}
	}
	if got := h.Server.Step(&raft.Message{Kind: raft.Tick}); got.Refused != raft.Stopped {
		t.Errorf("a stopped member says %v", got.Refused)
	}
}

// FSM-10, CMD-13, I15: a leader that removed itself stops when that is committed and told to the others. Commands that
// it took in meanwhile will not be applied here, so their callers hear that nobody knows.
func TestRemovedLeaderStops(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	h.Server.Step(&raft.Message{Kind: raft.Change, Op: raft.Remove, Members: []ra.Member{{UID: "a"}}})
	n := h.command(0)
	h.Flush()
	h.step(
		raft.Message{Kind: raft.AppendReply, From: "b", Term: 1, LogTerm: 1, Index: 2, Last: 3},
		raft.Message{Kind: raft.AppendReply, From: "c", Term: 1, LogTerm: 1, Index: 2, Last: 3},
	)
	if !errors.Is(h.Failed(), ErrRemoved) || h.Status().Applied != 2 {
		t.Fatalf("%+v, stopped: %v", h.Status(), h.Failed())
	}
	if h.calls.want(n, ErrRemoved); !ra.MayHaveBeenApplied(h.calls.results[n].Err) {
		t.Errorf("the command ended with %v", h.calls.results[n].Err)
	}
	for _, to := range []ra.UID{"b", "c"} {
		if last := h.lastTo(raft.Append, to); last.Commit != 2 {
			t.Errorf("%s has not heard that the removal is committed: %v", to, last)
		}
	}
}

// lastTo returns the last message of a kind that was sent to a member.
func (h *host) lastTo(kind raft.Kind, to ra.UID) raft.Message {
	for i := len(h.sent) - 1; i >= 0; i-- {
		if m := h.sent[i]; m.Kind == kind && m.To == to {
			return m
		}
	}
	return raft.Message{}
}
