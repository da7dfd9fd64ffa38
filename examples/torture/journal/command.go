package journal

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Command is one command: who sent it, and to which cluster of those that have had the name.
type Command struct {
	Nonce       uint64
	Client, Seq uint32
}

// commandLen is the length of the shortest command: nonce, client, number, checksum.
const commandLen = 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the bytes of the command: always the same ones. Most are short, some fill blocks, and a few are larger
// than what a small log takes at once.
func (c Command) Encode() []byte {
	random := rand.New(rand.NewPCG(c.Nonce, uint64(c.Client)<<32|uint64(c.Seq)))
	size := random.IntN(256)
	switch n := random.IntN(256); {
	case n == 0:
		size = random.IntN(64 << 10)
	case n < 16:
		size = random.IntN(8 << 10)
	}
	b := make([]byte, commandLen, commandLen+size+8)
	for len(b) < commandLen+size {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	le := binary.LittleEndian
	le.PutUint64(b, c.Nonce)
	le.PutUint32(b[8:], c.Client)
	le.PutUint32(b[12:], c.Seq)
	le.PutUint32(b[16:], checksum(b))
	return b
}

// checksum is the CRC-32C of all bytes of a command but its checksum.
func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:16], castagnoli), castagnoli, b[commandLen:])
}

// Decode is the reverse of Encode. It reports whether every byte is as it should be.
func Decode(b []byte) (Command, uint32, bool) {
	if len(b) < commandLen {
		return Command{}, 0, false
	}
	le := binary.LittleEndian
	c := Command{Nonce: le.Uint64(b), Client: le.Uint32(b[8:]), Seq: le.Uint32(b[12:])}
	sum := checksum(b)
	return c, sum, sum == le.Uint32(b[16:])
}

// Sum returns the checksum in the command's bytes.
func (c Command) Sum() uint32 { return binary.LittleEndian.Uint32(c.Encode()[16:]) }

// Record is one command that a machine has applied.
type Record struct {
	Command
	Index ra.Index
	Term  ra.Term
	// Sum is the checksum of all bytes that came. Whole says that it is the one in the command.
	Sum   uint32
	Whole bool
}

// RecordLen is the length of a record.
const RecordLen = 40

// AppendRecord appends a record.
func AppendRecord(b []byte, r *Record) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, r.Nonce)
	b = le.AppendUint32(b, r.Client)
	b = le.AppendUint32(b, r.Seq)
	b = le.AppendUint64(b, uint64(r.Index))
	b = le.AppendUint64(b, uint64(r.Term))
	b = le.AppendUint32(b, r.Sum)
	if r.Whole {
		return append(b, 1, 0, 0, 0)
	}
	return append(b, 0, 0, 0, 0)
}

// RecordAt reads record i.
func RecordAt(b []byte, i int) Record {
	le := binary.LittleEndian
	b = b[i*RecordLen:][:RecordLen]
	return Record{
		Command: Command{Nonce: le.Uint64(b), Client: le.Uint32(b[8:]), Seq: le.Uint32(b[12:])},
		Index:   ra.Index(le.Uint64(b[16:])), Term: ra.Term(le.Uint64(b[24:])), Sum: le.Uint32(b[32:]), Whole: b[36] == 1,
	}
}
