package member

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Orders of the core keep the core's numbers, however many of the Server's own stand between them, and no order is
// confirmed to the core before it is durable.
func TestNumbersOfOrders(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var n orderState
		var core []uint64 // core[i] is the Server's number of the core's order i+1
		for n.written < 40 {
			if rng.IntN(2) == 0 && n.last < 40 {
				if own := rng.IntN(3) == 0; !own {
					core = append(core, n.next(false))
				} else {
					n.next(true)
				}
				continue
			}
			seq := rng.Uint64N(n.last + 2)
			before := n.written
			got, want := n.confirm(seq), uint64(0)
			if seq > before && seq <= n.last {
				for want < uint64(len(core)) && core[want] <= seq {
					want++
				}
			}
			if got != want {
				t.Fatalf("confirmed up to %d of %d, the core's orders are %v: the core hears %d, want %d", seq, n.last, core, got, want)
			}
		}
		if len(n.own) != 0 || cap(n.own) > 64 {
			t.Fatalf("own orders %v are kept", n.own)
		}
	}
}

// LOG-07: the applied index rides along with orders: with each of an idle member, with few of a busy one, and it is left
// behind at an orderly end. It never passes what was applied.
func TestAppliedMarks(t *testing.T) {
	h := newHost(t)
	h.lead1()
	marks := func() (all []ra.Index) {
		for _, op := range h.stored {
			if op.Applied != 0 {
				all = append(all, op.Applied)
			}
		}
		return all
	}
	for range 10 {
		h.command(0)
		h.Flush()
		h.synced()
	}
	if got := marks(); len(got) != 10 || got[9] != 10 {
		t.Errorf("an idle member leaves the marks %v", got)
	}
	h.command(0)
	h.Flush()
	h.stored = h.stored[:0]
	seq := h.orders.last
	for range 200 { // one order is always under way
		h.command(0)
		h.Flush()
		h.Written(seq)
		h.Flush()
		seq = h.orders.last
	}
	if got := marks(); len(got) < 2 || len(got) > 5 {
		t.Errorf("a busy member leaves the marks %v", got)
	}
	h.synced()
	applied := h.Status().Applied
	h.Stop(ra.ErrClosed)
	if op := h.Mark(); op == nil || op.Seq != 0 || op.Applied != applied {
		t.Errorf("the last mark is %+v, applied is %d", op, applied)
	}
	if op := h.Mark(); op != nil {
		t.Errorf("a second last mark is %+v", op)
	}
}

// lead1 makes the only member the leader.
func (h *host) lead1() {
	h.t.Helper()
	h.step(raft.Message{Kind: raft.Campaign})
	h.synced()
	h.synced()
	if st := h.Status(); st.Role != ra.Leader || st.Commit != 1 {
		h.t.Fatalf("is to lead: %+v", st)
	}
}

// LOG-06: when a snapshot is in place that the log does not reach, the first order says so, and the core's follow it.
func TestResetComesFirst(t *testing.T) {
	r := lagging(t)
	a, c := r.node("a"), r.node("c")
	c.fetch(a)() // and then the crash
	for model := range vfs.CrashModels {
		c.crash(model)
		c.start()
		if c.server.orders.last != 1 || c.batch.Empty() || c.server.Status().Applied != 201 {
			t.Fatalf("%v: %d orders, %+v", model, c.server.orders.last, c.server.Status())
		}
	}
	r.tick(3)
	r.check("a", "b", "c")
	if len(c.installed) != 0 {
		t.Errorf("installed were %+v", c.installed)
	}
	c.crash(vfs.CrashLost)
	c.start()
	if c.server.orders.last != 0 {
		t.Errorf("%d orders at a further start", c.server.orders.last)
	}
	a.propose(1)
	r.tick(3)
	r.check("a", "b", "c")
}

// Whoever ends a failed member gets every order that is not stored, that on which it failed included, in order.
func TestBacklogOfAFailedMember(t *testing.T) {
	for _, cause := range []error{errDisk, ra.ErrStorageFailed} {
		h := newHost(t, "b", "c")
		h.lead()
		last := h.orders.last
		h.full = ra.ErrOverloaded
		h.command(0)
		h.Flush()
		h.step(raft.Message{Kind: raft.VoteRequest, From: "b", Term: 4, Index: 9, LogTerm: 3})
		h.full = cause
		h.Resume()
		if !errors.Is(h.Failed(), cause) {
			t.Fatalf("stopped: %v", h.Failed())
		}
		want := []wal.Op{{Seq: last + 1}, {Seq: last + 2}}
		got := h.Backlog()
		if len(got) != len(want) || got[0].Seq != want[0].Seq || len(got[0].Entries) != 1 || got[1].Seq != want[1].Seq || got[1].State == nil {
			t.Errorf("the backlog is %+v", got)
		}
		if h.Mark() != nil {
			t.Error("a mark would overtake the backlog")
		}
	}
	h := newHost(t, "b", "c")
	h.lead()
	h.full = errDisk
	h.command(0)
	h.Flush()
	if got := h.Backlog(); len(got) != 1 || len(got[0].Entries) != 1 {
		t.Errorf("the backlog is %+v", got)
	}
}

// REP-13: commit index and applied index move in one batch, however much is committed at once: more entries and more bytes
// than are applied together.
func TestAllThatIsCommittedIsApplied(t *testing.T) {
	few := slices.Repeat([]string{"x"}, 2*applyEntries+1)
	large := slices.Repeat([]string{strings.Repeat("x", applyChunk/2)}, 5)
	for name, words := range map[string][]string{"many entries": few, "large entries": large} {
		w := newWorld(t, nil).begin("b", "c")
		w.follow(words...)
		if s := w.Status(); s.Applied != ra.Index(len(words)) || s.Commit != s.Applied {
			t.Errorf("%s: %+v of %d", name, s, len(words))
		}
	}
}
