package member

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// decayed flips a bit of the snapshot of a node, counted from its beginning, or from its end if negative.
func (n *rigNode) decayed(off int64) {
	n.t.Helper()
	info, ok := n.store.Newest(n.uid)
	if !ok {
		n.t.Fatal("there is no snapshot")
	}
	if off < 0 {
		off += info.Size
	}
	names, err := n.disk.List(rigDir)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, name := range names {
		if name[len(name)-1] != '/' && n.disk.Flip(rigDir+"/"+name, off, 1) {
			return
		}
	}
	n.t.Fatalf("no file of %v", names)
}

// I9, I11: the scrubber condemns a leader's snapshot at any moment of a transfer. The member that lags is caught up, by
// what was condemned or by what took its place, and the leader has a snapshot again.
func TestCondemnedWhileShipped(t *testing.T) {
	for steps := range 80 {
		for _, sound := range []bool{false, true} {
			r := lagging(t)
			a := r.node("a")
			open := openFiles(a)
			a.server.Step(&raft.Message{Kind: raft.Tick})
			a.server.Flush()
			for range steps {
				r.node("c").sync()
				if !a.work() && !r.node("c").work() {
					r.deliver()
				}
			}
			info, _ := a.store.Newest("a")
			if !sound {
				a.decayed(info.Size / 2)
			}
			if err := a.store.Condemn(info); err != nil {
				t.Fatal(err)
			}
			if !a.server.Rescue(info.Index) {
				t.Fatal("it cannot be done")
			}
			a.server.Flush()
			r.tick(200)
			if r.node("c").server.Status().Applied < a.server.Status().Applied {
				for _, n := range r.nodes {
					t.Logf("%s %v", n.uid, n.server.Core())
				}
				t.Fatalf("steps %d sound %v", steps, sound)
			}
			r.check("a", "b", "c")
			if at, ok := a.store.Newest("a"); !ok || at.Index < info.Index || a.log.Snapshot().Index != at.Index || a.store.Check("a") != nil {
				t.Errorf("steps %d, sound %v: the snapshot is %+v, log %+v", steps, sound, at, a.log.Snapshot())
			}
			if *open != 0 || len(a.server.snaps.transfers) != 0 {
				t.Errorf("steps %d: %d files are open, %d transfers", steps, *open, len(a.server.snaps.transfers))
			}
		}
	}
}

// I9, I11: a leader that is to send its snapshot finds that it has decayed where it looks first. Its memory has what it
// held: it writes another one, and goes on.
func TestShipDecayed(t *testing.T) {
	for _, off := range []int64{0, 40, -1, -20, 300} {
		r := lagging(t)
		a := r.node("a")
		a.decayed(off)
		r.tick(70)
		if err := a.server.Failed(); err != nil {
			t.Fatalf("byte %d: the leader has stopped: %v", off, err)
		}
		r.check("a", "b", "c")
		if st := r.node("c").server.Status(); st.Role != ra.Follower {
			t.Errorf("byte %d: %+v", off, st)
		}
	}
}
