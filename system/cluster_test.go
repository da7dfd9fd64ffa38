package system

import (
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
)

// CMD-01: a cluster of one member serves.
func TestOneMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "counter", "n1")
		for i := range int64(10) {
			if got := w.add(c, 1); got != i+1 {
				t.Fatalf("sum is %d, want %d", got, i+1)
			}
		}
		r, err := c.ConsistentQuery(w.ctx(), nil)
		if err != nil || r.Reply != int64(10) {
			t.Errorf("query: %+v, %v", r, err)
		}
	})
}

// ID-01: three members of one cluster may live on one node.
func TestThreeMembersOnOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "counter", "n1", "n1", "n1")
		if got := w.add(c, 5); got != 5 {
			t.Fatalf("sum is %d", got)
		}
		if got := len(c.Members()); got != 3 {
			t.Errorf("%d members", got)
		}
	})
}

// CMD-01, CMD-03: three members on three nodes; every node reaches the leader.
func TestThreeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		w.cluster("a", "counter", "n1", "n2", "n3")
		for i := 1; i <= 3; i++ {
			c, err := w.n(i).Cluster("a")
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1))
			if err != nil || r.Reply != int64(i) {
				t.Fatalf("node %d: %+v, %v", i, r, err)
			}
		}
	})
}
