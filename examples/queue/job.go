package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
)

const (
	// withholdTurns bounds how often the job looks, a millisecond apart, if the bad consumer has got something. They are
	// counted, because the time passes also while the machine sleeps or does something else.
	withholdTurns = 60_000
	// pollEvery is the time between two looks at what is still to be done.
	pollEvery = 20 * time.Millisecond
	// agreeWithin bounds how long members may take to catch up with their leaders.
	agreeWithin = 2 * time.Minute
	// closeWithin bounds the closing of the nodes.
	closeWithin = time.Minute
)

// job is one run. It lives twice: first the nodes are opened, part of the text is published and a consumer killed; then
// all nodes are closed in the middle of the work, opened again, and the rest is published and drained. What is to be
// done is told by the queues alone, so a run that continues another one is no different.
type job struct {
	o        *options
	dir      *directory
	logger   *zap.Logger
	text     *text
	streams  []*stream
	progress *progress

	// fleet and state belong to the present life: the open nodes, and what each queue says.
	fleet *fleet
	state []quorumqueue.Summary

	// before is the number of commands when the run began.
	before         uint64
	worked         time.Duration
	recovered      time.Duration
	syncs, entries uint64
}

// errKilled is why the bad consumer ends.
var errKilled = errors.New("killed")

// run does the job and returns its report. One in which nothing moved any more has a report, too: it tells what is lost.
func (j *job) run(ctx context.Context) (*report, error) {
	err := j.live(ctx, func(ctx context.Context) error {
		j.before = commands(j.state)
		return j.disturb(ctx)
	})
	if err == nil && len(unfinished(j.streams, j.state)) > 0 {
		err = j.live(ctx, j.finish)
	}
	if err != nil && (j.state == nil || !errors.Is(err, errStalled)) {
		return nil, err
	}
	return j.report(), err
}

// live opens all nodes, works, and closes them.
func (j *job) live(ctx context.Context, work func(context.Context) error) (err error) {
	j.progress.say("opening the nodes")
	began := time.Now()
	if j.fleet, err = openFleet(ctx, j.o, j.dir, j.logger); err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx) // What failed, failed because of it.
		}
		j.progress.say("closing the nodes")
		err = errors.Join(err, j.close())
	}()
	if err := j.ready(ctx, began); err != nil {
		return err
	}
	began = time.Now()
	err = work(ctx)
	j.worked += time.Since(began)
	if err != nil || len(unfinished(j.streams, j.state)) > 0 {
		return err
	}
	return j.compare(ctx)
}

// ready starts the queues, or waits until those that are there already have recovered.
func (j *job) ready(ctx context.Context, began time.Time) error {
	fresh := !j.dir.manifest.Started
	if fresh {
		j.progress.say("starting the queues")
		if err := j.fleet.startQueues(ctx); err != nil {
			return err
		}
		if err := j.dir.started(); err != nil {
			return err
		}
	}
	if err := j.fleet.find(); err != nil {
		return err
	}
	if err := j.describe(ctx, allQueues(j.o.queues)); err != nil {
		return err
	}
	if !fresh {
		j.recovered = time.Since(began)
	}
	return nil
}

// close closes the nodes, even if the run was ended.
func (j *job) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	syncs, entries := j.fleet.stats()
	j.syncs += syncs
	j.entries += entries
	return j.fleet.close(ctx)
}

// describe refreshes what some queues say.
func (j *job) describe(ctx context.Context, queues []int) error {
	if j.state == nil {
		j.state = make([]quorumqueue.Summary, j.o.queues)
	}
	said, err := j.fleet.describe(ctx, queues)
	if err != nil {
		return err
	}
	for i, q := range queues {
		j.state[q] = said[i]
	}
	return nil
}

func allQueues(n int) []int {
	all := make([]int, n)
	for q := range all {
		all[q] = q
	}
	return all
}

// disturb publishes three quarters of what is left, and kills a consumer on the way.
func (j *job) disturb(ctx context.Context) error {
	if len(unfinished(j.streams, j.state)) == 0 {
		return nil
	}
	p, err := j.publisher()
	if err != nil {
		return err
	}
	consumers, err := j.spawn(true)
	if err != nil {
		return err
	}
	there := p.confirmed.Load()
	left := j.text.count() - there
	j.progress.say("publishing")
	if err := p.run(ctx, there+(left+1)/2); err != nil {
		return err
	}
	if err := j.kill(ctx, p, consumers[0]); err != nil {
		return err
	}
	return p.run(ctx, there+(3*left+3)/4)
}

// publisher makes the publisher of this life.
func (j *job) publisher() (*publisher, error) {
	p, err := newPublisher(j.fleet.handles(), j.streams, j.state)
	if err != nil {
		return nil, err
	}
	j.progress.watch(p)
	return p, nil
}

// spawn starts the consumers, each on a node in turn. The first one may be a bad one.
func (j *job) spawn(bad bool) ([]*actor.Ref, error) {
	refs := make([]*actor.Ref, j.o.consumers)
	for c := range refs {
		var err error
		if refs[c], err = j.spawnOne(c, bad && c == 0); err != nil {
			return nil, err
		}
	}
	return refs, nil
}

func (j *job) spawnOne(c int, bad bool) (*actor.Ref, error) {
	queues := j.queuesOf(c)
	node := j.fleet.nodes[c%len(j.fleet.nodes)].Actors()
	return node.Spawn(fmt.Sprintf("consumer-%d", c+1),
		newConsumer(queues, j.fleet.handles(), &j.progress.tally, bad), actor.WithClientLane(lane(len(queues))))
}

// queuesOf returns the queues of a consumer. Each queue has two, so that one can take over from the other; of a single
// consumer it has that one.
func (j *job) queuesOf(c int) []int {
	return slices.DeleteFunc(allQueues(j.o.queues), func(q int) bool {
		return q%j.o.consumers != c && (q+1)%j.o.consumers != c
	})
}

// kill waits until the bad consumer has messages, and kills it. All queues see its end and give them to others. A single
// consumer gets a successor.
func (j *job) kill(ctx context.Context, p *publisher, bad *actor.Ref) error {
	j.progress.say("killing a consumer")
	settled := audit(j.streams, j.state).acknowledged
	seen := &j.progress.tally
	for range withholdTurns {
		if seen.withheld.Load() > 0 {
			break
		}
		if settled+seen.acknowledged.Load() >= p.confirmed.Load() {
			break // The others were faster.
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	bad.Stop(errKilled)
	<-bad.Done()
	if j.o.consumers == 1 {
		if _, err := j.spawnOne(0, false); err != nil {
			return err
		}
	}
	return nil
}

// finish publishes the rest and waits until everything is acknowledged.
func (j *job) finish(ctx context.Context) error {
	p, err := j.publisher()
	if err != nil {
		return err
	}
	if _, err := j.spawn(false); err != nil {
		return err
	}
	j.progress.say("publishing")
	if err := p.run(ctx, j.text.count()); err != nil {
		return err
	}
	j.progress.say("draining")
	for {
		left := unfinished(j.streams, j.state)
		if len(left) == 0 {
			break
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
		if err := j.describe(ctx, left); err != nil {
			return err
		}
	}
	return nil
}

// compare asks all queues for the last time, and makes sure that all their members have come to the same state.
func (j *job) compare(ctx context.Context) error {
	j.progress.say("comparing the members")
	// What was done after a queue was asked while it was drained belongs to the figures, too.
	if err := j.describe(ctx, allQueues(j.o.queues)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, agreeWithin)
	defer cancel()
	return together(j.o.queues, queriesAtOnce, func(q int) error {
		if others := j.fleet.agree(ctx, q, &j.state[q]); len(others) > 0 {
			return fmt.Errorf("%s: %v have not come to the state of their leader", queueName(q), others)
		}
		return nil
	})
}

// sleep waits, or returns why the context has ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// commands adds up the commands that queues have applied.
func commands(state []quorumqueue.Summary) uint64 {
	n := uint64(0)
	for _, s := range state {
		n += s.Commands
	}
	return n
}
