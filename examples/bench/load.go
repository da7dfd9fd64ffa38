package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// drainLimit is how long commands in flight may take when the load has ended.
const drainLimit = 20 * time.Second

// The phases of a load.
const (
	phaseWarmUp int32 = iota
	phaseMeasure
	phaseDrain
)

// load is commands in a closed loop: a new one starts when the one before was answered.
type load struct {
	submit   submitter
	inflight int
	payload  int
	phase    atomic.Int32
	clients  []*client
	clusters []clusterLoad
	first    first
}

// clusterLoad is what is known of one cluster. It belongs to the client that loads it.
type clusterLoad struct {
	left      uint64 // how many more commands may be started
	acked     uint64
	failed    uint64
	uncertain uint64 // of those that failed: may have been applied
}

// unlimited is a budget that nobody uses up.
const unlimited = 1 << 62

// newLoad returns a load without an end; setBudget gives it one.
func newLoad(o options, submit submitter) *load {
	l := &load{
		submit: submit, inflight: o.inflight, payload: o.payload, clusters: make([]clusterLoad, o.clusters), first: newFirst(),
	}
	for i := range l.clusters {
		l.clusters[i].left = unlimited
	}
	n := o.clients
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	for i := range min(n, o.clusters) {
		l.clients = append(l.clients, newClient(l, i))
	}
	return l
}

// setBudget spreads a number of commands over the clusters.
func (l *load) setBudget(commands int) {
	n := uint64(len(l.clusters))
	for i := range l.clusters {
		l.clusters[i].left = uint64(commands) / n
		if uint64(i) < uint64(commands)%n {
			l.clusters[i].left++
		}
	}
}

// take asks for the right to start a command.
func (l *load) take(cluster int) bool {
	c := &l.clusters[cluster]
	if c.left == 0 || l.phase.Load() == phaseDrain {
		return false
	}
	c.left--
	return true
}

// account notes an answer. What failed may be started anew.
func (l *load) account(cluster int, err error) {
	c := &l.clusters[cluster]
	if err == nil {
		c.acked++
		return
	}
	c.left++
	c.failed++
	if ra.MayHaveBeenApplied(err) {
		c.uncertain++
	}
}

// run starts the clients and calls during, which may change the phase; then it waits until nothing is in flight.
func (l *load) run(during func(finished <-chan struct{})) error {
	l.phase.Store(phaseWarmUp)
	quit, finished := make(chan struct{}), make(chan struct{})
	var running sync.WaitGroup
	for i, c := range l.clients {
		var mine []int
		for k := i; k < len(l.clusters); k += len(l.clients) {
			mine = append(mine, k)
		}
		running.Go(func() { c.run(mine, quit) })
	}
	go func() {
		running.Wait()
		close(finished)
	}()
	during(finished)
	l.phase.Store(phaseDrain)
	timer := time.AfterFunc(drainLimit, func() { close(quit) })
	<-finished
	if !timer.Stop() {
		return errors.Join(fmt.Errorf("commands are unanswered after %v", drainLimit), l.lastErr())
	}
	return nil
}

// fill runs until the budget is used up or ctx ends.
func (l *load) fill(ctx context.Context) error {
	return l.run(func(finished <-chan struct{}) {
		select {
		case <-finished:
		case <-ctx.Done():
		}
	})
}

// measured runs through warm-up and measurement and returns what sample said at the beginning and the end of the
// latter, which goes on until a command is answered that began in it. When ctx ends the measurement does, or never begins.
func (l *load) measured(ctx context.Context, o options, sample func() sample) (before, after sample, err error) {
	err = l.run(func(<-chan struct{}) {
		wait(ctx, o.warmup)
		before = sample()
		l.phase.Store(phaseMeasure)
		wait(ctx, o.duration)
		l.first.await(ctx)
		l.phase.Store(phaseDrain)
		after = sample()
	})
	return before, after, err
}

// wait sleeps, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// first is the news that there is something that was measured from its beginning to its end.
type first struct {
	once *sync.Once
	seen chan struct{}
}

func newFirst() first { return first{new(sync.Once), make(chan struct{})} }

func (f first) note() { f.once.Do(func() { close(f.seen) }) }

// await waits for the news, but no longer than for the end of a load.
func (f first) await(ctx context.Context) {
	select {
	case <-f.seen:
	case <-time.After(drainLimit):
	case <-ctx.Done():
	}
}

// total merges what the clients recorded.
func (l *load) total() (h hist, failed float64) {
	for _, c := range l.clients {
		h.merge(&c.hist)
		failed += c.failed
	}
	return h, failed
}

// failures returns how many commands failed since the load was made.
func (l *load) failures() float64 {
	n := 0.0
	for _, c := range l.clusters {
		n += float64(c.failed)
	}
	return n
}

// lastErr returns the last failure that a client saw, if any did.
func (l *load) lastErr() error {
	for _, c := range l.clients {
		if c.lastErr != nil {
			return c.lastErr
		}
	}
	return nil
}
