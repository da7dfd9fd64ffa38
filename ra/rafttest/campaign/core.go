package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// runCore runs schedules of the core alone, by their seeds from 1 on. They are a test of ra/raft, since they look into it.
func (c *campaign) runCore(ctx context.Context) error {
	s := &c.ledger.Core
	if s.Done >= c.core {
		return nil
	}
	dir, err := os.MkdirTemp("", "campaign")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "raft.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./ra/raft").CombinedOutput(); err != nil {
		return fmt.Errorf("ra/raft does not build: %w\n%s", err, out)
	}
	for s.Done < c.core && len(s.Violations) < maxViolations {
		begin, end := time.Now(), min(s.Done+coreChunk, c.core)
		parts, err := c.corePart(ctx, binary, s.Done, end)
		if err != nil {
			return err
		}
		for _, p := range parts {
			s.Outcome.Events += p.events
			if p.failure != "" {
				s.Violations = append(s.Violations, p.failure)
				fmt.Fprintln(os.Stderr, p.failure)
			}
		}
		s.Done = end
		s.Seconds += time.Since(begin).Seconds()
		if err := c.ledger.save(); err != nil {
			return err
		}
		c.progress("core", s, c.core)
	}
	return nil
}

// corePart runs the schedules from number first up to end, without it, in as many processes as there are workers.
func (c *campaign) corePart(ctx context.Context, binary string, first, end int) ([]part, error) {
	results := make(chan part)
	n := 0
	step := (end - first + c.workers - 1) / c.workers
	for from := first; from < end; from += step {
		n++
		go func() { results <- coreRun(ctx, binary, from, min(step, end-from)) }()
	}
	var parts []part
	var errs []error
	for range n {
		p := <-results
		parts = append(parts, p)
		errs = append(errs, p.err)
	}
	return parts, errors.Join(errs...)
}

// part is what one process came to.
type part struct {
	events  int
	failure string
	err     error
}

var coreEvents = regexp.MustCompile(`schedules, (\d+) events`)

// coreRun runs count schedules from number first on. Seeds are counted from 1.
func coreRun(ctx context.Context, binary string, first, count int) part {
	args := []string{
		"-test.run", "^TestRandomNetwork$", "-test.v", "-test.timeout", "0",
		"-sim.first", strconv.Itoa(first + 1), "-sim.seeds", strconv.Itoa(count),
	}
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	m := coreEvents.FindSubmatch(out)
	switch {
	case ctx.Err() != nil:
		return part{err: ctx.Err()}
	case err != nil:
		return part{failure: fmt.Sprintf("%s\nrepeat it with: go test ./ra/raft -run TestRandomNetwork -sim.seeds 1 -sim.first SEED", out)}
	case m == nil:
		return part{err: fmt.Errorf("ra/raft says nothing of its schedules:\n%s", out)}
	}
	events, err := strconv.Atoi(string(m[1]))
	return part{events: events, err: err}
}
