package system

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// intoSegments is a configuration with which entries soon go into segments, and stay there.
func intoSegments(c *Config) {
	c.WALFileSize = wal.MinFileSize
	c.Snapshots.Growth = 1 << 40
}

// rowsOf returns the clusters that have entries in a segment file, and of each the first of them. It reads the format as
// docs/FORMAT-SEGMENT.md describes it.
func (w *world) rowsOf(node ra.NodeID, name string, clusters map[ra.UID]string) map[string]ra.Index {
	w.t.Helper()
	le := binary.LittleEndian
	b := readAll(w.t, w.disks[node], "segments/"+name)
	first := make(map[string]ra.Index)
	for table := b[le.Uint64(b[32:]):][:le.Uint32(b[48:])]; len(table) > 0; table = table[le.Uint32(table):] {
		cluster := clusters[ra.UID(table[73:][:table[72]])]
		if _, ok := first[cluster]; !ok {
			first[cluster] = ra.Index(le.Uint64(table[24:]))
		}
	}
	return first
}

// uids returns the cluster of each member of a node.
func (w *world) uids(node ra.NodeID) map[ra.UID]string {
	out := make(map[ra.UID]string)
	for _, r := range w.nodes[node].registry.all() {
		out[r.uid] = r.id.Name
	}
	return out
}

// fileWith returns the first segment file of a node that is closed which has entries of one cluster and not of another.
func (w *world) fileWith(node ra.NodeID, clusters map[ra.UID]string, of, notOf string) string {
	w.t.Helper()
	names, err := w.disks[node].List("segments")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		if path.Ext(name) != ".seg" {
			continue
		}
		rows := w.rowsOf(node, name, clusters)
		if rows[of] != 0 && rows[notOf] == 0 {
			return name
		}
	}
	w.t.Fatalf("%s has no segment file of %s without %s", node, of, notOf)
	return ""
}

// loseSegment empties or removes a segment file of a node that is closed.
func (w *world) loseSegment(node ra.NodeID, name string, gone bool) {
	w.t.Helper()
	disk := w.disks[node]
	if !gone {
		disk.Cut("segments/"+name, 0)
		return
	}
	if err := errors.Join(disk.Remove("segments/"+name), disk.SyncDir("segments")); err != nil {
		w.t.Fatal(err)
	}
}

// addUntilFlushed has counters add 1, large enough that segments soon have it, until a full file of the log has gone there.
func (w *world) addUntilFlushed(sums map[string]int64, clusters ...string) {
	w.t.Helper()
	n := w.n(1)
	for want := n.Stats().RollOvers + 2; n.Stats().RollOvers < want; synctest.Wait() {
		for _, name := range clusters {
			c, err := n.Cluster(name)
			if err != nil {
				w.t.Fatal(err)
			}
			if sums[name] = w.add(c, 1); sums[name] == 0 {
				w.t.Fatal("nothing was added")
			}
		}
	}
}

// I11, I21: a segment file that many one-member clusters share is emptied, or gone. Those that had entries there end calls with
// ErrDamaged, and go on with what came before when the loss is accepted; all others answer, with all their commands.
func TestSharedSegmentFileIsLost(t *testing.T) {
	for how, gone := range map[string]bool{"emptied": false, "removed": true} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { sharedSegmentFileIsLost(t, gone) })
		})
	}
}

func sharedSegmentFileIsLost(t *testing.T, gone bool) {
	w := newWorld(t, 1, intoSegments)
	sums := make(map[string]int64)
	var early, late []string
	for i := range 20 {
		name := fmt.Sprintf("c%02d", i)
		w.cluster(name, "counter", "n1")
		if i%2 == 0 {
			early = append(early, name)
		} else {
			late = append(late, name)
		}
	}
	w.addUntilFlushed(sums, slices.Concat(early, late)...)
	w.addUntilFlushed(sums, early...)
	w.addUntilFlushed(sums, late...)
	w.addUntilFlushed(sums, slices.Concat(early, late)...)
	uids := w.uids("n1")
	w.close("n1")
	name := w.fileWith("n1", uids, early[3], late[3])
	rows := w.rowsOf("n1", name, uids)
	w.loseSegment("n1", name, gone)
	n := w.open("n1")
	if lost := n.Report().Segments.Lost; len(lost) != 1 || len(lost[0].Members) != len(rows) || len(n.Report().Suspect) != len(rows) {
		t.Fatalf("%d members had entries in %s; report: %+v", len(rows), name, n.Report())
	}
	for cluster, sum := range sums {
		c, err := n.Cluster(cluster)
		if err != nil {
			t.Fatal(err)
		}
		if rows[cluster] == 0 {
			if got := w.add(c, 1); got != sum+1 {
				t.Errorf("%s, which had nothing there, goes on with %d, want %d", cluster, got, sum+1)
			}
			continue
		}
		if _, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrDamaged) {
			t.Errorf("%s, which had entries there, answers %v", cluster, err)
		}
		if err := n.AcceptLoss(w.ctx(), cluster); err != nil {
			t.Fatal(err)
		}
		// An entry for each command, and before them one of the leadership.
		if got, want := w.add(c, 1), int64(rows[cluster])-1; got != want {
			t.Errorf("%s goes on with %d, want %d: all before entry %d", cluster, got, want, rows[cluster])
		}
	}
	w.close("n1")
	if r := w.open("n1").Report(); len(r.Suspect)+len(r.Damaged)+len(r.Segments.Lost)+len(r.Segments.Quarantined) > 0 {
		t.Errorf("after the losses were accepted: %+v", r)
	}
}

// I11, I21: two of three nodes have lost a segment file each, of different clusters. Both clusters go on at once, and are repaired.
func TestLostSegmentFilesOfDifferentClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, intoSegments)
		sums := make(map[string]int64)
		for _, name := range []string{"x", "y"} {
			w.cluster(name, "counter", "n1", "n2", "n3")
		}
		for _, name := range []string{"x", "y", "x", "y"} {
			w.addUntilFlushed(sums, name)
		}
		uids := map[ra.NodeID]map[ra.UID]string{"n1": w.uids("n1"), "n2": w.uids("n2")}
		w.closeAll()
		w.loseSegment("n1", w.fileWith("n1", uids["n1"], "x", "y"), false)
		w.loseSegment("n2", w.fileWith("n2", uids["n2"], "y", "x"), true)
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			n := w.open(node)
			var hurt []string
			for uid := range n.Report().Suspect {
				hurt = append(hurt, uids[node][uid])
			}
			if want := map[ra.NodeID]string{"n1": "x", "n2": "y", "n3": ""}[node]; strings.Join(hurt, "") != want {
				t.Errorf("suspect on %s are %q, want %q", node, hurt, want)
			}
		}
		for name, sum := range sums {
			c, err := w.n(3).Cluster(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.add(c, 1); got != sum+1 {
				t.Errorf("%s goes on with %d, want %d", name, got, sum+1)
			}
			w.healed(name, sum+1)
		}
	})
}
