package system

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// removeFiles removes files of a directory of a node that is closed: those with that ending.
func (w *world) removeFiles(node ra.NodeID, dir, suffix string) {
	w.t.Helper()
	names, err := w.disks[node].List(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		if err := w.disks[node].Remove(path.Join(dir, name)); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.disks[node].SyncDir(dir); err != nil {
		w.t.Fatal(err)
	}
}

// mayBeLost reports whether StartOrRestartCluster refuses to begin anew.
func mayBeLost(err error) bool {
	var start *StartError
	return errors.Is(err, ra.ErrDamaged) && errors.Is(err, errMayBeLost) && errors.As(err, &start)
}

// API-05, I10: the write-ahead log of the only node is gone. What it held is not replaced by a new cluster, however often
// that is asked for, until somebody begins anew with StartCluster.
func TestLostClusterIsNotReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		cfg := ClusterConfig{Name: "a", Machine: "counter"}
		c, err := w.n(1).StartOrRestartCluster(w.ctx(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.add(c, 1)
		w.close("n1")
		w.removeFiles("n1", "wal", "")
		for range 2 {
			n := w.open("n1")
			for range 2 {
				_, err := n.StartOrRestartCluster(w.ctx(), cfg)
				wantErr(t, err, mayBeLost)
			}
			if got := n.Clusters(); len(got) != 0 || n.registry.size() != 0 {
				t.Errorf("clusters are %q, %d members are registered", got, n.registry.size())
			}
			w.close("n1")
		}
		if c, err = w.open("n1").StartCluster(w.ctx(), cfg); err != nil {
			t.Fatal(err)
		}
		if got := w.add(c, 1); got != 1 {
			t.Errorf("the new cluster begins with %d", got)
		}
		if c, err = w.n(1).StartOrRestartCluster(w.ctx(), cfg); err != nil {
			t.Fatal(err)
		}
		if got := w.add(c, 1); got != 2 {
			t.Errorf("sum is %d", got)
		}
	})
}

// API-05, I10: all that there was of a young cluster was in a file of the log that is lost. At no later start, also of another file
// by then, is the cluster taken for a new one, until somebody accepts that nothing tells of it.
func TestUnaccountedUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		cfg := ClusterConfig{Name: "a", Machine: "counter"}
		w.cluster("b", "counter", "n1")
		wantErr(t, w.n(1).AcceptUnaccounted(w.ctx()), func(err error) bool { return errors.Is(err, ErrNothingLost) })
		w.close("n1")
		w.open("n1") // a further file; the first one is released by and by, and the state file written
		time.Sleep(time.Minute)
		c, err := w.n(1).StartCluster(w.ctx(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.add(c, 1)
		newest := ""
		names, _ := w.disks["n1"].List("wal")
		for _, name := range names {
			if strings.HasSuffix(name, ".wal") {
				newest = "wal/" + name
			}
		}
		w.crash("n1")
		w.zero("n1", newest, 0)
		w.zero("n1", newest, vfs.BlockSize)
		for start := range 4 {
			n := w.open("n1")
			if r := n.Report(); !r.Unaccounted || (start == 0) != (len(r.Losses) > 0) {
				t.Errorf("start %d: %+v", start, r)
			}
			_, err := n.StartOrRestartCluster(w.ctx(), cfg)
			wantErr(t, err, mayBeLost)
			_, err = n.Cluster("a")
			wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrUnknownCluster) && errors.Is(err, ra.ErrDamaged) })
			if start == 1 {
				if err := n.AcceptLoss(w.ctx(), "b"); err != nil { // which had voted there, and has nobody else
					t.Fatal(err)
				}
			}
			if start < 3 {
				w.close("n1")
			}
		}
		if err := w.n(1).AcceptUnaccounted(w.ctx()); err != nil {
			t.Fatal(err)
		}
		wantErr(t, w.n(1).AcceptUnaccounted(w.ctx()), func(err error) bool { return errors.Is(err, ErrNothingLost) })
		if _, err := w.n(1).StartOrRestartCluster(w.ctx(), cfg); err != nil {
			t.Errorf("accepted: %v", err)
		}
		w.close("n1")
		if r := w.open("n1").Report(); r.Unaccounted {
			t.Errorf("accepted: %+v", r)
		}
		wantErr(t, w.n(1).AcceptUnaccounted(w.ctx()), func(err error) bool { return errors.Is(err, ErrNothingLost) })
	})
}

// API-05, I10: the whole log is gone, and somebody accepts that. No later start comes back to it, however the one before ended, and
// what is begun anew stays. If all of that is gone, too, it is another loss.
func TestAcceptedIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		cfg := ClusterConfig{Name: "a", Machine: "counter"}
		w.cluster("a", "counter", "n1")
		lose := func() {
			w.close("n1")
			w.removeFiles("n1", "wal", "")
			if r := w.open("n1").Report(); !r.Unaccounted {
				t.Fatalf("%+v", r)
			}
		}
		lose()
		if err := w.n(1).AcceptUnaccounted(w.ctx()); err != nil {
			t.Fatal(err)
		}
		for start := range 4 {
			c, err := w.n(1).StartOrRestartCluster(w.ctx(), cfg)
			if err != nil {
				t.Fatalf("start %d: %v", start, err)
			}
			if got := w.add(c, 1); got != int64(start+1) {
				t.Errorf("start %d: sum is %d", start, got)
			}
			if start%2 == 0 {
				w.crash("n1")
			} else {
				w.close("n1")
			}
			if r := w.open("n1").Report(); r.Unaccounted || len(r.Suspect)+len(r.Damaged)+len(r.NotStarted) > 0 {
				t.Errorf("start %d: %+v", start, r)
			}
		}
		lose()
	})
}

// API-05, I10: two of three nodes have lost their write-ahead logs, and the third, which is sound, is only away. While it is
// nothing is begun anew. If one has, those that are sound decide: with a majority that has never heard of a cluster it is new.
func TestLostMajorityIsNotReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		w.add(w.ensure("n1"), 1)
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(node)
		}
		w.removeFiles("n1", "wal", "")
		w.removeFiles("n2", "wal", "")
		w.open("n1")
		w.open("n2")
		for _, node := range []ra.NodeID{"n1", "n2"} {
			_, err := w.nodes[node].StartOrRestartCluster(w.ctx(), three)
			wantErr(t, err, mayBeLost)
		}
		w.open("n3")
		_, err := w.n(3).StartOrRestartCluster(w.short(), three)
		wantErr(t, err, func(err error) bool { return err != nil && !errors.Is(err, errMayBeLost) })
		if _, ok := w.sumAt(w.n(3), "a"); !ok || w.running() != 1 {
			t.Errorf("%d members run", w.running())
		}
		w.open("n4")
		w.open("n5")
		young := ClusterConfig{Name: "b", Machine: "counter", Members: Members("b", "n1", "n3", "n4")}
		if _, err := w.n(1).StartOrRestartCluster(w.ctx(), young); err != nil {
			t.Errorf("two of three are sound, and have nothing: %v", err)
		}
	})
}

// API-05: a cluster has moved, and a majority of those that have it now have lost it. The member that the call names, as it was
// in the beginning, is certainly none any more; but who asks knows of the others.
func TestLostClusterThatMovedIsNotReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		c := w.cluster("a", "counter", "n1")
		for _, node := range []ra.NodeID{"n2", "n3", "n4"} {
			if err := c.AddMember(w.ctx(), ra.ServerID{Name: "a", Node: node}, ra.Voter); err != nil {
				t.Fatal(err)
			}
		}
		first := ra.ServerID{Name: "a", Node: "n1"}
		if err := errors.Join(c.RemoveMember(w.ctx(), first), w.n(1).Member(first).Delete(w.ctx())); err != nil {
			t.Fatal(err)
		}
		w.add(c, 1)
		for _, node := range []ra.NodeID{"n2", "n3", "n4"} {
			w.close(node)
		}
		w.removeFiles("n2", "wal", "")
		w.removeFiles("n3", "wal", "")
		w.open("n2")
		w.open("n3")
		cfg := ClusterConfig{Name: "a", Machine: "counter", Members: []ra.ServerID{first}}
		_, err := w.n(1).StartOrRestartCluster(w.ctx(), cfg)
		wantErr(t, err, mayBeLost)
	})
}

// API-05: nobody knows any more that something of the log is lost, since the mark beside it has gone with it. But what a
// member without a registration has elsewhere is there: its snapshot says of which cluster it was, or its uid does more or
// less. When it is deleted, durably, nothing is in the new cluster's way.
func TestOrphanTellsOfItsCluster(t *testing.T) {
	for name, minBytes := range map[string]int64{"snapshot": 1, "segments": 1 << 40} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, func(c *Config) {
					c.WALFileSize, c.Snapshots = wal.MinFileSize, snapshot.Policy{MinBytes: minBytes, Growth: 1 << 40}
				})
				uid := w.fillSegment("n1")
				w.close("n1")
				w.removeFiles("n1", "wal", "")
				w.removeFiles("n1", ".", "HIGHWATER")
				n := w.open("n1")
				if r := n.Report(); len(r.Losses) != 0 || !slices.Equal(r.Orphans, []ra.UID{uid}) {
					t.Fatalf("%+v", r)
				}
				_, err := n.StartOrRestartCluster(w.ctx(), ClusterConfig{Name: "cc", Machine: "counter"})
				wantErr(t, err, mayBeLost)
				_, err = n.Cluster("cc")
				wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrDamaged) && errors.Is(err, ra.ErrUnknownCluster) })
				for _, other := range []string{"c", "d"} {
					if _, err := n.StartOrRestartCluster(w.ctx(), ClusterConfig{Name: other, Machine: "counter"}); err != nil {
						t.Errorf("cluster %s, of which there is nothing: %v", other, err)
					}
				}
				calls := make([]struct{}, 8) // what is not there any more need not be deleted
				errs := each(calls, len(calls), func(struct{}) error { return n.DeleteRemains(w.ctx(), uid) })
				if err := errors.Join(append(errs, n.DeleteRemains(w.ctx(), uid))...); err != nil {
					t.Fatal(err)
				}
				if size := n.registry.size(); size != 2 || n.isLeft(uid) {
					t.Errorf("%d members are registered", size)
				}
				if _, err := n.StartOrRestartCluster(w.ctx(), ClusterConfig{Name: "cc", Machine: "counter"}); err != nil {
					t.Error(err)
				}
				w.crash("n1")
				if got := w.open("n1").Report(); len(got.Orphans)+len(got.Damaged)+len(got.Suspect) != 0 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// fillSegment starts a counter on some nodes and adds to it until the first of them has entries of it in segments, and in
// files of the log none from before that, and returns that one's uid.
func (w *world) fillSegment(nodes ...ra.NodeID) ra.UID {
	w.t.Helper()
	c, n := w.cluster("cc", "counter", nodes...), w.nodes[nodes[0]]
	r := n.registry.byName("cc")
	for r.log.FirstSegment() == 0 || n.Stats().RollOvers < 4 {
		w.add(c, 1)
		synctest.Wait()
	}
	w.add(c, 1)
	synctest.Wait()
	return r.uid
}

// I11: the state files of one of three nodes are gone, and with them the registration of its member, of which orders are
// still in the log. The error says what to do about it, and when that is done nobody is damaged any more, nor later.
func TestDeleteNameless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *Config) { c.WALFileSize = wal.MinFileSize })
		uid := w.fillSegment("n1", "n2", "n3")
		w.close("n1")
		w.removeFiles("n1", "wal", ".state")
		n := w.open("n1")
		lost := n.Report().Damaged[uid]
		if !errors.Is(lost, errRegistrationLost) || errors.Is(lost, errVoteLost) || !strings.Contains(lost.Error(), "Node.DeleteRemains") {
			t.Fatalf("the report says %v", lost)
		}
		_, err := n.ReplaceDamaged(w.ctx())
		wantErr(t, err, func(err error) bool {
			return errors.Is(err, errRegistrationLost) && strings.Contains(err.Error(), string(uid))
		})
		_, err = n.StartOrRestartCluster(w.ctx(), ClusterConfig{Name: "cc", Machine: "counter"})
		if err != nil {
			t.Errorf("the others have it, and are found: %v", err)
		}
		c, id := w.on("n2", "cc"), ra.ServerID{Name: "cc", Node: "n1"}
		if err := errors.Join(c.RemoveMember(w.ctx(), id), c.AddMember(w.ctx(), id, ra.Voter)); err != nil {
			t.Fatal(err)
		}
		if err := n.DeleteRemains(w.ctx(), uid); err != nil {
			t.Fatal(err)
		}
		err = n.DeleteRemains(w.ctx(), n.registry.byName("cc").uid)
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNameTaken) })
		for range 2 {
			if s := n.Stats(); s.Members != 1 || s.Running != 1 || s.Damaged != 0 {
				t.Errorf("%+v", s)
			}
			w.crash("n1")
			n = w.open("n1")
			if r := n.Report(); len(r.Damaged)+len(r.Orphans) != 0 {
				t.Errorf("%+v", r)
			}
		}
		w.add(w.on("n1", "cc"), 1)
	})
}
