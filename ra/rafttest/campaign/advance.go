package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra/rafttest"
)

// advance runs numbers s.Done to upTo of a series, several at once, and notes them in the ledger part by part. It goes on
// after a violation, up to maxViolations of them.
func (c *campaign) advance(ctx context.Context, name string, s *series, upTo int, try func(int) (rafttest.Outcome, error)) error {
	var last time.Time
	for s.Done < upTo && len(s.Violations) < maxViolations {
		if err := ctx.Err(); err != nil {
			return err
		}
		begin := time.Now()
		end := min(s.Done+chunk, upTo)
		c.runPart(s, s.Done, end, try)
		s.Done = end
		s.Seconds += time.Since(begin).Seconds()
		if err := c.ledger.save(); err != nil {
			return err
		}
		if time.Since(last) > reportTime || end == upTo {
			last = time.Now()
			c.progress(name, s, upTo)
		}
	}
	return nil
}

// maxViolations is after how many violations a series is given up.
const maxViolations = 20

// progress prints a line.
func (c *campaign) progress(name string, s *series, upTo int) {
	fmt.Fprintf(os.Stderr, "%s %s: %d of %d (%.0f/s), %d violations; %d recoveries in all\n", time.Now().Format(time.TimeOnly),
		name, s.Done, upTo, float64(s.Done)/max(s.Seconds, 1e-3), len(s.Violations), c.ledger.recoveries())
}

// runPart runs the numbers from first up to end, without it.
func (c *campaign) runPart(s *series, first, end int, try func(int) (rafttest.Outcome, error)) {
	var mu sync.Mutex
	var all sync.WaitGroup
	var next atomic.Int64
	next.Store(int64(first))
	for range c.workers {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < end; i = int(next.Add(1)) - 1 {
				out, err := try(i)
				mu.Lock()
				s.Outcome.Add(out)
				if err != nil {
					s.Violations = append(s.Violations, err.Error())
					fmt.Fprintln(os.Stderr, err)
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
}
