package system

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// dissolve deletes a cluster of which a member cannot be reached, and returns the node of the herald, which stays.
func (w *world) dissolve(c *Cluster) ra.NodeID {
	w.t.Helper()
	if _, err := c.WaitLeader(w.ctx()); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = c.Delete(ctx) // which may wait for those who cannot be reached
	var left []ra.NodeID
	w.eventually("one member is left", func() bool {
		left = left[:0]
		for name, n := range w.nodes {
			if r := n.registry.byName(c.Name()); r != nil && r.proc.Load() != nil {
				left = append(left, name)
			}
		}
		return len(left) == 1
	})
	return left[0]
}

// crash ends a node as a power cut does: what is not durable is lost.
func (w *world) crash(name ra.NodeID) {
	w.t.Helper()
	left := w.disks[name].Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1)))
	w.close(name)
	w.disks[name] = left
}

// empty waits until no node has a member.
func (w *world) empty() {
	w.t.Helper()
	w.eventually("no member is left", func() bool {
		for _, n := range w.nodes {
			if n.registry.size() > 0 {
				return false
			}
		}
		return true
	})
}

// FSM-11, FSM-12, I12: a cluster is deleted while one of its members is away, then the last one that knows of it crashes.
// Whoever is back first is alone. When both are, both go by themselves, and the name is free.
func TestLastMemberIsDismissed(t *testing.T) {
	for _, heraldFirst := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3, nil)
			c := w.cluster("a", "counter", "n1", "n2", "n3")
			w.add(c, 1)
			w.close("n3")
			herald := w.dissolve(c)
			w.crash(herald)
			first, second := ra.NodeID("n3"), herald
			if heraldFirst {
				first, second = second, first
			}
			alone := w.open(first)
			time.Sleep(2 * time.Minute)
			if alone.registry.size() != 1 {
				t.Errorf("%s has %d members, and nobody can have told it", first, alone.registry.size())
			}
			w.open(second)
			w.empty()
			if got := w.add(w.cluster("a", "counter", "n3", "n1", "n2"), 7); got != 7 {
				t.Errorf("sum is %d", got)
			}
		})
	}
}

// FSM-11, API-10: the last member waits for one that is stopped, until somebody deletes that one by force or starts it.
func TestStoppedMemberIsWaitedFor(t *testing.T) {
	for _, byForce := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3, nil)
			c := w.cluster("a", "counter", "n1", "n2", "n3")
			w.add(c, 1)
			stopped := w.n(3).Member(ra.ServerID{Name: "a"})
			if err := stopped.Stop(w.ctx()); err != nil {
				t.Fatal(err)
			}
			herald := w.dissolve(c)
			time.Sleep(2 * time.Minute)
			if w.nodes[herald].registry.size() != 1 || w.n(3).registry.size() != 1 {
				t.Errorf("%d members on %s, %d on n3", w.nodes[herald].registry.size(), herald, w.n(3).registry.size())
			}
			end := stopped.Restart
			if byForce {
				end = stopped.Delete
			}
			if err := end(w.ctx()); err != nil {
				t.Fatal(err)
			}
			w.empty()
		})
	}
}

// FSM-12: a member whose cluster is deleted may have ended before anybody looks whether its process has begun. Both are to be
// seen then, and it has begun: a node that is opened does not report it as not started.
func TestBegunAndEndedAtOnce(t *testing.T) {
	n, ended := new(Node), make(chan struct{})
	close(ended)
	for range 100 {
		p := &process{begun: make(chan struct{})}
		if err := n.awaitBegin(p, ended); !errors.Is(err, ra.ErrNoProcess) {
			t.Fatalf("%v, want that it has ended", err)
		}
		close(p.begun)
		if err := n.awaitBegin(p, ended); err != nil {
			t.Fatal(err)
		}
	}
}
