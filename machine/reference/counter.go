package reference

import (
	"encoding/binary"
	"io"

	"github.com/heliopolis-raft/heliopolis/machine"
)

// Counter is a number that commands add to. It works on raw commands, and its state is so small that a capture is a
// copy of it. The reply is the new value, an int64; on overflow it wraps around.
type Counter struct{ value int64 }

// NewCounter makes a counter at 0; it is a machine.Factory.
func NewCounter(machine.Init) machine.Machine { return &Counter{} }

// AppendAdd appends the command that adds n to b.
func AppendAdd(b []byte, n int64) []byte { return binary.LittleEndian.AppendUint64(b, uint64(n)) }

// Apply adds. The reply to a command that is not 8 bytes long is an error.
func (c *Counter) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	if len(command) != 8 {
		return malformedf("counter command of %d bytes", len(command))
	}
	c.value += int64(binary.LittleEndian.Uint64(command))
	return c.value
}

// Snapshot copies the value.
func (c *Counter) Snapshot() (machine.Capture, error) {
	return machine.CaptureBytes(AppendAdd(nil, c.value)), nil
}

// Restore reads the value.
func (c *Counter) Restore(r io.Reader) error {
	b, err := io.ReadAll(io.LimitReader(r, 9))
	if err != nil {
		return err
	}
	if len(b) != 8 {
		return malformedf("counter state of %d bytes", len(b))
	}
	c.value = int64(binary.LittleEndian.Uint64(b))
	return nil
}

// Query answers any question with the value, an int64.
func (c *Counter) Query(machine.QueryContext, any) (any, error) { return c.value, nil }

// Overview tells the value.
func (c *Counter) Overview() map[string]any { return map[string]any{"value": c.value} }
