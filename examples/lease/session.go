package main

import (
	"context"
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// Session is an owner of locks: a process, which the machine monitors. One goroutine may use it at a time.
type Session struct {
	client  *system.TypedClient[Command, Reply]
	process *actor.Ref
	news    chan struct{}
}

// OpenSession starts the process of a session on a node.
func OpenSession(node *system.Node, cluster *system.Cluster, name string) (*Session, error) {
	news := make(chan struct{}, 1)
	process, err := node.Actors().Spawn(name, func() actor.Actor { return ear(news) })
	if err != nil {
		return nil, err
	}
	return &Session{client: system.Client(cluster, protocol), process: process, news: news}, nil
}

// Close ends the session. Its locks are free then.
func (s *Session) Close() { s.process.Stop(nil) }

// ear is the process. It keeps nothing of what it hears but that there are news.
type ear chan<- struct{}

// Receive must not block.
func (e ear) Receive(ctx *actor.Context) {
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		select {
		case e <- struct{}{}:
		default:
		}
	}
}

// askAgain is how long a session relies on being told.
const askAgain = time.Second

// Acquire waits until the session has the lock, and returns its token. Called again it begins a new lease. Who gives up
// waiting stays in line until the session is closed.
func (s *Session) Acquire(ctx context.Context, lock string, lease time.Duration) (ra.Index, error) {
	for {
		r, err := s.say(ctx, Command{Op: Acquire, Lock: lock, Lease: lease})
		if err != nil || r.Token != 0 {
			return r.Token, err
		}
		select {
		case <-s.news:
		case <-time.After(askAgain): // The message may be lost.
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// Release gives a lock back.
func (s *Session) Release(ctx context.Context, lock string, token ra.Index) error {
	_, err := s.say(ctx, Command{Op: Release, Lock: lock, Token: token})
	return err
}

// say has a command applied, and says it once more if nobody knows whether it was.
func (s *Session) say(ctx context.Context, c Command) (Reply, error) {
	c.Owner = s.process.PID()
	for {
		r, _, err := s.client.Process(ctx, c)
		switch {
		case ra.MayHaveBeenApplied(err) && ctx.Err() == nil:
			continue
		case err == nil && r.Refused != "":
			return r, fmt.Errorf("lock %q: %s", c.Lock, r.Refused)
		}
		return r, err
	}
}
