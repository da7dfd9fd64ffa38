package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// API-11, FSM-11, FSM-12, ID-04: a deleted cluster leaves nothing on any node, and its name is free for another one.
func TestDeleteAndCreateAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		for round := range 3 {
			if got := w.add(c, 7); got != 7 {
				t.Fatalf("round %d: sum is %d", round, got)
			}
			if err := c.Delete(w.ctx()); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if n := w.n(i + 1); n.registry.size() != 0 {
					t.Fatalf("round %d: %d members are left on %s", round, n.registry.size(), n.Name())
				}
			}
			if _, err := c.Process(w.ctx(), nil); !errors.Is(err, ra.ErrUnknownCluster) {
				t.Errorf("a deleted cluster: %v", err)
			}
			w.cluster("a", "counter", "n2", "n3", "n1")
		}
		if got := w.add(w.on("n3", "a"), 1); got != 1 {
			t.Errorf("sum is %d", got)
		}
	})
}

// FSM-11: a member that was down deletes itself when it is back.
func TestDeleteWithMemberDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		w.close("n3")
		if _, err := c.WaitLeader(w.ctx()); err != nil {
			t.Fatal(err)
		}
		deleted := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		go func() { deleted <- c.Delete(ctx) }()
		<-deleted // the leader stays until it knows that all have the entry, so this may take until ctx is done
		n3 := w.open("n3")
		for range 100 {
			if n3.registry.size()+w.n(1).registry.size()+w.n(2).registry.size() == 0 {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("left are %d, %d, %d members", w.n(1).registry.size(), w.n(2).registry.size(), n3.registry.size())
	})
}

// API-10: to delete a member by force does not ask the cluster; a new one can take its place.
func TestForceDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		id := ra.ServerID{Name: "a", Node: "n3"}
		if err := w.n(1).Member(id).Delete(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if w.n(3).registry.size() != 0 || len(c.Members()) != 3 {
			t.Errorf("%d members on n3, members are %v", w.n(3).registry.size(), c.Members())
		}
		if err := c.RemoveMember(w.ctx(), id); err != nil {
			t.Fatal(err)
		}
		if err := c.AddMember(w.ctx(), id, ra.Voter); err != nil {
			t.Fatal(err)
		}
		w.add(c, 2)
		if _, err := w.n(1).Member(ra.ServerID{Name: "a", Node: "n2"}).Process(w.ctx(), reference.AppendAdd(nil, 3)); err != nil {
			t.Fatal(err)
		}
		m := w.n(3).Member(id)
		r, err := m.LocalQuery(w.ctx(), nil, AfterApplied(w.last(c)))
		if err != nil || r.Reply != int64(6) {
			t.Errorf("the new member: %+v, %v", r, err)
		}
	})
}

// last returns where the last command of a cluster stands.
func (w *world) last(c *Cluster) (ra.Index, ra.Term) {
	w.t.Helper()
	r, err := c.Process(w.ctx(), reference.AppendAdd(nil, 0))
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Index, r.Term
}

// MEM-02, MEM-03, MEM-04: a cluster moves from one node to three others, member by member.
func TestClusterMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		c := w.cluster("a", "counter", "n1")
		for i := range int64(100) {
			if got := w.add(c, 1); got != i+1 {
				t.Fatalf("sum is %d, want %d", got, i+1)
			}
		}
		for i, kind := range []ra.Membership{ra.Voter, ra.Promotable, ra.Promotable} {
			id := ra.ServerID{Name: "a", Node: ra.NodeID(fmt.Sprint("n", i+2))}
			if err := c.AddMember(w.ctx(), id, kind); err != nil {
				t.Fatalf("add %s: %v", id, err)
			}
			if err := c.AddMember(w.ctx(), id, kind); !errors.Is(err, ra.ErrAlreadyMember) {
				t.Errorf("add %s twice: %v", id, err)
			}
		}
		old := ra.ServerID{Name: "a", Node: "n1"}
		if err := c.RemoveMember(w.ctx(), old); err != nil {
			t.Fatal(err)
		}
		if err := w.n(1).Member(old).Delete(w.ctx()); err != nil {
			t.Fatal(err)
		}
		there := w.on("n3", "a")
		if got := w.add(there, 1); got != 101 {
			t.Errorf("sum is %d", got)
		}
		if err := there.RemoveMember(w.ctx(), old); !errors.Is(err, ra.ErrNotMember) {
			t.Errorf("remove twice: %v", err)
		}
		synctest.Wait() // what is committed without n3 is on its way there
		want := Members("a", "n2", "n3", "n4")
		if got := there.Members(); !slices.Equal(got, want) {
			t.Errorf("members are %v", got)
		}
	})
}

// QRY-16, API-10, API-11: a node whose last member was deleted by force knows the cluster that lives elsewhere, also when
// a member is refused here since; not when the cluster is deleted.
func TestClusterIsKnownAfterLastMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		c := w.cluster("a", "counter", "n2", "n1", "n3")
		here := w.on("n1", "a")
		w.add(here, 1)
		id := ra.ServerID{Name: "a", Node: "n1"}
		if err := errors.Join(c.RemoveMember(w.ctx(), id), w.n(1).Member(id).Delete(w.ctx())); err != nil {
			t.Fatal(err)
		}
		if got := w.add(here, 1) + w.add(w.on("n1", "a"), 1); got != 5 {
			t.Errorf("the sums are %d together", got)
		}
		r, err := w.n(2).do(w.ctx(), c.entry, &request{kind: callMembers, at: leaderOf(c.entry)})
		if err != nil {
			t.Fatal(err)
		}
		members := r.Reply.(membersReply).now[:2:2]
		for _, node := range []ra.NodeID{"n1", "n4"} {
			m := ra.Member{ID: ra.ServerID{Name: "a", Node: node}, UID: newUID("a")}
			reg := registration{uid: m.UID, id: m.ID, cluster: "a", machine: "counter", initial: append(members, m)}
			if err := errors.Join(w.n(1).run(w.ctx(), node, &errand{kind: errandStart, start: []registration{reg}})...); err != nil {
				t.Fatal(err)
			}
			w.n(1).cleanUp(w.ctx(), node, []errandFor{{name: m.ID.Name, uid: m.UID}})
		}
		if got := w.add(here, 1); got != 4 {
			t.Errorf("sum is %d", got)
		}
		if got := w.n(4).Clusters(); len(got) != 0 {
			t.Errorf("n4, which never had a member, knows %v", got)
		}
		if err := here.Delete(w.ctx()); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if got := w.n(i + 1).Clusters(); len(got) != 0 {
				t.Errorf("n%d knows %v", i+1, got)
			}
		}
	})
}

// QRY-16: what a node still knows of a cluster that moved away and was deleted does not count for another of that name.
func TestNameOfAClusterThatMovedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n2", "n1", "n3")
		for range 5 { // to higher terms
			if err := w.n(2).Member(ra.ServerID{Name: "a", Node: "n2"}).TriggerElection(w.ctx()); err != nil {
				t.Fatal(err)
			}
			w.add(c, 1)
		}
		id := ra.ServerID{Name: "a", Node: "n1"}
		if err := errors.Join(c.RemoveMember(w.ctx(), id), w.n(1).Member(id).Delete(w.ctx()), c.Delete(w.ctx())); err != nil {
			t.Fatal(err)
		}
		next := w.cluster("a", "table", "n2", "n1", "n3")
		w.last2(next)
		w.last2(w.on("n1", "a"))
		synctest.Wait()
		want, _ := next.Leader()
		if got, _ := w.on("n1", "a").Leader(); got != want || w.n(1).board.get("a").machine != "table" {
			t.Errorf("n1 says that %s leads, want %s; machine %s", got, want, w.n(1).board.get("a").machine)
		}
	})
}

// SNX-01, MEM-02: a new member on a new node gets a snapshot and what came after it.
func TestJoinBySnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(c *Config) { c.Snapshots.MinInterval = 64; c.Snapshots.MinBytes = 1 })
		c := w.cluster("a", "table", "n1")
		for i := range 3000 {
			if _, err := c.Process(w.ctx(), reference.AppendPut(nil, fmt.Sprint("key", i%50), []byte(fmt.Sprint(i)))); err != nil {
				t.Fatal(err)
			}
		}
		for w.overview(c).Core.Snapshot.Index == 0 {
			time.Sleep(time.Second)
			w.last2(c)
		}
		id := ra.ServerID{Name: "a", Node: "n2"}
		if err := c.AddMember(w.ctx(), id, ra.Voter); err != nil {
			t.Fatal(err)
		}
		o, err := w.n(2).Member(id).Overview(w.ctx())
		if err != nil || o.Core.Snapshot.Index == 0 {
			t.Errorf("the new member: %+v, %v", o.Core, err)
		}
	})
}

// overview returns that of the leader.
func (w *world) overview(c *Cluster) MemberOverview {
	w.t.Helper()
	id, err := c.WaitLeader(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	o, err := c.node.Member(id).Overview(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// last2 has a table apply something.
func (w *world) last2(c *Cluster) {
	w.t.Helper()
	if _, err := c.Process(w.ctx(), reference.AppendPut(nil, "x", nil)); err != nil {
		w.t.Fatal(err)
	}
}

// QRY-12: a transfer takes effect at once, also right after a command, of which the others have yet to hear that it is committed,
// and while queries come in, each of which has the leader prove that it leads.
func TestTransferTakesNoTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		asking, stop := context.WithCancel(w.ctx())
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for asking.Err() == nil {
				_, _ = c.ConsistentQuery(asking, nil)
				time.Sleep(time.Millisecond)
			}
		}()
		for range 20 {
			w.add(c, 1)
			old, _ := c.WaitLeader(w.ctx())
			begun := time.Now()
			if err := c.TransferLeadership(w.ctx(), ra.ServerID{Name: "a", Node: w.others(old.Node)[0]}); err != nil {
				t.Fatal(err)
			}
			w.add(c, 1)
			if took := time.Since(begun); took > 500*time.Millisecond {
				t.Errorf("from %s: %v", old, took)
			}
		}
		stop()
		<-stopped
	})
}

// QRY-12, QRY-11: leadership goes to the member that is named, and the board of every node knows (QRY-16).
func TestTransferLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		synctest.Wait() // all three have it
		old, _ := c.Leader()
		if err := c.TransferLeadership(w.ctx(), old); !errors.Is(err, ra.ErrAlreadyLeader) {
			t.Errorf("to the leader: %v", err)
		}
		if err := c.TransferLeadership(w.ctx(), ra.ServerID{Name: "z", Node: "n1"}); !errors.Is(err, ra.ErrNotMember) {
			t.Errorf("to a stranger: %v", err)
		}
		next := ra.ServerID{Name: "a", Node: w.others(old.Node)[0]}
		if err := c.TransferLeadership(w.ctx(), next); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			on := w.on(w.n(i+1).Name(), "a")
			if got := w.add(on, 1); got != int64(i+2) {
				t.Errorf("sum is %d", got)
			}
		}
		synctest.Wait()
		for i := range 3 {
			if got, _ := w.on(w.n(i+1).Name(), "a").Leader(); got != next {
				t.Errorf("n%d says that %s leads", i+1, got)
			}
		}
		if err := w.n(1).Member(old).TriggerElection(w.ctx()); err != nil {
			t.Error(err)
		}
		if got := w.add(c, 1); got != 5 {
			t.Errorf("sum is %d", got)
		}
	})
}

// API-03, API-05: a thousand clusters are started at once, with leaders on all nodes; stop and restart.
func TestThousandClusters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		const many = 1000
		cfgs := make([]ClusterConfig, many)
		for i := range cfgs {
			name := fmt.Sprint("c", i)
			cfgs[i] = ClusterConfig{Name: name, Machine: "counter", Members: Members(name, "n1", "n2", "n3")}
		}
		clusters, err := w.n(1).StartClusters(w.ctx(), cfgs)
		if err != nil {
			t.Fatal(err)
		}
		leaders := make(map[ra.NodeID]int)
		for _, c := range clusters {
			id, _ := c.Leader()
			leaders[id.Node]++
			if got := w.add(c, 2); got != 2 {
				t.Fatalf("%s: %d", c.Name(), got)
			}
		}
		for node, n := range leaders {
			if n < many/6 {
				t.Errorf("%s leads %d clusters", node, n)
			}
		}
		if err := errors.Join(clusters[0].Stop(w.ctx()), clusters[0].Restart(w.ctx())); err != nil {
			t.Fatal(err)
		}
		if got := w.add(clusters[0], 2); got != 4 {
			t.Errorf("restarted: %d", got)
		}
		if len(w.n(2).Clusters()) != many {
			t.Errorf("n2 knows %d clusters", len(w.n(2).Clusters()))
		}
	})
}

// MEM-02: a voter becomes a non-voter, which takes no part in elections and commits, and a voter again.
func TestMembershipChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("c", "counter", "n1", "n2", "n3")
		w.healed("c", w.add(c, 1))
		id := ra.ServerID{Name: "c", Node: "n3"}
		if err := c.TransferLeadership(w.ctx(), ra.ServerID{Name: "c", Node: "n1"}); err != nil && !errors.Is(err, ra.ErrAlreadyLeader) {
			t.Fatal(err)
		}
		for _, same := range []ra.Membership{ra.Voter, ra.Promotable} {
			if err := c.AddMember(w.ctx(), id, same); !errors.Is(err, ra.ErrAlreadyMember) {
				t.Errorf("a voter becomes %s: %v", same, err)
			}
		}
		if err := c.AddMember(w.ctx(), id, ra.NonVoter); err != nil {
			t.Fatal(err)
		}
		w.close("n2")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if r, err := w.on("n1", "c").Process(short, reference.AppendAdd(nil, 1)); err == nil {
			t.Fatalf("one of two voters commits %+v", r)
		}
		w.open("n2")
		w.add(w.on("n1", "c"), 1)
		if err := w.on("n1", "c").AddMember(w.ctx(), id, ra.Promotable); err != nil {
			t.Fatal(err)
		}
		w.eventually("n3 is a voter again", func() bool {
			o, err := w.n(3).Member(id).Overview(w.ctx())
			return err == nil && !slices.ContainsFunc(o.Core.Configuration.Members, func(m ra.Member) bool { return m.Membership != ra.Voter })
		})
		w.close("n2")
		w.add(w.on("n1", "c"), 1)
	})
}
