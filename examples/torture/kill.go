package main

import (
	"context"
	"errors"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
)

// killing is the campaign of SIGKILL: what the operating system has taken in stays, what the process had not yet given
// it is gone, and files are half made (F1, G8).
type killing struct{ plain }

// torment kills a process at a random moment: while it opens and recovers, at the beginning of its work, later, or
// while it closes.
func (killing) torment(ctx context.Context, r *round) error {
	l, err := r.launch(r.plan)
	if err != nil {
		return err
	}
	if err := l.doom(ctx, r); err != nil {
		l.kill()
		return errors.Join(err, l.end())
	}
	l.kill()
	if err := l.end(); err != nil {
		return err
	}
	r.ledger.Cycles++
	if ready, _ := l.has(journal.Ready); !ready {
		r.ledger.Early++
	}
	return nil
}

// doom returns when the process is to be killed.
func (l *life) doom(ctx context.Context, r *round) error {
	kind := r.random.IntN(10)
	if kind < 3 {
		return l.let(ctx, r.upTo(80*time.Millisecond))
	}
	if err := l.await(ctx, journal.Ready); err != nil {
		return err
	}
	if kind < 5 {
		return l.let(ctx, r.upTo(40*time.Millisecond))
	}
	if err := l.let(ctx, r.upTo(400*time.Millisecond)); err != nil || kind < 9 {
		return err
	}
	r.ledger.Closed++
	l.shut()
	return l.let(ctx, r.upTo(60*time.Millisecond))
}

// let lets the process run for a while, which ends early if something is wrong.
func (l *life) let(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for l.violation() == nil {
		_, next := l.has(journal.Ready)
		select {
		case <-next:
		case <-l.gone:
			return nil
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
