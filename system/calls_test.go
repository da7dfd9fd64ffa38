package system

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// A call that is abandoned while it is being answered is freed once, and whoever abandons it does not touch it after
// that: under the race detector this fails otherwise.
func TestAbandonWhileAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		p := &process{node: w.n(1)}
		for range 1000 {
			c := w.n(1).newCall(callConsistent)
			if !c.take(p) {
				t.Fatal("a new call is not taken")
			}
			var both sync.WaitGroup
			both.Go(func() { c.Done(member.Result{Reply: 1}) })
			both.Go(func() {
				r, err := c.abandon(context.Canceled)
				if answered := err == nil; answered != (r.Reply == 1) || !answered && !errors.Is(err, context.Canceled) {
					t.Errorf("ended with %v, %v", r, err)
				}
			})
			both.Wait()
		}
	})
}

// Whoever sends a call to another node does not touch it any more once it is in the table: the node may be lost at that
// moment, which ends the call and lets it be used again. Under the race detector this fails otherwise.
func TestNodeIsLostWhileAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		c := w.cluster("a", "counter", "n2", "n1")
		w.add(c, 1)
		leader := w.leaderNode(c)
		n := w.nodes[w.others(leader)[0]]
		here := w.on(n.Name(), "a")
		if _, err := here.WaitLeader(w.ctx()); err != nil {
			t.Fatal(err)
		}
		w.fabric.Cut(n.Name(), leader) // so that nobody answers
		for range 100 {
			ended := make(chan error, 2)
			go here.Go(reference.AppendAdd(nil, 1), func(_ ra.Result, err error) { ended <- err })
			for len(ended) == 0 {
				n.pending.failNode(leader, ra.ErrNodeDown)
				runtime.Gosched()
			}
			if err := <-ended; !ra.MayHaveBeenApplied(err) {
				t.Fatalf("ended with %v", err)
			}
		}
		synctest.Wait()
	})
}

// A call to a machine that answers later is in the table before it is sent. If the node is closed in between it has
// ended, and whoever fails to send it must not end it once more.
func TestClosedBeforeSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		c := w.cluster("a", "mixed", "n1", "n2")
		n := w.n(1)
		ended := 0
		var sent []*call
		for range 2 {
			k := n.newCall(callCommand)
			k.done = func(ra.Result, error) { ended++ }
			if err := n.propose(c.entry, []byte("later"), machine.ModeConsensus, k); err != nil {
				t.Fatal(err)
			}
			sent = append(sent, k)
		}
		n.pending.close(ra.ErrClosed)
		for i, k := range sent {
			err := n.submit(ra.ServerID{Name: "nobody", Node: []ra.NodeID{"n1", "n2"}[i]}, k)
			if err == nil || k.discard() {
				t.Errorf("call %d: %v, and somebody should end it", i, err)
			}
		}
		if ended != 2 {
			t.Errorf("%d calls have ended", ended)
		}
	})
}

// CMD-03: a node that is being closed is not the caller's: a call that still reaches it is made again, elsewhere or later.
func TestCallReachesClosingNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		c, err := w.n(2).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n1")})
		if err != nil {
			t.Fatal(err)
		}
		there := w.n(2).Member(ra.ServerID{Name: "a", Node: "n1"})
		if err := there.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		w.n(1).closing.Store(true)
		sent := make(chan error, 1)
		c.Go(reference.AppendAdd(nil, 1), func(_ ra.Result, err error) { sent <- err })
		if err := <-sent; !errors.Is(err, ra.ErrNodeDown) || errors.Is(err, ra.ErrClosed) {
			t.Errorf("sent once: %v", err)
		}
		if err := there.Restart(w.ctx()); !errors.Is(err, ra.ErrNodeDown) || errors.Is(err, ra.ErrClosed) {
			t.Errorf("restart: %v", err)
		}
		go func() {
			_, err := c.Process(w.ctx(), reference.AppendAdd(nil, 1))
			sent <- err
		}()
		time.Sleep(time.Second)
		w.n(1).closing.Store(false)
		if err := there.Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Errorf("sent until it is done: %v", err)
		}
	})
}
