package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/examples/torture/truth"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// options are the flags that all campaigns have.
type options struct {
	cycles int
	nodes  int // 0: one and three in turn
	seed   uint64
	dir    string
	ledger string
	json   bool
}

// stage is where rounds of a campaign play: what happens between two processes, and how one ends.
type stage interface {
	// ready makes an empty directory for the data of a round.
	ready(r *round) error
	// torment has a process run until a fault ends it. It counts what it did in the ledger.
	torment(ctx context.Context, r *round) error
	// done removes the round's data, unless it failed.
	done(r *round, failed bool) error
}

// campaign is rounds of one kind after each other, until the ledger has as many cycles as were asked for.
type campaign struct {
	options
	stage  stage
	ledger *ledger
	out    io.Writer
}

// round is one data directory, and all processes that work on it.
type round struct {
	dir    string
	plan   journal.Plan
	random *rand.Rand
	truth  *truth.Truth
	ledger *ledger
	// lives is how many processes are tormented before the last comparison.
	lives int
	// what is the kind of fault, for the ledger.
	what string
	// damaged: the data were made such that members may stop for good. The round ends with that.
	damaged bool
}

// run does rounds until there are enough cycles. The data of a round that went wrong are kept.
func (c *campaign) run(ctx context.Context) error {
	for c.ledger.Cycles < c.cycles {
		seed := c.ledger.Seed
		r := c.newRound(seed)
		err := c.round(ctx, r)
		counts := r.truth.Counts()
		if errors.Is(err, errSkipped) {
			return errors.Join(err, c.stage.done(r, false))
		}
		if errors.Is(err, context.Canceled) {
			return errors.Join(c.stage.done(r, false), c.ledger.save()) // to be continued
		}
		if err != nil {
			return errors.Join(fmt.Errorf("seed %d, data in %s: %w", seed, r.dir, err), c.stage.done(r, true))
		}
		c.ledger.Rounds++
		c.ledger.Seed++
		c.ledger.Add(&counts)
		fmt.Fprintln(c.out, c.ledger)
		if err := errors.Join(c.stage.done(r, false), c.ledger.save()); err != nil {
			return err
		}
	}
	return nil
}

// newRound draws the settings of a round. They depend on the seed alone; the moments of faults do too, but what a
// process has done by then does not.
func (c *campaign) newRound(seed uint64) *round {
	random := rand.New(rand.NewPCG(seed, 1))
	nodes := c.nodes
	if nodes == 0 {
		nodes = 1 + 2*random.IntN(2)
	}
	r := &round{dir: filepath.Join(c.dir, "round-"+strconv.FormatUint(seed, 10)), random: random, ledger: c.ledger}
	r.plan = journal.Plan{
		Dir: r.dir, Nodes: nodes, Seed: seed, Load: true, Churn: true,
		WALFileSize: wal.MinFileSize << random.IntN(5), Buffered: random.IntN(4) == 0, Async: random.IntN(2) == 0,
		SnapshotEvery: []int{7, 50, 400}[random.IntN(3)], Commands: 50 << random.IntN(6),
	}
	for i := range 2 + random.IntN(8) {
		r.plan.Slots = append(r.plan.Slots, journal.Slot{Name: "c" + strconv.Itoa(i+1), Members: 1 + 2*(i%2), Node: i % nodes})
	}
	r.truth = truth.New(r.plan.Slots)
	r.lives = 1 + random.IntN(16)
	return r
}

// round torments processes, and compares once more at the end, twice: after the last fault, and after a close.
func (c *campaign) round(ctx context.Context, r *round) error {
	if err := c.stage.ready(r); err != nil {
		return err
	}
	for range r.lives {
		if c.ledger.Cycles >= c.cycles || r.damaged {
			break
		}
		r.plan.Seed = r.random.Uint64()
		if err := c.stage.torment(ctx, r); err != nil {
			return err
		}
	}
	for range 2 {
		if err := r.verify(ctx); err != nil {
			return fmt.Errorf("comparison at the end: %w", err)
		}
	}
	return nil
}

// verify has a process compare everything and do no more.
func (r *round) verify(ctx context.Context) error {
	plan := r.plan
	plan.Load = false
	l, err := r.launch(plan)
	if err != nil {
		return err
	}
	if r.damaged {
		l.tolerate()
	}
	if err := l.await(ctx, journal.Ready); err != nil {
		l.kill()
		return errors.Join(err, l.end())
	}
	l.shut()
	return l.finish(ctx)
}

// finish waits for the end of a process that was told to shut.
func (l *life) finish(ctx context.Context) error {
	if err := l.wait(ctx, func() bool { return false }); err != nil {
		l.kill()
		return errors.Join(err, l.end())
	}
	if l.violation() != nil {
		l.kill()
	}
	if err := l.end(); err != nil {
		return err
	}
	if closed, _ := l.has(journal.Closed); !closed {
		return fmt.Errorf("the process did not close its nodes: %s%s", l.reason, l.stderr.last())
	}
	return nil
}

// upTo returns a random time below d.
func (r *round) upTo(d time.Duration) time.Duration { return time.Duration(r.random.Int64N(int64(d))) }

// plain is the part of a stage that a directory of this machine needs.
type plain struct{}

func (plain) ready(r *round) error { return os.MkdirAll(r.dir, 0o755) }

func (plain) done(r *round, failed bool) error {
	if failed {
		return nil
	}
	return os.RemoveAll(r.dir)
}
