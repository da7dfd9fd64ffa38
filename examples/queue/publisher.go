package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// cluster is what producers and consumers need of a *system.Cluster.
type cluster interface {
	Go(command []byte, done func(ra.Result, error))
	PipelineCommand(command []byte, from machine.Caller) error
}

// Bounds of what is under way. The window of a stream is what a queue may have to refuse when one command is lost; the
// streams share the total.
const (
	minWindow    = 32
	maxWindow    = 512
	totalWindow  = 2048
	windowBytes  = 32 << 20
	firstBackoff = 10 * time.Millisecond
	maxBackoff   = time.Second
)

// publisher sends the lines of all streams. Each stream is a producer's way to one queue: its commands are under way
// many at a time, and the queue takes them in order only. After a command that failed, or of which nobody knows what
// became of it, the stream waits for all the others, and then goes on from the number that the queue asks for: what had
// arrived is refused there as repeated. The publisher belongs to one goroutine.
type publisher struct {
	clusters []cluster
	ways     []*way
	// ready are the ways that have something to send, in turns; waiting are those that wait until a moment.
	ready, waiting []*way
	results        chan result
	window         int
	underWay       int
	bytes          int
	// confirmed counts the lines of which a queue has said that it has them. It is for progress only.
	confirmed atomic.Uint64
}

// way is a stream as it stands.
type way struct {
	*stream
	// next is the first number that is not confirmed, sent the next one to be sent.
	next, sent uint64
	underWay   int
	// broken ways send nothing until nothing is under way; then they wait until retryAt.
	broken  bool
	queued  bool
	retryAt time.Time
	backoff time.Duration
}

// result is what became of a command.
type result struct {
	way   *way
	seq   uint64
	reply any
	err   error
}

// newPublisher begins where the queues say that they are: state has what each says of itself.
func newPublisher(clusters []cluster, streams []*stream, state []quorumqueue.Summary) (*publisher, error) {
	p := &publisher{clusters: clusters, results: make(chan result, totalWindow),
		window: share(totalWindow, len(streams), minWindow, maxWindow)}
	for _, s := range streams {
		there := state[s.queue].Find(s.source.name).Enqueued.UpTo
		if there > s.total {
			return nil, fmt.Errorf("%s has %d lines of %s, which has only %d for it", queueName(s.queue), there,
				s.source.name, s.total)
		}
		w := &way{stream: s, next: there + 1, sent: there + 1}
		p.confirmed.Add(there)
		p.ways = append(p.ways, w)
		p.queue(w)
	}
	return p, nil
}

// share returns what each of n gets of a total, within bounds.
func share(total, n, least, most int) int { return min(most, max(least, total/max(n, 1))) }

// queue gives a way its turn if it has something to send.
func (p *publisher) queue(w *way) {
	if !w.queued && !w.broken && w.sent <= w.total && w.underWay < p.window {
		w.queued = true
		p.ready = append(p.ready, w)
	}
}

// run publishes until target lines are confirmed and nothing is under way, or the context ends.
func (p *publisher) run(ctx context.Context, target uint64) error {
	for p.confirmed.Load() < target || p.underWay > 0 {
		for p.confirmed.Load()+uint64(p.underWay) < target && p.sendOne() {
		}
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sendOne sends the line whose turn it is. It reports false if there is none or too much is under way.
func (p *publisher) sendOne() bool {
	if len(p.ready) == 0 || p.underWay == totalWindow || p.bytes >= windowBytes {
		return false
	}
	w := p.ready[0]
	p.ready = p.ready[1:]
	w.queued = false
	seq, line := w.sent, w.line(w.sent)
	w.sent++
	w.underWay++
	p.underWay++
	p.bytes += len(line)
	command := quorumqueue.AppendCommand(make([]byte, 0, len(line)+quorumqueue.MaxOverhead),
		quorumqueue.Enqueue{Producer: w.source.name, Seq: seq, Body: line})
	// There is room for the result, for no more than totalWindow are under way.
	p.clusters[w.stream.queue].Go(command, func(r ra.Result, err error) {
		p.results <- result{way: w, seq: seq, reply: r.Reply, err: err}
	})
	p.queue(w)
	return true
}

// await waits until something can go on.
func (p *publisher) await(ctx context.Context) error {
	var retry <-chan time.Time
	if len(p.waiting) > 0 {
		timer := time.NewTimer(time.Until(p.waiting[0].retryAt))
		defer timer.Stop()
		retry = timer.C
	}
	select {
	case r := <-p.results:
		return p.settle(r)
	case now := <-retry:
		p.retry(now)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// retry gives those their turn that have waited long enough.
func (p *publisher) retry(now time.Time) {
	for len(p.waiting) > 0 && !p.waiting[0].retryAt.After(now) {
		w := p.waiting[0]
		p.waiting = p.waiting[1:]
		w.broken, w.sent = false, w.next
		p.queue(w)
	}
}

// settle takes in what became of a command. It fails if that can never end well.
func (p *publisher) settle(r result) error {
	w := r.way
	w.underWay--
	p.underWay--
	p.bytes -= len(w.line(r.seq))
	err := p.judge(w, r)
	if w.broken && w.underWay == 0 {
		w.backoff = min(max(2*w.backoff, firstBackoff), maxBackoff)
		w.retryAt = time.Now().Add(w.backoff)
		p.wait(w)
	}
	p.queue(w)
	return err
}

// wait puts a way among those that wait, in order of time.
func (p *publisher) wait(w *way) {
	i := len(p.waiting)
	for i > 0 && p.waiting[i-1].retryAt.After(w.retryAt) {
		i--
	}
	p.waiting = append(p.waiting, nil)
	copy(p.waiting[i+1:], p.waiting[i:])
	p.waiting[i] = w
}

// judge decides what a result means for its way.
func (p *publisher) judge(w *way, r result) error {
	if r.err != nil {
		w.broken = true
		if errors.Is(r.err, ra.ErrTooLarge) {
			return r.err
		}
		return nil
	}
	reply, ok := r.reply.(quorumqueue.Enqueued)
	if !ok {
		return fmt.Errorf("%s answered line %d of %s with %v", queueName(w.stream.queue), r.seq, w.source.name, r.reply)
	}
	if reply.Outcome == quorumqueue.Gap || reply.Outcome == quorumqueue.Full {
		w.broken = true
	} else {
		w.backoff = 0
	}
	// Answers may overtake each other, so what is confirmed only grows. If the queue itself were to go back, its books
	// would tell in the end.
	if reply.Next > w.next {
		p.confirmed.Add(reply.Next - w.next)
		w.next = reply.Next
		w.sent = max(w.sent, w.next)
	}
	return nil
}
