// Command campaign runs the simulations in numbers that no test has time for, and keeps account of them in a file, so that
// a campaign can be interrupted at any time and goes on where it was:
//
//	go run ./ra/rafttest/campaign -ledger campaign.json -core 2000000 -storage 200000 -decay 20000 -points -recoveries 1000000
//
// Each number is what the ledger is to come to in all; what it has already is not run again. Without any of them the ledger
// is printed. It must be run in the module's directory, because the schedules of the core alone are a test of ra/raft, which
// is built first. A violation is printed and noted with the command that repeats it; the exit status is then 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra/rafttest"
)

// options are the flags.
type options struct {
	ledger     string
	core       int
	storage    int
	decay      int
	recoveries int
	points     bool
	workers    int
}

func main() {
	var o options
	flag.StringVar(&o.ledger, "ledger", "campaign.json", "the `file` with the figures")
	flag.IntVar(&o.core, "core", 0, "schedules of the core alone")
	flag.IntVar(&o.storage, "storage", 0, "schedules with storage")
	flag.IntVar(&o.decay, "decay", 0, "schedules with storage in which bits of disks at rest flip")
	flag.IntVar(&o.recoveries, "recoveries", 0, "recoveries of nodes in all; what is missing is made up by schedules that crash all the time")
	flag.BoolVar(&o.points, "points", false, "crashes and errors at every operation of all workloads")
	flag.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many run at once")
	flag.Parse()
	debug.SetGCPercent(800) // a schedule leaves a few megabytes behind, and keeps nothing
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	violations, err := run(ctx, &o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || violations > 0 {
		os.Exit(1)
	}
}

// run does what is missing, and prints the ledger.
func run(ctx context.Context, o *options) (violations int, err error) {
	l, err := openLedger(o.ledger)
	if err != nil {
		return 0, err
	}
	c := &campaign{options: o, ledger: l}
	for _, part := range []func(context.Context) error{c.runCore, c.runStorage, c.runDecay, c.runPoints, c.runStorms} {
		if err = part(ctx); err != nil {
			break
		}
	}
	fmt.Println(l)
	return l.violations(), err
}

// campaign is one run of the command.
type campaign struct {
	*options
	ledger *ledger
}

// The lengths of the parts after which the ledger is written.
const (
	coreChunk  = 10_000
	chunk      = 200
	simEvents  = 1000
	reportTime = 10 * time.Second
)

// runStorage runs schedules with storage, by their seeds from 1 on.
func (c *campaign) runStorage(ctx context.Context) error {
	return c.advance(ctx, "storage", &c.ledger.Storage, c.storage, func(i int) (rafttest.Outcome, error) {
		seed := uint64(i) + 1
		out, err := rafttest.Run(rafttest.Options{Seed: seed, Events: simEvents})
		return out, because(err, "go test ./ra/rafttest -run TestSchedules -v -events %d -seed %d", simEvents, seed)
	})
}

// runDecay runs schedules in which bits flip, by their seeds from 1 on.
func (c *campaign) runDecay(ctx context.Context) error {
	return c.advance(ctx, "decay", &c.ledger.Decay, c.decay, func(i int) (rafttest.Outcome, error) {
		seed := uint64(i) + 1
		out, err := rafttest.Run(rafttest.Decay(seed, simEvents))
		return out, because(err, "go test ./ra/rafttest -run TestDecay -v -events %d -seed %d", simEvents, seed)
	})
}

// runStorms runs schedules that crash all the time, until there are enough recoveries.
func (c *campaign) runStorms(ctx context.Context) error {
	s := &c.ledger.Storms
	for c.ledger.recoveries() < c.recoveries && ctx.Err() == nil {
		err := c.advance(ctx, "storms", s, s.Done+10*chunk, func(i int) (rafttest.Outcome, error) {
			seed := uint64(i) + 1
			out, err := rafttest.Run(rafttest.Storm(seed))
			return out, because(err, "go test ./ra/rafttest -run TestSchedules -v -storm -seed %d", seed)
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// runPoints tries all points of all workloads. If the workloads are others than before it begins anew.
func (c *campaign) runPoints(ctx context.Context) error {
	if !c.points {
		return nil
	}
	all, err := rafttest.AllPoints()
	if err != nil {
		return err
	}
	for _, p := range all {
		name := p.Workload.Name
		s := c.ledger.workload(name, p.Len())
		err := c.advance(ctx, "points of "+name, s, p.Len(), func(i int) (rafttest.Outcome, error) {
			out, err := p.Try(i)
			return out, because(err, "go test ./ra/rafttest -run TestPoints -workload %s -point %d", name, i)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// because adds the command that repeats a failure.
func because(err error, command string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\nrepeat it with: %s", err, fmt.Sprintf(command, args...))
}
