package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/fault"
	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/examples/torture/truth"
)

func init() { campaigns["inject"] = func(*options) (stage, error) { return injecting{}, nil } }

// gate is what a process does that is to be under an injector.
func gate() { fault.Gate() }

// injecting is the campaign of calls that fail: the N-th write, sync, rename and so on, once, twice or for good, on all
// nodes or on one; late calls; and processes that are killed before just that call (F3, F5, F6, F8, I10).
type injecting struct{ plain }

// The errors that calls can fail with, besides EIO.
var alsoFails = map[string][]syscall.Errno{
	"open": {syscall.EMFILE, syscall.ENOSPC}, "mkdir": {syscall.ENOSPC}, "rename": {syscall.ENOSPC},
	"write": {syscall.ENOSPC}, "sync": {syscall.ENOSPC}, "syncdir": {syscall.ENOSPC},
	"async": {syscall.ENOSPC},
}

// maxNth bounds, for each call, how many succeed before one goes wrong: about as many as a process makes in a second.
var maxNth = map[string]int{
	"open": 150, "mkdir": 3, "rename": 40, "remove": 40, "write": 600, "read": 150, "sync": 400, "syncdir": 40, "list": 9,
	"async": 800,
}

// draw draws a fault. One that is for good strikes one node, if there are several, or else there is nothing to be seen.
func (r *round) draw() fault.Fault {
	all := fault.Calls()
	f := fault.Fault{Call: all[r.random.IntN(len(all))], Below: r.plan.Dir, Times: r.random.IntN(3)}
	errs := append([]syscall.Errno{syscall.EIO}, alsoFails[f.Call]...)
	f.Nth = 1 + r.random.IntN(1+r.random.IntN(maxNth[f.Call]))
	switch r.random.IntN(8) {
	case 0:
		f.Times = 1 // the process is killed
	case 1:
		f.Delay, f.Times = 20*time.Millisecond+r.upTo(400*time.Millisecond), 1+r.random.IntN(4)
	default:
		f.Err = errs[r.random.IntN(len(errs))]
	}
	if r.plan.Nodes > 1 && (f.Times == 0 || r.random.IntN(2) == 0) {
		f.Below = filepath.Join(r.plan.Dir, string(journal.NodeName(0)))
	}
	return f
}

// livesUnderFaults is how many processes work in one directory at most: some calls are made by the first one only.
const livesUnderFaults = 6

// ready makes a directory for a few processes.
func (injecting) ready(r *round) error {
	r.lives = 1 + r.random.IntN(livesUnderFaults)
	return plain{}.ready(r)
}

// torment has a process run into a fault, sees how it copes, kills it, and compares.
func (injecting) torment(ctx context.Context, r *round) error {
	f := r.draw()
	r.plan.Churn = f.Times != 0
	if f.Call == "async" {
		r.plan.Buffered, r.plan.Async = false, true
	}
	working, err := r.endure(ctx, f)
	if err != nil {
		return fmt.Errorf("%v, number %d, %d times, below %s: %w", &f, f.Nth, f.Times, f.Below, err)
	}
	// What cannot be read at a start counts as damage from then on, and damage may stop members. It must not make them lie.
	r.damaged = f.Call == "read" && f.Err != 0 && !working
	if err := r.verify(ctx); err != nil {
		return fmt.Errorf("after %v, number %d, %d times, below %s: %w", &f, f.Nth, f.Times, f.Below, err)
	}
	return nil
}

// endure is the part of torment with the fault. It reports whether the process was ready when the fault struck.
func (r *round) endure(ctx context.Context, f fault.Fault) (working bool, err error) {
	cmd, err := workerCommand()
	if err != nil {
		return false, err
	}
	injector, err := fault.NewInjector(f, cmd)
	if err != nil {
		return false, err
	}
	l, err := start(r.truth, r.plan, cmd)
	if err != nil {
		return false, err
	}
	l.tolerate()
	if err := injector.Serve(); err != nil {
		l.kill()
		return false, errors.Join(available(err), l.end())
	}
	working, err = l.meet(ctx, r, injector, &f)
	l.kill()
	return working, errors.Join(err, l.end())
}

// patienceForHit is how long a process may take to run into its fault before it is given up.
const patienceForHit = 2 * time.Second

// meet waits for the fault, and then for the process to have coped with it.
func (l *life) meet(ctx context.Context, r *round, injector *fault.Injector, f *fault.Fault) (working bool, err error) {
	select {
	case <-injector.Hit():
	case <-time.After(patienceForHit):
		return true, nil // not every process makes so many of these calls
	case <-l.gone:
		return true, nil
	case <-ctx.Done():
		return true, ctx.Err()
	}
	working, _ = l.has(journal.Ready)
	r.ledger.Cycles++
	r.ledger.hit(f.String())
	if !working {
		r.ledger.Early++
		if err := l.wait(ctx, l.started); err != nil {
			return false, err
		}
	}
	r.truth.Mark()
	spared := r.spared(f, working)
	return working, l.cope(ctx, r, func(s *journal.Slot, a truth.Answers) bool {
		return a.Ended > 0 && (a.Acked > 0 || !spared(s))
	})
}

// started reports whether the process is ready, or has given up.
func (l *life) started() bool {
	ready, _ := l.has(journal.Ready)
	gaveUp, _ := l.has(journal.NotOpened)
	return ready || gaveUp
}

// spared returns which clusters must go on in spite of the fault. A single failure in the middle of the work is never
// seen from outside (I10). One node that fails for good takes only those clusters with it that have no majority elsewhere.
func (r *round) spared(f *fault.Fault, working bool) func(*journal.Slot) bool {
	one := f.Below != r.plan.Dir
	return func(s *journal.Slot) bool {
		switch {
		case working && (f.Times == 1 || f.Delay != 0):
			return true
		case one:
			return s.Members-s.Missing == 3 && r.plan.Nodes == 3 || s.Members == 1 && s.Node != 0
		}
		return false
	}
}
