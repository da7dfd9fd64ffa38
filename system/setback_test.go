package system

import (
	"context"
	"errors"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// idleImage copies the disk of a node that runs, once its log has nothing to do: as a backup does, or a kill.
func (w *world) idleImage(node ra.NodeID) *vfs.Mem {
	w.t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	return w.disks[node].Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
}

// setBack makes files of the write-ahead log of a node that is closed what they once were: all, or the newest WAL file.
func (w *world) setBack(node ra.NodeID, older *vfs.Mem, everything bool) {
	w.t.Helper()
	disk := w.disks[node]
	now, err := disk.List("wal")
	if err != nil {
		w.t.Fatal(err)
	}
	newest := ""
	for _, name := range now {
		if strings.HasSuffix(name, ".wal") {
			newest = name
		}
		if everything {
			if err := disk.Remove("wal/" + name); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	then, err := older.List("wal")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range then {
		if name == newest || everything {
			replaceFile(w.t, disk, "wal/"+name, readAll(w.t, older, "wal/"+name))
		}
	}
}

// replaceFile writes a file durably, in the place of one that may be there.
func replaceFile(t testing.TB, disk *vfs.Mem, name string, content []byte) {
	t.Helper()
	_ = disk.Remove(name) // it need not be there
	f, err := disk.Create(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := disk.SyncDir(path.Dir(name)); err != nil {
		t.Fatal(err)
	}
}

// I2, I7, I9, I11: n3 was away while commands were acknowledged by n1 and n2. Then the write-ahead log of n2 is what it was
// before, of which nothing else on n2 tells: nothing had left the log. Its members do not start, so that n2 and n3 elect
// nobody without n1, and when n1 is back nothing is missing. They are replaced by one call.
func TestSetBackLog(t *testing.T) {
	for name, c := range map[string]struct{ everything, killed bool }{
		"newest file":                {false, false},
		"everything":                 {true, false},
		"newest file, node killed":   {false, true},
		"everything, node killed":    {true, true},
		"everything, of an old life": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, nil)
				c1 := w.cluster("c", "counter", "n1", "n2", "n3")
				quiet := w.count(w.cluster("quiet", "counter", "n1", "n2", "n3"), 3)
				w.count(c1, 20)
				older := w.idleImage("n2")
				if strings.HasSuffix(name, "old life") {
					w.close("n2")
					w.open("n2")
				}
				w.close("n3")
				sum := w.count(c1, 30)
				now := w.idleImage("n2")
				w.close("n1")
				w.close("n2")
				if c.killed {
					w.disks["n2"] = now
				}
				w.setBack("n2", older, c.everything)
				n2 := w.open("n2")
				w.open("n3")
				if r := n2.Report(); len(r.Damaged) != 2 || len(r.Losses) == 0 || r.HighWater != nil {
					t.Fatalf("report: %+v", r)
				}
				if _, err := n2.Cluster("younger"); !errors.Is(err, ra.ErrUnknownCluster) || !errors.Is(err, ra.ErrDamaged) {
					t.Errorf("a cluster that may stand in what is lost: %v", err)
				}
				if _, err := w.n(3).Cluster("younger"); !errors.Is(err, ra.ErrUnknownCluster) || errors.Is(err, ra.ErrDamaged) {
					t.Errorf("one that does not: %v", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				if r, err := w.on("n3", "c").Process(ctx, reference.AppendAdd(nil, 1)); err == nil {
					t.Fatalf("n2 and n3 answer %+v without n1", r)
				}
				w.open("n1")
				w.eventually("n3 has caught up", func() bool {
					got, ok := w.sumAt(w.n(3), "c")
					return ok && got == sum
				})
				if replaced, err := n2.ReplaceDamaged(w.ctx()); replaced != 2 || err != nil {
					t.Fatalf("replaced %d: %v", replaced, err)
				}
				w.healed("c", sum)
				w.healed("quiet", quiet)
				w.close("n2")
				if r := w.open("n2").Report(); len(r.Damaged)+len(r.Suspect) != 0 {
					t.Errorf("after the replacement: %+v", r)
				}
				w.healed("c", sum)
			})
		})
	}
}

// I11, I21: the mark beside the log is lost, or is that of another node: no member suffers, it is said, and the next start
// has a mark again.
func TestMarkOfAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		sum := w.count(w.cluster("c", "counter", "n1", "n2", "n3"), 10)
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(node)
		}
		if err := w.disks["n1"].Remove(highWaterName); err != nil {
			t.Fatal(err)
		}
		two, three := readAll(t, w.disks["n2"], highWaterName), readAll(t, w.disks["n3"], highWaterName)
		replaceFile(t, w.disks["n2"], highWaterName, three)
		replaceFile(t, w.disks["n3"], highWaterName, two)
		for round := range 2 {
			for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
				r := w.open(node).Report()
				if len(r.Damaged)+len(r.Suspect)+len(r.Losses) != 0 || (r.HighWater != nil) != (round == 0) {
					t.Errorf("%s, round %d: %+v", node, round, r)
				}
			}
			w.healed("c", sum)
			for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
				w.close(node)
			}
		}
	})
}
