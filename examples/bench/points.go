package main

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// withStand opens nodes in dir, runs f with them and closes them again.
func withStand(ctx context.Context, o options, dir string, f func(*stand) error) error {
	s, err := openStand(ctx, o, dir)
	if err != nil {
		return interrupted(ctx, err)
	}
	return errors.Join(f(s), s.close())
}

// interrupted turns an error into none if it only says that ctx ended: then what was measured counts.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// runLoad is the points latency and throughput: commands in a closed loop.
func runLoad(ctx context.Context, o options, dir string) (*result, error) {
	res := newResult(o)
	res.set("inflight", float64(o.inflight))
	res.set("payload", float64(o.payload))
	err := withStand(ctx, o, dir, func(s *stand) error {
		if err := s.startAndLead(ctx); err != nil {
			return interrupted(ctx, err)
		}
		l := newLoad(o, s.submit)
		runtime.GC()
		before, after, err := l.measured(ctx, o, func() sample { return takeSample(s.nodes) })
		if err != nil {
			return err
		}
		h, failed := l.total()
		res.setRates(&h, before, after)
		res.setLog(before, after)
		res.set("errors", failed)
		res.lastErr = l.lastErr()
		res.setProcess()
		return interrupted(ctx, s.verify(ctx, l))
	})
	return res, err
}

// runStartup is the point startup.
func runStartup(ctx context.Context, o options, dir string) (*result, error) {
	res := newResult(o)
	o.inflight, o.payload = 1, stampLen
	err := withStand(ctx, o, dir, func(s *stand) error {
		empty := resident()
		begin := time.Now()
		if err := s.startAndLead(ctx); err != nil {
			return interrupted(ctx, err)
		}
		res.set("all_led_s", time.Since(begin).Seconds())
		l := newLoad(o, s.submit)
		if err := s.serve(ctx, l); err != nil {
			return interrupted(ctx, err)
		}
		res.set("all_served_s", time.Since(begin).Seconds())
		res.set("errors", l.failures())
		res.lastErr = l.lastErr()
		if err := s.verify(ctx, l); err != nil {
			return interrupted(ctx, err)
		}
		res.setProcess()
		if rss := res.figures["rss_bytes"]; rss > 0 {
			res.set("rss_per_member_bytes", (rss-float64(empty))/float64(o.clusters*o.members))
		}
		res.setIdle(ctx, o.duration)
		return nil
	})
	return res, err
}

// setIdle notes what the process uses while nothing is asked of it.
func (r *result) setIdle(ctx context.Context, d time.Duration) {
	cpu, begin := cpuTime(), time.Now()
	wait(ctx, d)
	if ctx.Err() == nil && cpu > 0 {
		r.set("idle_cpu_percent", 100*(cpuTime()-cpu).Seconds()/time.Since(begin).Seconds())
	}
}

// runRecovery is the point recovery.
func runRecovery(ctx context.Context, o options, dir string) (*result, error) {
	res := newResult(o)
	res.set("inflight", float64(o.inflight))
	res.set("payload", float64(o.payload))
	res.set("entries", float64(o.entries))
	l := newLoad(o, nil)
	if err := withStand(ctx, o, dir, func(s *stand) error { return fill(ctx, s, l, res) }); err != nil {
		return res, err
	}
	if ctx.Err() != nil {
		return res, nil
	}
	runtime.GC()
	begin := time.Now()
	err := withStand(ctx, o, dir, func(s *stand) error { return reopened(ctx, s, l, res, begin) })
	return res, err
}

// fill writes the entries that are to be recovered.
func fill(ctx context.Context, s *stand, l *load, res *result) error {
	if err := s.startAndLead(ctx); err != nil {
		return interrupted(ctx, err)
	}
	l.submit = s.submit
	l.setBudget(s.opts.entries)
	begin := time.Now()
	if err := l.fill(ctx); err != nil {
		return err
	}
	res.set("fill_s", time.Since(begin).Seconds())
	return nil
}

// reopened measures what happens once the nodes were opened again: leaders, answers, and the state of every member.
func reopened(ctx context.Context, s *stand, l *load, res *result, begin time.Time) error {
	if err := s.awaitLeaders(ctx); err != nil {
		return interrupted(ctx, err)
	}
	res.set("all_led_s", time.Since(begin).Seconds())
	l.submit = s.submit
	if err := s.serve(ctx, l); err != nil {
		return interrupted(ctx, err)
	}
	res.set("all_served_s", time.Since(begin).Seconds())
	if err := s.verify(ctx, l); err != nil {
		return interrupted(ctx, err)
	}
	res.set("recover_s", time.Since(begin).Seconds())
	res.set("errors", l.failures())
	res.lastErr = l.lastErr()
	res.setProcess()
	return nil
}
