package reference

import (
	"bufio"
	"io"
	"maps"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
)

// Totals keeps a sum for each of many keys. It is a typed machine; a capture copies the dictionary, which takes time
// in proportion to its size but is easily understood.
type Totals struct{ sums map[string]int64 }

// Add is the command of Totals: N is added to the total of Key. The reply is the new total, an int64.
type Add struct {
	Key string
	N   int64
}

// TotalsProtocol is how the commands and replies of Totals are encoded.
func TotalsProtocol() machine.Protocol[Add, int64] { return machine.CBOR[Add, int64]() }

// NewTotals makes an empty dictionary; it is a machine.Factory.
func NewTotals(machine.Init) machine.Machine {
	return machine.From(&Totals{sums: map[string]int64{}}, TotalsProtocol())
}

// Apply adds.
func (t *Totals) Apply(_ machine.Meta, c Add, _ *machine.Effects) int64 {
	t.sums[c.Key] += c.N
	return t.sums[c.Key]
}

// Snapshot copies the dictionary.
func (t *Totals) Snapshot() (machine.Capture, error) {
	sums := maps.Clone(t.sums)
	return machine.CaptureFunc(func(w io.Writer) error { return writeSums(w, sums) }), nil
}

// writeSums writes the sums in the order of their keys: the order of the map would differ from member to member.
func writeSums(w io.Writer, sums map[string]int64) error {
	out := newWriter(w)
	out.uint(uint64(len(sums)))
	for _, key := range slices.Sorted(maps.Keys(sums)) {
		out.bytes(key)
		out.uint(uint64(sums[key]))
	}
	return out.flush()
}

// Restore reads the dictionary.
func (t *Totals) Restore(r io.Reader) error {
	in := newReader(bufio.NewReader(r))
	sums := map[string]int64{}
	last := ""
	for i := range in.count() {
		key := string(in.bytes())
		if i > 0 && key <= last {
			in.fail("keys out of order")
		}
		n := int64(in.uint())
		if in.err != nil {
			break
		}
		sums[key], last = n, key
	}
	if err := in.end(); err != nil {
		return err
	}
	t.sums = sums
	return nil
}

// Query returns the total of a key, an int64, 0 if there is none. The question is the key, a string.
func (t *Totals) Query(_ machine.QueryContext, question any) (any, error) {
	key, ok := question.(string)
	if !ok {
		return nil, malformedf("question of type %T", question)
	}
	return t.sums[key], nil
}

// Overview tells the number of keys.
func (t *Totals) Overview() map[string]any { return map[string]any{"keys": len(t.sums)} }
