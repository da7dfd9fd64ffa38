package system

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// visited is a world with a cluster that has moved from n2 and n3 to n4 behind the back of n1, which started it and never
// had a member; its first sum is 2.
func visited(t *testing.T) (w *world, visitor *Cluster) {
	w = newWorld(t, 4, nil)
	visitor, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n2", "n3")})
	if err != nil {
		t.Fatal(err)
	}
	w.add(visitor, 1)
	to := ra.ServerID{Name: "a", Node: "n4"}
	if err := w.on("n2", "a").AddMember(w.ctx(), to, ra.Voter); err != nil {
		t.Fatal(err)
	}
	there := w.on("n4", "a")
	w.add(there, 1)
	for _, node := range []ra.NodeID{"n2", "n3"} {
		from := ra.ServerID{Name: "a", Node: node}
		if err := errors.Join(there.RemoveMember(w.ctx(), from), w.n(4).Member(from).Delete(w.ctx())); err != nil {
			t.Fatal(err)
		}
	}
	w.add(there, 0) // so that n4 leads by now
	return w, visitor
}

// moved is where the cluster of visited is.
var moved = Members("a", "n4")

// QRY-16: a node finds a cluster that has left everybody whom the node knew, and can do with it what it could before.
func TestVisitorFindsClusterThatMoved(t *testing.T) {
	for what, use := range map[string]func(*world, *Cluster) error{
		"command": func(w *world, c *Cluster) error {
			_, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1))
			return err
		},
		"query":   func(w *world, c *Cluster) error { _, err := c.ConsistentQuery(w.ctx(), nil); return err },
		"restart": func(w *world, c *Cluster) error { return c.Restart(w.ctx()) },
		"add": func(w *world, c *Cluster) error {
			return c.AddMember(w.ctx(), ra.ServerID{Name: "a", Node: "n2"}, ra.NonVoter)
		},
		"start": func(w *world, c *Cluster) error {
			_, err := w.n(1).StartOrRestartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n3")})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, visitor := visited(t)
				if err := use(w, visitor); err != nil {
					t.Fatal(err)
				}
				if got := visitor.Members(); !slices.Contains(got, moved[0]) || slices.Contains(got, ra.ServerID{Name: "a", Node: "n3"}) {
					t.Errorf("members are %v", got)
				}
				if got := w.add(visitor, 0); got < 2 {
					t.Errorf("sum is %d", got)
				}
			})
		})
	}
}

// API-09, API-11: what is done with all members is done with those whom a visitor does not know.
func TestVisitorStopsAndDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, visitor := visited(t)
		running := func() bool { return w.n(4).Overview().Clusters[0].Here[moved[0]].Running }
		if err := visitor.Stop(w.ctx()); err != nil || running() {
			t.Fatalf("stop: %v, running: %v", err, running())
		}
		if err := visitor.Restart(w.ctx()); err != nil || !running() {
			t.Fatalf("restart: %v, running: %v", err, running())
		}
		if err := visitor.Delete(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if got := w.n(4).Clusters(); len(got) != 0 {
			t.Errorf("n4 has %v", got)
		}
	})
}

// A visitor does not find a cluster that is gone, nor takes another one for it; it says so soon.
func TestVisitorOfAClusterThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, visitor := visited(t)
		if err := w.on("n4", "a").Delete(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.n(4).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "table"}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := visitor.Process(w.ctx(), reference.AppendAdd(nil, 1))
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNoProcess) && !ra.MayHaveBeenApplied(err) })
		if d := time.Since(began); d > 10*settle {
			t.Errorf("it took %v", d)
		}
	})
}

// QRY-16: who waits for a leader on a node without members is told of one.
func TestVisitorWaitsForLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, visitor := visited(t)
		if err := w.on("n4", "a").Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		_, err := visitor.Process(w.ctx(), reference.AppendAdd(nil, 1))
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNoProcess) })
		visitor.entry.set(&standing{members: visitor.entry.standing.Load().members})
		time.AfterFunc(5*time.Second, func() { _ = w.on("n4", "a").Restart(w.ctx()) })
		if got, err := visitor.WaitLeader(w.ctx()); err != nil || got != moved[0] {
			t.Errorf("leader is %v, %v", got, err)
		}
	})
}

// CMD-08: nothing is tried again for who does not wait; but the next command goes to the new leader.
func TestVisitorThatNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, visitor := visited(t)
		send := func() error {
			ended := make(chan error, 1)
			visitor.Go(reference.AppendAdd(nil, 1), func(_ ra.Result, err error) { ended <- err })
			return <-ended
		}
		wantErr(t, send(), func(err error) bool { return errors.Is(err, ra.ErrNoProcess) })
		synctest.Wait()
		if err := send(); err != nil {
			t.Error(err)
		}
	})
}

// MEM-02, MEM-03: who changes the members of a cluster knows them then, from wherever that is done.
func TestVisitorChangesMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		c, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n2", "n3")})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddMember(w.ctx(), Members("a", "n4")[0], ra.Voter); err != nil {
			t.Fatal(err)
		}
		if got := c.Members(); !slices.Equal(got, Members("a", "n2", "n3", "n4")) {
			t.Errorf("members are %v", got)
		}
		if err := c.RemoveMember(w.ctx(), Members("a", "n2")[0]); err != nil {
			t.Fatal(err)
		}
		if got := c.Members(); !slices.Equal(got, Members("a", "n3", "n4")) {
			t.Errorf("members are %v", got)
		}
	})
}
