package system

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// MEM-03, CMD-03: a member that was removed is not told so. While its data are still there, as after a crash before
// Member.Delete, the handle of its node reaches the cluster all the same.
func TestRemovedMemberIsNoDeadEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		leader := w.leaderNode(c)
		node := w.others(leader)[0]
		c = w.on(leader, "a")
		index, term := w.last(c)
		if _, err := w.on(node, "a").LocalQuery(w.ctx(), nil, AfterApplied(index, term)); err != nil {
			t.Fatal(err)
		}
		w.close(node)
		if err := c.RemoveMember(w.ctx(), ra.ServerID{Name: "a", Node: node}); err != nil {
			t.Fatal(err)
		}
		w.add(c, 1)
		w.open(node)
		time.Sleep(20 * time.Second)
		there := w.on(node, "a")
		if r, err := there.ConsistentQuery(w.ctx(), nil); err != nil || r.Reply != int64(2) {
			t.Errorf("query: %+v, %v", r, err)
		}
		if got := w.add(there, 1); got != 3 {
			t.Errorf("sum is %d", got)
		}
		if err := there.RemoveMember(w.ctx(), ra.ServerID{Name: "a", Node: node}); !errors.Is(err, ra.ErrNotMember) {
			t.Errorf("remove twice: %v", err)
		}
	})
}
