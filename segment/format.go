// Package segment keeps the entries that have left the write-ahead log in files that many members share.
//
// A roll-over of the log is flushed in one go: the small ranges of all members into one file, a large range of one
// member into a file of its own. A Set is all the segment files of one node: it knows which file holds what, reads
// entries and terms, and removes or rewrites files as snapshots and deletions make their content dead. It starts no
// goroutine, asks no clock, and reaches the disk only through wal/vfs.
//
// This package makes no compatibility promise.
package segment

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Format 1, as docs/FORMAT-SEGMENT.md describes it. All numbers are little endian, all checksums CRC-32C.
const (
	formatVersion = 2
	fileMagic     = "HELIOSEG"

	// superSize is the length of the superblock, which stands at both ends of a file.
	superSize = 64
	// rowFixed is the length of the fixed part of a row of the table.
	rowFixed = 72
	// indexEntry is the length of what the index of a block has for each entry.
	indexEntry = 8
	// block is the unit that separates the copies of what stands twice.
	block = 4096

	// maxTable bounds the table of a file, and thus what a decoder allocates for it.
	maxTable = 256 << 20
	// maxBlockEntries and maxBlockBytes bound one block; a single entry may exceed the bytes.
	maxBlockEntries = 1 << 16
	maxBlockBytes   = 16 << 20
)

// ErrVersion says that a file was written by a program that knows a later format. It is left alone.
var ErrVersion = errors.New("segment: unknown format version")

// super is the superblock: at the beginning and, the same again, at the end of a file.
//
//	0    8  "HELIOSEG"
//	8    4  CRC-32C of bytes 12 to 64
//	12   4  format version
//	16   8  number of the file, also in its name
//	24   8  length of the file
//	32   8  offset of the first copy of the table
//	40   8  offset of the second copy
//	48   4  length of the table
//	52   4  CRC-32C of the table
//	56   4  number of rows
//	60   4  zero
type super struct {
	number, size   uint64
	tableA, tableB uint64
	table, crc     uint32
	rows           uint32
}

// encode returns the superblock as it is stored.
func (s *super) encode() []byte {
	b := make([]byte, superSize)
	copy(b, fileMagic)
	le := binary.LittleEndian
	le.PutUint32(b[12:], formatVersion)
	for i, v := range [...]uint64{s.number, s.size, s.tableA, s.tableB} {
		le.PutUint64(b[16+8*i:], v)
	}
	le.PutUint32(b[48:], s.table)
	le.PutUint32(b[52:], s.crc)
	le.PutUint32(b[56:], s.rows)
	le.PutUint32(b[8:], ra.Checksum(b[12:]))
	return b
}

// decodeSuper reads a superblock of the file of the given number. What it says is in itself consistent; whether the file
// is as long as it says is left to the caller.
func decodeSuper(b []byte, number uint64) (super, error) {
	le := binary.LittleEndian
	if len(b) != superSize || string(b[:8]) != fileMagic {
		return super{}, corruptf("no superblock of a segment file")
	}
	if want, got := le.Uint32(b[8:]), ra.Checksum(b[12:]); want != got {
		return super{}, corruptf("superblock checksum is %08x, should be %08x", got, want)
	}
	if v := le.Uint32(b[12:]); v != formatVersion {
		return super{}, fmt.Errorf("%w %d, this program knows %d", ErrVersion, v, formatVersion)
	}
	s := super{
		number: le.Uint64(b[16:]), size: le.Uint64(b[24:]), tableA: le.Uint64(b[32:]), tableB: le.Uint64(b[40:]),
		table: le.Uint32(b[48:]), crc: le.Uint32(b[52:]), rows: le.Uint32(b[56:]),
	}
	if s.number != number {
		return super{}, corruptf("file %d says that it is file %d", number, s.number)
	}
	if !s.plausible() || le.Uint32(b[60:]) != 0 {
		return super{}, corruptf("superblock does not fit together")
	}
	return s, nil
}

// plausible reports whether the numbers agree with each other, so that nothing is allocated by numbers that do not.
func (s *super) plausible() bool {
	table := uint64(s.table)
	return s.size <= 1<<62 && s.tableA >= superSize && s.tableA <= s.size && s.tableB <= s.size &&
		s.tableA+table <= s.tableB && s.tableB+table+superSize == s.size &&
		table <= maxTable && uint64(s.rows)*rowFixed <= table
}

// row is one line of the table: a block of consecutive entries of one member and one term, or, without entries, only
// the note that older ones are void.
//
//	0    4  length of the row
//	4    4  zero
//	8    8  generation: number of the flush that the entries came with; among equals a later file wins
//	16   8  cut: entries of older generations from this index on are void
//	24   8  index of the first entry, 0 without entries
//	32   8  term of all entries
//	40   4  number of entries
//	44   4  CRC-32C of the block's index
//	48   8  offset of the entries' bodies, which lie one behind the other
//	56   8  length of all bodies
//	64   8  offset of the block's index
//	72   1  length of the uid, then the uid
//
// The index of a block has 8 bytes for each entry: the offset of the body's end from the block's first body, and the
// body's checksum, both 4 bytes. The row's checksum thus binds every body to its member and place.
type row struct {
	file     uint64 // number of the file, not stored
	gen      uint64
	cut      ra.Index
	first    ra.Index
	term     ra.Term
	bodies   uint64
	bytes    uint64
	index    uint64
	count    uint32
	indexCRC uint32
	damaged  bool // not stored: found when the file was opened
}

// last returns the index of the block's last entry; it has one.
func (r *row) last() ra.Index { return r.first + ra.Index(r.count) - 1 }

// tableRow is a row with the member that it belongs to.
type tableRow struct {
	uid ra.UID
	row
}

// append appends the encoded row to b.
func (r *tableRow) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(rowFixed+1+len(r.uid)))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, r.gen)
	b = le.AppendUint64(b, uint64(r.cut))
	b = le.AppendUint64(b, uint64(r.first))
	b = le.AppendUint64(b, uint64(r.term))
	b = le.AppendUint32(b, r.count)
	b = le.AppendUint32(b, r.indexCRC)
	b = le.AppendUint64(b, r.bodies)
	b = le.AppendUint64(b, r.bytes)
	b = le.AppendUint64(b, r.index)
	b = append(b, byte(len(r.uid)))
	return append(b, r.uid...)
}

// decodeTable reads all rows of a table whose checksum was right. What does not fit together all the same is an error,
// never a panic.
func decodeTable(b []byte, s *super) ([]tableRow, error) {
	if uint64(s.rows)*rowFixed > uint64(len(b)) {
		return nil, corruptf("%d rows in a table of %d bytes", s.rows, len(b))
	}
	rows := make([]tableRow, 0, s.rows)
	for len(b) > 0 {
		r, n, err := decodeRow(b, s)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
		b = b[n:]
	}
	if len(rows) != int(s.rows) {
		return nil, corruptf("table has %d rows, should have %d", len(rows), s.rows)
	}
	return rows, nil
}

// decodeRow reads the first row of b and returns its length.
func decodeRow(b []byte, s *super) (tableRow, int, error) {
	le := binary.LittleEndian
	if len(b) <= rowFixed || len(b) < rowFixed+1+int(b[rowFixed]) {
		return tableRow{}, 0, corruptf("row is cut")
	}
	n := rowFixed + 1 + int(b[rowFixed])
	r := tableRow{uid: ra.UID(b[rowFixed+1 : n]), row: row{
		file: s.number, gen: le.Uint64(b[8:]), cut: ra.Index(le.Uint64(b[16:])), first: ra.Index(le.Uint64(b[24:])),
		term: ra.Term(le.Uint64(b[32:])), count: le.Uint32(b[40:]), indexCRC: le.Uint32(b[44:]),
		bodies: le.Uint64(b[48:]), bytes: le.Uint64(b[56:]), index: le.Uint64(b[64:]),
	}}
	if le.Uint32(b) != uint32(n) || le.Uint32(b[4:]) != 0 || r.uid == "" || !r.plausible(s) {
		return tableRow{}, 0, corruptf("row does not fit together")
	}
	return r, n, nil
}

// plausible reports whether the numbers of a row can have been written by this package in a file like s.
func (r *row) plausible(s *super) bool {
	if r.gen == 0 || r.gen > s.number || r.cut == 0 {
		return false
	}
	if r.count == 0 {
		return r.first == 0 && r.term == 0 && r.bodies == 0 && r.bytes == 0 && r.index == 0 && r.indexCRC == 0
	}
	count := uint64(r.count)
	return r.cut <= r.first && count <= maxBlockEntries && uint64(r.first) <= 1<<63 &&
		r.bytes >= count*ra.MinHeaderLen && r.bytes <= maxBlockBytes+ra.MaxHeaderLen+ra.MaxPayload &&
		r.bodies >= superSize && r.bodies <= s.size && r.bodies+r.bytes <= s.size &&
		r.index >= superSize && r.index <= s.size && r.index+count*indexEntry <= s.size
}

// corruptf returns an error that wraps ra.ErrCorrupt.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ra.ErrCorrupt, fmt.Sprintf(format, args...))
}
