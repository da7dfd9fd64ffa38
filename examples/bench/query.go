package main

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/system"
)

// asker is one goroutine that asks a question, waits for the answer and asks again.
type asker struct {
	ask     func(context.Context) error
	phase   *atomic.Int32
	first   first
	hist    hist
	failed  float64
	lastErr error
}

// run asks until the drain phase or until ctx ends.
func (a *asker) run(ctx context.Context) {
	begin := time.Now()
	for a.phase.Load() != phaseDrain && ctx.Err() == nil {
		err := a.ask(ctx)
		end := time.Now()
		a.record(end.Sub(begin), err)
		if err != nil {
			time.Sleep(time.Millisecond) // a cluster without a leader is not to be drowned
			end = time.Now()
		}
		begin = end
	}
}

func (a *asker) record(d time.Duration, err error) {
	if a.phase.Load() != phaseMeasure {
		return
	}
	if err != nil {
		a.failed++
		a.lastErr = err
		return
	}
	if a.hist.add(d); a.hist.count == 1 {
		a.first.note()
	}
}

// question returns a function that asks a cluster at a level.
func question(c *system.Cluster, level string) func(context.Context) error {
	return func(ctx context.Context) error {
		var err error
		switch level {
		case levelLocal:
			_, err = c.LocalQuery(ctx, nil)
		case levelLeader:
			_, err = c.LeaderQuery(ctx, nil)
		default:
			_, err = c.ConsistentQuery(ctx, nil)
		}
		return err
	}
}

// runQuery is the point query.
func runQuery(ctx context.Context, o options, dir string) (*result, error) {
	res := newResult(o)
	if o.clients == 0 {
		o.clients = runtime.GOMAXPROCS(0)
	}
	res.set("clients", float64(o.clients))
	o.inflight, o.payload = 1, stampLen
	err := withStand(ctx, o, dir, func(s *stand) error {
		if err := s.startAndLead(ctx); err != nil {
			return interrupted(ctx, err)
		}
		if err := s.serve(ctx, newLoad(o, s.submit)); err != nil {
			return interrupted(ctx, err)
		}
		var phase atomic.Int32
		answered := newFirst()
		askers := make([]*asker, o.clients)
		for i := range askers {
			askers[i] = &asker{ask: question(s.clusters[i%o.clusters], o.level), phase: &phase, first: answered}
		}
		runtime.GC()
		before, after := runAskers(ctx, o, askers, &phase, func() sample { return takeSample(s.nodes) })
		res.setAnswers(askers, before, after)
		res.setProcess()
		return nil
	})
	return res, err
}

// runAskers runs the askers through warm-up and measurement.
func runAskers(ctx context.Context, o options, askers []*asker, phase *atomic.Int32, sample func() sample) (before, after sample) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.warmup+o.duration+drainLimit)
	defer cancel()
	var running sync.WaitGroup
	for _, a := range askers {
		running.Go(func() { a.run(asking) })
	}
	wait(ctx, o.warmup)
	before = sample()
	phase.Store(phaseMeasure)
	wait(ctx, o.duration)
	askers[0].first.await(ctx)
	phase.Store(phaseDrain)
	after = sample()
	running.Wait()
	return before, after
}

// setAnswers notes what the askers recorded.
func (r *result) setAnswers(askers []*asker, before, after sample) {
	var h hist
	failed := 0.0
	for _, a := range askers {
		h.merge(&a.hist)
		failed += a.failed
		if a.lastErr != nil {
			r.lastErr = a.lastErr
		}
	}
	r.setRates(&h, before, after)
	r.set("errors", failed)
}
