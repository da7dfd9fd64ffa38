package system

import (
	"path"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// endedEra is a world in which the only member of counter c, on n1, has lost its snapshots and accepted that; the counter had 100 for
// each command before, and has 1 for each one since. It returns what lay in snapshots before.
func endedEra(t *testing.T) (w *world, policy *snapshot.Policy, before map[string][]byte) {
	policy = &snapshot.Policy{MinBytes: 1, Growth: 1, MinRecovery: 1}
	w = newWorld(t, 1, func(c *Config) { c.Snapshots = *policy })
	w.rest(w.cluster("c", "counter", "n1"), 100)
	before = w.filesIn("n1", "snapshots")
	if len(before) < 2 {
		t.Fatalf("there are %d files", len(before))
	}
	w.removeFiles("n1", "snapshots", "")
	policy.MinBytes = 1 << 20
	if err := w.open("n1").AcceptLoss(w.ctx(), "c"); err != nil {
		t.Fatal(err)
	}
	return w, policy, before
}

// filesIn returns the files in one of a node's directories, not those in quarantine.
func (w *world) filesIn(node ra.NodeID, dir string) map[string][]byte {
	w.t.Helper()
	disk := w.disks[node]
	names, err := disk.List(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		if name != vfs.Quarantine+"/" {
			files[name] = readAll(w.t, disk, path.Join(dir, name))
		}
	}
	return files
}

// putBack puts files back in one of n1's directories.
func (w *world) putBack(dir string, files map[string][]byte) {
	w.t.Helper()
	for name, content := range files {
		replaceFile(w.t, w.disks["n1"], path.Join(dir, name), content)
	}
}

// inQuarantine fails unless all these files are in quarantine.
func (w *world) inQuarantine(files map[string][]byte) {
	w.t.Helper()
	names, err := w.disks["n1"].List(path.Join("snapshots", vfs.Quarantine))
	if err != nil {
		w.t.Fatal(err)
	}
	for name := range files {
		if !slices.Contains(names, name) {
			w.t.Errorf("%s is not in quarantine: %v", name, names)
		}
	}
}

// I12: all snapshots and checkpoints from before a loss that was accepted are put back, and nothing that is known to be committed
// contradicts them: nothing was ordered since, or the process was killed before the log had a mark of what was committed. They are
// not taken for the member's.
func TestSnapshotsOfAnEndedEra(t *testing.T) {
	for what, orders := range map[string]int{"nothing ordered": 0, "killed": 1, "killed later": 20} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, _, before := endedEra(t)
				c, err := w.n(1).Cluster("c")
				if err != nil {
					t.Fatal(err)
				}
				sum := int64(0)
				for range orders {
					sum = w.add(c, 1)
				}
				w.crash("n1")
				w.putBack("snapshots", before)
				for range 3 {
					sum++
					w.goesOn(sum)
				}
				w.inQuarantine(before)
			})
		})
	}
}

// I12: the member has a snapshot since, which stands for all that was ordered, so that the log knows nothing. What was there before
// the loss is put back beside it, and nothing changes; or in its place, and the member has lost its snapshot.
func TestSnapshotsOfAnEndedEraAndLaterOnes(t *testing.T) {
	for what, gone := range map[string]bool{"beside": false, "in its place": true} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, policy, before := endedEra(t)
				w.close("n1")
				policy.MinBytes = 1
				c, err := w.open("n1").Cluster("c")
				if err != nil {
					t.Fatal(err)
				}
				w.rest(c, 1)
				if gone {
					w.removeFiles("n1", "snapshots", ".snap")
					w.removeFiles("n1", "snapshots", ".ckpt")
					w.removeFiles("n1", "snapshots", ".pack")
				}
				w.putBack("snapshots", before)
				policy.MinBytes = 1 << 20
				if !gone {
					w.goesOn(11)
					w.goesOn(12)
					w.inQuarantine(before)
					return
				}
				if r := w.open("n1").Report(); len(r.Suspect) != 1 {
					t.Errorf("%+v", r)
				}
				if err := w.n(1).AcceptLoss(w.ctx(), "c"); err != nil {
					t.Fatal(err)
				}
				w.close("n1")
				w.goesOn(1)
			})
		})
	}
}

// I12: the member has lost its term and vote, too, and may go on in a term as low as one of before.
func TestSnapshotsOfAnEndedEraWithoutAVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, func(c *Config) { c.Snapshots = snapshot.Policy{MinBytes: 1, Growth: 1, MinRecovery: 1} })
		c := w.cluster("c", "counter", "n1")
		for range 20 {
			w.add(c, 100)
			synctest.Wait() // a snapshot that is due is there before the next command
		}
		w.close("n1")
		before := w.filesIn("n1", "snapshots")
		w.removeFiles("n1", "snapshots", "")
		w.loseVote("n1")
		if err := w.open("n1").AcceptLoss(w.ctx(), "c"); err != nil {
			t.Fatal(err)
		}
		c, err := w.n(1).Cluster("c")
		if err != nil {
			t.Fatal(err)
		}
		sum := w.add(c, 1)
		w.crash("n1")
		w.putBack("snapshots", before)
		for range 2 {
			sum++
			w.goesOn(sum)
		}
	})
}

// I12: two of three members have lost their snapshots, and that is accepted; the third one has lost its own, too, and is repaired by
// them. What it had before is put back, when the process was killed before the log had a mark of what was committed since. It is not
// taken for the member's, in which case it would bring back what its cluster has given up.
func TestSnapshotsOfARepairedMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := snapshot.Policy{MinBytes: 1, Growth: 1, MinRecovery: 1}
		w := newWorld(t, 3, func(c *Config) { c.Snapshots = policy })
		nodes := []ra.NodeID{"n1", "n2", "n3"}
		c := w.cluster("c", "counter", nodes...)
		for range 10 {
			w.add(c, 100)
			synctest.Wait()
		}
		w.healed("c", 1000)
		for range 2 { // lives, so that all of the log is in segments or snapshots
			for _, node := range nodes {
				w.close(node)
			}
			for _, node := range nodes {
				n := w.open(node)
				w.eventually("flush", func() bool { return n.Stats().RollOvers > 0 })
			}
		}
		for _, node := range nodes {
			w.close(node)
		}
		before := w.filesIn("n1", "snapshots")
		for _, node := range nodes {
			w.removeFiles(node, "snapshots", "")
		}
		policy.MinBytes = 1 << 20
		for _, node := range nodes {
			if r := w.open(node).Report(); len(r.Suspect) != 1 {
				t.Fatalf("%s: %+v", node, r)
			}
		}
		for _, node := range nodes[1:] {
			if err := w.nodes[node].AcceptLoss(w.ctx(), "c"); err != nil {
				t.Fatal(err)
			}
		}
		c, err := w.n(2).Cluster("c")
		if err != nil {
			t.Fatal(err)
		}
		sum := w.add(c, 1)
		w.healed("c", sum)
		for _, node := range nodes {
			w.crash(node)
		}
		w.putBack("snapshots", before)
		r := w.open("n1").Report()
		if len(r.Snapshots.Damaged) == 0 || len(r.Suspect)+len(r.Damaged) > 0 {
			t.Errorf("%+v", r)
		}
		w.open("n2")
		c, err = w.n(1).Cluster("c")
		if err != nil {
			t.Fatal(err)
		}
		if got := w.add(c, 1); got != sum+1 {
			t.Errorf("the counter goes on with %d, not %d", got, sum+1)
		}
		w.inQuarantine(before)
	})
}
