package member

import (
	"io"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// offering returns the leader of a cluster of one that has applied some commands, none of which asked for a snapshot.
func offering(t *testing.T) *rigNode {
	r := newRig(t)
	r.policy = snapshot.Policy{Growth: 1}
	r.add("a")
	n := r.elect("a")
	n.propose(40)
	n.settle()
	return n
}

// pack writes what a member offers, and tells it.
func (n *rigNode) pack(o *Offer) {
	n.t.Helper()
	if o == nil {
		n.t.Fatal("nothing is offered")
	}
	p := n.store.NewPack()
	o.AddTo(p)
	in, err := p.Commit()
	if err != nil {
		n.t.Fatal(err)
	}
	if len(in) == 1 {
		o.Taken(in[0], true)
	} else {
		o.Taken(snapshot.Info{}, false)
	}
	n.server.Flush()
	n.settle()
}

// SNAP-01, SNAP-05: a member whose machine never asks for snapshots offers one of what it has applied if that is short beside
// its log, and lets go of the log when it is durable.
func TestOffer(t *testing.T) {
	n := offering(t)
	applied := n.server.Status().Applied
	n.pack(n.server.Offer())
	if meta, commands := n.stored(); meta.Index != applied || commands != 40 {
		t.Errorf("the snapshot is of %d with %d commands, applied are %d", meta.Index, commands, applied)
	}
	if base := n.log.Snapshot().Index; base != applied || n.server.Core().Snapshot.Index != applied {
		t.Errorf("the log has let go of %d, the core knows of %v, applied is %d", base, n.server.Core().Snapshot, applied)
	}
	if n.server.Offer() != nil {
		t.Error("a snapshot is offered where nothing is new")
	}
	n.crash(vfs.CrashLost)
	n.start()
	n.elect("a")
	n.propose(1)
	n.settle()
	n.check("a")
	if n.captures != 0 {
		t.Errorf("%d captures are left", n.captures)
	}
}

// SNAP-01, FSM-11: nothing is offered by who must not, cannot, or has other plans.
func TestNoOffer(t *testing.T) {
	for name, hinder := range map[string]func(*rigNode){
		"asks itself": func(n *rigNode) {
			n.onApply = releaseAfter(1 << 20)
			n.propose(1)
			n.settle()
			n.server.snaps.asks = true
		},
		"one is under way": func(n *rigNode) { n.server.take(n.server.Status().Applied, nil, false) },
		"deleted":          func(n *rigNode) { n.server.deleting = n.server.Status().Applied },
		"stopped":          func(n *rigNode) { n.server.Stop(ra.ErrClosed) },
		"no state":         func(n *rigNode) { n.onSnapshot = func() (machine.Capture, error) { return nil, errDisk } },
		"short log":        func(n *rigNode) { n.server.cfg.Policy.Growth = 1 << 20 },
	} {
		n := offering(t)
		hinder(n)
		if n.server.Offer() != nil {
			t.Errorf("%s: a snapshot is offered", name)
		}
	}
}

// SNAP-06: an offer of which nothing becomes changes nothing. One that was too long, or could not be written, is not made
// again before there is a snapshot; one for which there was no pack is.
func TestOfferOfNoUse(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(*rigNode, *Offer)
		again bool
	}{
		"no pack":  {func(_ *rigNode, o *Offer) { o.Decline(); o.Taken(snapshot.Info{}, false) }, true},
		"too long": {func(n *rigNode, o *Offer) { o.limit = 10; n.pack(o) }, false},
		"fails": {func(n *rigNode, o *Offer) {
			state := o.w.state
			o.w.state = machine.CaptureFunc(func(io.Writer) error { return errDisk })
			n.pack(o)
			state.Release()
		}, false},
		"panics": {func(n *rigNode, o *Offer) {
			state := o.w.state
			o.w.state = machine.CaptureFunc(func(io.Writer) error { panic("no") })
			n.pack(o)
			state.Release()
		}, false},
	} {
		n := offering(t)
		o := n.server.Offer()
		if n.server.Offer() != nil {
			t.Errorf("%s: two snapshots are offered at once", name)
		}
		c.end(n, o)
		if meta, _ := n.stored(); meta.Index != 0 || n.log.Snapshot().Index != 0 || n.captures != 0 || n.server.Failed() != nil {
			t.Errorf("%s: there is a snapshot of %d, the log has let go of %d, %d captures, %v",
				name, meta.Index, n.log.Snapshot().Index, n.captures, n.server.Failed())
		}
		if again := n.server.Offer(); (again != nil) != c.again {
			t.Errorf("%s: offered again: %v", name, again != nil)
		}
		if !c.again {
			n.server.take(n.server.Status().Applied, nil, false)
			n.settle()
			n.propose(200)
			n.settle()
			if n.server.Offer() == nil {
				t.Errorf("%s: never offered again", name)
			}
		}
	}
}

// SNAP-05: a snapshot that came first, from the leader or by the machine's wish, stays in force.
func TestOfferComesLate(t *testing.T) {
	n := offering(t)
	o := n.server.Offer()
	p := n.store.NewPack()
	o.AddTo(p)
	n.propose(1)
	n.settle()
	meta, err := n.server.metaAt(n.server.Status().Applied)
	if err != nil {
		t.Fatal(err)
	}
	w, err := n.store.Create("a", meta)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&ledgerCapture{node: n, ids: n.machine.ids, clock: n.machine.clock}).WriteTo(w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if in, err := p.Commit(); len(in) != 0 || err != nil {
		t.Fatal(in, err)
	}
	o.Taken(snapshot.Info{}, false)
	if now, _ := n.stored(); now.Index != meta.Index || n.log.Snapshot().Index != meta.Index {
		t.Errorf("the snapshot is of %d, the log has let go of %d, want %d", now.Index, n.log.Snapshot().Index, meta.Index)
	}
}

// A member that stops while its offer is written leaves nothing half made, and releases its capture.
func TestStopWhileOffering(t *testing.T) {
	n := offering(t)
	o := n.server.Offer()
	n.server.Stop(ra.ErrClosed)
	p := n.store.NewPack()
	if o.AddTo(p) {
		t.Error("the state of a member that has stopped was written")
	}
	if in, err := p.Commit(); len(in) != 0 || err != nil || n.captures != 0 || len(n.leftovers()) != 0 {
		t.Errorf("%v, %v, %d captures, left are %v", in, err, n.captures, n.leftovers())
	}
}
