package system

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// I9, I11: the scrubber condemns the snapshot of a cluster's only member, and while the next one is being written the
// member, or its node, is stopped in good order and started again. Nothing is lost, and nobody is suspect.
func TestStopWhileRescued(t *testing.T) {
	for _, whole := range []bool{false, true} {
		t.Run(fmt.Sprintf("node=%v", whole), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stopWhileRescued(t, whole) })
		})
	}
}

func stopWhileRescued(t *testing.T, whole bool) {
	var disk *vfs.Errs
	w := newWorld(t, 1, func(c *Config) {
		disk = vfs.NewErrs(c.FS)
		c.FS, c.ScrubRate = disk, 1<<40
		c.WALFileSize, c.Snapshots = wal.MinFileSize, snapshot.Policy{MinBytes: 1, Growth: 1}
	})
	n := w.n(1)
	c := w.cluster("c", "table", "n1")
	r := n.registry.byName("c")
	// So much that cannot be compressed that a snapshot of it takes several writes.
	value, random := make([]byte, 8000), rand.NewChaCha8([32]byte{})
	for i := 0; i < 60 || r.log.Snapshot().Index == 0; i++ {
		_, _ = random.Read(value) // never fails
		if _, err := c.Process(w.ctx(), reference.AppendPut(nil, fmt.Sprint("key", i), value)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
	before := w.tableAt(n, "c")
	name := w.firstFile("n1", "snapshots", ".snap")
	w.flip("n1", name, int64(len(readAll(t, w.disks["n1"], name))/2))
	gate, arrived := make(chan struct{}), make(chan struct{}, 100)
	disk.Trace(func(op vfs.Op, name string) {
		if op == vfs.OpWrite && strings.HasPrefix(name, "snapshots/") {
			arrived <- struct{}{}
			<-gate
		}
	})
	if err := n.scrubAll(); err != nil {
		t.Fatal(err)
	}
	<-arrived // the next one is being written
	id := ra.ServerID{Name: "c", Node: "n1"}
	if whole {
		go close(gate)
		w.close("n1")
		n = w.open("n1")
	} else {
		if err := n.Member(id).Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		again := make(chan error)
		go func() { again <- n.Member(id).Restart(w.ctx()) }()
		synctest.Wait() // it waits
		close(gate)
		if err := <-again; err != nil {
			t.Fatal(err)
		}
	}
	if s := n.Stats(); s.Suspect+s.Damaged > 0 || s.Running != 1 {
		t.Errorf("stats: %+v", s)
	}
	if after := w.tableAt(n, "c"); after != before {
		t.Errorf("the state was\n%s\nand is\n%s", before, after)
	}
	if err := n.snapshots.Check(n.registry.byName("c").uid); err != nil {
		t.Error(err)
	}
}
