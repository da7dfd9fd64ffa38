package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// keeper counts commands, tells who watches of each, and monitors and times what a leader has to ask for again.
type keeper struct {
	machine.Stored[keeperState]
	seen *keepers
}

type keeperState struct {
	Count   int
	Watcher []ra.PID
	Words   []string
}

// keepers is what all keepers of a test have in common.
type keepers struct {
	applied, aux     atomic.Int64
	writing, atOnce  atomic.Int64
	write, onCapture func(w io.Writer) error // instead of the state; nil: the state
}

func (k *keepers) make(machine.Init) machine.Machine { return &keeper{seen: k} }

func (m *keeper) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	m.seen.applied.Add(1)
	m.State.Count++
	if string(command) == "watch" {
		m.State.Watcher = append(m.State.Watcher, meta.From.PID)
	}
	for _, pid := range m.State.Watcher {
		fx.Send(pid, m.State.Count)
	}
	return m.State.Count
}

func (m *keeper) EnterState(role ra.Role, fx *machine.Effects) {
	if role == ra.Leader && len(m.State.Watcher) > 0 {
		fx.Monitor(m.State.Watcher[0])
		fx.Timer("t", time.Minute)
	}
}

func (m *keeper) HandleDown(_ machine.Meta, d machine.Down, _ *machine.Effects) {
	m.State.Words = append(m.State.Words, "down:"+d.PID.Name)
}

func (m *keeper) HandleTimeout(_ machine.Meta, timer string, _ *machine.Effects) {
	m.State.Words = append(m.State.Words, "timeout:"+timer)
}

func (m *keeper) InitAux(machine.Init) machine.AuxHandler {
	m.seen.aux.Add(1)
	return echo{}
}

func (m *keeper) Query(machine.QueryContext, any) (any, error) {
	return fmt.Sprint(m.State.Count, " ", strings.Join(m.State.Words, ",")), nil
}

func (m *keeper) Snapshot() (machine.Capture, error) {
	if f := m.seen.onCapture; f != nil {
		if err := f(nil); err != nil {
			return nil, err
		}
	}
	state, err := m.Stored.Snapshot()
	return machine.CaptureFunc(func(w io.Writer) error {
		now := m.seen.writing.Add(1)
		defer m.seen.writing.Add(-1)
		for old := m.seen.atOnce.Load(); old < now && !m.seen.atOnce.CompareAndSwap(old, now); old = m.seen.atOnce.Load() {
		}
		if f := m.seen.write; f != nil {
			if err := f(w); err != nil {
				return err
			}
		}
		_, err := state.WriteTo(w)
		return err
	}), err
}

// newKeepers opens nodes on which keepers can run, and which leave recovery checkpoints behind.
func newKeepers(t *testing.T, nodes int, config func(*Config)) (*world, *keepers) {
	k := &keepers{}
	return newWorld(t, nodes, func(c *Config) {
		c.Machines["keeper"] = k.make
		c.Snapshots = snapshot.Policy{MinRecovery: 1}
		if config != nil {
			config(c)
		}
	}), k
}

// do gives a keeper commands.
func (w *world) do(c *Cluster, times int) (count int) {
	w.t.Helper()
	for range times {
		r, err := c.Process(w.ctx(), []byte("do"))
		if err != nil {
			w.t.Fatal(err)
		}
		count = r.Reply.(int)
	}
	return count
}

// said asks a keeper for its state.
func (w *world) said(c *Cluster) string {
	w.t.Helper()
	r, err := c.ConsistentQuery(w.ctx(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Reply.(string)
}

// checkpoints returns how many recovery checkpoints are on a node's disk, and fails if anything is half made.
func (w *world) checkpoints(node ra.NodeID) int {
	w.t.Helper()
	names, err := w.disks[node].List("snapshots")
	if err != nil {
		w.t.Fatal(err)
	}
	count := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".ckpt") {
			w.t.Errorf("there is %s", name)
		}
		count++
	}
	return count
}

// CKPT-10, EFF-01, EFF-03, EFF-50, EFF-52: nodes that were closed in good order open without applying anything again. What
// the machine asked for before is neither lost nor done again: messages come once, a new leader asks for monitors and
// timers. The aux handler is a new one.
func TestOpenWithoutReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := newKeepers(t, 4, nil)
		c := w.cluster("a", "keeper", "n1", "n2", "n3")
		ref, heard := w.spawn("n4", "watcher")
		if err := c.PipelineCommand([]byte("watch"), machine.Caller{PID: ref.PID(), Correlation: 1}); err != nil {
			t.Fatal(err)
		}
		w.do(c, 20)
		time.Sleep(time.Second) // the followers hear what is committed
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(node)
		}
		k.applied.Store(0)
		k.aux.Store(0)
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.open(node)
		}
		c = w.on("n1", "a")
		if got := w.said(c); got != "21 " || k.applied.Load() != 0 || k.aux.Load() != 3 {
			t.Errorf("state %q, %d commands applied again, %d aux handlers", got, k.applied.Load(), k.aux.Load())
		}
		time.Sleep(2 * time.Minute)
		w.do(c, 1)
		ref.Stop(nil)
		<-ref.Done()
		time.Sleep(time.Second)
		if got := w.said(c); got != "22 timeout:t,down:watcher" || k.applied.Load() != 3 {
			t.Errorf("state %q, %d commands applied", got, k.applied.Load())
		}
		for want := 1; want <= 22; want++ {
			for len(heard) > 0 {
				if msg := <-heard; msg == want {
					break
				} else if _, told := msg.(ra.Event); !told {
					t.Fatalf("the watcher is told of %v, not of %d", msg, want)
				}
			}
		}
		for len(heard) > 0 {
			if _, told := (<-heard).(ra.Event); !told {
				t.Error("the watcher is told more than once")
			}
		}
	})
}

// API-09, CKPT-10: a member that is stopped leaves its state behind, by itself or with its cluster, if enough was applied,
// and one that is deleted leaves nothing.
func TestStopLeavesRecoveryCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := newKeepers(t, 3, func(c *Config) { c.Snapshots.MinRecovery = 10 })
		c := w.cluster("a", "keeper", "n1", "n2", "n3")
		w.do(c, 5)
		m := w.n(1).Member(ra.ServerID{Name: "a", Node: "n2"})
		if err := m.Stop(w.ctx()); err != nil || w.checkpoints("n2") != 0 {
			t.Fatalf("after few commands: %v, %d checkpoints", err, w.checkpoints("n2"))
		}
		if err := m.Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		w.do(c, 10)
		time.Sleep(time.Second)
		if err := errors.Join(m.Stop(w.ctx()), m.Stop(w.ctx())); err != nil || w.checkpoints("n2") != 1 {
			t.Fatalf("%v, %d checkpoints", err, w.checkpoints("n2"))
		}
		if err := c.Stop(w.ctx()); err != nil || w.checkpoints("n1")+w.checkpoints("n3") != 2 {
			t.Fatalf("%v, %d and %d checkpoints", err, w.checkpoints("n1"), w.checkpoints("n3"))
		}
		k.applied.Store(0)
		if err := c.Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if got := w.said(c); got != "15 " || k.applied.Load() != 0 {
			t.Errorf("state %q, %d commands applied again", got, k.applied.Load())
		}
		w.do(c, 20)
		if err := m.Delete(w.ctx()); err != nil || w.checkpoints("n2") != 0 {
			t.Errorf("%v, %d checkpoints of a deleted member", err, w.checkpoints("n2"))
		}
	})
}

// CKPT-10: when the time of a call is over, the stop goes on without a recovery checkpoint: at once if it was over from the
// beginning, after half of it if the state is too large, and, if the machine does not let go of its state, when the
// member has stopped and all of the time has passed.
func TestNoTimeForRecoveryCheckpoint(t *testing.T) {
	release := make(chan struct{})
	for name, c := range map[string]struct {
		write   func(io.Writer) error
		timeout time.Duration
		took    time.Duration
	}{
		"over": {nil, 0, 0},
		"large": {func(w io.Writer) error {
			for range 1000 {
				time.Sleep(time.Second)
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					return err
				}
			}
			return nil
		}, 21 * time.Second, 11 * time.Second},
		"stuck": {func(io.Writer) error { <-release; return nil }, 20 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release = make(chan struct{})
				w, k := newKeepers(t, 1, nil)
				cluster := w.cluster("a", "keeper", "n1")
				w.do(cluster, 5)
				k.write = c.write
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				begun := time.Now()
				err := w.n(1).Member(ra.ServerID{Name: "a"}).Stop(ctx)
				if err != nil && (c.timeout > 0 || !errors.Is(err, context.DeadlineExceeded)) { // it may have stopped all the same
					t.Errorf("stop: %v", err)
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("the stop took %v", took)
				}
				close(release)
				synctest.Wait()
				w.close("n1")
				if got := w.checkpoints("n1"); got != 0 {
					t.Errorf("%d checkpoints", got)
				}
				k.applied.Store(0)
				k.write = nil
				w.open("n1")
				if got := w.said(w.on("n1", "a")); got != "5 " || k.applied.Load() != 5 {
					t.Errorf("state %q, %d commands replayed", got, k.applied.Load())
				}
			})
		})
	}
}

// CKPT-10: a node with many members is closed in the time that there is: as many states are written as there are jobs in the
// background, those for which no time is left are not, and all members start again.
func TestManyRecoveryCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		timeout time.Duration
		most    int
	}{"all": {time.Hour, 100}, "some": {22 * time.Second, 48}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, k := newKeepers(t, 1, nil)
				var all []ClusterConfig
				for i := range 100 {
					all = append(all, ClusterConfig{Name: fmt.Sprint("c", i), Machine: "keeper"})
				}
				clusters, err := w.n(1).StartClusters(w.ctx(), all)
				if err != nil {
					t.Fatal(err)
				}
				for i, c := range clusters {
					w.do(c, 1+i%3)
				}
				k.write = func(io.Writer) error { time.Sleep(time.Second); return nil }
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				n := w.nodes["n1"]
				delete(w.nodes, "n1")
				if err := n.Close(ctx); err != nil {
					t.Fatal(err)
				}
				left := w.checkpoints("n1")
				if left == 0 || left > c.most || c.most == 100 && left != 100 || k.atOnce.Load() != defaultJobs {
					t.Errorf("%d checkpoints, %d written at once", left, k.atOnce.Load())
				}
				k.applied.Store(0)
				w.open("n1")
				if applied := k.applied.Load(); left == 100 && applied != 0 || left < 100 && applied < int64(100-left) {
					t.Errorf("with %d checkpoints %d commands were applied again", left, applied)
				}
				for i := range clusters {
					if got, want := w.said(w.on("n1", fmt.Sprint("c", i))), fmt.Sprint(1+i%3, " "); got != want {
						t.Errorf("cluster %d: state %q, want %q", i, got, want)
					}
				}
			})
		})
	}
}

// CKPT-10, FAIL-02: a machine that fails while its state is captured or written, and a disk that does not take the file,
// are noted, and the stop does not fail because of them.
func TestRecoveryCheckpointFails(t *testing.T) {
	panics := func(io.Writer) error { panic("no") }
	for name, spoil := range map[string]func(*keepers, *vfs.Errs){
		"capture": func(k *keepers, _ *vfs.Errs) { k.onCapture = panics },
		"write":   func(k *keepers, _ *vfs.Errs) { k.write = panics },
		"create":  func(_ *keepers, fs *vfs.Errs) { fs.Inject(vfs.Fault{Op: vfs.OpCreate, Name: "*.ckpt.tmp"}) },
		"full": func(_ *keepers, fs *vfs.Errs) {
			fs.Inject(vfs.Fault{Op: vfs.OpWrite, Name: "*.ckpt.tmp", Err: ra.ErrDiskFull, Short: true})
		},
		"rename": func(_ *keepers, fs *vfs.Errs) { fs.Inject(vfs.Fault{Op: vfs.OpRename}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var errs *vfs.Errs
				w, k := newKeepers(t, 1, func(c *Config) {
					errs = vfs.NewErrs(c.FS.(*vfs.Mem))
					c.FS = errs
				})
				w.do(w.cluster("a", "keeper", "n1"), 5)
				spoil(k, errs)
				n := w.n(1)
				if err := n.Member(ra.ServerID{Name: "a"}).Stop(w.ctx()); err != nil || n.counts.problems.Load() != 1 {
					t.Errorf("stop: %v, %d problems", err, n.counts.problems.Load())
				}
				errs.Heal()
				k.onCapture, k.write = nil, nil
				if err := n.Member(ra.ServerID{Name: "a"}).Restart(w.ctx()); err != nil || w.checkpoints("n1") != 0 {
					t.Errorf("restart: %v, %d checkpoints", err, w.checkpoints("n1"))
				}
				if got := w.said(w.on("n1", "a")); got != "5 " || k.applied.Load() != 10 {
					t.Errorf("state %q, %d commands applied", got, k.applied.Load())
				}
			})
		})
	}
}
