package member

import (
	"fmt"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// pieces returns the leader of a, b and c that applies its log in pieces of two entries and has five commands in it, which c
// has not confirmed. Each sends something.
func pieces(t *testing.T) *world {
	on := acts{}
	for i := range 5 {
		word := fmt.Sprint("w", i)
		on[word] = func(_ machine.Meta, fx *machine.Effects) any {
			fx.Send(process("p"), word)
			return word
		}
	}
	w := newWorld(t, on)
	w.piece = 2
	w.begin("b", "c")
	w.elect()
	for i := range 5 {
		w.do(fmt.Sprint("w", i))
	}
	w.Flush()
	w.synced()
	w.took()
	return w
}

// confirmed is what c says when it has them.
var confirmed = raft.Message{Kind: raft.AppendReply, From: "c", Term: 1, LogTerm: 1, Index: 6, Last: 6}

// EFF-01: a leader that finds much committed applies it piece by piece, each with its effects and replies. What clients ask
// for in between is appended and on its way to the peers before the next piece; local queries are answered at once from what
// is applied.
func TestLeaderAppliesInPieces(t *testing.T) {
	w := pieces(t)
	w.more = []func(){
		func() { w.do("x") },
		func() {
			m := w.lastTo(raft.Append, "b")
			w.line("sent %d, applied %d, committed %d", m.Last, w.Status().Applied, w.Status().Commit)
			w.LocalQuery("q", Condition{}, true, scribe{w, 50})
		},
	}
	w.step(confirmed)
	w.want("apply w0", "apply w1", "send p w0", "reply 1 w0", "send p w1", "reply 2 w1", "more",
		"apply w2", "apply w3", "send p w2", "reply 3 w2", "send p w3", "reply 4 w3", "more",
		"sent 7, applied 5, committed 6", "reply 50 q at 5/1",
		"apply w4", "send p w4", "reply 5 w4")
	w.confirm()
	w.want("apply x", "reply 6 6")
}

// REP-33: a consistent query that is proved sees all that is committed, also one that comes between two pieces, of a leader
// that proves it alone.
func TestQueryBetweenPieces(t *testing.T) {
	w := pieces(t)
	w.Query("q", scribe{w, 50})
	w.Flush()
	w.step(confirmed, raft.Message{Kind: raft.HeartbeatReply, From: "c", Term: 1, Query: 1})
	w.want("apply w0", "apply w1", "apply w2", "apply w3", "apply w4", "send p w0", "reply 1 w0", "send p w1", "reply 2 w1",
		"send p w2", "reply 3 w2", "send p w3", "reply 4 w3", "send p w4", "reply 5 w4", "reply 50 q at 6/1")

	w = newWorld(t, nil)
	w.piece = 2
	w.begin()
	w.leadAlone()
	for i := range 5 {
		w.do(fmt.Sprint("w", i))
	}
	w.more = []func(){func() { w.Query("q", scribe{w, 50}) }}
	w.commit()
	w.want("apply w0", "apply w1", "reply 1 1", "reply 2 2", "more",
		"apply w2", "apply w3", "apply w4", "reply 3 3", "reply 4 4", "reply 5 5", "reply 50 q at 6/1")
}

// EFF-02: what a leadership has committed is applied in it, with its effects, also if it ends between two pieces.
func TestLeadershipEndsBetweenPieces(t *testing.T) {
	w := pieces(t)
	w.more = []func(){func() {
		w.later = append(w.later, func() {
			for _, uid := range []ra.UID{"b", "c"} {
				w.Server.Step(&raft.Message{Kind: raft.NodeDown, From: uid})
			}
		})
	}}
	w.step(confirmed)
	w.want("apply w0", "apply w1", "send p w0", "reply 1 w0", "send p w1", "reply 2 w1", "more",
		"apply w2", "apply w3", "apply w4", "send p w2", "reply 3 w2", "send p w3", "reply 4 w3", "send p w4", "reply 5 w4",
		"enter follower")
}

// Peers and disk do not wait for a long stretch to be applied; nor does a follower stop in the middle of it.
func TestLeavesBeforeALongStretch(t *testing.T) {
	w := newWorld(t, nil)
	w.piece = 2
	w.begin("b", "c")
	w.took()
	for _, n := range []ra.Index{leaveFrom - 1, leaveFrom} {
		at := Position{Index: w.Status().Applied, Term: w.Status().Term}
		var entries []ra.Entry
		for i := range n {
			entries = append(entries, entry(at.Index+1+i, 1, ra.KindNoop))
		}
		last := at.Index + n
		w.step(raft.Message{
			Kind: raft.Append, From: "b", Term: 1, Index: at.Index, LogTerm: at.Term, Last: last, Commit: last, Entries: entries,
		})
		if w.Status().Applied != last {
			t.Errorf("of %d entries: %+v", n, w.Status())
		}
	}
	w.want("leave")
}

// A machine that fails in a piece stops its member at once; who waits for the rest is told that it is uncertain.
func TestPieceFails(t *testing.T) {
	w := pieces(t)
	w.script.on["w2"] = func(machine.Meta, *machine.Effects) any { panic("w2") }
	w.step(confirmed)
	if w.Failed() == nil || w.Status().Applied != 3 {
		t.Fatalf("%v, %+v", w.Failed(), w.Status())
	}
	for n := 3; n <= 5; n++ {
		if err := w.calls.results[n].Err; !ra.MayHaveBeenApplied(err) {
			t.Errorf("call %d: %v", n, err)
		}
	}
}
