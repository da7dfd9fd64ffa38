package member

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// QRY-01, QRY-02, QRY-05: any member answers from what it has applied, with the current term.
func TestLocalQuery(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.follow("x", "y")
	w.step(raft.Message{Kind: raft.Heartbeat, From: "b", Term: 5})
	w.took()
	if n := w.LocalQuery("q", Condition{}, false, scribe{w, 1}); n != 0 {
		t.Errorf("query %d waits", n)
	}
	w.want("reply 1 q at 2/5")
	if r := w.calls.results[1]; r.Index != 2 || r.Term != 5 || r.Leader != "b" {
		t.Errorf("ended with %+v", r)
	}
	w.LocalQuery(machine.QueryFunc(func(ctx machine.QueryContext, state any) (any, error) {
		return state == &w.script && ctx == machine.QueryContext{Index: 2, Term: 5}, nil
	}), Condition{}, false, scribe{w, 2})
	w.want("reply 2 true")
}

// QRY-02, QRK-04: a query that panics or fails ends with that, and nothing else does.
func TestQueryThatPanics(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	bad := machine.QueryFunc(func(machine.QueryContext, any) (any, error) { panic("oh") })
	w.LocalQuery(bad, Condition{}, false, w.calls.caller(1))
	w.Query(bad, w.calls.caller(2))
	w.Query(machine.QueryFunc(func(machine.QueryContext, any) (any, error) { return 1, errDisk }), w.calls.caller(3))
	w.Flush()
	for n := 1; n <= 2; n++ {
		var p *machine.PanicError
		if err := w.calls.results[n].Err; !errors.As(err, &p) || ra.MayHaveBeenApplied(err) {
			t.Errorf("query %d ended with %v", n, err)
		}
	}
	w.calls.want(3, errDisk)
	if w.Failed() != nil {
		t.Errorf("stopped: %v", w.Failed())
	}
}

// QRY-03: a leader query is for the leader; while none is known it is kept.
func TestLeaderQuery(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	first := w.LocalQuery("q", Condition{}, true, scribe{w, 1})
	second := w.LocalQuery("q", Condition{}, true, scribe{w, 2})
	if first == 0 || second == 0 || first == second {
		t.Errorf("queries %d and %d wait", first, second)
	}
	if !w.CancelQuery(first) || w.CancelQuery(first) || w.CancelQuery(99) {
		t.Error("cancelling goes wrong")
	}
	w.elect()
	w.calls.wantOpen(1)
	w.calls.want(2, nil)
	w.took()
	w.LocalQuery("q", Condition{}, true, scribe{w, 3})
	w.want("reply 3 q at 1/1")
	w.depose()
	w.LocalQuery("q", Condition{}, true, scribe{w, 4})
	w.calls.want(4, ra.ErrNotLeader)
}

// QRY-04, QRK-13: a query with a condition waits for the entry, not longer than it can come, and in bounded number.
func TestConditionalQuery(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.follow("x")
	w.took()
	w.LocalQuery("q", Condition{1, 1}, false, scribe{w, 1})
	w.LocalQuery("q", Condition{1, 2}, false, scribe{w, 2})
	w.LocalQuery("q", Condition{Index: 1}, false, scribe{w, 21})
	open := w.LocalQuery("q", Condition{Index: 2}, false, scribe{w, 22})
	third := w.LocalQuery("q", Condition{3, 1}, false, scribe{w, 3})
	fourth := w.LocalQuery("q", Condition{2, 1}, false, scribe{w, 4})
	fifth := w.LocalQuery("q", Condition{3, 9}, false, scribe{w, 5})
	w.want("reply 1 q at 1/1", "reply 2 error "+ra.ErrSuperseded.Error(), "reply 21 q at 1/1")
	for _, n := range []uint64{third, fourth, fifth, open} {
		if n == 0 {
			t.Error("a query does not wait")
		}
	}
	w.follow("y")
	w.want("apply y", "reply 22 q at 2/1", "reply 4 q at 2/1")
	for range 3 {
		w.LocalQuery("q", Condition{100, 1}, false, w.calls.caller(w.next+100))
		w.next++
	}
	w.LocalQuery("q", Condition{3, 1}, false, scribe{w, 6})
	w.want("reply 6 error " + ra.ErrOverloaded.Error())
	if !w.CancelQuery(third) {
		t.Error("query cannot be cancelled")
	}
	w.follow("z")
	w.want("apply z", "reply 5 error "+ra.ErrSuperseded.Error())
	w.calls.wantOpen(3)
	w.Stop(ra.ErrClosed)
	w.calls.want(100, ra.ErrNoProcess)
	w.LocalQuery("q", Condition{}, false, w.calls.caller(7))
	w.calls.want(7, ra.ErrNoProcess)
}

// QRY-06, I13: consistent queries that wait for their proof are bounded.
func TestConsistentQueriesAreBounded(t *testing.T) {
	h := newHost(t, "b", "c")
	h.lead()
	h.needRare().rounds = make([]query, maxRounds)
	h.Server.Query(nil, h.calls.caller(1))
	h.Flush()
	h.calls.want(1, ra.ErrOverloaded)
}

// VER-07, QRY-06: a machine that cannot apply what is committed gives no consistent answers, but local ones.
func TestNoConsistentAnswerFromAMachineThatIsStuck(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	w.Server.stuck = true // as a no-op of a higher version makes it
	n := w.do("x")
	w.commit()
	w.Query("q", w.calls.caller(50))
	w.Flush()
	w.calls.want(50, machine.ErrVersion)
	w.calls.wantOpen(n)
	w.LocalQuery("q", Condition{}, false, scribe{w, 51})
	w.want("reply 51 q at 1/1")
}
