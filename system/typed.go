package system

import (
	"context"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// TypedClient is a handle on a cluster whose machine takes commands of type C and answers with an R (machine.From). Its
// methods may be called from any goroutine.
type TypedClient[C, R any] struct {
	cluster  *Cluster
	protocol machine.Protocol[C, R]
}

// Client returns a typed handle on a cluster. The protocol is the one that its machine was made with.
func Client[C, R any](c *Cluster, p machine.Protocol[C, R]) *TypedClient[C, R] {
	return &TypedClient[C, R]{cluster: c, protocol: p}
}

// Cluster returns the handle for everything that has no types.
func (t *TypedClient[C, R]) Cluster() *Cluster { return t.cluster }

// Process has a command applied and returns the machine's reply; see Cluster.Process. It fails with an error that wraps
// machine.ErrReplyType if the reply is no R, and with a *machine.CommandError if the machine could not read the command.
func (t *TypedClient[C, R]) Process(ctx context.Context, command C, options ...ProcessOption) (R, ra.Result, error) {
	b, err := t.protocol.Command.Append(nil, command)
	if err != nil {
		return *new(R), ra.Result{}, err
	}
	r, err := t.cluster.Process(ctx, b, options...)
	if err != nil {
		return *new(R), r, err
	}
	reply, err := replyAs[R](r.Reply)
	return reply, r, err
}

// Append has a command appended to the leader's log and returns where it stands; see Cluster.Append.
func (t *TypedClient[C, R]) Append(ctx context.Context, command C) (ra.Result, error) {
	b, err := t.protocol.Command.Append(nil, command)
	if err != nil {
		return ra.Result{}, err
	}
	return t.cluster.Append(ctx, b)
}

// Go is Process without waiting; see Cluster.Go.
func (t *TypedClient[C, R]) Go(command C, done func(R, ra.Result, error)) {
	b, err := t.protocol.Command.Append(nil, command)
	if err != nil {
		done(*new(R), ra.Result{}, err)
		return
	}
	t.cluster.Go(b, func(r ra.Result, err error) {
		if err != nil {
			done(*new(R), r, err)
			return
		}
		reply, err := replyAs[R](r.Reply)
		done(reply, r, err)
	})
}

// replyAs returns a reply as what it must be.
func replyAs[R any](reply any) (R, error) {
	switch r := reply.(type) {
	case R:
		return r, nil
	case *machine.CommandError:
		return *new(R), r
	case nil:
		if any(*new(R)) == nil {
			return *new(R), nil // R is an interface, of which nil is a value
		}
	}
	return *new(R), fmt.Errorf("%w: %T", machine.ErrReplyType, reply)
}

// Ask puts a question to a cluster and returns the answer as an A. How is one of Cluster's queries:
//
//	n, err := system.Ask[int](ctx, cluster.ConsistentQuery, "count")
func Ask[A any](ctx context.Context, how func(context.Context, any) (ra.Result, error), question any) (A, error) {
	r, err := how(ctx, question)
	if err != nil {
		return *new(A), err
	}
	return replyAs[A](r.Reply)
}
