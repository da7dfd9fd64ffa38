package actor

import (
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Actor is the behaviour of a process. Its methods run one at a time, on its worker's goroutine, and must not block
// (unless it has a worker of its own).
type Actor interface {
	// Receive handles one batch: what Inbox.Take has moved aside, fired timers, and client messages. Client messages
	// it does not take by Context.Next stay first in line for the next batch, which follows at once.
	Receive(ctx *Context)
}

// Starter is an Actor that wants to be called before its first batch. An error ends it, with that reason.
type Starter interface {
	Start(ctx *Context) error
}

// Stopper is an Actor that wants to be called when it ends, for whatever reason, a failed Start included; nil is a
// normal end. Its name is still taken then, so it may close files that a successor will open.
type Stopper interface {
	Stop(ctx *Context, reason error)
}

// Inbox is the internal lane of an Actor that implements it: typed, coalescing, never refused, so it must be bounded
// by construction. The mailbox lends its lock: posters change the inbox between Ref.Lock and Ref.Unlock.
// Neither method may block or panic.
type Inbox interface {
	// Empty reports whether nothing waits. It is called under the lock.
	Empty() bool
	// Take moves everything that waits to the actor's own side, where Receive finds it. It is called under the lock,
	// on the worker's goroutine, just before Receive.
	Take()
}

// Factory makes the actor of a process. It is called once for each spawn, when the name is known to be free, on a goroutine
// of its own, for which the one that spawns waits; nobody can reach the process before it has returned.
type Factory func() Actor

// PanicError is the reason of an actor that ended by a panic, or because it called runtime.Goexit, as testing.T.FailNow does.
type PanicError struct {
	// Value is what it panicked with.
	Value any
	// Stack is the goroutine's stack at that point.
	Stack []byte
}

// Error returns the panic's value as text.
func (e *PanicError) Error() string { return fmt.Sprintf("actor: panic: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// gone returns what senders to a process that ended with reason are told.
func gone(name string, reason error) error {
	if reason == nil {
		return fmt.Errorf("%w: %s has ended", ra.ErrNoProcess, name)
	}
	return fmt.Errorf("%w: %s has ended: %w", ra.ErrNoProcess, name, reason)
}
