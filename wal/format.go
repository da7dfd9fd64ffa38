package wal

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// The format, as docs/FORMAT.md describes it byte by byte. All numbers are little endian, all checksums CRC-32C.
const (
	formatVersion = 8

	// block is the unit of writing: every batch starts at a multiple of it and is a multiple of it long.
	block = 4096
	// headerSize is the room for the two copies of a file's header, each in a block of its own, so that one bad block
	// does not take both. Batches follow it.
	headerSize = 2 * block

	// batchFixed is the length of the fixed part of a batch's head, and of its tail.
	batchFixed = 64
	// minFrameHead and maxFrameHead bound the length of what stands before every entry's body.
	minFrameHead = 4 + 2*1
	maxFrameHead = 4 + 2*binary.MaxVarintLen32
	// rowFixed is the length of the fixed part of a row of a batch's table.
	rowFixed = 40

	// maxTable bounds the table of one batch, and thus what a decoder allocates for it.
	maxTable = 64 << 20
)

const (
	fileMagic = "HELIOWAL"
	headMagic = 0x31424c48 // "HLB1"
	tailMagic = 0x31544c48 // "HLT1"
)

// Flags of a batch.
const (
	// batchSeal marks a batch without rows that only vouches for the one before it.
	batchSeal = 1 << iota
	// batchContinues marks the last batch of a file: the next file exists and is durable.
	batchContinues

	batchFlags = batchSeal | batchContinues
)

// Flags of a row. A set flag says that the row has the optional part of that name; what the parts order takes effect
// in the order of these flags.
const (
	rowBind     = 1 << iota // the member's number stands for this uid from here on in this file
	rowRegister             // the member is registered under a name, with a configuration
	rowReset                // the log is empty and begins after an index (a snapshot stands for what was there)
	rowTruncate             // entries from an index on are gone
	rowEntries              // entries follow
	rowState                // term and vote
	rowApplied              // a hint how far the member has applied
	rowMark                 // what is known to be damaged, until repaired
	rowDelete               // the member is gone for good

	rowFlags = rowDelete<<1 - 1
)

// fileHeader is what a WAL file begins with, twice.
//
//	0    8  "HELIOWAL"
//	8    4  format version
//	12   4  CRC-32C of bytes 0 to 12 and 16 to 4096
//	16   8  file id, random
//	24   8  sequence number of the file, also in its name
//	32   8  sequence number of the file before it, 0 for none
//	40   8  id of the file before it
//	48   8  confirmed end of the file before it: all bytes up to there were synced, all beyond are void
//	56   8  sequence number of the first batch
//	64   8  length of the file in bytes, as it was prepared
//	72   8  id of the log, random: the same in all its files
//	80      zeros
type fileHeader struct {
	id, seq             uint64
	prevSeq, prevID     uint64
	prevEnd, firstBatch uint64
	size, log           uint64
}

// encode writes both copies of the header into b, which is headerSize long.
func (h *fileHeader) encode(b []byte) {
	clear(b[:headerSize])
	copy(b, fileMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], formatVersion)
	for i, v := range [...]uint64{h.id, h.seq, h.prevSeq, h.prevID, h.prevEnd, h.firstBatch, h.size, h.log} {
		le.PutUint64(b[16+8*i:], v)
	}
	le.PutUint32(b[12:], fileChecksum(b[:block]))
	copy(b[block:headerSize], b[:block])
}

// fileChecksum returns the checksum of a file header, a state file or a high-water mark, which stands at 12 and covers
// everything else.
func fileChecksum(b []byte) uint32 { return ra.ExtendChecksum(ra.Checksum(b[:12]), b[16:]) }

// chain returns the checksum that the first batch of the file names as that of its predecessor.
func (h *fileHeader) chain() uint32 {
	var b [headerSize]byte
	h.encode(b[:])
	return binary.LittleEndian.Uint32(b[12:])
}

// decodeFileHeader reads one copy of a header from b, which is one block long.
func decodeFileHeader(b []byte) (fileHeader, error) {
	le := binary.LittleEndian
	if len(b) < block || string(b[:8]) != fileMagic {
		return fileHeader{}, corruptf("no header of a WAL file")
	}
	if want, got := le.Uint32(b[12:]), fileChecksum(b[:block]); want != got {
		return fileHeader{}, corruptf("WAL file header checksum is %08x, should be %08x", got, want)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return fileHeader{}, fmt.Errorf("%w: WAL format %d, this program knows %d", errVersion, v, formatVersion)
	}
	at := func(off int) uint64 { return le.Uint64(b[off:]) }
	return fileHeader{
		id: at(16), seq: at(24), prevSeq: at(32), prevID: at(40), prevEnd: at(48), firstBatch: at(56), size: at(64), log: at(72),
	}, nil
}

// batchHeader is the fixed part of a batch's head and, with another magic, of its tail. Behind the head's, and before
// the tail's, stands the table.
//
//	0    4  "HLB1" at the head, "HLT1" at the tail
//	4    4  CRC-32C of bytes 8 to 64 and of the table
//	8    8  file id
//	16   8  sequence number of the batch, which grows by one from batch to batch and from file to file
//	24   8  length of the whole batch, a multiple of 4096
//	32   4  offset of the frames from the start of the batch
//	36   4  length of the table
//	40   8  length of the frames
//	48   4  number of rows
//	52   4  chain: CRC of the head of the batch before it; for a file's first batch the CRC in the file header
//	56   4  salt of the frames' checksums
//	60   4  flags
type batchHeader struct {
	fileID, seq, length uint64
	frames              uint64 // length of the frames
	framesAt            uint32
	table               uint32
	rows                uint32
	chain               uint32
	salt                uint32
	flags               uint32
}

// encode writes the fixed part into b and returns its checksum, which covers the table too.
func (h *batchHeader) encode(b []byte, magic uint32, table []byte) uint32 {
	le := binary.LittleEndian
	le.PutUint32(b, magic)
	le.PutUint64(b[8:], h.fileID)
	le.PutUint64(b[16:], h.seq)
	le.PutUint64(b[24:], h.length)
	le.PutUint32(b[32:], h.framesAt)
	le.PutUint32(b[36:], h.table)
	le.PutUint64(b[40:], h.frames)
	le.PutUint32(b[48:], h.rows)
	le.PutUint32(b[52:], h.chain)
	le.PutUint32(b[56:], h.salt)
	le.PutUint32(b[60:], h.flags)
	crc := ra.ExtendChecksum(ra.Checksum(b[8:batchFixed]), table)
	le.PutUint32(b[4:], crc)
	return crc
}

// decodeBatchHeader reads the fixed part. Only the layout is checked; the checksum needs the table, see sound.
func decodeBatchHeader(b []byte) batchHeader {
	le := binary.LittleEndian
	return batchHeader{
		fileID: le.Uint64(b[8:]), seq: le.Uint64(b[16:]), length: le.Uint64(b[24:]),
		framesAt: le.Uint32(b[32:]), table: le.Uint32(b[36:]), frames: le.Uint64(b[40:]),
		rows: le.Uint32(b[48:]), chain: le.Uint32(b[52:]), salt: le.Uint32(b[56:]), flags: le.Uint32(b[60:]),
	}
}

// fits reports whether the lengths agree with each other and with the room that the file has for the batch. Nothing is
// read or allocated by these lengths before they fit.
func (h *batchHeader) fits(room int64) bool {
	if h.length == 0 || h.length%block != 0 || room < 0 || h.length > uint64(room) || h.table > maxTable {
		return false
	}
	framesAt, table := uint64(h.framesAt), uint64(h.table)
	return h.frames <= h.length && framesAt >= batchFixed+table && framesAt <= h.length &&
		framesAt+h.frames+table+batchFixed <= h.length &&
		uint64(h.rows)*rowFixed <= table && h.flags&^batchFlags == 0
}

// frameHead makes and reads what stands before the body of an entry in a batch:
//
//	0  4  checksum
//	4     row, as a varint: the number of the row that the entry belongs to
//	      length of the body, as a varint
//
// It is where the checksum is computed: beside the buffer, since to read back what was just stored there would wait for it to
// come from memory. Who makes many keeps one, because what is given to package crc32 escapes.
type frameHead [12]byte

// checksum covers row, length and the checksum that the body begins with, and thereby the body; it starts from the batch's
// salt, so that no frame of another batch can pass for one of this batch.
func (h *frameHead) checksum(salt, row, length, bodyCRC uint32) uint32 {
	le := binary.LittleEndian
	le.PutUint64(h[0:], uint64(row)|uint64(length)<<32)
	le.PutUint32(h[8:], bodyCRC)
	return ra.ExtendChecksum(salt, h[:])
}

// put writes the frame of a body to b, and returns its length.
func (h *frameHead) put(b []byte, salt, row uint32, body []byte) int {
	le := binary.LittleEndian
	le.PutUint32(b, h.checksum(salt, row, uint32(len(body)), le.Uint32(body)))
	n := 4 + binary.PutUvarint(b[4:], uint64(row))
	n += binary.PutUvarint(b[n:], uint64(len(body)))
	return n + copy(b[n:], body)
}

// open reads the frame at the beginning of b. It returns the body and what follows the frame, and ok if there is one of the
// batch.
func (h *frameHead) open(b []byte, salt uint32) (row uint32, body, rest []byte, ok bool) {
	if len(b) < minFrameHead+ra.MinHeaderLen {
		return 0, nil, nil, false
	}
	crc, rest := binary.LittleEndian.Uint32(b), b[4:]
	first, n := binary.Uvarint(rest)
	if n <= 0 || first > math.MaxUint32 {
		return 0, nil, nil, false
	}
	rest = rest[n:]
	length, n := binary.Uvarint(rest)
	if n <= 0 || length < ra.MinHeaderLen || length > uint64(len(rest)-n) || length > math.MaxUint32 {
		return 0, nil, nil, false
	}
	rest = rest[n:]
	row, body, rest = uint32(first), rest[:length], rest[length:]
	return row, body, rest, crc == h.checksum(salt, row, uint32(length), binary.LittleEndian.Uint32(body))
}

// corruptf returns an error that wraps ra.ErrCorrupt.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ra.ErrCorrupt, fmt.Sprintf(format, args...))
}

// alignUp rounds n up to whole blocks.
func alignUp(n int) int { return (n + block - 1) &^ (block - 1) }
