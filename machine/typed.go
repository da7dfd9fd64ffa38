package machine

import (
	"errors"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Typed is a machine over commands of type C that answers with an R. From makes a Machine of it. Everything that is
// said at Machine holds for it. Its optional interfaces are those of any machine, except that it selects versions by
// TypedVersionSelector. To answer later, it calls Effects.NoReply.
type Typed[C, R any] interface {
	Apply(meta Meta, command C, fx *Effects) R
	Snapshot() (Capture, error)
	Restore(r io.Reader) error
}

// TypedVersionSelector is VersionSelector for typed machines.
type TypedVersionSelector[C, R any] interface {
	ForVersion(v Version) Typed[C, R]
}

// From returns the machine that decodes commands by the protocol and gives them to impl. Within the process replies
// reach the caller as the values of type R that Apply returned; only where one has to cross to another process is it
// encoded. A committed command that cannot be decoded is not shown to impl: its reply is a *CommandError, on every
// member alike.
func From[C, R any](impl Typed[C, R], protocol Protocol[C, R]) Machine {
	return &typed[C, R]{impl: impl, protocol: protocol}
}

// CommandError is the reply to a command that was committed but that the machine's codec could not read. The state is
// as it was before.
type CommandError struct {
	// Index is where the command stands in the log.
	Index ra.Index
	// Reason is what the codec said.
	Reason string
}

// Error says which command could not be read, and why.
func (e *CommandError) Error() string {
	return fmt.Sprintf("machine: command at index %d cannot be read and was not applied: %s", e.Index, e.Reason)
}

// ReplyCodec is implemented by machines whose replies can be sent to other processes, as those of From. Callers in
// another process than the member get no replies from machines without it.
type ReplyCodec interface {
	// AppendReply appends the encoding of what Apply returned, or of a value given to Effects.Reply.
	AppendReply(b []byte, reply any) ([]byte, error)
	// DecodeReply returns the reply in b.
	DecodeReply(b []byte) (any, error)
}

// ErrReplyType: a reply is not of the type that the machine's protocol encodes.
var ErrReplyType = errors.New("machine: reply of another type")

// typed adapts a Typed to a Machine.
type typed[C, R any] struct {
	impl     Typed[C, R]
	protocol Protocol[C, R]
}

func (t *typed[C, R]) Apply(meta Meta, command []byte, fx *Effects) any {
	c, err := t.protocol.Command.Decode(command)
	if err != nil {
		return &CommandError{Index: meta.Index, Reason: err.Error()}
	}
	return fx.TakeReply(t.impl.Apply(meta, c, fx))
}

func (t *typed[C, R]) Snapshot() (Capture, error) { return t.impl.Snapshot() }

func (t *typed[C, R]) Restore(r io.Reader) error { return t.impl.Restore(r) }

// Unwrap leads As to the optional interfaces of the implementation.
func (t *typed[C, R]) Unwrap() any { return t.impl }

// selectsVersions tells Vet if the implementation's ForVersion is of use.
func (t *typed[C, R]) selectsVersions() bool {
	_, ok := t.impl.(TypedVersionSelector[C, R])
	return ok
}

// ForVersion wraps what the implementation selects.
func (t *typed[C, R]) ForVersion(v Version) Machine {
	s, ok := t.impl.(TypedVersionSelector[C, R])
	if !ok {
		return t
	}
	impl := s.ForVersion(v)
	if impl == nil {
		return nil
	}
	return &typed[C, R]{impl: impl, protocol: t.protocol}
}

// The first byte of an encoded reply tells what follows.
const (
	replyValue        = 0 // an R
	replyCommandError = 1 // index, 8 bytes little endian, and the reason
)

func (t *typed[C, R]) AppendReply(b []byte, reply any) ([]byte, error) {
	switch r := reply.(type) {
	case *CommandError:
		b = append(b, replyCommandError)
		return append(appendUint64(b, uint64(r.Index)), r.Reason...), nil
	case R:
		return t.appendValue(b, r)
	}
	if zero := *new(R); reply == nil && any(zero) == nil {
		// R is an interface, and its nil is no R for the switch above.
		return t.appendValue(b, zero)
	}
	return b, fmt.Errorf("%w: %T", ErrReplyType, reply)
}

// appendValue appends a reply that is what the machine's Apply returns.
func (t *typed[C, R]) appendValue(b []byte, r R) ([]byte, error) {
	longer, err := t.protocol.Reply.Append(append(b, replyValue), r)
	if err != nil {
		return b, err
	}
	return longer, nil
}

func (t *typed[C, R]) DecodeReply(b []byte) (any, error) {
	switch {
	case len(b) > 0 && b[0] == replyValue:
		r, err := t.protocol.Reply.Decode(b[1:])
		if err != nil {
			return nil, err
		}
		return r, nil
	case len(b) >= 9 && b[0] == replyCommandError:
		return &CommandError{Index: ra.Index(uint64At(b[1:])), Reason: string(b[9:])}, nil
	}
	return nil, corruptf("reply of %d bytes", len(b))
}
