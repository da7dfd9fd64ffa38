package worker

import (
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/machine"
)

// history is a machine that remembers every command that it ever applied, and decides nothing: a command that comes
// twice stands in it twice. Records are only ever added, so what was captured stays as it is.
type history struct {
	records []byte
	// every is how many commands lie between two wishes for a snapshot.
	every int
}

// Apply adds a record. The reply is how many there are.
func (h *history) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	c, sum, whole := journal.Decode(command)
	h.records = journal.AppendRecord(h.records, &journal.Record{
		Command: c, Index: meta.Index, Term: meta.Term, Sum: sum, Whole: whole,
	})
	n := len(h.records) / journal.RecordLen
	if n%h.every == 0 {
		fx.ReleaseCursor()
	}
	return n
}

// Snapshot captures the records.
func (h *history) Snapshot() (machine.Capture, error) {
	return machine.CaptureBytes(h.records[:len(h.records):len(h.records)]), nil
}

// Restore reads the records.
func (h *history) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if len(b)%journal.RecordLen != 0 {
		return fmt.Errorf("history of %d bytes", len(b))
	}
	h.records = b
	return nil
}

// all is a query for all records, which must not be changed.
func all(_ machine.QueryContext, state any) (any, error) {
	h := state.(*history)
	return h.records[:len(h.records):len(h.records)], nil
}

// newest is a query for the number of the last command of a client, 0 if there is none.
func newest(client uint32) machine.QueryFunc {
	return func(_ machine.QueryContext, state any) (any, error) {
		h := state.(*history)
		for i := len(h.records)/journal.RecordLen - 1; i >= 0; i-- {
			if r := journal.RecordAt(h.records, i); r.Client == client {
				return r.Seq, nil
			}
		}
		return uint32(0), nil
	}
}
