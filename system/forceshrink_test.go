package system

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// API-13: of three nodes two are gone for good. The member that is left is made the only one, keeps all that it has, also
// after a restart, and gets new peers.
func TestForceShrink(t *testing.T) {
	for _, membership := range []ra.Membership{ra.Voter, ra.NonVoter} {
		t.Run(membership.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { shrinks(t, membership) })
		})
	}
}

func shrinks(t *testing.T, membership ra.Membership) {
	w := newWorld(t, 4, nil)
	id := ra.ServerID{Name: "c", Node: "n4"}
	c := w.cluster("c", "counter", "n1", "n2", "n3")
	if err := c.AddMember(w.ctx(), id, membership); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.add(c, 1)
	}
	n := w.n(4)
	w.eventually("n4 has all of it", func() bool { sum, _ := w.sumAt(n, "c"); return sum == 20 })
	for _, gone := range []ra.NodeID{"n1", "n2", "n3"} {
		w.close(gone)
	}
	if err := n.ForceShrink(w.ctx(), "c"); err != nil {
		t.Fatal(err)
	}
	if got := w.add(w.on("n4", "c"), 1); got != 21 {
		t.Errorf("the counter goes on with %d", got)
	}
	w.close("n4")
	n = w.open("n4")
	if got := w.add(w.on("n4", "c"), 1); got != 22 {
		t.Errorf("after a restart the counter goes on with %d", got)
	}
	o, err := n.Member(id).Overview(w.ctx())
	if err != nil || len(o.Core.Configuration.Members) != 1 {
		t.Errorf("the members are %v, %v", o.Core.Configuration, err)
	}
	delete(w.disks, "n1")
	w.open("n1")
	if err := w.on("n4", "c").AddMember(w.ctx(), ra.ServerID{Name: "c", Node: "n1"}, ra.Promotable); err != nil {
		t.Fatal(err)
	}
	w.eventually("n1 has all of it", func() bool { sum, _ := w.sumAt(w.n(1), "c"); return sum == 22 })
}

// A member that has not heard of the last commits loses them, and one that was elected in vain does not stand in the way.
func TestForceShrinkOfOneThatLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("c", "counter", "n1", "n2", "n3")
		w.healed("c", w.add(c, 7))
		w.close("n3")
		w.add(c, 100)
		w.close("n1")
		w.close("n2")
		n := w.open("n3")
		if err := n.Member(ra.ServerID{Name: "c"}).Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		for range 2 { // once more is no harm
			if err := n.ForceShrink(w.ctx(), "c"); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.add(w.on("n3", "c"), 1); got != 8 {
			t.Errorf("the counter goes on with %d", got)
		}
	})
}

// It is refused where there is nothing to make sound, or another call comes first.
func TestForceShrinkRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		if err := w.n(1).ForceShrink(w.ctx(), "nobody"); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("nobody: %v", err)
		}
		c := w.cluster("c", "counter", "n1")
		w.count(c, 20)
		w.close("n1")
		w.damageWAL("n1", 1010)
		if err := w.open("n1").ForceShrink(w.ctx(), "c"); !errors.Is(err, ra.ErrDamaged) {
			t.Errorf("one that has lost entries: %v", err)
		}
	})
}
