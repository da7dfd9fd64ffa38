package member

import (
	"bytes"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
)

// FuzzDecodeCommand: no entry panics, and what NewCommand makes comes out again (CMD-06).
func FuzzDecodeCommand(f *testing.F) {
	f.Add([]byte("payload"), uint8(0), "node", "name", uint64(1))
	f.Add([]byte{}, uint8(machine.ModeNotify), "", "", uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, flags uint8, node, name string, number uint64) {
		e := ra.Seal(ra.NewBody(b), ra.Header{Index: 1, Term: 1, Kind: ra.KindCommand, Flags: flags})
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { _, _, _, _ = DecodeCommand(&e) })

		from := machine.Caller{PID: ra.PID{Node: ra.NodeID(node), Name: name, Incarnation: number}, Correlation: number}
		made, err := NewCommand(b, machine.ReplyMode(flags), from)
		if err != nil {
			return
		}
		payload, mode, sender, err := DecodeCommand(&made)
		if err != nil || !bytes.Equal(payload, b) || mode != machine.ReplyMode(flags) || sender != from && !from.IsZero() {
			t.Fatalf("%x, mode %d from %v became %x, mode %d from %v, %v", b, flags, from, payload, mode, sender, err)
		}
	})
}
