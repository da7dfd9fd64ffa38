package system

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// three is a counter on three nodes.
var three = ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n1", "n2", "n3")}

// ensure starts cluster three, or starts it again, from a node.
func (w *world) ensure(node ra.NodeID) *Cluster {
	w.t.Helper()
	c, err := w.nodes[node].StartOrRestartCluster(w.ctx(), three)
	if err != nil {
		w.t.Fatalf("from %s: %v", node, err)
	}
	return c
}

// running returns how many members run on all nodes.
func (w *world) running() (count int) {
	for _, n := range w.nodes {
		for _, r := range n.registry.all() {
			if r.proc.Load() != nil {
				count++
			}
		}
	}
	return count
}

// API-05, QRK-08: one call starts a cluster, leaves it alone if it runs, and starts it again if it is stopped, on any node
// and after restarts of nodes; what it has stored stays.
func TestStartOrRestartCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *Config) { c.NoAutoStart = true })
		c := w.ensure("n1")
		if got := w.add(c, 1) + w.add(w.ensure("n2"), 1); got != 3 {
			t.Errorf("a cluster that runs: the sums are %d together", got)
		}
		if err := c.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if got := w.add(w.ensure("n3"), 1); got != 3 || w.running() != 3 {
			t.Errorf("stopped: sum is %d, %d members run", got, w.running())
		}
		for _, name := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(name)
		}
		w.open("n1")
		w.open("n3")
		c = w.ensure("n3")
		if got := w.add(c, 1); got != 4 || w.running() != 2 {
			t.Errorf("opened without n2: sum is %d, %d members run", got, w.running())
		}
		if m := c.NotStarted(); len(m) != 1 || m[0].Member != three.Members[1] || !errors.Is(m[0], ra.ErrNodeDown) {
			t.Errorf("not started are %v", m)
		}
		w.open("n2")
		if got := w.ensure("n1").NotStarted(); len(got) != 0 || w.running() != 3 {
			t.Errorf("not started are %v, %d members run", got, w.running())
		}
		if got := w.add(w.on("n2", "a"), 1); got != 5 {
			t.Errorf("sum is %d", got)
		}
	})
}

// API-05, MEM-02: a cluster that has other members by now than the call names is found by any of those that it names, also
// from a node that never heard of it, and its other members are started, too.
func TestRestartOfClusterThatMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5, nil)
		c := w.ensure("n1")
		gone, fourth := three.Members[0], ra.ServerID{Name: "a", Node: "n4"}
		if err := errors.Join(c.AddMember(w.ctx(), fourth, ra.Voter), c.RemoveMember(w.ctx(), gone), w.n(1).Member(gone).Delete(w.ctx())); err != nil {
			t.Fatal(err)
		}
		w.add(w.on("n2", "a"), 1)
		for _, id := range []ra.ServerID{three.Members[1], fourth} {
			if err := w.n(2).Member(id).Stop(w.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		c = w.ensure("n5")
		if got := w.add(c, 1); got != 2 || w.running() != 3 || len(c.NotStarted()) != 0 {
			t.Errorf("sum is %d, %d members run, not started are %v", got, w.running(), c.NotStarted())
		}
	})
}

// API-05, QRK-08: what is left of a cluster is never replaced by a new one, and members of other clusters are not touched.
func TestNoNewClusterOverAnOldOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.ensure("n1")
		w.add(c, 1)
		for _, id := range three.Members[1:] {
			if err := w.n(1).Member(id).Delete(w.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		var start *StartError
		for _, node := range []ra.NodeID{"n1", "n3"} {
			_, err := w.nodes[node].StartOrRestartCluster(w.short(), three)
			wantErr(t, err, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) && errors.As(err, &start) })
		}
		if w.running() != 1 || w.n(2).registry.size()+w.n(3).registry.size() != 0 {
			t.Errorf("%d members run, %d are on n2, %d on n3", w.running(), w.n(2).registry.size(), w.n(3).registry.size())
		}
		other := three
		other.Machine = "table"
		_, err := w.n(1).StartOrRestartCluster(w.ctx(), other)
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNameTaken) && errors.As(err, &start) })
		m := w.n(1).Member(three.Members[0])
		if err := m.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		other = ClusterConfig{Name: "b", Machine: "counter", Members: three.Members[:1]}
		_, err = w.n(1).StartOrRestartCluster(w.ctx(), other)
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNameTaken) && errors.As(err, &start) })
		if w.running() != 0 {
			t.Error("a member of another cluster was started")
		}
		_, err = w.n(1).StartOrRestartCluster(w.ctx(), ClusterConfig{Name: "a/b", Machine: "counter"})
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrInvalidName) && errors.As(err, &start) })
	})
}
