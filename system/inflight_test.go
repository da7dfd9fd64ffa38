package system

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// MEM-02, MEM-03: who asks again for a change of which the fate is unknown is not told that it was made while it may still
// come to nothing, as it does here: the leader that has it in its log is cut off, and the others elect another one.
func TestChangeInFlight(t *testing.T) {
	for _, add := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 4, nil)
			c := w.cluster("a", "counter", "n1", "n2", "n3")
			w.add(c, 1)
			old := w.leaderNode(c)
			lonely, others := w.on(old, "a"), membersBut(c, old)
			change := func(ctx context.Context, c *Cluster) error { return c.RemoveMember(ctx, others[0]) }
			first := change
			if add {
				id := ra.ServerID{Name: "a", Node: "n4"}
				change = func(ctx context.Context, c *Cluster) error { return c.AddMember(ctx, id, ra.Voter) }
				first = func(ctx context.Context, c *Cluster) error { // AddMember itself as if its proof had just been in time
					m := ra.Member{ID: id, UID: newUID("a")}
					_, err := c.node.do(ctx, c.entry, &request{kind: callChange, op: raft.Set, member: m})
					return err
				}
			}
			for _, m := range others {
				w.fabric.Cut(old, m.Node)
				w.fabric.Cut(m.Node, old)
			}
			if err := first(w.short(), lonely); !ra.MayHaveBeenApplied(err) {
				t.Errorf("without a quorum: %v", err)
			}
			if err := change(w.short(), lonely); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("again: %v", err)
			}
			for _, m := range others {
				w.fabric.Disconnect(old, m.Node)
			}
			if got := w.add(w.on(others[0].Node, "a"), 2); got != 3 {
				t.Errorf("sum is %d", got)
			}
			for _, m := range others {
				w.fabric.Connect(old, m.Node)
				w.fabric.Heal(old, m.Node)
				w.fabric.Heal(m.Node, old)
			}
			if err := change(w.ctx(), w.on(others[1].Node, "a")); err != nil {
				t.Errorf("by another leader: %v", err)
			}
		})
	}
}

// membersBut returns a cluster's members that do not live on a node.
func membersBut(c *Cluster, node ra.NodeID) (ids []ra.ServerID) {
	for _, id := range c.Members() {
		if id.Node != node {
			ids = append(ids, id)
		}
	}
	return ids
}

// API-05: whoever started a cluster was stopped when its members were registered, and had none of them elected. Such
// members wait in silence (API-07), until the cluster is started again.
func TestStartCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		cfg := ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n1", "n2", "n3")}
		born := w.n(1).conceive(w.ctx(), cfg)
		w.n(1).startMembersOf(w.ctx(), []*birth{born})
		for i := range 3 {
			w.close(w.n(i + 1).Name())
		}
		for _, name := range []ra.NodeID{"n1", "n2", "n3"} {
			w.open(name)
		}
		time.Sleep(time.Minute)
		if id, ok := w.on("n2", "a").Leader(); ok {
			t.Errorf("%v leads, and nobody asked for that", id)
		}
		c, err := w.n(2).StartOrRestartCluster(w.ctx(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.add(c, 5); got != 5 {
			t.Errorf("sum is %d", got)
		}
	})
}

// I15: a call that waits for another one with the same member returns when its context is over.
func TestTurnIsNotWaitedForTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		w.cluster("a", "counter", "n1")
		n := w.n(1)
		m, r := n.Member(ra.ServerID{Name: "a"}), n.registry.byName("a")
		if err := m.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		calls := []func(context.Context) error{
			m.Stop, m.Restart, m.Delete,
			func(ctx context.Context) error { return n.ForceShrink(ctx, "a") },
		}
		try := func() {
			for i, call := range calls {
				begin := time.Now()
				if err := call(w.short()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > time.Second {
					t.Errorf("call %d: %v after %v", i, err, time.Since(begin))
				}
			}
		}
		n.lockOf(r).Lock()
		try()
		n.lockOf(r).Unlock()
		r.life.Lock()
		calls = calls[1:3]
		try()
		r.life.Unlock()
		if err := m.Restart(w.ctx()); err != nil {
			t.Error(err)
		}
	})
}

// LOG-07, FAIL-07: an applied mark may wait for company in a batch. An order for which there is no room beside it is company
// enough: on a quiet node nobody else would come.
func TestLargeOrderBehindAMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, func(c *Config) { c.WALFileSize = wal.MinFileSize })
		c := w.cluster("a", "table", "n1")
		n := w.n(1)
		for i := range 3 {
			if err := n.wal.append(n.registry.byName("a"), &wal.Op{Applied: 1}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Process(w.ctx(), reference.AppendPut(nil, "key", make([]byte, 20_000))); err != nil {
				t.Errorf("command %d: %v", i, err)
			}
		}
	})
}

// I15: an answer to a call of an earlier life of its node reaches nobody, least of all a call of the present one.
func TestAnswerToAnEarlierLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		first, err := w.n(1).pending.add(w.n(1).newCall(callErrand), "n2")
		if err != nil {
			t.Fatal(err)
		}
		w.close("n1")
		second, err := w.open("n1").pending.add(w.n(1).newCall(callErrand), "n2")
		if err != nil || first == second {
			t.Errorf("numbers %d and %d, %v", first, second, err)
		}
	})
}

// API-05: what a failed start could not take back can be found: it may be all that there is of the name.
func TestFailedStartLeavesAMember(t *testing.T) {
	var b board
	b.init(func(string) bool { return false })
	for _, running := range []int{0, 1} {
		e, err := b.claim("c", "counter")
		if err != nil {
			t.Fatal(err)
		}
		e.local = running
		b.started(e, false)
		if found := b.get("c"); (found == e) != (running > 0) {
			t.Errorf("%d members run: %+v", running, found)
		}
	}
}

// API-05: to start a cluster that is there and stopped is refused, and takes nothing away: it can still be found.
func TestStartOfAStoppedCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		sum := w.count(c, 3)
		if err := c.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		_, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "table", Members: Members("a", "n1", "n2", "n3")})
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNameTaken) })
		for i := range 3 {
			if _, err := w.n(i + 1).Cluster("a"); err != nil {
				t.Errorf("on n%d: %v", i+1, err)
			}
		}
		if err := c.Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		w.healed("a", sum)
	})
}

// API-03: a start that nobody answers ends with the caller's time, and is taken back; who wants the name waits for that.
func TestStartWithoutAnswersEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		for _, other := range []ra.NodeID{"n2", "n3", "n4"} {
			w.fabric.Cut(other, "n1")
		}
		ctx := w.short()
		_, err := w.n(1).StartCluster(ctx, ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n2", "n3", "n4")})
		wantErr(t, err, func(err error) bool {
			return errors.Is(err, ra.ErrNoAnswer) && errors.Is(err, context.DeadlineExceeded) && strings.Contains(err.Error(), "node n3")
		})
		end, _ := ctx.Deadline()
		if time.Since(end) > 0 {
			t.Errorf("it went on for %v", time.Since(end))
		}
		c := w.cluster("a", "counter", "n1")
		if time.Since(end) < cleanUpTime {
			t.Errorf("the name is free after %v", time.Since(end))
		}
		if got := w.add(c, 1); got != 1 {
			t.Errorf("the sum is %d", got)
		}
		for i := 2; i <= 4; i++ {
			if got := w.n(i).Clusters(); len(got) != 0 {
				t.Errorf("n%d knows %v", i, got)
			}
		}
	})
}
