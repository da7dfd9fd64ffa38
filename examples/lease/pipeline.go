package main

import (
	"context"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// window is how many commands a session has under way at a time.
const window = 256

// AcquireAll takes those of some locks that are free, and returns their tokens. It gets in line for the others.
func (s *Session) AcquireAll(ctx context.Context, names []string, lease time.Duration) (map[string]ra.Index, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := s.client.Cluster().NewPipeline(window)
	go s.submitAll(ctx, p, names, lease)
	tokens := map[string]ra.Index{}
	for done := range p.Events() {
		r, _ := done.Reply.(Reply)
		if done.Err != nil { // A pipeline repeats nothing.
			var err error
			if r, err = s.say(ctx, Command{Op: Acquire, Lock: names[done.Correlation], Lease: lease}); err != nil {
				return tokens, err
			}
		}
		if r.Token != 0 {
			tokens[names[done.Correlation]] = r.Token
		}
	}
	return tokens, ctx.Err()
}

// submitAll submits one command for each lock. The correlation is its place in names.
func (s *Session) submitAll(ctx context.Context, p *system.Pipeline, names []string, lease time.Duration) {
	defer p.Close(ctx)
	for i, name := range names {
		c := Command{Op: Acquire, Lock: name, Lease: lease, Owner: s.process.PID()}
		b, err := protocol.Command.Append(nil, c)
		if err == nil {
			err = p.Submit(ctx, uint64(i), b)
		}
		if err != nil {
			return
		}
	}
}
