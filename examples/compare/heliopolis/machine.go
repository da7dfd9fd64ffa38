package heliopolis

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/machine"
)

// driverMachine is the machine that all rivals run, as a machine of this library.
type driverMachine struct{ state driver.Machine }

func newMachine(machine.Init) machine.Machine { return &driverMachine{} }

// Apply feeds the machine. There is nothing to reply.
func (m *driverMachine) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	m.state.Apply(command)
	return nil
}

// Snapshot copies the state.
func (m *driverMachine) Snapshot() (machine.Capture, error) {
	b := binary.LittleEndian.AppendUint64(nil, m.state.Count)
	return machine.CaptureBytes(binary.LittleEndian.AppendUint64(b, m.state.Sum)), nil
}

// Restore reads the state.
func (m *driverMachine) Restore(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, 17))
	if err != nil {
		return err
	}
	if len(b) != 16 {
		return fmt.Errorf("heliopolis: state of %d bytes", len(b))
	}
	m.state = driver.Machine{Count: binary.LittleEndian.Uint64(b), Sum: binary.LittleEndian.Uint64(b[8:])}
	return nil
}

// Query answers any question with the state.
func (m *driverMachine) Query(machine.QueryContext, any) (any, error) { return m.state, nil }
