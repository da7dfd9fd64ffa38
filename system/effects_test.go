package system

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// mouth is a user's process that hands on what it is told.
type mouth struct{ heard chan any }

func (m *mouth) Receive(ctx *actor.Context) {
	for msg := ctx.Next(); msg != nil; msg = ctx.Next() {
		m.heard <- msg
	}
}

// spawn starts a user's process on a node.
func (w *world) spawn(node ra.NodeID, name string) (*actor.Ref, chan any) {
	w.t.Helper()
	m := &mouth{heard: make(chan any, 10_000)}
	ref, err := w.nodes[node].Actors().Spawn(name, func() actor.Actor { return m })
	if err != nil {
		w.t.Fatal(err)
	}
	return ref, m.heard
}

// words asks a mixed machine for its state.
func (w *world) words(c *Cluster) string {
	w.t.Helper()
	r, err := c.ConsistentQuery(w.ctx(), "words")
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Reply.(string)
}

// EFF-50: a process that the machine monitors ends, on any node, and the machine is told by a command that comes behind
// all of the process's own.
func TestDownFollowsCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "mixed", "n1", "n2", "n3")
		for i, node := range []ra.NodeID{"n1", "n2", "n3"} {
			ref, _ := w.spawn(node, fmt.Sprint("client", i))
			from := machine.Caller{PID: ref.PID(), Correlation: 1}
			if err := c.PipelineCommand([]byte("watch"), from); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Process(w.ctx(), []byte("nothing")); err != nil { // the monitor is in place then
				t.Fatal(err)
			}
			for range 20 {
				if err := c.PipelineCommand([]byte(fmt.Sprint("add ", i)), from); err != nil {
					t.Fatal(err)
				}
			}
			ref.Stop(errors.New("over"))
			<-ref.Done()
			time.Sleep(time.Second)
			if got, want := w.words(c), fmt.Sprintf("%d,down:client%d:error: over", i, i); !strings.HasSuffix(got, want) {
				t.Errorf("client %d: %q", i, got)
			}
		}
	})
}

// EFF-19: a machine's timer runs out and comes as a command.
func TestTimerEndToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "mixed", "n1", "n2", "n3")
		if _, err := c.Process(w.ctx(), []byte("timer")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := w.words(c); got != "timeout:t" {
			t.Errorf("words are %q", got)
		}
	})
}

// MAC-05, EFF-29: a machine answers callers later, wherever they are, and even if the leader changed meanwhile.
func TestDeferredReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "mixed", "n1", "n2", "n3")
		answers := make(chan error, 3)
		for i := range 3 {
			on := w.on(w.n(i+1).Name(), "a")
			go func() {
				r, err := on.Process(w.ctx(), []byte("later"))
				if err == nil && r.Reply != "so" {
					err = fmt.Errorf("answer %v", r.Reply)
				}
				answers <- err
			}()
		}
		time.Sleep(time.Second)
		old, _ := c.Leader()
		if err := c.TransferLeadership(w.ctx(), ra.ServerID{Name: "a", Node: w.others(old.Node)[0]}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if _, err := c.Process(w.ctx(), []byte("now so")); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Process(ctx, []byte("later")); !errors.Is(err, context.DeadlineExceeded) || !ra.MayHaveBeenApplied(err) {
			t.Errorf("never answered: %v", err)
		}
	})
}

// EVT-01: a process is told of its commands, in order.
func TestPipelineCommandEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		ref, heard := w.spawn("n2", "client")
		for i := range uint64(500) {
			if err := c.PipelineCommand(reference.AppendAdd(nil, 1), machine.Caller{PID: ref.PID(), Correlation: i}); err != nil {
				t.Fatal(err)
			}
		}
		next := uint64(0)
		for next < 500 {
			e := (<-heard).(ra.Event)
			for _, a := range e.Body.(ra.Applied) {
				if a.Correlation != next || a.Reply != int64(next+1) {
					t.Fatalf("got %+v, want number %d", a, next)
				}
				next++
			}
		}
	})
}

// QRY-13, QRY-07: aux commands are answered by the member that is addressed, consistent ones by the leader.
func TestAuxCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "mixed", "n1", "n2", "n3")
		leader, _ := c.Leader()
		for i := range 3 {
			id := ra.ServerID{Name: "a", Node: w.n(i + 1).Name()}
			r, err := w.n(1).Member(id).AuxCommand(w.ctx(), "hello")
			if want := fmt.Sprint("hello ", id == leader); err != nil || r.Reply != want {
				t.Errorf("%s: %+v, %v", id, r, err)
			}
			if err := w.n(1).Member(id).CastAux("x"); err != nil {
				t.Error(err)
			}
		}
		if r, err := w.on("n3", "a").ConsistentAux(w.ctx(), "hi"); err != nil || r.Reply != "hi true" {
			t.Errorf("consistent: %+v, %v", r, err)
		}
		d := w.cluster("b", "counter", "n1")
		if _, err := d.ConsistentAux(w.ctx(), "hi"); !errors.Is(err, machine.ErrNoAux) {
			t.Errorf("without a handler: %v", err)
		}
	})
}

// Messages that a member does not understand are counted, and harm nobody.
func TestForeignMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "counter", "n1")
		ref, _ := w.n(1).Actors().Lookup("a")
		for range 10 {
			if err := ref.Send("what?"); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.add(c, 1); got != 1 {
			t.Errorf("sum is %d", got)
		}
		if got := w.n(1).counts.foreign.Load(); got != 10 {
			t.Errorf("%d were counted", got)
		}
	})
}
