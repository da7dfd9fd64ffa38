package system

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// counted returns the sum that a member of the node has, as it stands.
func (w *world) counted(node ra.NodeID, name string) int64 {
	w.t.Helper()
	r, err := w.nodes[node].Member(ra.ServerID{Name: name}).LocalQuery(w.ctx(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Reply.(int64)
}

// unreplied checks that a command ended with the caller's time, was applied all the same, and that the error says so.
func (w *world) unreplied(c *Cluster, err error, sum int64) {
	w.t.Helper()
	var u *ra.UncertainError
	if !errors.As(err, &u) || !errors.Is(err, context.DeadlineExceeded) || u.Index == 0 || u.Term == 0 {
		w.t.Errorf("ended with %v", err)
	}
	if got := w.add(c, 0); got != sum {
		w.t.Errorf("sum is %d, want %d", got, sum)
	}
}

// process has a number added, with a reply from whom the options name.
func (w *world) process(ctx context.Context, c *Cluster, n int64, options ...ProcessOption) (int64, error) {
	w.t.Helper()
	r, err := c.Process(ctx, reference.AppendAdd(nil, n), options...)
	sum, _ := r.Reply.(int64)
	if err == nil && (r.Index == 0 || r.Term == 0 || r.Leader == (ra.ServerID{})) {
		w.t.Errorf("reply is %+v", r)
	}
	return sum, err
}

// CMD-06: Append returns when the leader has appended the command, though it cannot be committed.
func TestAppend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		for i := range 3 { // by way of each node
			r, err := w.on(w.n(i+1).Name(), "a").Append(w.ctx(), reference.AppendAdd(nil, 1))
			if err != nil || r.Reply != nil || r.Index == 0 || r.Term == 0 || r.Leader.Node != w.leaderNode(c) {
				t.Fatalf("node %d: %+v, %v", i+1, r, err)
			}
			q, err := c.LocalQuery(w.ctx(), nil, AfterApplied(r.Index, r.Term))
			if err != nil || q.Reply != int64(i+1) {
				t.Fatalf("node %d: %+v, %v", i+1, q, err)
			}
		}
		old := w.leaderNode(c)
		for _, n := range w.others(old) {
			w.fabric.Cut(old, n)
		}
		lost, err := w.on(old, "a").Append(w.ctx(), reference.AppendAdd(nil, 100))
		if err != nil || lost.Index == 0 {
			t.Fatalf("without a quorum: %+v, %v", lost, err)
		}
		for _, n := range w.others(old) {
			w.fabric.Disconnect(old, n)
			w.fabric.Heal(old, n)
		}
		if got := w.add(w.on(w.others(old)[0], "a"), 5); got != 8 {
			t.Errorf("sum is %d", got)
		}
		for _, n := range w.others(old) {
			w.fabric.Connect(old, n)
		}
		_, err = w.on(old, "a").LocalQuery(w.ctx(), nil, AfterApplied(lost.Index, lost.Term))
		if !errors.Is(err, ra.ErrSuperseded) {
			t.Errorf("what was lost: %v", err)
		}
		if got := w.add(c, 0); got != 8 {
			t.Errorf("sum is %d", got)
		}
	})
}

// CMD-06, MAC-05: a machine that answers later has nobody to answer, and nothing is left of the call. What cannot be
// appended is refused, or, where nobody knows, so is its fate.
func TestAppendEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "mixed", "n1", "n2", "n3")
		for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
			if _, err := w.on(node, "a").Append(w.ctx(), []byte("add x")); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := c.Process(w.ctx(), []byte("add y")); err != nil || r.Reply != "x,x,x,y" {
			t.Errorf("%+v, %v", r, err)
		}
		if got := w.words(c); got != "x,x,x,y" {
			t.Errorf("words are %q", got)
		}
		if _, err := c.Append(w.ctx(), []byte("later")); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Process(w.ctx(), []byte("now so")); err != nil {
			t.Fatal(err)
		}
		if got := w.nodes[w.leaderNode(c)].counts.problems.Load(); got != 1 { // a reply to nobody
			t.Errorf("%d problems", got)
		}
		for i := range 3 {
			w.n(i+1).pending.fail(func(c *call) bool { t.Errorf("a call is left: %v", c.kind); return false }, nil, nil)
		}
		if _, err := c.Append(w.ctx(), make([]byte, ra.MaxPayload+1)); !errors.Is(err, ra.ErrTooLarge) {
			t.Errorf("too long: %v", err)
		}
		for _, n := range w.others("n1") {
			w.close(n)
		}
		time.Sleep(time.Minute) // until nobody leads
		if _, err := c.Append(w.short(), []byte("add z")); !errors.Is(err, context.DeadlineExceeded) || !ra.MayHaveBeenApplied(err) {
			t.Errorf("without a leader: %v", err)
		}
	})
}

// CMD-07, scenario 7 of the specification: the voter on the caller's node replies, when it has applied the command. It
// is the leader if none is there, also where a non-voter is. If it is stopped the caller's time runs out.
func TestReplyFromLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		w.cluster("b", "counter", "n4") // somebody else's
		c, err := w.n(4).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n1", "n2", "n3")})
		if err != nil {
			t.Fatal(err)
		}
		leader := w.leaderNode(c)
		sum := int64(0)
		for _, node := range []ra.NodeID{"n1", "n2", "n3", "n1", "n2", "n3"} {
			sum++
			got, err := w.process(w.ctx(), w.on(node, "a"), 1, ReplyFromLocal())
			if here := w.counted(node, "a"); err != nil || got != sum || here != sum {
				t.Fatalf("%s: reply %d, the member has %d, want %d: %v", node, got, here, sum, err)
			}
		}
		if got, err := w.process(w.ctx(), c, 1, ReplyFromLocal()); err != nil || got != sum+1 {
			t.Errorf("nobody there: %d, %v", got, err)
		}
		id := ra.ServerID{Name: "a", Node: "n4"}
		if err := c.AddMember(w.ctx(), id, ra.NonVoter); err != nil {
			t.Fatal(err)
		}
		for _, what := range []string{"runs", "is stopped"} {
			sum++
			if got, err := w.process(w.ctx(), c, 1, ReplyFromLocal()); err != nil || got != sum+1 {
				t.Errorf("a non-voter %s: %d, %v", what, got, err)
			}
			_, err := w.n(4).once(w.ctx(), c.entry, &request{kind: callAwait, question: await{cluster: "a", voter: true}}, w.n(4).route(id))
			if what == "runs" && !errors.Is(err, ra.ErrNonVoter) {
				t.Errorf("a non-voter replies: %v", err)
			}
			if err := w.n(4).Member(id).Stop(w.ctx()); err != nil {
				t.Fatal(err)
			}
		}
		follower := ra.ServerID{Name: "a", Node: "n1"}
		if leader == "n1" {
			follower.Node = "n2"
		}
		if err := w.n(1).Member(follower).Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		_, err = w.process(w.short(), w.on(follower.Node, "a"), 1, ReplyFromLocal())
		w.unreplied(c, err, sum+2)
	})
}

// CMD-07, scenario 8 of the specification: the member named replies, when it has applied the command. One that is down,
// or does not hear of it, leaves the caller's time to run out. For one that the cluster does not have the leader replies.
func TestReplyFromMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.cluster("b", "counter", "n2")
		leader := w.leaderNode(c)
		rest := w.others(leader)
		sum := int64(0)
		for _, from := range []ra.NodeID{"n1", "n2", "n3"} {
			for _, node := range []ra.NodeID{"n1", "n2", "n3"} {
				sum++
				named := ra.ServerID{Name: "a", Node: node}
				if node == from {
					named.Node = ""
				}
				got, err := w.process(w.ctx(), w.on(from, "a"), 1, ReplyFromMember(named))
				if there := w.counted(node, "a"); err != nil || got != sum || there != sum {
					t.Fatalf("%s: reply %d, the member has %d, want %d: %v", node, got, there, sum, err)
				}
			}
		}
		for _, id := range []ra.ServerID{{Name: "x", Node: "n2"}, {Name: "a", Node: "n9"}, {Name: "x"}, {Name: "b", Node: "n2"}} {
			sum++
			if got, err := w.process(w.short(), c, 1, ReplyFromMember(id)); err != nil || got != sum {
				t.Errorf("%s is no member: %d, %v", id, got, err)
			}
		}
		named := ra.ServerID{Name: "a", Node: rest[0]}
		sum++
		w.fabric.Cut(leader, named.Node)
		_, err := w.process(w.short(), w.on(rest[1], "a"), 1, ReplyFromMember(named))
		w.unreplied(w.on(leader, "a"), err, sum)
		w.fabric.Heal(leader, named.Node)
		sum++
		if err := w.n(1).Member(named).Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		_, err = w.process(w.short(), w.on(leader, "a"), 1, ReplyFromMember(named))
		w.unreplied(w.on(leader, "a"), err, sum)
		sum++
		_, err = w.process(w.short(), w.on(named.Node, "a"), 1, ReplyFromMember(ra.ServerID{Name: "a"}))
		w.unreplied(w.on(leader, "a"), err, sum)
		sum++
		w.close(named.Node)
		_, err = w.process(w.short(), w.on(leader, "a"), 1, ReplyFromMember(named))
		w.unreplied(w.on(leader, "a"), err, sum)
	})
}

// CMD-06, scenario 9 of the specification: who can be nobody is refused before anything is sent; of several options the
// last counts, and the zero option is the leader.
func TestReplyOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "counter", "n1")
		for _, id := range []ra.ServerID{{}, {Node: "n1"}, {Name: "a", Node: "n 1"}, {Name: "..", Node: "n1"}} {
			_, err := w.process(w.ctx(), c, 1, ReplyFromLocal(), ReplyFromMember(id))
			if !errors.Is(err, ra.ErrInvalidName) || ra.MayHaveBeenApplied(err) {
				t.Errorf("%q: %v", id, err)
			}
		}
		for i, last := range []ProcessOption{{}, ReplyFromLocal(), ReplyFromMember(ra.ServerID{Name: "a"})} {
			if got, err := w.process(w.ctx(), c, 1, ReplyFromMember(ra.ServerID{}), last); err != nil || got != int64(i+1) {
				t.Errorf("option %d: %d, %v", i, got, err)
			}
		}
	})
}

// CMD-07: while a caller waits for a member, that one is started again, gets what it lacks, and replies; or it is removed,
// so that the leader replies; or nobody runs any more, or the caller's node is closed.
func TestReplyAfterWaiting(t *testing.T) {
	for _, how := range []string{"start", "snapshot", "remove", "delete", "stop", "close"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, func(c *Config) { c.Snapshots.MinInterval = 64; c.Snapshots.MinBytes = 1 })
				c := w.cluster("a", "counter", "n1", "n2", "n3")
				leader := w.leaderNode(c)
				named := ra.ServerID{Name: "a", Node: w.others(leader)[0]}
				on := w.on(w.others(leader)[1], "a")
				if err := w.n(1).Member(named).Stop(w.ctx()); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() {
					got, err := w.process(w.ctx(), on, 1, ReplyFromMember(named))
					if err == nil && got != 1 {
						err = fmt.Errorf("reply %d", got)
					}
					ended <- err
				}()
				time.Sleep(3 * time.Second)
				select {
				case err := <-ended:
					t.Fatalf("ended too early: %v", err)
				default:
				}
				w.endWaiting(how, on, named)
				err := <-ended
				cause := map[string]error{"close": ra.ErrClosed, "stop": ra.ErrNoProcess}[how]
				if !errors.Is(err, cause) || ra.MayHaveBeenApplied(err) != (cause != nil) || errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		})
	}
}

// endWaiting does what ends the waiting for a member that is stopped.
func (w *world) endWaiting(how string, on *Cluster, named ra.ServerID) {
	w.t.Helper()
	m := w.n(1).Member(named)
	var err error
	switch how {
	case "snapshot":
		for w.overview(on).Core.Snapshot.Index == 0 {
			for range 200 {
				w.add(on, 0)
			}
			time.Sleep(time.Second)
		}
		fallthrough
	case "start":
		err = m.Restart(w.ctx())
	case "remove":
		err = on.RemoveMember(w.ctx(), named)
	case "delete":
		err = errors.Join(on.RemoveMember(w.ctx(), named), m.Delete(w.ctx()))
	case "stop":
		err = on.Stop(w.ctx())
	case "close":
		w.close(on.node.Name())
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// CMD-07, MEM-03: a member that was removed and runs on, without hearing of anything, does not keep the leader from replying.
func TestReplyFromRemovedMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		leader := w.leaderNode(c)
		named := ra.ServerID{Name: "a", Node: w.others(leader)[0]}
		w.fabric.Cut(leader, named.Node)
		if err := w.on(leader, "a").RemoveMember(w.ctx(), named); err != nil {
			t.Fatal(err)
		}
		w.fabric.Heal(leader, named.Node)
		if got, err := w.process(w.ctx(), w.on(leader, "a"), 1, ReplyFromMember(named)); err != nil || got != 1 {
			t.Errorf("%d, %v", got, err)
		}
	})
}

// CMD-07, MAC-05: a machine answers later, and a member that has applied that, too, replies.
func TestReplyFromMemberLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "mixed", "n1", "n2", "n3")
		leader := w.leaderNode(c)
		named := ra.ServerID{Name: "a", Node: w.others(leader)[0]}
		answers := make(chan string, 2)
		for _, node := range w.others(named.Node) {
			on := w.on(node, "a")
			go func() {
				r, err := on.Process(w.ctx(), []byte("later"), ReplyFromMember(named))
				words, _ := w.nodes[named.Node].Member(named).LocalQuery(w.ctx(), "words")
				answers <- fmt.Sprint(r.Reply, " ", words.Reply, " ", err)
			}()
		}
		time.Sleep(time.Second)
		for _, command := range []string{"add x", "now so"} {
			if _, err := c.Process(w.ctx(), []byte(command)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if got := <-answers; got != "so x <nil>" {
				t.Errorf("got %q", got)
			}
		}
	})
}

// CMD-06, CMD-07: the typed client has the modes, too.
func TestTypedReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		client := Client(w.cluster("a", "totals", "n1", "n2"), reference.TotalsProtocol())
		if r, err := client.Append(w.ctx(), reference.Add{Key: "k", N: 2}); err != nil || r.Index == 0 || r.Reply != nil {
			t.Errorf("%+v, %v", r, err)
		}
		sum, _, err := client.Process(w.ctx(), reference.Add{Key: "k", N: 1}, ReplyFromMember(ra.ServerID{Name: "a", Node: "n2"}))
		if err != nil || sum != 3 {
			t.Errorf("%d, %v", sum, err)
		}
	})
}
