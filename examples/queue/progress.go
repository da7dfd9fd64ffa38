package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// terminalEvery and fileEvery are the times between two progress lines, on a terminal and elsewhere.
	terminalEvery = 200 * time.Millisecond
	fileEvery     = 2 * time.Second
	// stallAfter is how long nothing may move.
	stallAfter = 2 * time.Minute
)

// errStalled ends a run in which nothing moves any more.
var errStalled = errors.New("nothing has moved for a long time; the run is given up")

// progress tells on standard error what is going on, and ends the run if that is nothing. Its methods may be called
// from any goroutine.
type progress struct {
	out      io.Writer
	terminal bool
	total    uint64
	tally    tally
	// begun, if set, is told what begins. It is for tests.
	begun func(doing string)

	mu        sync.Mutex
	doing     string
	publisher *publisher
	// changes counts calls of say.
	changes uint64
}

func newProgress(out io.Writer, total uint64) *progress {
	p := &progress{out: out, total: total}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// say notes what begins now.
func (p *progress) say(doing string) {
	if p.begun != nil {
		p.begun(doing)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = doing
	p.changes++
}

// watch notes whose lines are published.
func (p *progress) watch(pub *publisher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.publisher = pub
}

// standing is what is to be seen of a run.
type standing struct {
	doing                              string
	changes                            uint64
	published, delivered, acknowledged uint64
}

func (p *progress) standing() standing {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := standing{
		doing: p.doing, changes: p.changes, delivered: p.tally.delivered.Load(), acknowledged: p.tally.acknowledged.Load(),
	}
	if p.publisher != nil {
		s.published = p.publisher.confirmed.Load()
	}
	return s
}

// show shows progress until the context ends, and ends the run by stop if there is none.
func (p *progress) show(ctx context.Context, stop context.CancelCauseFunc) {
	every := fileEvery
	if p.terminal {
		every = terminalEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	// Ticks are counted, not time: a machine that sleeps for an hour has not stalled for an hour.
	last, still := p.standing(), time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			p.clear()
			return
		case <-ticker.C:
		}
		now := p.standing()
		p.line(now)
		if now != last {
			last, still = now, 0
		} else if still += every; still > stallAfter {
			stop(fmt.Errorf("%s: %w", now.doing, errStalled))
		}
	}
}

// line shows one line, over the last one on a terminal.
func (p *progress) line(s standing) {
	begin, end := "", "\n"
	if p.terminal {
		begin, end = "\r", "\x1b[K"
	}
	fmt.Fprintf(p.out, "%s%s: %d of %d lines published, %d delivered, %d acknowledged%s",
		begin, s.doing, s.published, p.total, s.delivered, s.acknowledged, end)
}

// clear takes the line off a terminal.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
