package quorumqueue

import (
	"encoding/binary"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
)

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendPID(b []byte, p ra.PID) []byte {
	b = appendText(appendText(b, string(p.Node)), p.Name)
	return binary.AppendUvarint(binary.AppendUvarint(b, p.Incarnation), p.Spawn)
}

// appendIDs appends numbers as their count and the differences between them: those that consumers settle follow each
// other closely, so a difference is mostly one byte. Differences wrap around, so that any order is kept.
func appendIDs(b []byte, ids []uint64) []byte {
	b = binary.AppendUvarint(b, uint64(len(ids)))
	last := uint64(0)
	for _, id := range ids {
		b = binary.AppendUvarint(b, id-last)
		last = id
	}
	return b
}

// fields reads fields one after the other. After the first error it gives zeros.
type fields struct {
	b   []byte
	err error
}

func (f *fields) fail(why string) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s", ErrMalformed, why)
	}
	f.b = nil
}

// uint reads a number. A value has one encoding only, so that what was accepted is encoded the same way again.
func (f *fields) uint() uint64 {
	n, size := binary.Uvarint(f.b)
	if size <= 0 || size > 1 && f.b[size-1] == 0 {
		f.fail("no number where one should be")
		return 0
	}
	f.b = f.b[size:]
	return n
}

// atMost reads a number with a bound.
func (f *fields) atMost(limit uint64) uint64 {
	n := f.uint()
	if n > limit {
		f.fail("number out of bounds")
		return 0
	}
	return n
}

func (f *fields) text() string {
	n := f.uint()
	if n > uint64(len(f.b)) {
		f.fail("text ends early")
		return ""
	}
	s := string(f.b[:n])
	f.b = f.b[n:]
	return s
}

func (f *fields) pid() ra.PID {
	return ra.PID{Node: ra.NodeID(f.text()), Name: f.text(), Incarnation: f.uint(), Spawn: f.uint()}
}

// ids reads what appendIDs wrote. Each takes a byte at least, which bounds the memory.
func (f *fields) ids() []uint64 {
	n := f.uint()
	if n > uint64(len(f.b)) {
		f.fail("numbers end early")
		return nil
	}
	ids := make([]uint64, n)
	last := uint64(0)
	for i := range ids {
		last += f.uint()
		ids[i] = last
	}
	return ids
}

// rest returns all that is left, shared.
func (f *fields) rest() []byte {
	b := f.b
	f.b = nil
	return b
}

// end returns the first error, or one if something is left.
func (f *fields) end() error {
	if len(f.b) > 0 {
		f.fail(fmt.Sprintf("%d bytes too many", len(f.b)))
	}
	return f.err
}
