package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// numbered returns a text of two sources.
func numbered(lines int) *text {
	t := &text{}
	for _, name := range []string{"a", "b"} {
		s := source{name: name}
		for i := range lines {
			s.lines = append(s.lines, fmt.Appendf(nil, "%s %d", name, i))
		}
		t.sources = append(t.sources, s)
	}
	return t
}

// Whatever becomes of single commands, each line is in its queue once.
func TestPublisher(t *testing.T) {
	for _, bad := range []int{0, 20, 80} {
		synctest.Test(t, func(t *testing.T) {
			text := numbered(700)
			queues, clusters := fakes(t, 3, nil, bad)
			streams := text.spread(3)
			p, err := newPublisher(clusters, streams, summaries(queues))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.run(t.Context(), 500); err != nil {
				t.Fatal(err)
			}
			if n := p.confirmed.Load(); n < 500 || p.underWay != 0 || p.bytes != 0 {
				t.Errorf("%d of 500 lines confirmed, %d under way", n, p.underWay)
			}
			synctest.Wait()
			// Another one goes on where the queues are.
			if p, err = newPublisher(clusters, streams, summaries(queues)); err != nil {
				t.Fatal(err)
			}
			if err := p.run(t.Context(), text.count()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute) // for commands that come late
			state := summaries(queues)
			for _, s := range streams {
				if got := state[s.queue].Find(s.source.name).Enqueued; got != s.expect() {
					t.Errorf("bad %d: %s of queue %d: %+v", bad, s.source.name, s.queue, got)
				}
			}
			v := audit(streams, state)
			if v.published != text.count() || v.duplicates != 0 || v.lost != text.count() {
				t.Errorf("bad %d: %+v", bad, v)
			}
		})
	}
}

// A publisher ends when it has to, with commands under way that are never answered.
func TestPublisherEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := numbered(10)
		p, err := newPublisher([]cluster{deaf{}}, text.spread(1), make([]quorumqueue.Summary, 1))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errUnlucky)
		defer cancel()
		if err := p.run(ctx, text.count()); !errors.Is(err, errUnlucky) {
			t.Errorf("ended with %v", err)
		}
	})
}

// deaf is a queue that answers nothing.
type deaf struct{ cluster }

func (deaf) Go([]byte, func(ra.Result, error)) {}

// A queue that has more than the text, or answers nonsense, ends the run.
func TestPublisherRefuses(t *testing.T) {
	queues, clusters := fakes(t, 1, nil, 0)
	for seq := range uint64(3) {
		queues[0].apply(quorumqueue.AppendCommand(nil, quorumqueue.Enqueue{Producer: "a", Seq: seq + 1}))
	}
	if _, err := newPublisher(clusters, numbered(2).spread(1), summaries(queues)); err == nil {
		t.Error("began although the queue has too much")
	}
	text := &text{sources: []source{{name: "", lines: [][]byte{nil}}}}
	p, err := newPublisher(clusters, text.spread(1), summaries(queues))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.run(t.Context(), 1); err == nil {
		t.Error("went on although the queue refuses a line")
	}
}

// openNode opens a node for consumers alone.
func openNode(t *testing.T) *actor.Node {
	node, err := actor.Open(actor.Config{Name: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close(context.Background()) })
	return node
}

// Consumers acknowledge everything, although commands and answers are lost, and what a dead one had goes to another.
func TestConsumers(t *testing.T) {
	for _, bad := range []int{0, 30, 80} {
		synctest.Test(t, func(t *testing.T) {
			const queueCount = 3
			node := openNode(t)
			queues, clusters := fakes(t, queueCount, node, bad)
			text := numbered(2000)
			streams := text.spread(queueCount)
			var seen tally
			var pids []ra.PID
			for i, withholds := range []bool{true, false} {
				ref, err := node.Spawn(fmt.Sprint("consumer-", i),
					newConsumer(allQueues(queueCount), clusters, &seen, withholds), actor.WithClientLane(lane(queueCount)))
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, ref.PID())
				synctest.Wait()
			}
			for _, s := range streams {
				for seq := range s.total {
					queues[s.queue].apply(quorumqueue.AppendCommand(nil, quorumqueue.Enqueue{
						Producer: s.source.name, Seq: seq + 1, Body: s.line(seq + 1),
					}))
				}
			}
			time.Sleep(time.Minute)
			if seen.withheld.Load() == 0 || len(unfinished(streams, summaries(queues))) == 0 {
				t.Errorf("bad %d: the bad consumer withheld %d messages", bad, seen.withheld.Load())
			}
			for _, q := range queues {
				q.down(pids[0])
			}
			time.Sleep(time.Minute)
			v := audit(streams, summaries(queues))
			if !v.good() || v.acknowledged != text.count() || v.redelivered != queueCount*creditFor(queueCount) {
				t.Errorf("bad %d: %+v", bad, v)
			}
			if bad == 0 && seen.acknowledged.Load() != text.count() {
				t.Errorf("saw %d acknowledged", seen.acknowledged.Load())
			}
		})
	}
}

// A consumer that its queue takes for dead subscribes again.
func TestConsumerComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node := openNode(t)
		queues, clusters := fakes(t, 1, node, 0)
		ref, err := node.Spawn("consumer", newConsumer([]int{0}, clusters, &tally{}, false))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		queues[0].down(ref.PID())
		if n := queues[0].summary().Consumers; n != 0 {
			t.Fatalf("%d consumers", n)
		}
		time.Sleep((quietTicks + 2) * time.Second)
		if n := queues[0].summary().Consumers; n != 1 {
			t.Errorf("%d consumers", n)
		}
	})
}

// Progress that stands still for long ends the run, and one that moves does not.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancelCause(t.Context())
		p := newProgress(io.Discard, 1)
		shown := make(chan struct{})
		go func() {
			defer close(shown)
			p.show(ctx, stop)
		}()
		for range 10 {
			time.Sleep(stallAfter - fileEvery)
			p.tally.delivered.Add(1)
		}
		if ctx.Err() != nil {
			t.Errorf("ended too early: %v", context.Cause(ctx))
		}
		time.Sleep(stallAfter + 2*fileEvery)
		<-shown
		if !errors.Is(context.Cause(ctx), errStalled) {
			t.Errorf("ended with %v", context.Cause(ctx))
		}
	})
}
