package reference

import (
	"encoding/binary"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// tableOp is the first byte of a command to a table.
type tableOp byte

const (
	opPut     tableOp = 'p'
	opDelete  tableOp = 'd'
	opReplace tableOp = 'r'
)

// tableCommand is a decoded command. The value shares the command's bytes.
//
//	op 1, revision 8 (opReplace only), length of the key 4, key, value to the end (not for opDelete)
type tableCommand struct {
	op       tableOp
	key      string
	value    []byte
	revision ra.Index
}

// AppendPut appends to b the command that writes a row.
func AppendPut(b []byte, key string, value []byte) []byte {
	return append(appendKey(append(b, byte(opPut)), key), value...)
}

// AppendDelete appends to b the command that deletes a row, if it is there.
func AppendDelete(b []byte, key string) []byte { return appendKey(append(b, byte(opDelete)), key) }

// AppendReplace appends to b the command that writes a row if the present one has the given revision; revision 0
// stands for no row.
func AppendReplace(b []byte, key string, value []byte, revision ra.Index) []byte {
	b = binary.LittleEndian.AppendUint64(append(b, byte(opReplace)), uint64(revision))
	return append(appendKey(b, key), value...)
}

func appendKey(b []byte, key string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(key))), key...)
}

// decodeTableCommand returns what a command says, or an error that wraps ErrMalformed.
func decodeTableCommand(b []byte) (tableCommand, error) {
	if len(b) == 0 {
		return tableCommand{}, malformedf("empty command")
	}
	c := tableCommand{op: tableOp(b[0])}
	b = b[1:]
	switch c.op {
	case opPut, opDelete:
	case opReplace:
		if len(b) < 8 {
			return tableCommand{}, malformedf("command without its revision")
		}
		c.revision, b = ra.Index(binary.LittleEndian.Uint64(b)), b[8:]
	default:
		return tableCommand{}, malformedf("unknown command %q", byte(c.op))
	}
	if len(b) < 4 || uint64(binary.LittleEndian.Uint32(b)) > uint64(len(b)-4) {
		return tableCommand{}, malformedf("command without its key")
	}
	end := 4 + int(binary.LittleEndian.Uint32(b))
	c.key, c.value = string(b[4:end]), b[end:]
	if c.op == opDelete && len(c.value) > 0 {
		return tableCommand{}, malformedf("command with %d bytes too many", len(c.value))
	}
	return c, nil
}
