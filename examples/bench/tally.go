package main

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/machine"
)

// stampLen is how many bytes at the start of a command differ from command to command.
const stampLen = 8

// tallyState is what a tally knows: how many commands it applied, and a sum over their beginnings that depends on their
// order. Members with equal states have applied the same commands in the same order.
type tallyState struct{ Count, Sum uint64 }

// tally is the machine that all measured clusters run: about the least that a machine can do.
type tally struct{ state tallyState }

func newTally(machine.Init) machine.Machine { return &tally{} }

// Apply counts a command. The reply is the number of commands applied so far, a uint64.
func (t *tally) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	var stamp [stampLen]byte
	copy(stamp[:], command)
	t.state.Count++
	t.state.Sum = (t.state.Sum ^ binary.LittleEndian.Uint64(stamp[:])) * 0x100000001b3 // the FNV prime
	return t.state.Count
}

// Snapshot copies the state.
func (t *tally) Snapshot() (machine.Capture, error) {
	b := binary.LittleEndian.AppendUint64(nil, t.state.Count)
	return machine.CaptureBytes(binary.LittleEndian.AppendUint64(b, t.state.Sum)), nil
}

// Restore reads the state.
func (t *tally) Restore(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, 17))
	if err != nil {
		return err
	}
	if len(b) != 16 {
		return fmt.Errorf("bench: state of %d bytes", len(b))
	}
	t.state = tallyState{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
	return nil
}

// Query answers any question with the state.
func (t *tally) Query(machine.QueryContext, any) (any, error) { return t.state, nil }
