package actor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// EFF-50 across nodes: sends arrive, then the Down with the true reason.
func TestRemoteMonitor(t *testing.T) {
	nodes(t, 2, func(t *testing.T, _ *Fabric, ns []*Node) {
		l := &listener{}
		watcher := mustSpawn(t, ns[0], "watcher", l)
		victim := mustSpawn(t, ns[1], "victim", &listener{})
		odd := errors.New("odd")
		do(t, watcher, func(ctx *Context) {
			ctx.Monitor(victim.PID())
			second := ctx.Monitor(victim.PID())
			ctx.Demonitor(second)
		})
		do(t, victim, func(ctx *Context) {
			for i := range 3 {
				if err := ctx.Send(watcher.PID(), i); err != nil {
					t.Error(err)
				}
			}
			ctx.Stop(odd)
		})
		if len(l.got) != 4 || l.got[2] != 2 {
			t.Errorf("got %v", l.got)
		}
		if ds := l.downs(); len(ds) != 1 || ds[0].Reason != odd {
			t.Errorf("got %+v", ds)
		}
		do(t, watcher, func(ctx *Context) { ctx.Monitor(victim.PID()) })
		if ds := l.downs(); len(ds) != 1 || ds[0].Reason != ra.ErrNoProcess {
			t.Errorf("monitor of the dead: %+v", ds)
		}
		for _, n := range ns {
			checkNoMonitors(t, n)
		}
	})
}

// When the last monitor of a process is gone its node forgets the watching node.
func TestRemoteDemonitor(t *testing.T) {
	nodes(t, 2, func(t *testing.T, _ *Fabric, ns []*Node) {
		l := &listener{}
		watcher := mustSpawn(t, ns[0], "watcher", l)
		victim := mustSpawn(t, ns[1], "victim", &listener{})
		do(t, watcher, func(ctx *Context) { ctx.Demonitor(ctx.Monitor(victim.PID())) })
		checkNoMonitors(t, ns[1])
		do(t, watcher, func(ctx *Context) { ctx.Monitor(victim.PID()); ctx.Stop(nil) })
		for _, n := range ns {
			checkNoMonitors(t, n)
		}
	})
}

// EFF-53: a lost connection is the reason of a Down; while it lasts sends fail and monitors are answered at once.
func TestConnectionLost(t *testing.T) {
	nodes(t, 3, func(t *testing.T, fab *Fabric, ns []*Node) {
		l := &listener{}
		watcher := mustSpawn(t, ns[0], "watcher", l)
		victim := mustSpawn(t, ns[1], "victim", &listener{})
		other := mustSpawn(t, ns[2], "other", &listener{})
		do(t, watcher, func(ctx *Context) { ctx.Monitor(victim.PID()); ctx.Monitor(other.PID()) })
		fab.Disconnect("n0", "n1")
		synctest.Wait()
		if ds := l.downs(); len(ds) != 1 || ds[0].Reason != ra.ErrNodeDown || ds[0].PID != victim.PID() {
			t.Errorf("got %+v", ds)
		}
		checkNoMonitors(t, ns[1])
		if err := ns[0].Send(victim.PID(), 1); !errors.Is(err, ra.ErrNodeDown) {
			t.Errorf("send: %v", err)
		}
		do(t, watcher, func(ctx *Context) { ctx.Monitor(victim.PID()) })
		if ds := l.downs(); len(ds) != 1 || ds[0].Reason != ra.ErrNodeDown {
			t.Errorf("got %+v", ds)
		}
		fab.Connect("n0", "n1")
		do(t, watcher, func(ctx *Context) { ctx.Monitor(victim.PID()) })
		if ds := l.downs(); len(ds) != 0 {
			t.Errorf("after Connect: %+v", ds)
		}
		if err := ns[1].Close(context.Background()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if ds := l.downs(); len(ds) != 1 || ds[0].Reason != nil {
			t.Errorf("the node was closed in order: %+v", ds)
		}
	})
}

// A cut is silent. What it swallowed of monitors is made good when it heals: Down is at least once, only later.
func TestCutAndHeal(t *testing.T) {
	for _, c := range []struct{ from, to ra.NodeID }{{"n0", "n1"}, {"n1", "n0"}} {
		t.Run(fmt.Sprintf("%s-%s", c.from, c.to), func(t *testing.T) {
			nodes(t, 2, func(t *testing.T, fab *Fabric, ns []*Node) {
				l := &listener{}
				watcher := mustSpawn(t, ns[0], "watcher", l)
				victim := mustSpawn(t, ns[1], "victim", &listener{})
				fab.Cut(c.from, c.to)
				do(t, watcher, func(ctx *Context) { ctx.Monitor(victim.PID()) })
				do(t, victim, func(ctx *Context) { ctx.Stop(nil) })
				if len(l.got) != 0 {
					t.Errorf("got %v through the cut", l.got)
				}
				fab.Heal(c.from, c.to)
				synctest.Wait()
				if ds := l.downs(); len(ds) != 1 {
					t.Errorf("got %+v", ds)
				}
				checkNoMonitors(t, ns[0])
				checkNoMonitors(t, ns[1])
			})
		})
	}
}

// EFF-05: frames go to the handler of the other node, on the sender's goroutine; a cut or a lost connection drops them.
func TestFrames(t *testing.T) {
	nodes(t, 2, func(t *testing.T, fab *Fabric, ns []*Node) {
		l := ns[0].Link("n1")
		if err := l.Send("early"); err != nil { // dropped: there is no handler yet
			t.Error(err)
		}
		var got []string
		ns[1].HandleFrames(func(from ra.NodeID, f Frame) { got = append(got, fmt.Sprint(from, ":", f)) })
		send := func(want error, f string) {
			t.Helper()
			if err := l.Send(f); !errors.Is(err, want) {
				t.Errorf("send %s: %v", f, err)
			}
		}
		send(nil, "a")
		fab.Cut("n0", "n1")
		send(nil, "b")
		fab.Heal("n0", "n1")
		send(nil, "c")
		fab.Disconnect("n1", "n0")
		send(ra.ErrNodeDown, "d")
		if s := strings.Join(got, " "); s != "n0:a n0:c" {
			t.Errorf("got %s", s)
		}
		if a, b := ns[0].Stats().Dropped, ns[1].Stats().Dropped; a != 2 || b != 1 {
			t.Errorf("dropped %d and %d", a, b)
		}
	})
}

// events renders the node events that a listener got, and forgets them.
func (l *listener) events() string {
	var b strings.Builder
	for _, m := range l.got {
		if e, ok := m.(*NodeEvent); ok {
			fmt.Fprintf(&b, "%s:%v ", e.Node, e.Up)
		}
	}
	l.got = nil
	return strings.TrimSpace(b.String())
}

// EFF-51: the state of a node is reported at once, an unknown one is down, and each change is reported after.
func TestNodeMonitor(t *testing.T) {
	nodes(t, 2, func(t *testing.T, fab *Fabric, ns []*Node) {
		l := &listener{}
		r := mustSpawn(t, ns[0], "a", l)
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := l.events(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		do(t, r, func(ctx *Context) { ctx.MonitorNode("n1"); ctx.MonitorNode("nowhere"); ctx.MonitorNode("n0") })
		expect("n1:true nowhere:false n0:true")
		do(t, r, func(ctx *Context) { ctx.MonitorNode("n1") })
		expect("n1:true")
		fab.Disconnect("n0", "n1")
		expect("n1:false")
		fab.Connect("n0", "n1")
		expect("n1:true")
		n, err := Open(Config{Name: "nowhere", Fabric: fab})
		if err != nil {
			t.Fatal(err)
		}
		expect("nowhere:true")
		if _, err := Open(Config{Name: "nowhere", Fabric: fab}); !errors.Is(err, ra.ErrNameTaken) {
			t.Errorf("second node of that name: %v", err)
		}
		if got := fmt.Sprint(ns[0].Peers()); got != "[n1 nowhere]" {
			t.Errorf("peers are %s", got)
		}
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
		expect("nowhere:false")
		do(t, r, func(ctx *Context) { ctx.DemonitorNode("n1"); ctx.DemonitorNode("n1") })
		fab.Disconnect("n0", "n1")
		expect("")
		r.Stop(nil)
		<-r.Done()
		if len(ns[0].peers.watches) != 0 {
			t.Errorf("still watched: %v", ns[0].peers.watches)
		}
	})
}

// A process that does not come round to its node events finds no more than two of them, and the last is true.
func TestNodeEventsAreBounded(t *testing.T) {
	for flaps := range 8 {
		nodes(t, 2, func(t *testing.T, fab *Fabric, ns []*Node) {
			l := &listener{}
			r := mustSpawn(t, ns[0], "a", l)
			do(t, r, func(ctx *Context) { ctx.MonitorNode("n1") })
			l.got = nil
			do(t, r, func(*Context) {
				for i := range flaps {
					if i%2 == 0 {
						fab.Disconnect("n0", "n1")
					} else {
						fab.Connect("n0", "n1")
					}
				}
			})
			want := []string{"", "n1:false", "n1:false n1:true"}[min(flaps, 2-flaps%2)]
			if got := l.events(); got != want {
				t.Errorf("after %d changes: %q, want %q", flaps, got, want)
			}
		})
	}
}

// TIM-05: the node itself learns of every change.
func TestHandleNodes(t *testing.T) {
	nodes(t, 2, func(t *testing.T, fab *Fabric, ns []*Node) {
		var log []string
		ns[0].HandleNodes(func(peer ra.NodeID, up bool) { log = append(log, fmt.Sprint(peer, up)) })
		fab.Disconnect("n0", "n1")
		fab.Disconnect("n0", "n1")
		fab.Connect("n0", "n1")
		if got := strings.Join(log, " "); got != "n1true n1false n1true" {
			t.Errorf("got %s", got)
		}
	})
}

// Two nodes watch, connect, cut and end things at random; in the end nobody waits for a Down that will not come.
func TestMonitorsUnderChaos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fab := NewFabric()
		a := openNode(t, Config{Name: "n0", Fabric: fab, Workers: 2})
		b := openNode(t, Config{Name: "n1", Fabric: fab, Workers: 2})
		const watchers, victims = 8, 40
		var missing atomic.Int64
		done := make(chan struct{})
		var ws []*Ref
		for i := range watchers {
			open := make(map[MonitorRef]bool)
			ws = append(ws, mustSpawn(t, a, fmt.Sprint("w", i), &scripted{receive: func(ctx *Context) {
				for m := ctx.Next(); m != nil; m = ctx.Next() {
					switch m := m.(type) {
					case ra.PID:
						open[ctx.Monitor(m)] = true
					case *Down:
						if !open[m.Ref] {
							t.Error("a Down came twice, or for nothing")
						}
						delete(open, m.Ref)
						if missing.Add(-1) == 0 {
							close(done)
						}
					}
				}
			}}))
		}
		missing.Store(watchers * victims)
		for v := range victims {
			victim := mustSpawn(t, b, fmt.Sprint("v", v), &listener{})
			for _, w := range ws {
				if err := w.Send(victim.PID()); err != nil {
					t.Fatal(err)
				}
			}
			switch v % 4 {
			case 0:
				fab.Cut("n0", "n1")
			case 1:
				fab.Disconnect("n0", "n1")
				fab.Connect("n0", "n1")
			case 2:
				fab.Cut("n1", "n0")
			}
			victim.Stop(nil)
			<-victim.Done()
			fab.Heal("n0", "n1")
			fab.Heal("n1", "n0")
		}
		<-done
	})
}

// A node that was opened apart is alone until it joins, and what it knows of others is true then. One whose name is taken never
// joins, and takes nobody's place when it is closed.
func TestJoin(t *testing.T) {
	nodes(t, 2, func(t *testing.T, fab *Fabric, ns []*Node) {
		open := func(name ra.NodeID) *Node {
			n, err := Open(Config{Name: name, Fabric: fab, Apart: true})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		late := open("late")
		link := late.Link("n0")
		if err := link.Send("early"); !errors.Is(err, ra.ErrNodeDown) || len(late.Peers())+len(ns[0].Peers()) != 1 {
			t.Errorf("before: %v, it sees %v", err, late.Peers())
		}
		if err := late.Join(); err != nil || len(late.Peers())+len(ns[0].Peers()) != 4 || !link.Up() {
			t.Errorf("after: %v, it sees %v, is seen by %v", err, late.Peers(), ns[0].Peers())
		}
		second := open("n1")
		if err := second.Join(); !errors.Is(err, ra.ErrNameTaken) {
			t.Errorf("a second one of the name: %v", err)
		}
		if err := second.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := ns[0].Link("n1").Send("still"); err != nil {
			t.Errorf("the first one of the name: %v", err)
		}
		if err := late.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
