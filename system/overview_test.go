package system

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// API-15, QRY-10, QRY-16: the overview has the clusters of the node, also those that do not run, and their leaders.
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
		w.close("n2")
		w.config = func(c *Config) { c.NoAutoStart = true }
		n2 := w.open("n2")
		o = n2.Overview()
		if len(o.Clusters) != 2 || o.Clusters[1].Name != "b" || o.Clusters[1].Here[ra.ServerID{Name: "b", Node: "n2"}].Running {
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
