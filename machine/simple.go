package machine

import (
	"fmt"
	"io"
)

// Stored is a state that can be embedded into a machine, to give it Snapshot and Restore by CBOR:
//
//	type totals struct{ machine.Stored[map[string]int] }
//
// The state is encoded by Snapshot itself, on the member's goroutine, and nothing is shared with the capture. That
// suits states of up to some hundred kilobytes; larger ones capture in a cheaper way.
type Stored[S any] struct {
	// State is what is stored. Only its exported fields are. It begins as the zero value: a Factory makes the maps in it.
	State S
}

// Snapshot encodes the state.
func (s *Stored[S]) Snapshot() (Capture, error) {
	b, err := CBORCodec[S]{}.Append(nil, s.State)
	if err != nil {
		return nil, err
	}
	return CaptureBytes(b), nil
}

// Restore replaces the state.
func (s *Stored[S]) Restore(r io.Reader) error {
	state, err := readAll(r, CBORCodec[S]{})
	if err != nil {
		return fmt.Errorf("machine: cannot restore: %w", err)
	}
	s.State = state
	return nil
}

// Simple returns the machine of a function that makes a new state of a command and the old state, and of the state to
// start from (MAC-01). The reply to each command is the new state. Since it is handed out, apply must leave the old
// state as it is, maps and slices included. Commands and states are encoded by CBOR.
func Simple[C, S any](apply func(command C, state S) S, initial S) Factory {
	return func(Init) Machine {
		return From[C, S](&simple[C, S]{Stored: Stored[S]{State: initial}, apply: apply}, CBOR[C, S]())
	}
}

// simple is a machine of one function.
type simple[C, S any] struct {
	Stored[S]
	apply func(C, S) S
}

func (s *simple[C, S]) Apply(_ Meta, command C, _ *Effects) S {
	s.State = s.apply(command, s.State)
	return s.State
}
