package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// A pack is a file with the snapshots of many members, each as it would lie in a file of its own, as
// docs/FORMAT-SNAPSHOT.md describes it. Its table says whose they are, and stands in front of them and behind them, so that
// no damage in one place costs more than the snapshot that it is in.
const (
	packMagic     = "HELIOPCK"
	packEnd       = "HELIOPKE"
	packVersion   = 2
	packHeadSize  = 32
	packTrailSize = 16
	packRowFixed  = 1 + 4*8 + 4
)

// packRow is one snapshot in a pack.
type packRow struct {
	id   id
	off  int64 // from the beginning of the file
	size int64
}

// tableSize returns the length of a table with these rows.
func tableSize(rows []packRow) int64 {
	n := int64(packHeadSize)
	for i := range rows {
		n += packRowFixed + int64(len(rows[i].id.uid))
	}
	return n
}

// encodeTable returns the table of the pack with that number.
//
//	0   8  "HELIOPCK"
//	8   4  CRC-32C of everything behind it, to the end of the table
//	12  4  format version
//	16  8  number of the pack, also in its name
//	24  4  number of snapshots
//	28  4  length of the rows
//	32     of each snapshot, by ascending uid: uid (behind a byte of length), index, term, offset in the file, length,
//	       era (4 bytes).
//	       The first one follows the table, and each of the others the one before.
func encodeTable(number uint64, rows []packRow) []byte {
	le := binary.LittleEndian
	size := tableSize(rows)
	b := make([]byte, packHeadSize, size)
	copy(b, packMagic)
	le.PutUint32(b[12:], packVersion)
	le.PutUint64(b[16:], number)
	le.PutUint32(b[24:], uint32(len(rows)))
	le.PutUint32(b[28:], uint32(size-packHeadSize))
	for i := range rows {
		r := &rows[i]
		b = appendShort(b, string(r.id.uid))
		for _, v := range [...]uint64{uint64(r.id.index), uint64(r.id.term), uint64(r.off), uint64(r.size)} {
			b = le.AppendUint64(b, v)
		}
		b = le.AppendUint32(b, r.id.era)
	}
	le.PutUint32(b[8:], ra.Checksum(b[12:]))
	return b
}

// encodePack returns the file: table, snapshots, the table again, and what tells where that one begins. rows gets the
// offsets; body returns the snapshot of a row.
//
//	0   8  "HELIOPKE"
//	8   4  length of the table
//	12  4  CRC-32C of these 12 bytes
func encodePack(number uint64, rows []packRow, body func(int) []byte) []byte {
	size := tableSize(rows)
	off := size
	for i := range rows {
		rows[i].off = off
		off += rows[i].size
	}
	table := encodeTable(number, rows)
	b := append(make([]byte, 0, off+size+packTrailSize), table...)
	for i := range rows {
		b = append(b, body(i)...)
	}
	b = append(b, table...)
	at := len(b)
	b = binary.LittleEndian.AppendUint32(append(b, packEnd...), uint32(size))
	return binary.LittleEndian.AppendUint32(b, ra.Checksum(b[at:]))
}

// decodeTable reads a table of the pack with that number. What it names may lie beyond the end of a file that was cut: then
// those snapshots are lost, and no others.
func decodeTable(b []byte, number uint64) ([]packRow, error) {
	le := binary.LittleEndian
	if len(b) < packHeadSize || string(b[:8]) != packMagic || int64(le.Uint32(b[28:])) != int64(len(b))-packHeadSize {
		return nil, corruptf("no table of a pack of snapshots")
	}
	if want, got := le.Uint32(b[8:]), ra.Checksum(b[12:]); want != got {
		return nil, corruptf("checksum of the pack's table is %08x, should be %08x", got, want)
	}
	if v := le.Uint32(b[12:]); v != packVersion {
		return nil, fmt.Errorf("%w %d of a pack, this program knows %d", ErrVersion, v, packVersion)
	}
	if n := le.Uint64(b[16:]); n != number {
		return nil, corruptf("pack %d says that it is %d", number, n)
	}
	d := decoder{b: b[packHeadSize:]}
	var rows []packRow
	off := int64(len(b))
	for n := le.Uint32(b[24:]); n > 0 && !d.bad; n-- {
		r := packRow{id: id{uid: ra.UID(d.short()), index: ra.Index(d.uint64()), term: ra.Term(d.uint64())}}
		r.off, r.size, r.id.era = int64(d.uint64()), int64(d.uint64()), d.uint32()
		unsorted := len(rows) > 0 && r.id.uid <= rows[len(rows)-1].id.uid
		if unsorted || r.id.check() != nil || r.off != off || r.size < headSize+footSize || r.size > writeStep {
			d.bad = true
		}
		rows = append(rows, r)
		off += r.size
	}
	if d.bad || len(d.b) > 0 {
		return nil, corruptf("table of the pack does not fit together")
	}
	return rows, nil
}

// readPack returns what is in a pack. hurt says that one of the two tables is damaged. It fails with an error that wraps
// ra.ErrCorrupt if both are, and with the disk's if it refuses to read both.
func readPack(f sized, number uint64) (rows []packRow, hurt error, err error) {
	size, err := f.Size()
	if err != nil {
		return nil, nil, err
	}
	front, frontErr := readTable(f, number, size, 0)
	back, backErr := readBackTable(f, number, size)
	switch {
	case errors.Is(frontErr, ErrVersion):
		return nil, nil, frontErr
	case frontErr == nil:
		return front, backErr, nil
	case backErr == nil:
		return back, frontErr, nil
	case !errors.Is(frontErr, ra.ErrCorrupt):
		return nil, nil, frontErr
	}
	return nil, nil, backErr
}

// readTable reads the table at an offset.
func readTable(f io.ReaderAt, number uint64, size, off int64) ([]packRow, error) {
	head, err := readPart(f, off, packHeadSize)
	if err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head[28:]))
	if n > size-off-packHeadSize {
		return nil, corruptf("table of the pack is too short")
	}
	b, err := readPart(f, off, int(packHeadSize+n))
	if err != nil {
		return nil, err
	}
	return decodeTable(b, number)
}

// readBackTable reads the table behind the snapshots.
func readBackTable(f io.ReaderAt, number uint64, size int64) ([]packRow, error) {
	if size < packTrailSize {
		return nil, corruptf("pack of %d bytes", size)
	}
	trail, err := readPart(f, size-packTrailSize, packTrailSize)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	n := int64(le.Uint32(trail[8:]))
	if string(trail[:8]) != packEnd || le.Uint32(trail[12:]) != ra.Checksum(trail[:12]) || n > size-packTrailSize {
		return nil, corruptf("no end of a pack of snapshots")
	}
	return readTable(f, number, size-packTrailSize, size-packTrailSize-n)
}

// part is a snapshot in a pack, as if it had a file of its own.
type part struct {
	vfs.File
	off, size int64
}

// ReadAt reads.
func (p *part) ReadAt(b []byte, off int64) (int, error) {
	return io.NewSectionReader(p.File, p.off, p.size).ReadAt(b, off)
}

// Size returns the snapshot's length.
func (p *part) Size() (int64, error) { return p.size, nil }
