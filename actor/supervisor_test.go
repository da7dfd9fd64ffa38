package actor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// crash makes the child of that name panic, and waits until all is quiet or the time is over.
func crash(t *testing.T, n *Node, name string, wait time.Duration) {
	t.Helper()
	r, ok := n.Lookup(name)
	if !ok {
		t.Fatalf("%s is down", name)
	}
	do(t, r, func(*Context) { panic("crash") })
	time.Sleep(wait)
	synctest.Wait()
}

// FAIL-01: two restarts in five seconds, each by a new actor from the factory; the third end is final, and said. Other
// children are not concerned.
func TestRestartIntensity(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	inBubble(t, Config{Logger: zap.New(core)}, func(t *testing.T, n *Node) {
		gaveUp := ""
		restarts := 0
		s, err := NewSupervisor(n, "sup", Supervision{
			OnGiveUp:  func(name string, reason error) { gaveUp += fmt.Sprint(name, ": ", reason) },
			OnRestart: func(*Ref) { restarts++ },
		})
		if err != nil {
			t.Fatal(err)
		}
		made := 0
		factory := func() Actor { made++; return &listener{} }
		first, err := s.Start("a", factory)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Start("a", factory); !errors.Is(err, ra.ErrNameTaken) || made != 1 {
			t.Errorf("second start: %v, %d made", err, made)
		}
		other, err := s.Start("b", func() Actor { return &listener{} })
		if err != nil {
			t.Fatal(err)
		}
		crash(t, n, "a", time.Second)
		crash(t, n, "a", 4500*time.Millisecond) // the first restart falls out of the window
		crash(t, n, "a", 100*time.Millisecond)
		if r, ok := n.Lookup("a"); !ok || r == first || made != 4 || restarts != 3 || gaveUp != "" {
			t.Fatalf("alive %v after %d lives, %d restarts, %q", ok, made, restarts, gaveUp)
		}
		crash(t, n, "a", time.Minute)
		if _, ok := n.Lookup("a"); ok || gaveUp != "a: actor: panic: crash" || made != 4 {
			t.Errorf("alive %v, gave up on %q, %d lives", ok, gaveUp, made)
		}
		if !other.Alive() {
			t.Error("another child ended, too")
		}
		if _, err := s.Start("a", factory); err != nil {
			t.Errorf("start anew: %v", err)
		}
		if got := logs.FilterMessage("child stays down").Len(); got != 1 {
			t.Errorf("%d log entries", got)
		}
		e := logs.FilterMessage("actor panicked").All()[0].ContextMap()
		if e["node"] != "n1" || e["name"] != "a" {
			t.Errorf("logged %v", e)
		}
	})
}

// A Stop whose context is over does not wait, and ends the child all the same.
func TestStopWithoutTime(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		s, err := NewSupervisor(n, "sup", Supervision{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for i := range 30 {
			ref, err := s.Start(fmt.Sprint(i), func() Actor { return &listener{} })
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Stop(ctx, fmt.Sprint(i)); err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			synctest.Wait()
			if ref.Alive() {
				t.Fatalf("child %d lives on", i)
			}
		}
	})
}

// Restarts come after a time that doubles.
func TestBackoff(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		s, err := NewSupervisor(n, "sup", Supervision{MaxRestarts: 4, Window: time.Hour, Backoff: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		var lives atomic.Int32
		var born time.Time // written before lives
		if _, err := s.Start("a", func() Actor { born = time.Now(); lives.Add(1); return &listener{} }); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			delay := time.Second << i
			ended := time.Now()
			crash(t, n, "a", delay-1)
			if lives.Load() != int32(i+1) {
				t.Errorf("restart %d came early", i)
			}
			time.Sleep(2 * TimerResolution)
			synctest.Wait()
			if l := lives.Load(); l != int32(i+2) || born.Sub(ended) < delay {
				t.Errorf("restart %d: life %d, after %v", i, l, born.Sub(ended))
			}
		}
	})
}

// A factory that fails counts like an end of the child; so does a name that somebody else took meanwhile.
func TestRestartFails(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		var gaveUp error
		s, err := NewSupervisor(n, "sup", Supervision{OnGiveUp: func(_ string, reason error) { gaveUp = reason }})
		if err != nil {
			t.Fatal(err)
		}
		lives := 0
		if _, err := s.Start("a", func() Actor {
			if lives++; lives > 1 {
				panic("broken disk")
			}
			return &listener{}
		}); err != nil {
			t.Fatal(err)
		}
		crash(t, n, "a", time.Minute)
		var pe *PanicError
		if lives != 3 || !errors.As(gaveUp, &pe) || pe.Value != "broken disk" {
			t.Errorf("%d lives, gave up for %v", lives, gaveUp)
		}
		if _, err := s.Start("b", func() Actor { return &listener{} }); err != nil {
			t.Fatal(err)
		}
		b, _ := n.Lookup("b")
		b.Stop(errors.New("odd"))
		<-b.Done()
		squatter := mustSpawn(t, n, "b", &listener{})
		time.Sleep(15 * time.Millisecond) // the first restart fails
		squatter.Stop(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if b, ok := n.Lookup("b"); !ok || b == squatter {
			t.Error("the child did not come back when its name was free")
		}
		if _, err := s.Start("c", func() Actor { return nil }); err == nil {
			t.Error("a factory that makes nothing was accepted")
		}
		if err := s.Stop(context.Background(), "c"); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("stop of a child that never was: %v", err)
		}
	})
}

// Stop ends the last life of a child, also if whoever started the first one comes round to noting it after the second.
func TestStopEndsTheLastLife(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		s, err := NewSupervisor(n, "sup", Supervision{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.Start("a", func() Actor { return &listener{} })
		if err != nil {
			t.Fatal(err)
		}
		crash(t, n, "a", time.Second)
		s.mu.Lock()
		c := s.children["a"]
		s.mu.Unlock()
		s.begins(c)
		if s.born(c, first) {
			t.Error("the child is not wanted")
		}
		if err := s.Stop(context.Background(), "a"); err != nil {
			t.Error(err)
		}
		if _, ok := n.Lookup("a"); ok {
			t.Error("it lives")
		}
	})
}

// Stop waits for a life that is just being spawned, the first or a later one, and for its end; or for its context.
func TestStopWaitsForWhatIsSpawned(t *testing.T) {
	for _, first := range []bool{true, false} {
		inBubble(t, Config{}, func(t *testing.T, n *Node) {
			s, err := NewSupervisor(n, "sup", Supervision{})
			if err != nil {
				t.Fatal(err)
			}
			gate, lives := make(chan struct{}), 0
			factory := func() Actor {
				if lives++; first || lives > 1 {
					<-gate
				}
				return &listener{}
			}
			go func() { _, _ = s.Start("a", factory) }() // its end is not what this is about
			synctest.Wait()
			if !first {
				crash(t, n, "a", time.Second)
			}
			over, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := s.Stop(over, "a"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("first %v: stopped with %v", first, err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Stop(context.Background(), "a") }()
			synctest.Wait()
			close(gate)
			if err := <-ended; err != nil {
				t.Errorf("first %v: %v", first, err)
			}
			if _, ok := n.Lookup("a"); ok {
				t.Errorf("first %v: it lives", first)
			}
			synctest.Wait()
			if _, err := s.Start("a", factory); err != nil {
				t.Errorf("first %v: anew: %v", first, err)
			}
		})
	}
}

// A normal end and Stop are final; a child that waits for its restart can be stopped, too.
func TestSupervisorStop(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, n *Node) {
		s, err := NewSupervisor(n, "sup", Supervision{Backoff: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		lives := 0
		factory := func() Actor { lives++; return &listener{} }
		start := func() *Ref {
			t.Helper()
			r, err := s.Start("a", factory)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		do(t, start(), func(ctx *Context) { ctx.Stop(nil) })
		time.Sleep(time.Minute)
		start()
		if err := s.Stop(context.Background(), "a"); err != nil {
			t.Error(err)
		}
		start()
		crash(t, n, "a", 0)
		if err := s.Stop(context.Background(), "a"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if _, ok := n.Lookup("a"); ok || lives != 3 {
			t.Errorf("alive %v after %d lives", ok, lives)
		}
		s.Ref().Stop(nil)
		<-s.Ref().Done()
		if _, err := s.Start("a", factory); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("start by an ended supervisor: %v", err)
		}
	})
}
