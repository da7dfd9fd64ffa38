package system

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// leaderNode returns the node that leads a cluster, once one does.
func (w *world) leaderNode(c *Cluster) ra.NodeID {
	w.t.Helper()
	id, err := c.WaitLeader(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	return id.Node
}

// others returns the open nodes but one.
func (w *world) others(than ra.NodeID) []ra.NodeID {
	var names []ra.NodeID
	for i := range len(w.nodes) + 1 {
		if n := w.n(i); n != nil && n.Name() != than {
			names = append(names, n.Name())
		}
	}
	return names
}

// isolate cuts a node off from all others, without a word to anybody.
func (w *world) isolate(node ra.NodeID) {
	for _, other := range w.others(node) {
		w.fabric.Cut(node, other)
		w.fabric.Cut(other, node)
	}
}

// on returns the cluster's handle on a node.
func (w *world) on(node ra.NodeID, cluster string) *Cluster {
	w.t.Helper()
	c, err := w.nodes[node].Cluster(cluster)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TIM-02, TIM-05: the others elect a leader when they lose sight of the old one's node, and it catches up when it is
// back. CMD-04: nothing is lost, and the old leader's callers are told.
func TestLeaderIsDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		old := w.leaderNode(c)
		rest := w.others(old)
		for _, n := range rest {
			w.fabric.Disconnect(old, n)
		}
		if got := w.add(w.on(rest[0], "a"), 2); got != 3 {
			t.Fatalf("sum is %d", got)
		}
		_, err := w.on(old, "a").Process(w.short(), reference.AppendAdd(nil, 100))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a quorum: %v", err)
		}
		for _, n := range rest {
			w.fabric.Connect(old, n)
		}
		if got := w.add(w.on(old, "a"), 4); got != 7 {
			t.Errorf("sum is %d, want 7", got)
		}
	})
}

// REP-30, REP-34: a leader that is cut off answers no consistent query, local ones it does (QRY-02).
func TestConsistentQueryUnderPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		old := w.leaderNode(c)
		w.isolate(old)
		lonely := w.on(old, "a")
		if _, err := lonely.ConsistentQuery(w.short(), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("consistent query: %v", err)
		}
		if r, err := lonely.LocalQuery(w.ctx(), nil); err != nil || r.Reply != int64(1) {
			t.Errorf("local query: %+v, %v", r, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		healed := make(chan struct{})
		go func() {
			defer close(healed)
			time.Sleep(3 * time.Second)
			for _, n := range w.others(old) {
				w.fabric.Heal(old, n)
				w.fabric.Heal(n, old)
			}
		}()
		if r, err := lonely.ConsistentQuery(ctx, nil); err != nil || r.Reply != int64(1) {
			t.Errorf("consistent query, healed meanwhile: %+v, %v", r, err)
		}
		<-healed
	})
}

// FAIL-04: nodes are closed and opened one after the other; the cluster serves all the time and loses nothing.
func TestRollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		w.cluster("a", "counter", "n1", "n2", "n3")
		sum := int64(0)
		for _, name := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(name)
			other := w.others(name)[0]
			sum++
			if got := w.add(w.on(other, "a"), 1); got != sum {
				t.Fatalf("%s is closed: sum is %d, want %d", name, got, sum)
			}
			w.open(name)
			sum++
			if got := w.add(w.on(name, "a"), 1); got != sum {
				t.Fatalf("%s is back: sum is %d, want %d", name, got, sum)
			}
		}
	})
}

// QRY-01 and FSM-02: after all nodes were closed and opened the state is what it was, and the cluster elects a leader
// by itself (API-07).
func TestRestartOfAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		for range 50 {
			w.add(c, 1)
		}
		for i := range 3 {
			w.close(w.n(i + 1).Name())
		}
		for _, name := range []ra.NodeID{"n1", "n2", "n3"} {
			w.open(name)
		}
		r, err := w.on("n2", "a").ConsistentQuery(w.ctx(), nil)
		if err != nil || r.Reply != int64(50) {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TIM-06: a leader's node is lost for a moment, and its process ends meanwhile. That the node is back is not taken for the
// leader's being back: its process is watched again, and the others elect.
func TestLeaderEndsWhileDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.healed("a", w.add(c, 1))
		old := w.leaderNode(c)
		rest := w.others(old)
		for _, n := range rest {
			w.fabric.Disconnect(old, n)
		}
		synctest.Wait()
		if err := w.nodes[old].Member(ra.ServerID{Name: "a"}).Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		for _, n := range rest {
			w.fabric.Connect(old, n)
		}
		if got := w.add(w.on(rest[0], "a"), 2); got != 3 {
			t.Errorf("sum is %d", got)
		}
	})
}
