package actor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pa "github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Protoactor's warnings reach our log under its name; what it calls information does not, and no logger is silence.
func TestLogBridge(t *testing.T) {
	for _, c := range []struct {
		level zapcore.Level
		want  string
	}{{zap.DebugLevel, "warning error"}, {zap.ErrorLevel, "error"}} {
		core, logs := observer.New(c.level)
		n := openNode(t, Config{Logger: zap.New(core)})
		log := n.System().Logger()
		log.Info("information")
		log.Warn("warning")
		log.Error("error")
		var got []string
		for _, e := range logs.All() {
			if e.LoggerName != "protoactor" || e.ContextMap()["node"] != "n1" {
				t.Errorf("logged %+v", e)
			}
			got = append(got, e.Message)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("at level %v: %q, want %q", c.level, s, c.want)
		}
	}
	openNode(t, Config{}).System().Logger().Error("nobody hears this")
}

func TestIdentity(t *testing.T) {
	inBubble(t, Config{Workers: 2}, func(t *testing.T, n *Node) {
		l := &listener{}
		r := mustSpawn(t, n, "a", l, OnWorker(1))
		do(t, r, func(ctx *Context) {
			if ctx.Self() != r.PID() || ctx.Ref() != r || ctx.Node() != n || ctx.Round() != nil {
				t.Error("the context is not its actor's")
			}
			if n := (*mailbox)(r).UserMessageCount(); n != 1 { // this one is being handled
				t.Errorf("%d messages wait", n)
			}
		})
		if r := mustSpawn(t, n, "odd", &listener{}, OnWorker(-1), WithClientLane(1<<40)); r.Send(1) != nil {
			t.Error("odd options make an actor that takes nothing")
		}
		own := mustSpawn(t, n, "own", &listener{}, WithOwnWorker(false))
		if r.Worker() != 1 || own.Worker() != -1 || r.Name() != "a" || n.Name() != "n1" {
			t.Error("wrong worker or name")
		}
		if again := mustSpawnAgain(t, n, r); again.PID() == r.PID() {
			t.Error("another life has the same identity")
		}
	})
}

// mustSpawnAgain ends r and starts another process under its name.
func mustSpawnAgain(t *testing.T, n *Node, r *Ref) *Ref {
	t.Helper()
	r.Stop(nil)
	<-r.Done()
	return mustSpawn(t, n, r.Name(), &listener{})
}

// Messages that Receive does not take stay first in line, in order, and the next batch comes by itself.
func TestLeftOverMessages(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		var got []int
		done := make(chan struct{})
		r := mustSpawn(t, n, "a", &scripted{receive: func(ctx *Context) {
			m := ctx.Next()
			if m == nil {
				t.Error("an activation with nothing")
				return
			}
			if got = append(got, m.(int)); len(got) == 300 {
				close(done)
			}
		}})
		for i := range 300 {
			if err := r.Send(i); err != nil {
				t.Fatal(err)
			}
		}
		<-done
		for i, m := range got {
			if m != i {
				t.Fatalf("message %d is %d", i, m)
			}
		}
	})
}

// A full lane drains in batches that grow, up to a bound.
func TestBatchesGrow(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		hold, done := make(chan struct{}), make(chan struct{})
		var sizes []int
		total := 0
		r := mustSpawn(t, n, "a", &scripted{
			start: func(*Context) error { <-hold; return nil },
			receive: func(ctx *Context) {
				size := 0
				for m := ctx.Next(); m != nil; m = ctx.Next() {
					size++
				}
				sizes = append(sizes, size)
				if total += size; total == 2000 {
					close(done)
				}
			},
		}, WithClientLane(2000))
		for i := range 2000 {
			if err := r.Send(i); err != nil {
				t.Fatal(err)
			}
		}
		close(hold)
		<-done
		want := []int{64, 128, 256, 256, 256, 256, 256, 256, 256, 16}
		if len(sizes) != len(want) {
			t.Fatalf("batches of %v", sizes)
		}
		for i := range want {
			if sizes[i] != want[i] {
				t.Fatalf("batches of %v", sizes)
			}
		}
	})
}

// A panic in Stop does not keep the process from ending, and a panic in the batch loses only what was taken.
func TestPanicInStop(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		r := mustSpawn(t, n, "a", &scripted{
			receive: func(*Context) {},
			stop:    func(*Context, error) { panic("stop") },
		})
		r.Stop(nil)
		<-r.Done()
		if _, ok := n.Lookup("a"); ok || n.Stats().Actors != 0 {
			t.Error("it is still there")
		}
	})
}

// mine is a message that blows up when it is refused.
type mine struct{}

func (mine) Refuse(error) { panic("boom") }

// A Refuser that panics, or a message that nobody waits for, does not keep the others from being refused.
func TestRefuseCountsDeadLetters(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		hold := make(chan struct{})
		r := mustSpawn(t, n, "a", &scripted{
			start:   func(*Context) error { <-hold; return errors.New("no") },
			receive: func(*Context) {},
		})
		answer := make(chan error, 1)
		for _, m := range []any{1, &number{}, mine{}, &request{answer: answer}} {
			if err := r.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		close(hold)
		if err := <-answer; !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("refused with %v", err)
		}
		<-r.Done()
		if s := n.Stats(); s.DeadLetters != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

// What protoactor cannot deliver is counted, and whoever waits for an answer is told.
func TestProtoactorDeadLetters(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		_, err := n.System().Root.RequestFuture(pa.NewPID("n1", "nobody"), "hello", time.Minute).Result()
		if !errors.Is(err, pa.ErrDeadLetter) {
			t.Errorf("request to nobody: %v", err)
		}
		if s := n.Stats(); s.DeadLetters != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}

// A Down for a watcher that has ended meanwhile goes nowhere.
func TestDownForTheDead(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		r := mustSpawn(t, n, "a", &listener{})
		r.Stop(nil)
		<-r.Done()
		(&monitor{watcher: r}).deliver(nil)
		if n := (*mailbox)(r).UserMessageCount(); n != 0 {
			t.Errorf("%d messages wait for the dead", n)
		}
	})
}

// A node that nobody has ever heard of leaves no trace, however often it is named.
func TestUnknownNodes(t *testing.T) {
	nodes(t, 1, func(t *testing.T, fab *Fabric, ns []*Node) {
		l := &listener{}
		r := mustSpawn(t, ns[0], "a", l)
		nowhere := ra.PID{Node: "nowhere", Name: "x", Incarnation: 1, Spawn: 1}
		do(t, r, func(ctx *Context) {
			if err := ctx.Send(nowhere, 1); !errors.Is(err, ra.ErrNodeDown) {
				t.Errorf("send: %v", err)
			}
			ctx.Monitor(nowhere)
		})
		if ds := l.downs(); len(ds) != 1 || ds[0].Reason != ra.ErrNodeDown {
			t.Errorf("got %+v", ds)
		}
		fab.Cut("n0", "nowhere")
		fab.Heal("nowhere", "n0")
		fab.Disconnect("n0", "nowhere")
		ns[0].links.Range(func(to, _ any) bool { t.Errorf("a link to %v", to); return true })
		link := ns[0].Link("later") // asked for by name, a link works once the node is there
		if link.Up() || link.To() != "later" {
			t.Error("connected to a node that is not open")
		}
		n, err := Open(Config{Name: "later", Fabric: fab})
		if err != nil {
			t.Fatal(err)
		}
		if !link.Up() {
			t.Error("the link did not come up")
		}
		if err := n.Close(context.Background()); err != nil || link.Up() {
			t.Errorf("close: %v, link up %v", err, link.Up())
		}
	})
}

// An idle node has no goroutine but its workers, and no timer, however many actors it has.
func TestIdleNodeSleeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		n, err := Open(Config{Name: "n1", Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			mustSpawn(t, n, fmt.Sprint("a", i), &listener{})
		}
		synctest.Wait()
		if extra := runtime.NumGoroutine() - before; extra > 2 || n.Stats().Timers != 0 {
			t.Errorf("%d more goroutines, %d timers", extra, n.Stats().Timers)
		}
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// Ten thousand timers that expire in one step are handed over in portions, each once.
func TestManyTimersAtOnce(t *testing.T) {
	inBubble(t, Config{Workers: 2}, func(t *testing.T, n *Node) {
		timers := make([]Timer, 10_000)
		var fired [2]int
		for w := range 2 {
			r := mustSpawn(t, n, []string{"a", "b"}[w], &scripted{receive: func(ctx *Context) {
				for m := ctx.Next(); m != nil; m = ctx.Next() {
					m.(call)(ctx)
				}
				for x := ctx.NextTimer(); x != nil; x = ctx.NextTimer() {
					fired[w]++
				}
			}}, OnWorker(w))
			do(t, r, func(ctx *Context) {
				for i := w; i < len(timers); i += 2 {
					ctx.Arm(&timers[i], time.Minute)
				}
			})
		}
		time.Sleep(time.Minute + TimerResolution)
		synctest.Wait()
		if fired != [2]int{5000, 5000} {
			t.Errorf("fired %v", fired)
		}
	})
}
