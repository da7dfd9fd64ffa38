package system

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
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

// elsewhere is a world of three nodes and a cluster a on the last two of them, whose sum is 1.
func elsewhere(t *testing.T) *world {
	w := newWorld(t, 3, nil)
	w.add(w.cluster("a", "counter", "n2", "n3"), 1)
	return w
}

// fresh is what a node that knows nothing asks for: a cluster of its own, if there is none of the name.
var fresh = ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n4")}

// API-05: when Open returns the node sees those that were there before, and they see it, also if news of other nodes is being
// told just then. So it finds a cluster of theirs.
func TestOpenedAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elsewhere(t)
		release := make(chan struct{})
		w.n(2).Actors().HandleNodes(func(peer ra.NodeID, up bool) {
			if !up {
				<-release // slow to hear that n1 is gone
			}
		})
		go w.fabric.Disconnect("n1", "n2")
		synctest.Wait()
		type outcome struct {
			sees []ra.NodeID
			err  error
		}
		started := make(chan outcome, 1)
		go func() {
			n := w.open("n4")
			sees := n.actors.Peers()
			_, err := n.StartOrRestartCluster(w.ctx(), fresh)
			started <- outcome{sees, err}
		}()
		synctest.Wait()
		close(release)
		got := <-started
		if got.err != nil || !slices.Equal(got.sees, []ra.NodeID{"n1", "n2", "n3"}) {
			t.Errorf("it sees %v, and starts: %v", got.sees, got.err)
		}
		if size := w.n(4).registry.size(); size != 0 || w.add(w.on("n2", "a"), 1) != 2 {
			t.Errorf("%d members are registered on n4", size)
		}
	})
}

// API-05: a node that others see answers: what is asked of it while it is being opened does not get lost.
func TestSeenWhenItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elsewhere(t)
		w.close("n3")
		w.n(1).Actors().HandleNodes(func(peer ra.NodeID, up bool) {
			if peer != "n3" || !up {
				return
			}
			if has, answered := w.n(1).askNode(w.ctx(), "n3", "a"); !answered || !slices.Equal(has.members, Members("a", "n3")) {
				t.Errorf("n3 says %v, %+v", answered, has)
			}
		})
		w.open("n3")
	})
}

// API-05: a node that is up and does not answer may have a cluster of the name. It is waited for, but not for ever; a new cluster
// begins when it has answered that it has none, and not before.
func TestSilentNodeIsNotTakenForOneWithout(t *testing.T) {
	for name, cut := range map[string]func(f *actor.Fabric){
		"question": func(f *actor.Fabric) { f.Cut("n4", "n2"); f.Cut("n4", "n3") },
		"answer":   func(f *actor.Fabric) { f.Cut("n2", "n4"); f.Cut("n3", "n4") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := elsewhere(t)
				n := w.open("n4")
				cut(w.fabric)
				began := time.Now()
				_, err := n.StartOrRestartCluster(context.Background(), fresh)
				wantErr(t, err, func(err error) bool { return notAsked(err) && errors.Is(err, ra.ErrNodeDown) })
				if d := time.Since(began); d > 2*seekTime {
					t.Errorf("it took %v", d)
				}
				_, err = n.StartOrRestartCluster(w.short(), fresh)
				wantErr(t, err, func(err error) bool { return notAsked(err) && errors.Is(err, context.DeadlineExceeded) })
				if n.registry.size() != 0 {
					t.Error("a new cluster was begun")
				}
				for _, node := range []ra.NodeID{"n2", "n3"} {
					w.fabric.Heal("n4", node)
					w.fabric.Heal(node, "n4")
				}
				c, err := n.StartOrRestartCluster(w.ctx(), fresh)
				if err != nil {
					t.Fatal(err)
				}
				if sum := w.add(c, 1); sum != 2 || n.registry.size() != 0 {
					t.Errorf("sum is %d, %d members are registered on n4", sum, n.registry.size())
				}
			})
		})
	}
}

// notAsked reports whether StartOrRestartCluster does not know whether there is such a cluster.
func notAsked(err error) bool {
	var start *StartError
	return errors.Is(err, errNotAsked) && errors.As(err, &start)
}

// API-05, I10: two of three nodes have lost their logs and get connected just after they could not be asked. That they can be
// started on does not mean that they never had anything.
func TestNodesThatComeWhileTheyAreMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		w.add(w.ensure("n1"), 1)
		lost := []ra.NodeID{"n2", "n3"}
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(node)
		}
		for _, node := range lost {
			w.removeFiles(node, "wal", "")
			w.open(node)
			w.fabric.Disconnect("n4", node)
		}
		n5 := w.open("n5")
		n5.actors.HandleFrames(func(from ra.NodeID, f actor.Frame) {
			for _, node := range lost {
				w.fabric.Connect("n4", node)
			}
			n5.arrivedFrame(from, f)
		})
		_, err := w.n(4).StartOrRestartCluster(w.ctx(), three)
		wantErr(t, err, func(err error) bool { return notAsked(err) && errors.Is(err, ra.ErrNodeDown) })
		_, err = w.n(4).StartOrRestartCluster(w.ctx(), three)
		wantErr(t, err, mayBeLost)
		if running := w.running(); running != 0 {
			t.Errorf("%d members run", running)
		}
	})
}

// API-05, I10: of the two members that are named one is certainly not there, and the other may be lost. Half of them is no
// majority: a cluster that began with both may have gone on with the one. So nothing begins anew until somebody gives it up.
func TestHalfThatIsLostIsNotReplaced(t *testing.T) {
	for name, first := range map[string]ra.NodeID{"the other was removed": "n1", "the other never was": "n3"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, nil)
				c, removed := w.cluster("a", "counter", "n1", "n2"), ra.ServerID{Name: "a", Node: "n1"}
				if err := errors.Join(c.RemoveMember(w.ctx(), removed), w.n(1).Member(removed).Delete(w.ctx())); err != nil {
					t.Fatal(err)
				}
				w.add(w.on("n2", "a"), 1)
				w.close("n2")
				w.removeFiles("n2", "wal", "")
				w.open("n2")
				n := w.open("n4") // which knows of nobody
				_, err := n.StartOrRestartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", first, "n2")})
				wantErr(t, err, mayBeLost)
				if running := w.running(); running != 0 {
					t.Errorf("%d members run", running)
				}
			})
		})
	}
}
