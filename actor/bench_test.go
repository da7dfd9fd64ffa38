package actor

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// sinkActor has an internal lane and counts its activations.
type sinkActor struct {
	posted, taken uint64
	done          *sync.WaitGroup
}

func (s *sinkActor) Empty() bool { return s.posted == 0 }
func (s *sinkActor) Take()       { s.taken, s.posted = s.posted, 0 }
func (s *sinkActor) Receive(ctx *Context) {
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		s.done.Done()
	}
	for ; s.taken > 0; s.taken-- {
		s.done.Done()
	}
}

func benchActors(b *testing.B, n *Node, count int, done *sync.WaitGroup) ([]*sinkActor, []*Ref) {
	as, rs := make([]*sinkActor, count), make([]*Ref, count)
	for i := range as {
		as[i] = &sinkActor{done: done}
		rs[i] = mustSpawn(b, n, fmt.Sprint("s", i), as[i])
	}
	return as, rs
}

// BenchmarkActivation is one internal post, wake-up and activation through protoactor, for 1,000 actors at a time.
func BenchmarkActivation(b *testing.B) {
	n := openNode(b, Config{})
	var done sync.WaitGroup
	as, rs := benchActors(b, n, 1000, &done)
	b.ReportAllocs()
	b.ResetTimer()
	var ws Wakeups
	for i := 0; i < b.N; {
		k := min(len(as), b.N-i)
		done.Add(k)
		for j := range k {
			rs[j].Lock()
			as[j].posted++
			rs[j].Unlock(&ws)
		}
		ws.Wake()
		done.Wait()
		i += k
	}
}

// BenchmarkSend is a client message that carries its link, from one goroutine to one actor.
func BenchmarkSend(b *testing.B) {
	n := openNode(b, Config{})
	var done sync.WaitGroup
	_, rs := benchActors(b, n, 1, &done)
	items := make([]number, 1024)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; {
		k := min(len(items), b.N-i)
		done.Add(k)
		for j := range k {
			if err := rs[0].Send(&items[j]); err != nil {
				b.Fatal(err)
			}
		}
		done.Wait()
		i += k
	}
}

// hopper sends a message on to its partner until it has travelled far enough.
type hopper struct {
	to   *Ref
	left int
	done chan struct{}
}

func (h *hopper) Receive(ctx *Context) {
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		if h.left--; h.left <= 0 {
			h.done <- struct{}{}
		} else if err := h.to.Send(m); err != nil {
			panic(err)
		}
	}
}

// BenchmarkHop is the way of one message between two actors that are otherwise idle.
func BenchmarkHop(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			n := openNode(b, Config{Workers: workers})
			hs := [2]*hopper{{done: make(chan struct{}, 2)}, {done: make(chan struct{}, 2)}}
			r0, r1 := mustSpawn(b, n, "h0", hs[0], OnWorker(0)), mustSpawn(b, n, "h1", hs[1], OnWorker(1))
			hs[0].to, hs[1].to = r1, r0
			hs[0].left, hs[1].left = b.N/2+1, b.N/2+1
			b.ReportAllocs()
			b.ResetTimer()
			if err := r0.Send(&number{}); err != nil {
				b.Fatal(err)
			}
			select {
			case <-hs[0].done:
			case <-hs[1].done:
			}
		})
	}
}

// BenchmarkArm sets one of 100,000 timers anew, as is done to an election timer.
func BenchmarkArm(b *testing.B) {
	n := openNode(b, Config{})
	timers := make([]Timer, 100_000)
	asActor(b, n, func(ctx *Context) {
		for i := range timers {
			ctx.Arm(&timers[i], time.Hour+time.Duration(i)*time.Millisecond)
		}
		b.ResetTimer()
		for i := range b.N {
			ctx.Arm(&timers[i%len(timers)], time.Hour)
		}
	})
}

// BenchmarkMonitor makes and ends a monitor of a process of the same node.
func BenchmarkMonitor(b *testing.B) {
	n := openNode(b, Config{})
	target := mustSpawn(b, n, "target", &listener{}).PID()
	asActor(b, n, func(ctx *Context) {
		b.ResetTimer()
		for range b.N {
			ctx.Demonitor(ctx.Monitor(target))
		}
	})
}

// asActor runs f as an actor and waits for its end.
func asActor(b *testing.B, n *Node, f func(*Context)) {
	b.ReportAllocs()
	r := mustSpawn(b, n, "a", &listener{})
	if err := r.Send(call(func(ctx *Context) { f(ctx); ctx.Stop(nil) })); err != nil {
		b.Fatal(err)
	}
	<-r.Done()
}

// BenchmarkLink is a frame from one node to another, with a handler that does nothing.
func BenchmarkLink(b *testing.B) {
	fab := NewFabric()
	from := openNode(b, Config{Name: "n0", Fabric: fab})
	to := openNode(b, Config{Name: "n1", Fabric: fab})
	frames := 0
	to.HandleFrames(func(ra.NodeID, Frame) { frames++ })
	l, f := from.Link("n1"), &number{}
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Send(f); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSpawn reports what an idle actor costs, its registry entries included.
func BenchmarkSpawn(b *testing.B) {
	n := openNode(b, Config{})
	var done sync.WaitGroup
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	_, rs := benchActors(b, n, b.N, &done)
	done.Add(2 * b.N)
	for range 2 {
		for _, r := range rs {
			if err := r.Send(&number{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	done.Wait()
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(b.N), "B-live/actor")
	runtime.KeepAlive(rs)
}
