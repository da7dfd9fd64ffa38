package system

import (
	"fmt"
	"maps"
	"path"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// logAndMark returns what the high-water mark and the files of the write-ahead log hold, by their names.
func (w *world) logAndMark(node ra.NodeID) map[string]string {
	w.t.Helper()
	disk := w.disks[node]
	out := make(map[string]string)
	for _, dir := range []string{".", "wal"} {
		names, err := disk.List(dir)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, name := range names {
			switch {
			case strings.HasSuffix(name, "/"):
				out[path.Join(dir, name)] = ""
			case name != lockName:
				out[path.Join(dir, name)] = string(readAll(w.t, disk, path.Join(dir, name)))
			}
		}
	}
	return out
}

// I11: another node's file is put in the place of the only one of a young node's log. The node does not open, however often that is tried, and nothing has changed: with its own file it is whole
// again.
func TestLogOfAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		sum := w.count(w.cluster("c", "counter", "n1"), 5)
		w.close("n1")
		w.open("n2")
		w.count(w.cluster("d", "counter", "n2"), 1)
		w.close("n2")
		name := "wal/" + fmt.Sprintf("%016d.wal", 1)
		own := readAll(t, w.disks["n1"], name)
		replaceFile(t, w.disks["n1"], name, readAll(t, w.disks["n2"], name))
		before := w.logAndMark("n1")
		for range 3 {
			cfg := storageConfig(w.disks["n1"])
			cfg.Name = "n1"
			if _, err := Open(w.ctx(), cfg); err == nil || !strings.Contains(err.Error(), "those of node n2") {
				t.Fatalf("opened: %v", err)
			}
			if !maps.Equal(before, w.logAndMark("n1")) {
				t.Error("the directory has changed")
			}
		}
		replaceFile(t, w.disks["n1"], name, own)
		if r := w.open("n1").Report(); len(r.Losses)+len(r.Damaged)+len(r.Suspect)+len(r.Quarantined) > 0 || r.HighWater != nil {
			t.Errorf("with its own file: %+v", r)
		}
		w.healed("c", sum)
	})
}

// I20: a node that cannot write its high-water mark does not open, and does not leave more on the disk with each try. When it
// can it is whole.
func TestOpenFailsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		sum := w.count(w.cluster("c", "counter", "n1"), 5)
		w.close("n1")
		faulty := vfs.NewErrs(w.disks["n1"])
		faulty.Inject(vfs.Fault{Op: vfs.OpCreate, Name: highWaterName + "*"})
		cfg := storageConfig(faulty)
		cfg.Name = "n1"
		var before map[string]string
		for i := range 5 {
			if _, err := Open(w.ctx(), cfg); err == nil {
				t.Fatal("opened")
			}
			now := w.logAndMark("n1")
			if i > 0 && !maps.Equal(before, now) {
				t.Fatalf("try %d has changed the directory", i+1)
			}
			before = now
		}
		w.open("n1")
		w.healed("c", sum)
	})
}
