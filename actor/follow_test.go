package actor

import (
	"bytes"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// goroutine returns the number of the goroutine that calls it.
func goroutine() string {
	var b [64]byte
	return string(bytes.Fields(b[:runtime.Stack(b[:], false)])[1])
}

// after is a Round that names an actor at each end.
type after struct{ ref atomic.Pointer[Ref] }

func (a *after) End(bool) (*Ref, bool) { return a.ref.Load(), false }

// inTheWay is an inbox in which something waits until it is taken. It stands in for a log's batch.
type inTheWay struct{ full bool }

func (o *inTheWay) Receive(*Context) {}
func (o *inTheWay) Empty() bool      { return !o.full }
func (o *inTheWay) Take()            { o.full = false }

// spawnLog spawns an actor with an own worker, for which something waits, and lets each round of the others wake it.
func spawnLog(t *testing.T, n *Node, round *after, f func()) {
	t.Helper()
	log := mustSpawn(t, n, "log", &scripted{receive: func(*Context) { f() }}, WithOwnWorker(true))
	synctest.Wait()
	log.Lock()
	log.inbox = &inTheWay{full: true}
	log.Release()
	round.ref.Store(log)
}

// What a round wakes runs on the goroutine of an idle worker, and the worker's actors meanwhile on another one.
func TestWorkerGoesOnAsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		round := &after{}
		n := openNode(t, Config{NewRound: func(int) Round { return round }})
		ran := make(chan string, 2)
		a := mustSpawn(t, n, "a", &scripted{receive: func(ctx *Context) {
			for ctx.Next() != nil {
				ran <- goroutine()
			}
		}})
		written := make(chan struct{})
		writing := make(chan string, 1)
		spawnLog(t, n, round, func() {
			writing <- goroutine()
			<-written
		})

		sendTo(t, a)
		log := <-writing
		if g := <-ran; g != log {
			t.Errorf("the log runs on goroutine %s, what woke it ran on %s and had nothing else to do", log, g)
		}
		sendTo(t, a)
		if g := <-ran; g == log {
			t.Error("an actor of the worker runs where the log is blocked")
		}
		close(written)
	})
}

// What a round wakes does not wait for a worker that has more to do.
func TestBusyWorkerLetsAnotherFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		round := &after{}
		n := openNode(t, Config{NewRound: func(int) Round { return round }})
		written := make(chan struct{})
		var batches atomic.Int32
		a := mustSpawn(t, n, "a", &scripted{receive: func(ctx *Context) {
			for ctx.Next() != nil {
			}
			if batches.Add(1) == 2 {
				<-written // a deadlock, if this goroutine were to write
			}
		}}, WithClientLane(2*minBatch))
		spawnLog(t, n, round, func() { close(written) })

		a.Lock() // nobody runs it before all of it is there
		for range minBatch + 1 {
			a.waiting++
			a.client.push(&number{})
		}
		a.Unlock(nil)
		<-written
		synctest.Wait()
		if n := batches.Load(); n != 2 {
			t.Errorf("%d batches, want 2", n)
		}
	})
}

// A worker that is to be played next is played even if the one before it ends.
func TestClosedWorkerPassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNode(t, Config{})
		ran := make(chan struct{})
		log := mustSpawn(t, n, "log", &scripted{receive: func(*Context) { close(ran) }}, WithOwnWorker(false))
		synctest.Wait()
		log.Lock()
		log.inbox = &inTheWay{full: true}
		log.Release()
		w := newWorker(n, -1)
		w.closed = true
		w.follow(log)
		w.start()
		<-ran
	})
}

// patient is a Round whose output may always wait. It notes how it was told to end.
type patient struct {
	waits bool
	ends  []bool
}

func (p *patient) End(last bool) (*Ref, bool) {
	p.ends = append(p.ends, last)
	kept := p.waits && !last
	p.waits = kept
	return nil, kept
}

// What a round has kept leaves when nothing else comes; until then the round has its turns.
func TestKeptOutputLeaves(t *testing.T) {
	for _, test := range []struct {
		name     string
		messages int
		want     []bool
	}{
		{"nothing else comes", 1, []bool{false, true}},
		{"there is more to do", minBatch + 1, []bool{false, false, true}},
		{"much more", 3*minBatch + 1, []bool{false, false, false, true}}, // batches of 64, 128, 1, and none
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				round := &patient{}
				n := openNode(t, Config{NewRound: func(int) Round { return round }})
				a := mustSpawn(t, n, "a", &scripted{receive: func(ctx *Context) {
					for ctx.Next() != nil {
						round.waits = true
					}
				}}, WithClientLane(4*minBatch))
				synctest.Wait()
				round.ends = nil

				a.Lock() // nobody runs it before all of it is there
				for range test.messages {
					a.waiting++
					a.client.push(&number{})
				}
				a.Unlock(nil)
				synctest.Wait()
				if !slices.Equal(round.ends, test.want) {
					t.Errorf("ended with %v, want %v", round.ends, test.want)
				}
			})
		})
	}
}

// What comes while the others run once takes what was kept along.
func TestKeptOutputLeavesWithWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		round := &patient{}
		w := newWorker(&Node{}, 0)
		w.round, w.kept = round, true
		w.ready.push(&Ref{}) // came meanwhile
		w.lastChance()
		if len(round.ends) != 0 || !w.kept {
			t.Errorf("the round ended with %v", round.ends)
		}
		w.ready.reset()
		w.lastChance()
		if !slices.Equal(round.ends, []bool{true}) || w.kept {
			t.Errorf("the round ended with %v, something kept: %v", round.ends, w.kept)
		}
	})
}

func sendTo(t *testing.T, r *Ref) {
	t.Helper()
	if err := r.Send(&number{}); err != nil {
		t.Fatal(err)
	}
}
