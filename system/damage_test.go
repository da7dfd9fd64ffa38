package system

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// sums returns the local sum of a counter on each of the nodes that run.
func (w *world) sums(cluster string) map[ra.NodeID]int64 {
	w.t.Helper()
	out := make(map[ra.NodeID]int64)
	for name, n := range w.nodes {
		if sum, ok := w.sumAt(n, cluster); ok {
			out[name] = sum
		}
	}
	return out
}

// sumAt returns the local sum of a counter on one node.
func (w *world) sumAt(n *Node, cluster string) (int64, bool) {
	r, err := n.Member(ra.ServerID{Name: cluster}).LocalQuery(w.ctx(), nil)
	sum, ok := r.Reply.(int64)
	return sum, err == nil && ok
}

// eventually waits until a condition holds: what it waits for comes by itself, and a test that waits in vain fails.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			for _, n := range w.nodes {
				for _, r := range n.registry.all() {
					o, _ := n.Member(r.id).Overview(w.short())
					w.t.Logf("%s %v: %v %+v", r.id, r.damaged(), r.suspicion(), o.Core)
				}
			}
			w.t.Fatalf("in vain: %s", what)
		}
	}
}

// healed waits until no member is suspect and all members of a counter have the same sum.
func (w *world) healed(cluster string, sum int64) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s is %d everywhere", cluster, sum), func() bool {
		for _, n := range w.nodes {
			if s := n.Stats(); s.Suspect+s.Damaged > 0 {
				return false
			}
		}
		sums := w.sums(cluster)
		for _, got := range sums {
			if got != sum {
				return false
			}
		}
		return len(sums) == len(w.nodes)
	})
}

// count has the counter c add 1000, 1001 and so on, n numbers, waits until all its members are so far, and returns the sum.
func (w *world) count(c *Cluster, n int64) (sum int64) {
	w.t.Helper()
	for i := range n {
		sum = w.add(c, 1000+i)
	}
	w.healed(c.Name(), sum)
	return sum
}

// damageWAL flips a bit in an entry of the counter that adds n, on a node that is closed.
func (w *world) damageWAL(node ra.NodeID, n int64) {
	w.t.Helper()
	flipWhere(w.t, w.disks[node], "wal", reference.AppendAdd(nil, n))
}

// firstFile returns the first file in a directory of a node that is closed, with that ending.
func (w *world) firstFile(node ra.NodeID, dir, suffix string) string {
	w.t.Helper()
	names, err := w.disks[node].List(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			return dir + "/" + name
		}
	}
	w.t.Fatalf("%s has no %s: %v", node, suffix, names)
	return ""
}

// flip changes a bit of a file.
func (w *world) flip(node ra.NodeID, name string, off int64) {
	w.t.Helper()
	if !w.disks[node].Flip(name, off, 1) {
		w.t.Fatalf("%s of %s has no byte %d", name, node, off)
	}
}

// I9, I10, I11, I21: a bit of an entry in the write-ahead log of one of three nodes flips while it is down. The member
// comes up suspect, is repaired, and nothing is lost; the other cluster does not notice.
func TestRepairWAL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c, other := w.cluster("c", "counter", "n1", "n2", "n3"), w.cluster("other", "counter", "n1", "n2", "n3")
		for i := range 50 {
			w.add(c, int64(1000+i))
			w.add(other, 1)
		}
		sum := w.add(c, 0)
		w.healed("c", sum)
		w.close("n2")
		w.damageWAL("n2", 1017)
		n := w.open("n2")
		if r := n.Report(); len(r.Suspect) != 1 || len(r.Damaged) != 0 {
			t.Errorf("report: %+v", r)
		}
		w.healed("c", sum)
		w.healed("other", 50)
		if got := n.Stats().Repaired; got != 1 {
			t.Errorf("%d members were repaired", got)
		}
		// It is sound, durably, and counts again: without n3 there is a majority only with it.
		w.close("n2")
		if r := w.open("n2").Report(); len(r.Suspect) != 0 {
			t.Errorf("suspect again: %v", r.Suspect)
		}
		w.close("n3")
		w.add(c, 0)
	})
}

// I10: the mark outlives restarts: a suspect member that finds no peer is suspect the next time, too.
func TestSuspectStaysSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("c", "counter", "n1", "n2", "n3")
		sum := w.count(c, 20)
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(node)
		}
		w.damageWAL("n2", 1007)
		for range 3 {
			n := w.open("n2")
			if len(n.Report().Suspect) != 1 {
				t.Fatalf("report: %+v", n.Report())
			}
			if got, ok := w.sumAt(n, "c"); !ok || got >= sum {
				t.Errorf("a local query answers %d, %v", got, ok)
			}
			w.close("n2")
		}
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.open(node)
		}
		w.healed("c", sum)
	})
}

// I9: what ra loses (docs/decisions/0009): n3 was away while 100 commands were acknowledged by n1 and n2; a bit flips on
// n2; n2 and n3 come back without n1. They elect nobody, and when n1 is back nothing is missing.
func TestDamageWhileOneLagsAndOneIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("c", "counter", "n1", "n2", "n3")
		w.close("n3")
		sum := w.count(c, 100)
		w.close("n1")
		w.close("n2")
		w.damageWAL("n2", 1051)
		n2 := w.open("n2")
		w.open("n3")
		c2, err := n2.Cluster("c")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if r, err := c2.Process(ctx, reference.AppendAdd(nil, 1)); err == nil {
			t.Fatalf("n2 and n3 answer %+v without n1", r)
		}
		w.open("n1")
		w.healed("c", sum)
		w.add(c2, 1)
		w.healed("c", sum+1)
	})
}

// I9, I11: an entry in a segment of one of three nodes decays, its index, or a snapshot.
func TestRepairSegmentAndSnapshot(t *testing.T) {
	for _, what := range []string{"index", "body", "file", "snapshot"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, func(c *Config) {
					c.WALFileSize = wal.MinFileSize
					c.Snapshots.Growth = 1 << 40 // no packs: the entries go into segments
					if what == "snapshot" {
						c.Snapshots.MinBytes = 1
					}
				})
				c := w.cluster("c", "table", "n1", "n2", "n3")
				put := func(c *Cluster, i int) {
					t.Helper()
					if _, err := c.Process(w.ctx(), reference.AppendPut(nil, fmt.Sprint("key", i%7), bytes.Repeat([]byte{byte(i)}, 3000))); err != nil {
						t.Fatal(err)
					}
				}
				i := 0
				r := w.n(2).registry.byName("c")
				ready := func() bool {
					return w.n(2).Stats().RollOvers >= 2 && r.log.FirstSegment() != 0 && (what != "snapshot" || r.log.Snapshot().Index > 0)
				}
				for ; !ready(); i++ {
					put(c, i)
					synctest.Wait() // n2 follows step by step: each of its files is full of entries
				}
				w.close("n2")
				w.damageStored("n2", what)
				n := w.open("n2")
				w.eventually("repair", func() bool { s := n.Stats(); return s.Suspect+s.Damaged == 0 && s.Repaired == 1 })
				put(c, i)
				w.eventually("equal states", func() bool {
					a, b := w.tableAt(w.n(1), "c"), w.tableAt(n, "c")
					return a == b && strings.Contains(a, fmt.Sprintf(" %02x..", byte(i)))
				})
				if c, err := n.Cluster("c"); err != nil {
					t.Fatal(err)
				} else {
					w.close("n1")
					put(c, i+1)
				}
			})
		})
	}
}

// damageStored spoils something in the segments or the snapshot of a node that is closed.
func (w *world) damageStored(node ra.NodeID, what string) {
	w.t.Helper()
	disk := w.disks[node]
	if what == "snapshot" {
		name := w.firstFile(node, "snapshots", ".snap")
		w.flip(node, name, int64(len(readAll(w.t, disk, name))/2))
		return
	}
	name := w.firstFile(node, "segments", ".seg")
	b := readAll(w.t, disk, name)
	table := binary.LittleEndian.Uint64(b[32:])
	switch what {
	case "index":
		w.flip(node, name, int64(table)-2)
	case "body":
		w.flip(node, name, vfs.BlockSize+1000)
	case "file":
		disk.Cut(name, 100)
	}
}

// tableAt returns the rows of a table on a node.
func (w *world) tableAt(n *Node, cluster string) string {
	w.t.Helper()
	r, err := n.Member(ra.ServerID{Name: cluster}).LocalQuery(w.ctx(), reference.Scan{})
	if err != nil {
		w.t.Fatal(err)
	}
	var b strings.Builder
	for _, row := range r.Reply.([]reference.Row) {
		fmt.Fprintf(&b, "%s@%d %x..%d ", row.Key, row.Revision, row.Value[:1], len(row.Value))
	}
	return b.String()
}

// A one-member cluster that has lost entries ends calls with ErrDamaged, answers local queries from what is left, and
// goes on when the loss is accepted; so does a cluster with a majority of such members.
func TestAcceptLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("c", "counter", "n1")
		w.count(c, 20)
		w.close("n1")
		w.damageWAL("n1", 1010)
		n := w.open("n1")
		c, err := n.Cluster("c")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrDamaged) || ra.MayHaveBeenApplied(err) {
			t.Fatalf("a command ends with %v", err)
		}
		const left = 10*1000 + 45
		if got, ok := w.sumAt(n, "c"); !ok || got != left {
			t.Errorf("a local query answers %d, %v", got, ok)
		}
		if err := n.AcceptLoss(w.ctx(), "c"); err != nil {
			t.Fatal(err)
		}
		if got := w.add(c, 5); got != left+5 {
			t.Errorf("the counter goes on with %d", got)
		}
		w.close("n1")
		n = w.open("n1")
		if r := n.Report(); len(r.Suspect)+len(r.Damaged) > 0 {
			t.Errorf("after the loss was accepted: %+v", r)
		}
		w.healed("c", left+5)
		if err := n.AcceptLoss(w.ctx(), "c"); err == nil {
			t.Error("a loss is accepted where there is none")
		}
		if err := n.AcceptLoss(w.ctx(), "nobody"); !errors.Is(err, ra.ErrUnknownCluster) {
			t.Errorf("a loss of nobody: %v", err)
		}
	})
}

// I11: the snapshots of two clusters have changed places. That costs these two what was in them, as if it could not be read:
// the files go to quarantine, and the logs decide what is left. If they have all of it nothing is lost; otherwise calls end
// with ErrDamaged, and the clusters go on when the loss is accepted.
func TestSwappedSnapshots(t *testing.T) {
	for name, gone := range map[string]bool{"log is there": false, "log is gone": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, func(c *Config) { c.Snapshots = snapshot.Policy{MinBytes: 1, Growth: 1} })
				for _, cluster := range []string{"c", "d"} {
					c := w.cluster(cluster, "counter", "n1")
					for range 10 {
						w.add(c, 1)
						synctest.Wait() // a snapshot that is due is there before the next command
					}
				}
				w.close("n1")
				if gone {
					n := w.open("n1")
					w.eventually("flush", func() bool { return n.Stats().RollOvers > 0 })
					w.close("n1")
				}
				files, contents := w.swapSnapshots("n1", "c", "d")
				n := w.open("n1")
				if r := n.Report(); len(r.Suspect) == 2 != gone || len(r.Damaged) != 0 || len(r.Snapshots.Damaged) != 2 {
					t.Fatalf("%+v", r)
				}
				w.close("n1")
				n = w.open("n1") // by now it is known from the quarantine only
				for i, cluster := range []string{"c", "d"} {
					c, err := n.Cluster(cluster)
					if err != nil {
						t.Fatal(err)
					}
					kept := path.Join("snapshots", vfs.Quarantine, path.Base(files[i]))
					if gone {
						if _, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrDamaged) {
							t.Errorf("%s: a command ends with %v", cluster, err)
						}
						if err := n.AcceptLoss(w.ctx(), cluster); err != nil {
							t.Error(err)
						}
						w.add(c, 1)
						kept += ".accepted"
					} else if sum := w.add(c, 1); sum != 11 {
						t.Errorf("%s: %d", cluster, sum)
					}
					if got := readAll(t, w.disks["n1"], kept); !bytes.Equal(got, contents[i]) {
						t.Errorf("another file is in quarantine for %s", cluster)
					}
				}
			})
		})
	}
}

// I11: a snapshot of another cluster that has the same name, of the same index and term, has come to lie under a member's
// name. That is no different. With such a checkpoint nothing is lost.
func TestSnapshotOfAnotherClusterOfTheName(t *testing.T) {
	for _, suffix := range []string{".snap", ".ckpt"} {
		t.Run(suffix, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var stored [][]byte
				var files []string
				var w *world
				for _, by := range []int64{1, 2} {
					w = newWorld(t, 1, func(c *Config) { c.Snapshots = snapshot.Policy{MinBytes: 1, Growth: 1, MinRecovery: 1} })
					w.rest(w.cluster("c", "counter", "n1"), by)
					files = append(files, w.firstFile("n1", "snapshots", suffix))
					stored = append(stored, readAll(t, w.disks["n1"], files[len(files)-1]))
				}
				if _, first, _ := strings.Cut(files[0], "."); !strings.HasSuffix(files[1], first) {
					t.Fatalf("%q are not of one index and term", files)
				}
				if suffix == ".snap" { // it would take the place of what is in the snapshot
					if err := w.disks["n1"].Remove(w.firstFile("n1", "snapshots", ".ckpt")); err != nil {
						t.Fatal(err)
					}
				}
				replaceFile(t, w.disks["n1"], files[1], stored[0])
				n := w.open("n1")
				c, err := n.Cluster("c")
				if err != nil {
					t.Fatal(err)
				}
				switch r := n.Report(); {
				case suffix == ".ckpt":
					if sum := w.add(c, 1); sum != 21 || len(r.Suspect)+len(r.Damaged) > 0 {
						t.Errorf("counts %d: %+v", sum, r)
					}
				case len(r.Suspect) != 1 || len(r.Damaged) != 0 || len(r.Snapshots.Damaged) != 1:
					t.Errorf("%+v", r)
				default:
					if sum, ok := w.sumAt(n, "c"); ok && sum != 0 {
						t.Errorf("a local query answers %d, with what another cluster counted", sum)
					}
					if _, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrDamaged) {
						t.Errorf("a command ends with %v", err)
					}
				}
			})
		})
	}
}

// rest has a cluster on n1 take in ten commands and a snapshot, and closes n1 when its log begins behind that.
func (w *world) rest(c *Cluster, by int64) {
	w.t.Helper()
	for range 10 {
		w.add(c, by)
		synctest.Wait() // a snapshot that is due is there before the next command
	}
	w.close("n1")
	n := w.open("n1")
	w.eventually("flush", func() bool { return n.Stats().RollOvers > 0 })
	w.close("n1")
}

// I11: a snapshot of its own cluster serves a member, also when nobody is left of those with whom the cluster began, and
// itself had not been added then.
func TestSnapshotWithoutTheFirstMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *Config) { c.Snapshots = snapshot.Policy{MinBytes: 1, Growth: 1} })
		c := w.cluster("c", "counter", "n1")
		at := func(node ra.NodeID) ra.ServerID { return ra.ServerID{Name: "c", Node: node} }
		if err := c.AddMember(w.ctx(), at("n2"), ra.Voter); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.RemoveMember(w.ctx(), at("n1")), w.n(1).Member(at("n1")).Delete(w.ctx())); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			w.add(c, 1)
			synctest.Wait()
		}
		if err := c.AddMember(w.ctx(), at("n3"), ra.NonVoter); err != nil {
			t.Fatal(err)
		}
		w.eventually("a snapshot on n3", func() bool { return len(w.n(3).snapshots.UIDs()) == 1 })
		uid := w.n(3).registry.byName("c").uid
		w.close("n3")
		n := w.open("n3")
		if info, ok := n.snapshots.Newest(uid); !ok || len(n.Report().Snapshots.Damaged)+len(n.Report().Suspect) > 0 {
			t.Errorf("%+v, %v: %+v", info, ok, n.Report())
		}
		w.eventually("the sum on n3", func() bool { sum, ok := w.sumAt(n, "c"); return ok && sum == 10 })
	})
}

// I12: what was given up when a loss was accepted does not come back with a snapshot, or a checkpoint, of before the loss: what
// was committed since contradicts it. Nothing is lost by that.
func TestStaleSnapshotAfterAcceptLoss(t *testing.T) {
	for _, suffix := range []string{".snap", ".ckpt"} {
		t.Run(suffix, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, file, sum := stale(t, suffix)
				stored := readAll(t, w.disks["n1"], file)
				for range 2 {
					sum++
					w.goesOn(sum)
				}
				kept := path.Join("snapshots", vfs.Quarantine, path.Base(file))
				if got := readAll(t, w.disks["n1"], kept); !bytes.Equal(got, stored) {
					t.Error("another file is in quarantine")
				}
			})
		})
	}
}

// stale is a world in which n1, which is closed, has accepted a loss of counter c and gone on to sum. Then a snapshot, or
// checkpoint, from before that has come back.
func stale(t *testing.T, suffix string) (w *world, file string, sum int64) {
	policy := snapshot.Policy{MinBytes: 1, Growth: 1, MinRecovery: 1}
	w = newWorld(t, 1, func(c *Config) { c.Snapshots = policy })
	w.rest(w.cluster("c", "counter", "n1"), 100)
	file = w.firstFile("n1", "snapshots", suffix)
	stored := readAll(t, w.disks["n1"], file)
	names, err := w.disks["n1"].List("snapshots")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := w.disks["n1"].Remove("snapshots/" + name); err != nil {
			t.Fatal(err)
		}
	}
	policy.MinBytes = 1 << 20
	n := w.open("n1")
	if err := n.AcceptLoss(w.ctx(), "c"); err != nil {
		t.Fatal(err)
	}
	c, err := n.Cluster("c")
	if err != nil {
		t.Fatal(err)
	}
	sum = w.add(c, 1)
	w.close("n1")
	replaceFile(t, w.disks["n1"], file, stored)
	return w, file, sum
}

// goesOn opens n1, fails unless all is sound there and the next command to counter c makes sum of it, and closes it.
func (w *world) goesOn(sum int64) {
	w.t.Helper()
	n := w.open("n1")
	if r := n.Report(); len(r.Suspect)+len(r.Damaged) > 0 {
		w.t.Errorf("%+v", r)
	}
	c, err := n.Cluster("c")
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.add(c, 1); got != sum {
		w.t.Fatalf("the counter goes on with %d, not %d", got, sum)
	}
	w.close("n1")
}

// I11, I12: a snapshot that is not the member's own cannot be moved away. Then the member does not run, and its error says why;
// nothing is believed of the snapshot, and nothing of the log is taken for what it stands for. When it can be moved nothing is
// lost.
func TestSnapshotThatCannotBeCondemned(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T) (*world, string, int64){
		"of a history that was given up": func(t *testing.T) (*world, string, int64) { return stale(t, ".snap") },
		"of another cluster":             foreign,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, file, sum := prepare(t)
				healthy := w.stuck(path.Base(file))
				for range 2 {
					n := w.open("n1")
					lost := n.Report().Damaged[n.registry.byName("c").uid]
					if !errors.Is(lost, ra.ErrDamaged) || !errors.Is(lost, errNoDisk) {
						t.Fatalf("%+v", n.Report())
					}
					if got, ok := w.sumAt(n, "c"); ok {
						t.Errorf("a local query answers %d", got)
					}
					c, err := n.Cluster("c")
					if err != nil {
						t.Fatal(err)
					}
					if _, err = c.Process(w.ctx(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrDamaged) {
						t.Errorf("a command ends with %v", err)
					}
					w.eventually("flush", func() bool { return n.Stats().RollOvers > 0 })
					w.close("n1")
				}
				w.config = healthy
				for range 2 {
					sum++
					w.goesOn(sum)
				}
			})
		})
	}
}

// I12: such a snapshot lies where the member's own is lost. Nor does a loss that is accepted then bring it into force.
func TestNoLossIsAcceptedForAStaleSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, file, _ := stale(t, ".snap")
		stored := readAll(t, w.disks["n1"], file)
		healthy := w.config
		w.config = func(c *Config) {
			healthy(c)
			c.Snapshots = snapshot.Policy{MinBytes: 1, Growth: 1}
		}
		w.open("n1")
		w.add(w.on("n1", "c"), 1) // and has a snapshot of its own, below the other one
		synctest.Wait()
		w.close("n1")
		w.config = healthy
		w.open("n1")
		for range 10 {
			w.add(w.on("n1", "c"), 1)
		}
		w.close("n1")
		w.removeFiles("n1", "snapshots", ".snap")
		replaceFile(t, w.disks["n1"], file, stored)
		w.stuck(path.Base(file) + ".[0-9]*") // one of the name is there
		n := w.open("n1")
		if len(n.Report().Damaged)+len(n.Report().Suspect) != 2 {
			t.Fatalf("%+v", n.Report())
		}
		err := n.AcceptLoss(w.ctx(), "c")
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrDamaged) && errors.Is(err, errNoDisk) })
		if got, ok := w.sumAt(n, "c"); ok {
			t.Errorf("a local query answers %d", got)
		}
		w.close("n1")
		w.config = healthy
		n = w.open("n1")
		if err := n.AcceptLoss(w.ctx(), "c"); err != nil {
			t.Fatal(err)
		}
		if got := w.add(w.on("n1", "c"), 1); got > 100 {
			t.Errorf("the counter goes on with %d, with what was given up", got)
		}
	})
}

// errNoDisk is what a disk says that does not work.
var errNoDisk = errors.New("no disk")

// stuck has n1 be opened on a disk, from now on, on which no file can get a name of that pattern, and returns the configuration
// of before.
func (w *world) stuck(pattern string) (before func(*Config)) {
	before = w.config
	w.config = func(c *Config) {
		before(c)
		disk := vfs.NewErrs(w.disks["n1"])
		disk.Inject(vfs.Fault{Op: vfs.OpRename, Name: pattern, Err: errNoDisk})
		c.FS = disk
	}
	return before
}

// foreign is a world in which a snapshot of another cluster of the name has come to lie under the name of counter c of n1, which
// is closed: of an index and term that its log has, too. That has all of it, in a segment that ends below the snapshot, and behind.
func foreign(t *testing.T) (w *world, file string, sum int64) {
	grown := func(policy snapshot.Policy) (*world, *Cluster) {
		w := newWorld(t, 1, func(c *Config) { c.Snapshots = policy })
		w.add(w.cluster("c", "counter", "n1"), 1)
		w.close("n1")
		n := w.open("n1")
		w.eventually("flush", func() bool { return n.Stats().RollOvers > 0 })
		return w, w.on("n1", "c")
	}
	other, c := grown(snapshot.Policy{MinBytes: 1, Growth: 1})
	other.rest(c, 100)
	strange := other.firstFile("n1", "snapshots", ".snap")
	w, c = grown(snapshot.Policy{MinBytes: 1 << 40})
	for range 20 {
		sum = w.add(c, 1)
	}
	uid := w.n(1).registry.byName("c").uid
	w.close("n1")
	_, place, _ := strings.Cut(path.Base(strange), ".")
	file = "snapshots/" + string(uid) + "." + place
	replaceFile(t, w.disks["n1"], file, readAll(t, other.disks["n1"], strange))
	return w, file, sum
}

// swapSnapshots has the snapshots of two clusters on a node that is closed change places, and returns their names and what
// is in them now.
func (w *world) swapSnapshots(node ra.NodeID, clusters ...string) (files []string, contents [][]byte) {
	w.t.Helper()
	disk := w.disks[node]
	all, err := disk.List("snapshots")
	if err != nil {
		w.t.Fatal(err)
	}
	var after []string
	for _, name := range all {
		if uid, rest, _ := strings.Cut(name, "."); strings.HasSuffix(rest, ".snap") {
			files, after = append(files, "snapshots/"+name), append(after, rest)
			contents = append([][]byte{readAll(w.t, disk, "snapshots/"+name)}, contents...)
			if !strings.HasPrefix(uid, strings.ToUpper(clusters[len(files)-1])) {
				w.t.Fatalf("%q are not of clusters %q", files, clusters)
			}
		}
	}
	if len(files) != 2 || after[0] != after[1] {
		w.t.Fatalf("%q are not two of one index and term", files)
	}
	for i, name := range files {
		replaceFile(w.t, disk, name, contents[i])
	}
	return files, contents
}

// I10, I11: a leader has sent n3 a snapshot, and n3 went down before its write-ahead log heard of that. The log by itself is whole,
// but n3 may have acknowledged what the snapshot stands for: with one that has decayed since it is suspect, each time that it is
// opened, until a leader has repaired it. With a sound one nothing is lost.
func TestLostSnapshotOfWhichTheLogKnowsNothing(t *testing.T) {
	for name, decayed := range map[string]bool{"sound": false, "decayed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, sum := newlySent(t, decayed)
				for _, node := range []ra.NodeID{"n1", "n2"} {
					w.close(node)
				}
				for range 2 {
					r := w.open("n3").Report()
					if len(r.Suspect) == 1 != decayed || len(r.Snapshots.Lost) == 1 != decayed || len(r.Damaged)+len(r.Losses) != 0 {
						t.Fatalf("%+v", r)
					}
					w.close("n3")
				}
				for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
					w.open(node)
				}
				w.healed("c", sum)
				if repaired := w.n(3).Stats().Repaired; repaired == 1 != decayed {
					t.Errorf("%d members were repaired", repaired)
				}
			})
		})
	}
}

// newlySent is a world of three nodes and a counter c, whose sum it returns. n3, which is closed, was sent a snapshot, of which
// its write-ahead log knows nothing yet, and which may have decayed.
func newlySent(t *testing.T, decayed bool) (w *world, sum int64) {
	t.Helper()
	w = newWorld(t, 3, func(c *Config) {
		if c.Name != "n3" { // it has none but those that are sent to it
			c.Snapshots = snapshot.Policy{MinBytes: 1, Growth: 1}
		}
	})
	c := w.cluster("c", "counter", "n1", "n2", "n3")
	w.count(c, 5)
	w.close("n3")
	before := w.disks["n3"].Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
	for range 10 {
		sum = w.add(c, 1)
		synctest.Wait() // a snapshot that is due is there before the next command
	}
	w.open("n3")
	w.healed("c", sum)
	w.close("n3")
	sent := w.firstFile("n3", "snapshots", ".snap")
	replaceFile(t, before, sent, readAll(t, w.disks["n3"], sent))
	w.disks["n3"] = before
	if decayed {
		w.flip("n3", sent, int64(len(readAll(t, before, sent))/2))
	}
	return w, sum
}

// Two of three are suspect: no call hangs, and one accepted loss is enough.
func TestMajoritySuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("c", "counter", "n1", "n2", "n3")
		sum := w.count(c, 20)
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(node)
		}
		w.damageWAL("n1", 1005)
		w.damageWAL("n2", 1010)
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.open(node)
		}
		for i := 1; i <= 3; i++ {
			c, err := w.n(i).Cluster("c")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrDamaged) {
				t.Errorf("a command by n%d ends with %v", i, err)
			}
		}
		if err := w.n(2).AcceptLoss(w.ctx(), "c"); err != nil {
			t.Fatal(err)
		}
		w.healed("c", sum)
	})
}
