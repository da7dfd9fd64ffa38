package actor

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	pa "github.com/asynkron/protoactor-go/actor"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// listener runs calls and remembers everything else.
type listener struct {
	got []any
}

func (l *listener) Receive(ctx *Context) {
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		if f, ok := m.(call); ok {
			f(ctx)
			continue
		}
		l.got = append(l.got, m)
	}
}

// downs returns the Downs that were received, and forgets them.
func (l *listener) downs() []*Down {
	var ds []*Down
	for _, m := range l.got {
		if d, ok := m.(*Down); ok {
			ds = append(ds, d)
		}
	}
	l.got = nil
	return ds
}

// EFF-50: the reason of a Down is that of the end, whatever it was; dead and unknown processes are reported at once.
func TestMonitorReasons(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		l := &listener{}
		r := mustSpawn(t, n, "watcher", l)
		odd := errors.New("odd")
		var pe *PanicError
		for _, c := range []struct {
			end  func(*Context)
			want func(error) bool
		}{
			{func(ctx *Context) { ctx.Stop(nil) }, func(err error) bool { return err == nil }},
			{func(ctx *Context) { ctx.Stop(odd); ctx.Stop(nil) }, func(err error) bool { return err == odd }},
			{func(ctx *Context) { panic(odd) }, func(err error) bool { return errors.As(err, &pe) && errors.Is(err, odd) }},
		} {
			victim := mustSpawn(t, n, "victim", &listener{})
			var ref MonitorRef
			do(t, r, func(ctx *Context) { ref = ctx.Monitor(victim.PID()) })
			do(t, victim, c.end)
			ds := l.downs()
			if len(ds) != 1 || ds[0].Ref != ref || ds[0].PID != victim.PID() || !c.want(ds[0].Reason) {
				t.Errorf("got %+v", ds)
			}
			do(t, r, func(ctx *Context) { ctx.Monitor(victim.PID()) })
			if ds := l.downs(); len(ds) != 1 || ds[0].Reason != ra.ErrNoProcess {
				t.Errorf("monitor of the dead: %+v", ds)
			}
		}
		checkNoMonitors(t, n)
	})
}

// checkNoMonitors fails if the node's table of monitors is not empty.
func checkNoMonitors(t *testing.T, n *Node) {
	t.Helper()
	m := &n.monitors
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.byRef)+len(m.targets)+len(m.peers) != 0 {
		t.Errorf("%s still has %d monitors, %d targets, %d peers", n.Name(), len(m.byRef), len(m.targets), len(m.peers))
	}
}

// Several monitors of one process are independent; after Demonitor nothing comes, even if the Down was waiting.
func TestDemonitor(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		l := &listener{}
		r := mustSpawn(t, n, "watcher", l)
		victim := mustSpawn(t, n, "victim", &listener{}, WithOwnWorker(false))
		var refs [4]MonitorRef
		do(t, r, func(ctx *Context) {
			for i := range refs {
				refs[i] = ctx.Monitor(victim.PID())
			}
			if !ctx.Demonitor(refs[1]) || ctx.Demonitor(refs[1]) || ctx.Demonitor(99) {
				t.Error("Demonitor does not say whether the Down was still to come")
			}
			victim.Stop(nil)
			<-victim.Done() // the Downs wait in the lane now
			if !ctx.Demonitor(refs[2]) {
				t.Error("a waiting Down was not taken back")
			}
		})
		ds := l.downs()
		if len(ds) != 2 || ds[0].Ref != refs[0] || ds[1].Ref != refs[3] {
			t.Errorf("got %v", ds)
		}
		checkNoMonitors(t, n)
	})
}

// The monitors of a process that has ended go with it, and another process cannot end them.
func TestMonitorsEndWithTheirWatcher(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		r := mustSpawn(t, n, "watcher", &listener{})
		victim := mustSpawn(t, n, "victim", &listener{})
		do(t, r, func(ctx *Context) {
			ref := ctx.Monitor(victim.PID())
			ctx.Monitor(victim.PID())
			do := call(func(ctx *Context) {
				if ctx.Demonitor(ref) {
					t.Error("somebody else ended the monitor")
				}
			})
			if err := victim.Send(do); err != nil {
				t.Error(err)
			}
			ctx.Stop(nil)
		})
		checkNoMonitors(t, n)
	})
}

// EFF-50: the Down stays behind everything that the process had sent to the monitor, even to a full lane.
func TestDownStaysBehind(t *testing.T) {
	inBubble(t, Config{Workers: 2}, func(t *testing.T, n *Node) {
		const rounds, each = 50, 200
		for i := range rounds {
			hold, done := make(chan struct{}), make(chan struct{})
			got := 0
			var victim *Ref
			watcher := mustSpawn(t, n, fmt.Sprint("watcher", i), &scripted{
				start: func(ctx *Context) error {
					victim = mustSpawn(t, n, fmt.Sprint("victim", i), &listener{}, OnWorker(1))
					ctx.Monitor(victim.PID())
					close(hold)
					return nil
				},
				receive: func(ctx *Context) {
					for m := ctx.Next(); m != nil; m = ctx.Next() {
						if _, ok := m.(*Down); ok {
							close(done)
							return
						}
						got++
					}
				},
			}, OnWorker(0), WithClientLane(each))
			<-hold
			if err := victim.Send(call(func(ctx *Context) {
				for j := range each {
					if err := ctx.Send(watcher.PID(), j); err != nil {
						t.Error(err)
					}
				}
				panic("done")
			})); err != nil {
				t.Fatal(err)
			}
			<-done
			if got != each {
				t.Fatalf("Down came after %d of %d messages", got, each)
			}
		}
	})
}

func TestSendByPID(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		l := &listener{}
		r := mustSpawn(t, n, "a", l)
		pid := r.PID()
		if err := n.Send(pid, "hello"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(l.got) != 1 || l.got[0] != "hello" {
			t.Errorf("got %v", l.got)
		}
		for _, wrong := range []ra.PID{
			{Node: "n1", Name: "a", Incarnation: pid.Incarnation, Spawn: pid.Spawn + 1},
			{Node: "n1", Name: "a", Incarnation: pid.Incarnation + 1, Spawn: pid.Spawn},
			{Node: "n1", Name: "b", Incarnation: pid.Incarnation, Spawn: pid.Spawn},
			{},
		} {
			if err := n.Send(wrong, "hello"); !errors.Is(err, ra.ErrNoProcess) && !errors.Is(err, ra.ErrNodeDown) {
				t.Errorf("send to %v: %v", wrong, err)
			}
		}
		if s := n.Stats(); s.DeadLetters != 3 || s.Dropped != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// echo is a foreign protoactor actor: it sends what it is told to whom it is told, and stops when told to.
type echo struct{}

type echoOrder struct {
	to    *pa.PID
	count int
}

func (echo) Receive(ctx pa.Context) {
	if o, ok := ctx.Message().(echoOrder); ok {
		for i := range o.count {
			ctx.Request(o.to, i)
		}
		ctx.Stop(ctx.Self())
	}
}

// Users' own protoactor actors can be sent to and monitored; their Down, too, stays behind what they had sent (EFF-50).
func TestForeignActors(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		l := &listener{}
		r := mustSpawn(t, n, "watcher", l, WithClientLane(1000))
		if n.Wrap(r.Protoactor()) != r.PID() {
			t.Error("a process of ours got another identity")
		}
		for range 2 { // the name is used again: another identity
			foreign, err := n.System().Root.SpawnNamed(pa.PropsFromProducer(func() pa.Actor { return echo{} }), "echo")
			if err != nil {
				t.Fatal(err)
			}
			pid := n.Wrap(foreign)
			if again := n.Wrap(pa.NewPID("n1", "echo")); again != pid {
				t.Errorf("wrapped as %v and %v", pid, again)
			}
			do(t, r, func(ctx *Context) { ctx.Monitor(pid); ctx.Monitor(pid) })
			if err := n.Send(pid, echoOrder{r.Protoactor(), 100}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if len(l.got) != 102 || l.got[99] != 99 {
				t.Fatalf("got %d messages", len(l.got))
			}
			if ds := l.downs(); len(ds) != 2 || ds[0].PID != pid || ds[0].Reason != nil {
				t.Errorf("got %+v", ds)
			}
			if err := n.Send(pid, "late"); !errors.Is(err, ra.ErrNoProcess) {
				t.Errorf("send to the dead: %v", err)
			}
		}
		ghost := n.Wrap(pa.NewPID("n1", "ghost"))
		do(t, r, func(ctx *Context) { ctx.Monitor(ghost) })
		if ds := l.downs(); len(ds) != 1 || ds[0].Reason != ra.ErrNoProcess {
			t.Errorf("monitor of an actor that never was: %+v", ds)
		}
		checkNoMonitors(t, n)
	})
}

func TestSenderAndRespond(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		senders := make(chan ra.PID, 2)
		r := mustSpawn(t, n, "a", &scripted{receive: func(ctx *Context) {
			for m := ctx.Next(); m != nil; m = ctx.Next() {
				senders <- ctx.Sender()
				if ctx.Respond("answer") != (m == "ask") {
					t.Errorf("Respond to %v", m)
				}
			}
		}})
		answer, err := n.System().Root.RequestFuture(r.Protoactor(), "ask", time.Minute).Result()
		if answer != "answer" || err != nil {
			t.Errorf("answered %v, %v", answer, err)
		}
		if err := r.Send("tell"); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a future has no identity, and our own sends have no sender
			if pid := <-senders; !pid.IsZero() {
				t.Errorf("sender is %v", pid)
			}
		}
	})
}

// A late watch of a process that had its own worker is answered although that worker is gone.
func TestProtoactorWatchesTheDead(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		r := mustSpawn(t, n, "a", &listener{}, WithOwnWorker(false))
		r.Stop(nil)
		<-r.Done()
		told := make(chan struct{})
		w := n.System().Root.Spawn(pa.PropsFromFunc(func(ctx pa.Context) {
			if _, ok := ctx.Message().(*pa.Terminated); ok {
				close(told)
			}
		}))
		(*mailbox)(r).PostSystemMessage(&pa.Watch{Watcher: w})
		<-told
		n.System().Root.Stop(w)
	})
}

// nodes opens several nodes of one fabric in a bubble.
func nodes(t *testing.T, count int, f func(t *testing.T, fab *Fabric, ns []*Node)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fab := NewFabric()
		var ns []*Node
		for i := range count {
			n, err := Open(Config{Name: ra.NodeID(fmt.Sprint("n", i)), Fabric: fab})
			if err != nil {
				t.Fatal(err)
			}
			ns = append(ns, n)
		}
		f(t, fab, ns)
		for _, n := range ns {
			if err := n.Close(context.Background()); err != nil {
				t.Error(err)
			}
		}
	})
}
