package member

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// I9: a snapshot decays, and is taken out of the way, at any moment of the next one's writing, or of a checkpoint's. In
// the end there is one, and the log is not left standing on nothing.
func TestRescueWhileSnapshotsAreWritten(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		for _, ran := range []bool{false, true} {
			n := alone(t)
			n.propose(5)
			n.settle()
			n.server.take(n.server.Status().Applied, nil, false)
			n.settle()
			n.propose(1)
			n.sync()
			n.server.take(n.server.Status().Applied, nil, checkpoint)
			if len(n.works) != 1 {
				t.Fatalf("%d works", len(n.works))
			}
			if ran {
				n.works[0].run()
			}
			info, ok := n.store.Newest(n.uid)
			if !ok {
				t.Fatal("there is no snapshot")
			}
			if err := n.store.Condemn(info); err != nil {
				t.Fatal(err)
			}
			if err := n.store.Condemn(info); !errors.Is(err, snapshot.ErrNone) {
				t.Errorf("condemned again: %v", err)
			}
			if !n.server.Rescue(info.Index) {
				t.Fatal("it cannot be done")
			}
			if ran {
				n.works[0].run = func() {}
			}
			n.settle()
			if meta, _ := n.stored(); meta.Index != n.server.Status().Applied || meta.Index < info.Index {
				t.Errorf("checkpoint %v, ran %v: the snapshot is of %d, applied are %d", checkpoint, ran, meta.Index, n.server.Status().Applied)
			}
			n.check("a")
		}
	}
}

// What is not applied yet, or not known, cannot be made good from memory.
func TestRescueInVain(t *testing.T) {
	n := alone(t)
	n.propose(5)
	n.settle()
	if n.server.Rescue(n.server.Status().Applied + 1) {
		t.Error("the state has what was not applied")
	}
	n.settle()
	if meta, _ := n.stored(); meta.Index != 0 {
		t.Errorf("a snapshot of %d", meta.Index)
	}
}

// I9: a snapshot decays while a checkpoint is promoted, before or after that takes its place, or while the promotion fails.
// In the end there is a snapshot, and a restart finds everything.
func TestRescueWhilePromoted(t *testing.T) {
	for _, when := range []string{"before", "between", "fails"} {
		n := alone(t)
		n.propose(5)
		n.settle()
		n.server.take(n.server.Status().Applied, nil, false)
		n.settle()
		n.propose(3)
		n.settle()
		n.server.take(n.server.Status().Applied, nil, true)
		n.settle()
		if len(n.store.Checkpoints(n.uid)) != 1 {
			t.Fatal("there is no checkpoint")
		}
		n.propose(2)
		n.settle()
		old, _ := n.store.Newest(n.uid)
		n.server.promote(n.server.Status().Applied)
		switch when {
		case "between": // the old one is gone by then, and is not condemned
			n.works[0].run()
			n.works[0].run = func() {}
		case "fails":
			n.fs.Inject(vfs.Fault{Op: vfs.OpRename, Name: "*.snap", Times: 1, Err: errDisk})
			n.works[0].run()
			n.works[0].run = func() {}
			n.fs.Heal()
		}
		if err := n.store.Condemn(old); (err == nil) == (when == "between") {
			t.Fatalf("%s: condemned: %v", when, err)
		}
		if !n.server.Rescue(old.Index) {
			t.Fatal("it cannot be done")
		}
		n.server.Flush()
		n.settle()
		if meta, _ := n.stored(); meta.Index != n.server.Status().Applied {
			t.Errorf("%s: the snapshot is of %d, applied are %d", when, meta.Index, n.server.Status().Applied)
		}
		n.crash(vfs.CrashLost)
		n.start()
		n.elect("a")
		n.settle()
		n.check("a")
	}
}
