package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// I10, API-13: all members of a node that has lost the files of its log are replaced by one call, as many as there are, with
// the membership that they had. A cluster's only member is left to AcceptLoss, and what is sound is left alone.
func TestReplaceDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *Config) { c.WALFileSize = wal.MinFileSize })
		const count = 12
		for i := range count {
			w.count(w.cluster(fmt.Sprint("c", i), "counter", "n1", "n2", "n3"), int64(i+1))
		}
		watching := w.on("n1", "c0")
		if err := errors.Join(watching.RemoveMember(w.ctx(), ra.ServerID{Name: "c0", Node: "n2"}),
			w.nodes["n2"].Member(ra.ServerID{Name: "c0"}).Delete(w.ctx()),
			watching.AddMember(w.ctx(), ra.ServerID{Name: "c0", Node: "n2"}, ra.NonVoter)); err != nil {
			t.Fatal(err)
		}
		w.add(w.cluster("alone", "counter", "n2"), 7)
		for before := w.n(2).Stats().RollOvers; w.n(2).Stats().RollOvers < before+2; { // all of them are in the state files now
			w.add(watching, 1)
		}
		w.close("n2")
		disk := w.disks["n2"]
		names, err := disk.List("wal")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".wal") {
				if err := disk.Remove("wal/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		n := w.open("n2")
		if got := n.Stats().Damaged; got != count+1 {
			t.Fatalf("%d members are damaged", got)
		}
		replaced, err := n.ReplaceDamaged(w.ctx())
		if replaced != count || !errors.Is(err, ra.ErrDamaged) || !strings.Contains(err.Error(), "alone") {
			t.Errorf("replaced %d: %v", replaced, err)
		}
		if err := n.AcceptLoss(w.ctx(), "alone"); err != nil {
			t.Fatal(err)
		}
		for i := range count {
			c := w.on("n2", fmt.Sprint("c", i))
			w.healed(c.Name(), w.add(c, 1))
		}
		if replaced, err := n.ReplaceDamaged(w.ctx()); replaced != 0 || err != nil {
			t.Errorf("there was nothing left: %d, %v", replaced, err)
		}
		synctest.Wait() // voters come back as promotable, and become voters by and by
		for i, want := range []ra.Membership{ra.NonVoter, ra.Voter} {
			id := ra.ServerID{Name: fmt.Sprint("c", i), Node: "n2"}
			o, err := n.Member(id).Overview(w.ctx())
			at := slices.IndexFunc(o.Core.Configuration.Members, func(m ra.Member) bool { return m.ID == id })
			if err != nil || at < 0 || o.Core.Configuration.Members[at].Membership != want {
				t.Errorf("%s: %+v, %v", id, o.Core.Configuration, err)
			}
		}
	})
}

// It is refused as a whole where it cannot even begin, and fails where nobody else is there.
func TestReplaceDamagedWithoutOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		_, n := w.voteLost("n1", "n2", "n3")
		w.close("n1")
		w.close("n2")
		if replaced, err := n.ReplaceDamaged(w.short()); replaced != 0 || !errors.Is(err, ra.ErrDamaged) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without the others: %d, %v", replaced, err)
		}
		w.open("n1")
		w.open("n2")
		if replaced, err := n.ReplaceDamaged(w.ctx()); replaced != 1 || err != nil {
			t.Errorf("with the others: %d, %v", replaced, err)
		}
		w.healed("c", 20)
		w.close("n3")
		if _, err := n.ReplaceDamaged(w.ctx()); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

// I21: several calls at once replace a member once, and none of them deletes what another has put in its place.
func TestReplaceDamagedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		_, n := w.voteLost("n1", "n2", "n3")
		second := w.n(2).Member(ra.ServerID{Name: "c"})
		if err := second.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		var replaced atomic.Int64
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				k, err := n.ReplaceDamaged(w.ctx())
				if err != nil {
					t.Errorf("%d, %v", k, err)
				}
				replaced.Add(int64(k))
			})
		}
		time.Sleep(time.Second) // all of them have begun, and nobody leads
		if err := second.Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		calls.Wait()
		if replaced.Load() != 1 {
			t.Errorf("%d were replaced", replaced.Load())
		}
		w.healed("c", 20)
	})
}

// I21: a damaged member of a cluster that is gone is not replaced in one that has its name now: nobody asked for a member
// of that here, and one that is here is not to be touched.
func TestReplaceDamagedOfAnotherCluster(t *testing.T) {
	for _, early := range []bool{false, true} { // whether the damaged member is deleted before, or is found in the way
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3, nil)
			_, n := w.voteLost("n1", "n2", "n3")
			old := n.registry.byName("c")
			for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
				if node == "n3" && !early {
					break
				}
				if err := w.nodes[node].Member(ra.ServerID{Name: "c"}).Delete(w.ctx()); err != nil {
					t.Fatal(err)
				}
			}
			c, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "c", Machine: "counter", Members: Members("c", "n1", "n2", "n3")})
			if err != nil || len(c.NotStarted()) > 0 != !early {
				t.Fatalf("%v, %v", c.NotStarted(), err)
			}
			w.add(c, 5)
			if err := n.replace(w.ctx(), old); early != errors.Is(err, errSucceeded) && !errors.Is(err, ra.ErrDamaged) {
				t.Errorf("replace: %v", err)
			}
			if here := n.registry.byName("c"); (here == old) == early {
				t.Errorf("the damaged member is here: %v", here == old)
			}
			if early {
				w.healed("c", 5)
			}
		})
	}
}

// I21: what was meant for a member that is deleted does not touch the one that has its name now.
func TestDeletedMemberIsNotItsSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("c", "counter", "n1", "n2", "n3")
		id := ra.ServerID{Name: "c", Node: "n3"}
		n := w.n(3)
		old := n.registry.byName("c")
		if err := errors.Join(c.RemoveMember(w.ctx(), id), n.Member(id).Delete(w.ctx()), c.AddMember(w.ctx(), id, ra.Voter)); err != nil {
			t.Fatal(err)
		}
		w.add(c, 3)
		if err := n.startMember(w.ctx(), old); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("start: %v", err)
		}
		if err := errors.Join(n.stopMember(w.ctx(), old), n.deleteMember(w.ctx(), old, false)); err != nil {
			t.Error(err)
		}
		w.healed("c", 3)
	})
}
