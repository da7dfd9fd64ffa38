package actor

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pa "github.com/asynkron/protoactor-go/actor"
	"go.uber.org/goleak"

	"github.com/heliopolis-raft/heliopolis/ra"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openNode opens a node that is closed when the test ends.
func openNode(t testing.TB, cfg Config) *Node {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "n1"
	}
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

func mustSpawn(t testing.TB, n *Node, name string, a Actor, opts ...SpawnOption) *Ref {
	t.Helper()
	r, err := n.Spawn(name, func() Actor { return a }, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// scripted is an actor made of functions.
type scripted struct {
	start   func(*Context) error
	receive func(*Context)
	stop    func(*Context, error)
}

func (s *scripted) Receive(ctx *Context) { s.receive(ctx) }

func (s *scripted) Start(ctx *Context) error {
	if s.start == nil {
		return nil
	}
	return s.start(ctx)
}

func (s *scripted) Stop(ctx *Context, reason error) {
	if s.stop != nil {
		s.stop(ctx, reason)
	}
}

// collector sends all client messages to a channel.
func collector(c chan any) *scripted {
	return &scripted{receive: func(ctx *Context) {
		for m := ctx.Next(); m != nil; m = ctx.Next() {
			c <- m
		}
	}}
}

// number is a message that carries its own link.
type number struct {
	Item
	n int
}

// request is a message whose sender waits.
type request struct {
	Item
	answer chan error
}

func (q *request) Refuse(err error) { q.answer <- err }

func TestSendKeepsOrder(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		got := make(chan any, 16)
		r := mustSpawn(t, n, "a", collector(got), WithClientLane(1<<20))
		const count = 10_000
		go func() {
			for i := range count {
				var err error
				if i%2 == 0 {
					err = r.Send(&number{n: i})
				} else {
					err = r.Send(i)
				}
				if err != nil {
					t.Error(err)
				}
			}
		}()
		for i := range count {
			m := <-got
			if v, ok := m.(*number); ok {
				m = v.n
			}
			if m != i {
				t.Fatalf("message %d is %v", i, m)
			}
		}
	})
}

// An actor in the middle of a batch can have what has come meanwhile, in order and as much as a batch may hold; what it leaves
// comes with the next batch, before what is sent later. The places in the lane are free again when the batch has ended.
func TestMore(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		const lane = 1000
		var got, batches []int
		send := func(r *Ref, count int) {
			for range count {
				if err := r.Send(&number{}); err != nil {
					t.Error(err)
				}
			}
		}
		next := func(ctx *Context) (taken int) {
			for m := ctx.Next(); m != nil; m = ctx.Next() {
				got = append(got, m.(*number).n)
				taken++
			}
			return taken
		}
		first := true
		r := mustSpawn(t, n, "a", &scripted{receive: func(ctx *Context) {
			taken := next(ctx)
			if first {
				first = false
				for i := range 300 {
					if err := ctx.Ref().Send(&number{n: i + 1}); err != nil {
						t.Error(err)
					}
				}
				ctx.More()
				taken += next(ctx)
				ctx.More()
				taken += next(ctx)
				ctx.More()
				ctx.More() // takes nothing twice
			}
			batches = append(batches, taken)
		}}, WithClientLane(lane))
		send(r, 1)
		synctest.Wait()
		for i := range got {
			if got[i] != i {
				t.Fatalf("message %d is %d", i, got[i])
			}
		}
		if len(got) != 301 || batches[0] != 1+2*minBatch {
			t.Errorf("%d messages in batches of %v", len(got), batches)
		}
		first = true
		send(r, lane-300)
		synctest.Wait()
		if len(got) != lane+301 {
			t.Errorf("%d messages", len(got))
		}
	})
}

func TestNames(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		got := make(chan any, 1)
		r := mustSpawn(t, n, "a", collector(got))
		runs := 0
		_, err := n.Spawn("a", func() Actor { runs++; return collector(got) })
		if !errors.Is(err, ra.ErrNameTaken) || runs != 0 {
			t.Errorf("second spawn: %v after %d runs of the factory", err, runs)
		}
		for _, bad := range []string{"", "a/b", "$1", ".x"} {
			if _, err := n.Spawn(bad, func() Actor { return collector(got) }); !errors.Is(err, ra.ErrInvalidName) {
				t.Errorf("name %q: %v", bad, err)
			}
		}
		if _, err := n.Spawn("deadletter", func() Actor { return collector(got) }); !errors.Is(err, ra.ErrNameTaken) {
			t.Errorf("a name of protoactor's own: %v", err)
		}
		if l, ok := n.Lookup("a"); !ok || l != r {
			t.Errorf("lookup: %v, %v", l, ok)
		}
		if _, ok := n.Lookup("b"); ok {
			t.Error("found a process that never was")
		}
		if p := r.PID(); p.Node != "n1" || p.Name != "a" || p.Spawn == 0 || p.Incarnation != n.Incarnation() {
			t.Errorf("PID is %+v", p)
		}
	})
}

func TestFactoryFails(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		var pe *PanicError
		if _, err := n.Spawn("a", func() Actor { panic("no") }); !errors.As(err, &pe) || pe.Value != "no" {
			t.Errorf("panic in factory: %v", err)
		}
		if _, err := n.Spawn("b", func() Actor { return nil }); err == nil {
			t.Error("nil actor was accepted")
		}
	})
}

// FAIL-01: an actor that fails ends, and only that one; whoever waits for it is told.
func TestPanicRefusesWhatWaits(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		stopped := make(chan error, 1)
		hold := make(chan struct{})
		r := mustSpawn(t, n, "a", &scripted{
			receive: func(ctx *Context) { <-hold; ctx.Next(); panic("boom") },
			stop:    func(_ *Context, reason error) { stopped <- reason },
		}, WithOwnWorker(true))
		answers := make(chan error, 10)
		for range 10 {
			if err := r.Send(&request{answer: answers}); err != nil {
				t.Fatal(err)
			}
		}
		close(hold)
		var pe *PanicError
		if err := <-stopped; !errors.As(err, &pe) || pe.Value != "boom" || len(pe.Stack) == 0 {
			t.Errorf("reason is %v", err)
		}
		for range 9 { // the first one was taken
			if err := <-answers; !errors.Is(err, ra.ErrNoProcess) || !errors.As(err, &pe) {
				t.Errorf("refused with %v", err)
			}
		}
		if err := r.Send(1); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("send to the dead: %v", err)
		}
		if s := n.Stats(); s.Crashes != 1 || r.Alive() {
			t.Errorf("stats %+v, alive %v", s, r.Alive())
		}
	})
}

// An actor that ends the goroutine it runs on, wherever it is called, ends itself, and nobody else.
func TestGoexit(t *testing.T) {
	inBubble(t, Config{Workers: 1}, func(t *testing.T, n *Node) {
		exit := func(ctx *Context) { runtime.Goexit() }
		var pe *PanicError
		if _, err := n.Spawn("none", func() Actor { exit(nil); return nil }); !errors.As(err, &pe) || pe.Value != errGoexit {
			t.Errorf("in the factory: %v", err)
		}
		got, hold := make(chan any, 10), make(chan struct{})
		quiet := func(*Context) {}
		holder := mustSpawn(t, n, "holder", &scripted{receive: func(*Context) { <-hold }})
		ends := map[string]*scripted{
			"start":   {start: func(*Context) error { exit(nil); return nil }, receive: quiet},
			"receive": {receive: exit},
			"stop":    {receive: quiet, stop: func(*Context, error) { exit(nil) }},
		}
		others := []*Ref{mustSpawn(t, n, "first", collector(got)), nil}
		var refs []*Ref
		for name, a := range ends {
			refs = append(refs, mustSpawn(t, n, name, a), mustSpawn(t, n, "own-"+name, a, WithOwnWorker(true)))
		}
		others[1] = mustSpawn(t, n, "last", collector(got))
		for _, r := range append([]*Ref{holder}, append(refs, others...)...) { // all in one round
			_ = r.Send(1) // who ends at the start may be gone
		}
		close(hold)
		for range others {
			<-got
		}
		for _, r := range refs {
			if strings.HasSuffix(r.PID().Name, "stop") {
				r.Stop(nil)
			}
			<-r.Done()
		}
		for _, r := range others {
			if err := r.Send(2); err != nil {
				t.Error(err)
			}
			<-got
		}
		if s := n.Stats(); s.Crashes != 4 || s.Actors != 3 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// leaver is a message that ends the goroutine when it is refused, and a job that does when it runs.
type leaver struct{}

func (leaver) Refuse(error) { runtime.Goexit() }
func (leaver) Run(*Wakeups) { runtime.Goexit() }

// jobber is a job.
type jobber func()

func (f jobber) Run(*Wakeups) { f() }

// What waits for a process that ends is refused, and jobs run, whatever the others among them do.
func TestGoexitElsewhere(t *testing.T) {
	inBubble(t, Config{Workers: 1}, func(t *testing.T, n *Node) {
		hold, answer := make(chan struct{}), make(chan error, 1)
		r := mustSpawn(t, n, "a", &scripted{receive: func(ctx *Context) { <-hold; panic("boom") }}, WithOwnWorker(true))
		for _, m := range []any{leaver{}, &request{answer: answer}} {
			if err := r.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		close(hold)
		if err := <-answer; !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("refused with %v", err)
		}
		ran := make(chan any, 1)
		n.Inject(0, leaver{})
		n.Inject(0, jobber(func() { ran <- nil }))
		<-ran
	})
}

func TestOverload(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		hold, got := make(chan struct{}), make(chan any, 8)
		r := mustSpawn(t, n, "a", &scripted{
			start: func(*Context) error { <-hold; return nil },
			receive: func(ctx *Context) {
				for m := ctx.Next(); m != nil; m = ctx.Next() {
					got <- m
				}
			},
		}, WithClientLane(3))
		for i := range 3 {
			if err := r.Send(i); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Send(3); !errors.Is(err, ra.ErrOverloaded) {
			t.Errorf("fourth message: %v", err)
		}
		n.System().Root.Send(r.Protoactor(), "foreign")
		if s := n.Stats(); s.Overloads != 2 || s.DeadLetters != 1 {
			t.Errorf("stats %+v", s)
		}
		close(hold)
		for i := range 3 {
			if m := <-got; m != i {
				t.Errorf("got %v, want %d", m, i)
			}
		}
	})
}

// counter has an internal lane that adds up.
type counter struct {
	posted, taken int
	report        chan int
}

func (c *counter) Empty() bool      { return c.posted == 0 }
func (c *counter) Take()            { c.taken, c.posted = c.posted, 0 }
func (c *counter) Receive(*Context) { c.report <- c.taken }

func TestInboxCoalesces(t *testing.T) {
	inBubble(t, Config{Workers: 2}, func(t *testing.T, n *Node) {
		cs, refs := make([]*counter, 8), make([]*Ref, 8)
		for i := range cs {
			cs[i] = &counter{report: make(chan int, 8)}
			refs[i] = mustSpawn(t, n, fmt.Sprint("c", i), cs[i])
		}
		var ws Wakeups
		for range 5 {
			for i, r := range refs {
				r.Lock()
				cs[i].posted++
				r.Unlock(&ws)
			}
		}
		ws.Wake()
		for _, c := range cs {
			for sum := 0; sum < 5; {
				sum += <-c.report
			}
		}
		refs[0].Lock()
		cs[0].posted++
		refs[0].Release()
		refs[0].Wake(nil)
		if got := <-cs[0].report; got != 1 {
			t.Errorf("after Release and Wake: %d", got)
		}
	})
}

// fanJob posts to all counters.
type fanJob struct {
	cs   []*counter
	refs []*Ref
}

func (j *fanJob) Run(ws *Wakeups) {
	for i, r := range j.refs {
		r.Lock()
		j.cs[i].posted++
		r.Unlock(ws)
	}
}

func TestInject(t *testing.T) {
	inBubble(t, Config{Workers: 2}, func(t *testing.T, n *Node) {
		j := &fanJob{}
		for i := range 300 {
			c := &counter{report: make(chan int, 1)}
			j.cs = append(j.cs, c)
			j.refs = append(j.refs, mustSpawn(t, n, fmt.Sprint("c", i), c))
		}
		for w := range n.Workers() {
			n.Inject(w, j)
			for i, c := range j.cs {
				if got := <-c.report; got != 1 {
					t.Fatalf("counter %d got %d", i, got)
				}
			}
		}
	})
}

func TestPoisonPillAndTouch(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		got := make(chan any, 16)
		stopped := make(chan error, 1)
		a := collector(got)
		a.stop = func(_ *Context, reason error) { stopped <- reason }
		r := mustSpawn(t, n, "a", a)
		pid := r.Protoactor()
		touched, err := n.System().Root.RequestFuture(pid, &pa.Touch{}, time.Minute).Result()
		if who, ok := touched.(*pa.Touched); err != nil || !ok || who.Who.Id != "a" {
			t.Fatalf("touched: %v, %v", touched, err)
		}
		if _, ok := (<-got).(*pa.Touch); !ok {
			t.Error("the actor did not see the touch")
		}
		for i := range 3 {
			n.System().Root.Send(pid, i)
		}
		n.System().Root.Poison(pid)
		if reason := <-stopped; reason != nil {
			t.Errorf("reason is %v", reason)
		}
		for i := range 3 {
			if m := <-got; m != i {
				t.Errorf("got %v, want %d: a pill must not overtake", m, i)
			}
		}
	})
}

func TestSuspendAndResume(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		got := make(chan any, 1)
		r := mustSpawn(t, n, "a", collector(got))
		b := (*mailbox)(r)
		b.PostSystemMessage(&pa.SuspendMailbox{})
		if err := r.Send(1); err != nil {
			t.Fatal(err)
		}
		answered := make(chan struct{})
		mustSpawn(t, n, "other", &scripted{
			start:   func(*Context) error { close(answered); return nil },
			receive: func(*Context) {},
		})
		<-answered // the one worker has passed over the suspended actor
		select {
		case m := <-got:
			t.Errorf("suspended actor handled %v", m)
		default:
		}
		b.PostSystemMessage(&pa.ResumeMailbox{})
		if m := <-got; m != 1 {
			t.Errorf("got %v", m)
		}
	})
}

// A name is spawned again and again under traffic: protoactor's own mailbox panics in the sender and leaves dead
// actors here, because it registers a name before its mailbox can take messages.
func TestRespawnUnderTraffic(t *testing.T) {
	n := openNode(t, Config{Workers: 2})
	done := make(chan struct{})
	var senders sync.WaitGroup
	for i := range 2 {
		senders.Go(func() {
			pid := pa.NewPID("n1", "x")
			for {
				select {
				case <-done:
					return
				default:
				}
				if i == 0 {
					n.System().Root.Send(pid, "hello")
				} else if r, ok := n.Lookup("x"); ok {
					_ = r.Send("hello") // it may be dead by now
				}
				runtime.Gosched()
			}
		})
	}
	for i := range 2000 {
		started, ended := make(chan struct{}), make(chan struct{})
		r := mustSpawn(t, n, "x", &scripted{
			start: func(*Context) error { close(started); return nil },
			receive: func(ctx *Context) {
				for m := ctx.Next(); m != nil; m = ctx.Next() {
				}
			},
			stop: func(*Context, error) { close(ended) },
		})
		<-started
		answer := make(chan error, 1)
		if err := r.Send(&request{answer: answer}); err != nil && !errors.Is(err, ra.ErrOverloaded) {
			t.Fatalf("respawn %d: %v", i, err)
		}
		r.Stop(nil)
		<-ended
		for n.names.get("x") != nil {
			runtime.Gosched()
		}
	}
	close(done)
	senders.Wait()
}

// outbox is a Round that delivers at its end only.
type outbox struct {
	to   *Ref
	sent []*number
}

func (o *outbox) End(bool) (*Ref, bool) {
	for _, m := range o.sent {
		if err := o.to.Send(m); err != nil {
			panic(err)
		}
	}
	o.sent = o.sent[:0]
	return nil, false
}

// Many producers are run by two workers; each one's messages must arrive in order although they travel by the outbox
// of a worker.
func TestOrderHoldsAcrossRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var boxes []*outbox
		n := openNode(t, Config{Workers: 2, NewRound: func(int) Round {
			boxes = append(boxes, &outbox{})
			return boxes[len(boxes)-1]
		}})
		const producers, each = 50, 400
		last := make([]int, producers)
		done := make(chan struct{})
		total := 0
		sink := mustSpawn(t, n, "sink", &scripted{receive: func(ctx *Context) {
			for m := ctx.Next(); m != nil; m = ctx.Next() {
				v := m.(*number)
				p, i := v.n/each, v.n%each
				if i != last[p] {
					t.Errorf("producer %d: %d after %d", p, i, last[p])
				}
				last[p] = i + 1
				if total++; total == producers*each {
					close(done)
				}
			}
		}}, WithOwnWorker(false), WithClientLane(producers*each))
		for _, b := range boxes {
			b.to = sink
		}
		var refs []*Ref
		for p := range producers {
			next := 0
			refs = append(refs, mustSpawn(t, n, fmt.Sprint("p", p), &scripted{receive: func(ctx *Context) {
				box := ctx.Round().(*outbox)
				for m := ctx.Next(); m != nil; m = ctx.Next() {
					box.sent = append(box.sent, &number{n: p*each + next})
					next++
				}
			}}))
		}
		for range each {
			for _, r := range refs {
				if err := r.Send(&number{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		<-done
	})
}

func TestStartFails(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		bad, stopped := errors.New("bad disk"), make(chan error, 1)
		mustSpawn(t, n, "a", &scripted{
			start:   func(*Context) error { return bad },
			receive: func(*Context) { t.Error("ran") },
			stop:    func(_ *Context, reason error) { stopped <- reason },
		})
		if err := <-stopped; err != bad {
			t.Errorf("reason %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := Open(Config{Name: "n1", Workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		var stops atomic.Int32
		hold := make(chan struct{})
		for i := range 20 {
			opts := []SpawnOption{OnWorker(i)}
			if i == 7 {
				opts = append(opts, WithOwnWorker(true))
			}
			mustSpawn(t, n, fmt.Sprint("a", i), &scripted{
				receive: func(*Context) {},
				stop: func(*Context, error) {
					<-hold
					stops.Add(1)
				},
			}, opts...)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := n.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("close in no time: %v", err)
		}
		if _, err := n.Spawn("late", func() Actor { return collector(nil) }); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("spawn on a closed node: %v", err)
		}
		close(hold)
		for range 2 {
			if err := n.Close(context.Background()); err != nil || stops.Load() != 20 {
				t.Errorf("close: %v after %d stops", err, stops.Load())
			}
		}
	})
}

func TestConfig(t *testing.T) {
	for _, cfg := range []Config{{}, {Name: "a b"}, {Name: "a", Workers: -1}, {Name: "a", ClientLane: -1}, {Name: "a", Tick: -1}} {
		if n, err := Open(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
			n.Close(context.Background())
		}
	}
}
