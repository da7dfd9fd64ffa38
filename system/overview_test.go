package system

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// API-15, QRY-10, QRY-16, QRY-17: the overview has the clusters of the node, also those that do not run, and their leaders.
func TestOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		c := w.cluster("a", "counter", "n1", "n2")
		w.cluster("b", "table", "n2")
		index, _ := w.last(c)
		leader, _ := c.Leader()
		synctest.Wait() // the reply leaves before the member shows what it has become
		o := w.nodes[leader.Node].Overview()
		if len(o.Clusters) == 0 || o.Clusters[0].Name != "a" || o.Clusters[0].Leader != leader || len(o.Clusters[0].Members) != 2 || len(o.Peers) != 1 {
			t.Fatalf("%+v", o)
		}
		if m := o.Clusters[0].Here[leader]; !m.Running || m.Role != ra.Leader || m.Applied < index || m.Last < index {
			t.Errorf("metrics %+v", m)
		}
		if m, core := o.Clusters[0].Here[leader], w.overview(c).Core; m.UID == "" || m.UID != core.UID {
			t.Errorf("uid %s, %+v", m.UID, core)
		}
		w.close("n2")
		w.config = func(c *Config) { c.NoAutoStart = true }
		n2 := w.open("n2")
		o = n2.Overview()
		if len(o.Clusters) != 2 || o.Clusters[1].Name != "b" || o.Clusters[1].Here[ra.ServerID{Name: "b", Node: "n2"}].Running ||
			o.Clusters[1].Here[ra.ServerID{Name: "b", Node: "n2"}].UID == "" {
			t.Fatalf("not started: %+v", o)
		}
		if err := w.on("n2", "b").Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.on("n2", "b").Process(w.ctx(), reference.AppendPut(nil, "k", nil)); err != nil {
			t.Error(err)
		}
	})
}

// QRY-08, QRY-09, MAC-11: a leader's overview has how far each peer is, a follower's has none; both have the members that
// there are, those that there were in the beginning, and what their machine says of itself.
func TestMemberOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		w.ensure("n1")
		fourth := ra.ServerID{Name: "a", Node: "n4"}
		if err := w.on("n1", "a").AddMember(w.ctx(), fourth, ra.Voter); err != nil {
			t.Fatal(err)
		}
		w.healed("a", w.add(w.on("n1", "a"), 7))
		for _, again := range []bool{false, true} {
			if again {
				w.close("n4")
				w.open("n4")
				w.healed("a", 7)
			}
			leader := w.leaderNode(w.on("n1", "a"))
			for name, n := range w.nodes {
				o, err := n.Member(ra.ServerID{Name: "a"}).Overview(w.ctx())
				if err != nil || len(o.Core.Configuration.Members) != 4 || o.Machine["value"] != int64(7) || o.MachineName != "counter" {
					t.Errorf("%s: %+v, %v", name, o, err)
				}
				if got := idsOf(o.Initial); len(got) != 3 || slices.Contains(got, fourth) {
					t.Errorf("%s: began with %v", name, got)
				}
				if name != leader && len(o.Core.Peers) != 0 {
					t.Errorf("%s follows, and has %+v", name, o.Core.Peers)
				}
			}
			w.eventually("the leader knows that all have everything", func() bool {
				o := w.overview(w.on("n1", "a")).Core
				return len(o.Peers) == 3 && !slices.ContainsFunc(o.Peers, func(p raft.PeerStatus) bool {
					return p.Match != o.Last.Index || p.Next != p.Match+1 || p.CommitSent != o.Commit || p.Status != "replicating"
				})
			})
		}
	})
}

// A call without a context ends even if its answer is lost and nobody notices.
func TestLostAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		c := w.cluster("a", "counter", "n2")
		w.add(c, 1)
		far := w.n(1).Member(ra.ServerID{Name: "a", Node: "n2"})
		e := far.entry()
		k, err := w.n(1).call(e, &request{kind: callCommand, command: reference.AppendAdd(nil, 1)})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		k.done = func(_ ra.Result, err error) { ended <- err }
		w.fabric.Cut("n2", "n1")
		if err := w.n(1).submitFirst(e, k); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, ra.ErrNodeDown) || !ra.MayHaveBeenApplied(err) {
			t.Errorf("ended with %v", err)
		}
		w.fabric.Heal("n2", "n1")
		if got := w.add(c, 1); got != 3 {
			t.Errorf("sum is %d", got)
		}
	})
}
