package damagetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/heliopolis-raft/heliopolis/machine"
)

// The first byte of a command says what it does beside being counted.
const (
	opCount      = 'n' // nothing
	opKeep       = 'k' // its bytes become part of the state
	opSnapshot   = 's' // asks for a snapshot
	opCheckpoint = 'c' // asks for a checkpoint
)

// digest stands for everything that a ledger was ever told: a command that is missing, twice or in another place shows.
type digest struct {
	Count uint64
	Sum   uint32
	Kept  int
}

// next returns the digest after one more command.
func (d digest) next(command []byte) digest {
	d.Count++
	d.Sum = crc32.Update(d.Sum, crc32.IEEETable, command)
	if command[0] == opKeep {
		d.Kept += len(command)
	}
	return d
}

// ledger is a machine whose state is a digest of all commands, and the bytes of some.
type ledger struct {
	digest digest
	kept   []byte
}

func newLedger(machine.Init) machine.Machine { return new(ledger) }

// Apply takes a command in and replies with the digest.
func (l *ledger) Apply(_ machine.Meta, command []byte, fx *machine.Effects) any {
	if len(command) == 0 {
		return errors.New("empty command")
	}
	l.digest = l.digest.next(command)
	switch command[0] {
	case opKeep:
		l.kept = append(l.kept, command...)
	case opSnapshot:
		fx.ReleaseCursor()
	case opCheckpoint:
		fx.Checkpoint()
	}
	return l.digest
}

// Snapshot copies the state.
func (l *ledger) Snapshot() (machine.Capture, error) {
	b := binary.LittleEndian.AppendUint64(nil, l.digest.Count)
	b = binary.LittleEndian.AppendUint32(b, l.digest.Sum)
	return machine.CaptureBytes(append(b, l.kept...)), nil
}

// Restore reads the state.
func (l *ledger) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if len(b) < 12 {
		return fmt.Errorf("state of %d bytes", len(b))
	}
	l.digest.Count, l.digest.Sum = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:])
	l.kept = b[12:]
	l.digest.Kept = len(l.kept)
	return nil
}

// Query answers with the digest.
func (l *ledger) Query(machine.QueryContext, any) (any, error) { return l.digest, nil }
