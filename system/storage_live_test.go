package system

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// openLive opens a node in memory whose members run, and starts a cluster of one there.
func openLive(t *testing.T, fs vfs.FS) (*Node, *Cluster) {
	t.Helper()
	cfg := storageConfig(fs)
	cfg.NoAutoStart = false
	n := openStorageNode(t, cfg)
	c, err := n.StartCluster(t.Context(), ClusterConfig{Name: "c", Machine: "counter"})
	if err != nil {
		t.Fatal(err)
	}
	return n, c
}

// TestLiveStorageFailure: whoever waits is told that the outcome is unknown, and calls afterwards why they are refused.
func TestLiveStorageFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n, c := openLive(t, errs)
		if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); err != nil {
			t.Fatal(err)
		}
		errs.Inject(vfs.Fault{Op: vfs.OpSync, Name: walFile})
		_, err := c.Process(t.Context(), reference.AppendAdd(nil, 1))
		if !errors.Is(err, ra.ErrStorageFailed) || !ra.MayHaveBeenApplied(err) {
			t.Errorf("who waits: %v", err)
		}
		_, err = c.Process(t.Context(), reference.AppendAdd(nil, 1))
		if !errors.Is(err, ra.ErrStorageFailed) || ra.MayHaveBeenApplied(err) {
			t.Errorf("who comes later: %v", err)
		}
		if _, err := n.StartCluster(t.Context(), ClusterConfig{Name: "d", Machine: "counter"}); !errors.Is(err, ra.ErrStorageFailed) {
			t.Errorf("a new cluster: %v", err)
		}
	})
}

// TestStorageFailureIsNoDamage: of the members of a node whose storage fails those are counted as damaged that were so before.
func TestStorageFailureIsNoDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n, c := openLive(t, errs)
		for _, name := range []string{"d", "e"} {
			if _, err := n.StartCluster(t.Context(), ClusterConfig{Name: name, Machine: "counter"}); err != nil {
				t.Fatal(err)
			}
		}
		_ = n.registry.byName("d").setDamaged(errVoteLost)
		errs.Inject(vfs.Fault{Op: vfs.OpSync, Name: walFile})
		if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrStorageFailed) {
			t.Fatal(err)
		}
		synctest.Wait()
		if s := n.Stats(); s.Members != 3 || s.Damaged != 1 || s.Suspect != 0 {
			t.Errorf("%+v", s)
		}
		if replaced, err := n.ReplaceDamaged(t.Context()); replaced != 0 || !errors.Is(err, ra.ErrStorageFailed) {
			t.Errorf("replaced %d, %v", replaced, err)
		}
	})
}

// TestLiveDiskFull: commands are refused while the disk is full, queries are answered, and when there is space again
// commands are taken (FAIL-04, FAIL-07).
func TestLiveDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n, c := openLive(t, mem)
		mem.SetCapacity(1)
		if err := n.log.Reserve(); !errors.Is(err, ra.ErrDiskFull) {
			t.Fatal(err)
		}
		sum := int64(0)
		var last error
		for ctx := shortly(t, n); last == nil; {
			r, err := c.Process(ctx, reference.AppendAdd(nil, 1))
			if last = err; err == nil {
				sum = r.Reply.(int64)
			}
		}
		// The one that found the disk full is in the log already, and will be stored when there is space.
		if !errors.Is(last, ra.ErrDiskFull) && !ra.MayHaveBeenApplied(last) {
			t.Errorf("refused with %v after %d commands", last, sum)
		}
		if r, err := c.LocalQuery(t.Context(), nil); err != nil || r.Reply.(int64) < sum {
			t.Errorf("query: %+v, %v", r, err)
		}
		mem.SetCapacity(0)
		for {
			r, err := c.Process(t.Context(), reference.AppendAdd(nil, 1))
			if err == nil {
				if got := r.Reply.(int64); got <= sum {
					t.Errorf("sum is %d after %d", got, sum)
				}
				break
			}
			if !errors.Is(err, ra.ErrDiskFull) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	})
}

// TestLiveRestart: a member that is stopped and started again within its node goes on where it was, every time.
func TestLiveRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n, c := openLive(t, mem)
		sum := int64(0)
		for round := range 5 {
			for range 20 {
				r, err := c.Process(t.Context(), reference.AppendAdd(nil, 1))
				if err != nil {
					t.Fatal(err)
				}
				if sum++; r.Reply != sum {
					t.Fatalf("round %d: sum is %v, want %d", round, r.Reply, sum)
				}
			}
			if err := errors.Join(c.Stop(t.Context()), c.Restart(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		r := n.registry.byName("c")
		if r.damaged() != nil || r.base.Load() == 0 {
			t.Errorf("record: base %d, %v", r.base.Load(), r.damaged())
		}
	})
}

// TestLiveRollOvers: under load files roll over, snapshots come and segments go, and a restart finds every sum.
func TestLiveRollOvers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		cfg := storageConfig(mem)
		cfg.NoAutoStart = false
		cfg.Snapshots = snapshot.Policy{MinBytes: 200, MinInterval: 3}
		n := openStorageNode(t, cfg)
		var clusters []*Cluster
		sums := make([]int64, 8)
		for i := range sums {
			c, err := n.StartCluster(t.Context(), ClusterConfig{Name: fmt.Sprint("c", i), Machine: "counter"})
			if err != nil {
				t.Fatal(err)
			}
			clusters = append(clusters, c)
		}
		for n.Stats().RollOvers < 6 || len(n.snapshots.UIDs()) < len(sums) {
			for i, c := range clusters {
				r, err := c.Process(t.Context(), reference.AppendAdd(nil, int64(i)))
				if err != nil {
					t.Fatal(err)
				}
				sums[i] = r.Reply.(int64)
			}
		}
		mustClose(t, n)
		n = openStorageNode(t, cfg)
		for i := range sums {
			c, err := n.Cluster(fmt.Sprint("c", i))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.WaitLeader(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r, err := c.ConsistentQuery(t.Context(), nil); err != nil || r.Reply != sums[i] {
				t.Errorf("cluster %d: %+v, %v, want %d", i, r, err, sums[i])
			}
		}
	})
}

// TestLiveCrash: whatever a crash leaves, every command that was acknowledged before it was applied, and none that was
// not sent (REP-01).
func TestLiveCrash(t *testing.T) {
	mem := vfs.NewMem()
	cfg := storageConfig(mem)
	cfg.NoAutoStart = false
	cfg.Snapshots = snapshot.Policy{MinBytes: 8 << 10, MinInterval: 10}
	n := openStorageNode(t, cfg)
	c, err := n.StartCluster(t.Context(), ClusterConfig{Name: "c", Machine: "counter"})
	if err != nil {
		t.Fatal(err)
	}
	var sent, acked atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for ctx.Err() == nil {
			sent.Add(1)
			if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); err != nil {
				t.Error(err)
				return
			}
			acked.Add(1)
		}
	})
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 2 * int(vfs.CrashModels) {
		for low := acked.Load(); acked.Load() < low+int64(rng.IntN(100)); {
			runtime.Gosched()
		}
		model := vfs.CrashModel(i) % vfs.CrashModels
		low := acked.Load()
		crashed := cfg
		crashed.FS = mem.Crash(model, rng)
		checkSum(t, crashed, model.String(), low, sent.Load())
	}
	stop()
	load.Wait()
}

// checkSum opens a node, and checks that the counter of its one cluster is between low and high.
func checkSum(t *testing.T, cfg Config, when string, low, high int64) {
	t.Helper()
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	c, err := n.Cluster("c")
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if _, err := c.WaitLeader(t.Context()); err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	r, err := c.ConsistentQuery(t.Context(), nil)
	if err != nil || r.Reply.(int64) < low || r.Reply.(int64) > high {
		t.Errorf("%s: %+v, %v; acknowledged were %d, sent %d", when, r, err, low, high)
	}
	mustClose(t, n)
}

// TestLivePanic: if the log's own actor fails nobody waits for ever.
func TestLivePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n, c := openLive(t, errs)
		errs.Trace(func(op vfs.Op, name string) {
			if ok, _ := path.Match(walFile, path.Base(name)); ok && op == vfs.OpSync {
				panic("a mistake")
			}
		})
		if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrStorageFailed) {
			t.Errorf("who waits: %v", err)
		}
		if _, err := n.register(t.Context(), registrationOf("late")); !errors.Is(err, ra.ErrStorageFailed) {
			t.Errorf("a registration: %v", err)
		}
		errs.Trace(nil)
	})
}
