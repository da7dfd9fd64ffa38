package system

import (
	"bytes"
	"errors"
	"path"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// loseVote makes everything unreadable that a node, which is closed, has of votes: both tables of the batches of its
// write-ahead log, but for the first, which registers its members, and the last ones, which show that there were others.
func (w *world) loseVote(node ra.NodeID) {
	w.t.Helper()
	disk := w.disks[node]
	name := w.firstFile(node, "wal", ".wal")
	b := readAll(w.t, disk, name)
	var used []int64
	for off := 3 * vfs.BlockSize; off < len(b); off += vfs.BlockSize {
		if b[off] != 0 {
			used = append(used, int64(off))
		}
	}
	for _, off := range used[:len(used)-4] {
		w.flip(node, name, off+9)
		w.flip(node, name, off+vfs.BlockSize-50)
	}
}

// voteLost starts a counter on some nodes, adds one to it twenty times, and opens the last of the nodes again without its
// vote. It returns the cluster and that node.
func (w *world) voteLost(nodes ...ra.NodeID) (*Cluster, *Node) {
	w.t.Helper()
	c := w.cluster("c", "counter", nodes...)
	for range 20 {
		w.add(c, 1)
		synctest.Wait() // every node writes step by step
	}
	w.healed("c", 20)
	last := nodes[len(nodes)-1]
	w.close(last)
	w.loseVote(last)
	return c, w.open(last)
}

// I2, I10: a member whose term and vote are lost does not run again under its uid. Removed from the cluster, deleted and
// added again, as the error says, it comes back under another one.
func TestLostVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c, n := w.voteLost("n1", "n2", "n3")
		r := n.registry.byName("c")
		if r == nil || len(n.Report().Damaged) != 1 || !errors.Is(n.Report().Damaged[r.uid], errVoteLost) {
			t.Fatalf("report: %+v", n.Report())
		}
		if r.accepted.mark.What&wal.DamagedState == 0 || n.Stats().Damaged != 1 || n.Stats().Running != 0 {
			t.Fatalf("mark %+v, stats %+v", r.accepted.mark, n.Stats())
		}
		if err := n.AcceptLoss(w.ctx(), "c"); !errors.Is(err, errVoteLost) {
			t.Errorf("a vote is given again: %v", err)
		}
		id := ra.ServerID{Name: "c", Node: "n3"}
		if err := c.RemoveMember(w.ctx(), id); err != nil {
			t.Fatal(err)
		}
		if err := n.Member(id).Delete(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if err := c.AddMember(w.ctx(), id, ra.Promotable); err != nil {
			t.Fatal(err)
		}
		w.healed("c", 20)
		if again := n.registry.byName("c"); again == nil || again.uid == r.uid {
			t.Error("it is back under its old uid")
		}
	})
}

// A cluster's only member that has lost its vote goes on by AcceptLoss, in a later term: nobody else could have been
// promised anything.
func TestOnlyMemberLosesItsVote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		_, n := w.voteLost("n1")
		if len(n.Report().Damaged) != 1 {
			t.Fatalf("report: %+v", n.Report())
		}
		if c2, err := n.Cluster("c"); err != nil {
			t.Fatal(err)
		} else if _, err := c2.Process(w.ctx(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrDamaged) {
			t.Errorf("a command ends with %v", err)
		}
		if err := n.AcceptLoss(w.ctx(), "c"); err != nil {
			t.Fatal(err)
		}
		c, err := n.Cluster("c")
		if err != nil {
			t.Fatal(err)
		}
		sum := w.add(c, 1)
		w.close("n1")
		n = w.open("n1")
		if r := n.Report(); len(r.Suspect)+len(r.Damaged) > 0 {
			t.Errorf("report: %+v", r)
		}
		w.healed("c", sum)
	})
}

// I11: a cluster's only member has lost its term and vote, and then an entry in a segment turns out to be damaged, too. AcceptLoss
// gives up both.
func TestOnlyMemberLosesItsVoteAndAnEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		w.cluster("c", "counter", "n1")
		w.addAndFlush(100, 20)
		c, err := w.n(1).Cluster("c")
		if err != nil {
			t.Fatal(err)
		}
		w.add(c, 100)
		w.crash("n1")
		flipped := false
		for name, content := range w.filesIn("n1", "segments") {
			if at := bytes.LastIndex(content, reference.AppendAdd(nil, 100)); at >= 0 && path.Ext(name) == ".seg" {
				w.flip("n1", path.Join("segments", name), int64(at))
				flipped = true
			}
		}
		if !flipped {
			t.Fatal("nothing was damaged")
		}
		names, err := w.disks["n1"].List("wal")
		if err != nil {
			t.Fatal(err)
		}
		newest := ""
		for _, name := range names {
			if path.Ext(name) == ".wal" {
				newest = name
			}
		}
		w.removeFiles("n1", "wal", newest)
		n := w.open("n1")
		if len(n.Report().Damaged) != 1 {
			t.Fatalf("%+v", n.Report())
		}
		if err := n.AcceptLoss(w.ctx(), "c"); err != nil {
			t.Fatal(err)
		}
		if c, err = n.Cluster("c"); err != nil {
			t.Fatal(err)
		}
		if sum := w.add(c, 1); sum <= 1 || sum >= 2000 || sum%100 != 1 {
			t.Errorf("the sum is %d", sum)
		}
		w.close("n1")
		if r := w.open("n1").Report(); len(r.Suspect)+len(r.Damaged) > 0 {
			t.Errorf("%+v", r)
		}
	})
}

// I2, I10: two of three members have lost their term and vote, so that the sound one can remove nobody. It is made the only one, as
// the error says, and then the others are replaced. Nothing is lost.
func TestMajorityLosesItsVotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		_, _ = w.voteLost("n1", "n2", "n3")
		w.close("n2")
		w.loseVote("n2")
		w.open("n2")
		if err := w.n(1).ForceShrink(w.ctx(), "c"); err != nil {
			t.Fatal(err)
		}
		for _, n := range []*Node{w.n(2), w.n(3)} {
			if len(n.Report().Damaged) != 1 {
				t.Fatalf("%s: %+v", n.Name(), n.Report())
			}
			if replaced, err := n.ReplaceDamaged(w.ctx()); replaced != 1 || err != nil {
				t.Fatalf("%s: %d replaced, %v", n.Name(), replaced, err)
			}
		}
		w.healed("c", w.add(w.on("n1", "c"), 1))
		if sum, _ := w.sumAt(w.n(2), "c"); sum != 21 {
			t.Errorf("the sum is %d", sum)
		}
	})
}
