package segment

import (
	"encoding/binary"
	"errors"
	"path"
	"runtime"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

const (
	// writeStep is how much is gathered before it is written.
	writeStep = 256 << 10
	// indexStep is how much of the blocks' indexes is gathered before it is written among the bodies. Indexes that lie
	// together are read together when the file is opened.
	indexStep = 1 << 20
	// maxRows bounds the rows of a file.
	maxRows = 1 << 19
)

// builder writes one segment file under its temporary name. After an error it can only be dropped.
type builder struct {
	fs     vfs.FS
	dir    string
	number uint64

	f vfs.File
	// bulk is a second handle, which goes round the page cache; nil as long as there was no whole step to write.
	bulk  vfs.File
	buf   []byte // aligned
	off   int64  // where buf goes, a multiple of writeStep until the file is finished
	size  int64  // of the whole file, once it is finished
	crc   uint32 // of its table, likewise
	rows  []tableRow
	index []byte // not yet written indexes, of the rows from unindexed on
	// unindexed is the first row whose index is not written yet.
	unindexed int
	open      bool // the last row takes further entries
}

// newBuilder begins a file.
func newBuilder(fs vfs.FS, dir string, number uint64) (*builder, error) {
	f, err := fs.Create(path.Join(dir, tempName(number)), vfs.Buffered)
	if err != nil {
		return nil, err
	}
	return &builder{fs: fs, dir: dir, number: number, f: f, buf: vfs.AlignedBuffer(writeStep)[:superSize]}, nil
}

// full reports whether the table has as many rows as a file may have; it stays below maxTable with the longest uids.
func (b *builder) full() bool { return len(b.rows) >= maxRows }

// pos returns the offset of the next byte.
func (b *builder) pos() uint64 { return uint64(b.off) + uint64(len(b.buf)) }

// write appends p to the file.
func (b *builder) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), cap(b.buf)-len(b.buf))
		b.buf = append(b.buf, p[:n]...)
		p = p[n:]
		if len(b.buf) < cap(b.buf) {
			continue
		}
		if err := b.flushStep(); err != nil {
			return err
		}
		runtime.Gosched() // a flush is long, and whoever waits for a processor has more urgent things to do
	}
	return nil
}

// flushStep writes a whole step past the page cache. Steps in the cache would all go to the disk at once when the file
// is synced, and keep the write-ahead log waiting.
func (b *builder) flushStep() error {
	if b.bulk == nil {
		var err error
		if b.bulk, err = b.fs.Open(path.Join(b.dir, tempName(b.number)), vfs.Direct); err != nil {
			return err
		}
	}
	return b.flushTo(b.bulk)
}

// flushTo writes what is gathered.
func (b *builder) flushTo(f vfs.File) error {
	if _, err := f.WriteAt(b.buf, b.off); err != nil {
		return err
	}
	b.off += int64(len(b.buf))
	b.buf = b.buf[:0]
	return nil
}

// mark adds a row without entries: what older generations have from cut on is void.
func (b *builder) mark(uid ra.UID, gen uint64, cut ra.Index) {
	b.open = false
	b.rows = append(b.rows, tableRow{uid: uid, row: row{file: b.number, gen: gen, cut: cut}})
}

// add appends an entry to the block that is open, or begins one for it. Cut is the cut of the block if it is a new one.
func (b *builder) add(uid ra.UID, gen uint64, cut ra.Index, e *ra.Entry) error {
	if !b.continues(uid, gen, e) {
		if err := b.begin(uid, gen, cut, e); err != nil {
			return err
		}
	}
	r := &b.rows[len(b.rows)-1]
	r.count++
	r.bytes += uint64(len(e.Body))
	var index [indexEntry]byte
	binary.LittleEndian.PutUint64(index[:], uint64(uint32(r.bytes))|uint64(binary.LittleEndian.Uint32(e.Body))<<32)
	r.indexCRC = ra.ExtendChecksum(r.indexCRC, index[:])
	b.index = append(b.index, index[:]...)
	return b.write(e.Body)
}

// continues reports whether e fits behind the last entry.
func (b *builder) continues(uid ra.UID, gen uint64, e *ra.Entry) bool {
	if !b.open {
		return false
	}
	r := &b.rows[len(b.rows)-1]
	return r.uid == uid && r.gen == gen && r.term == e.Term && r.last()+1 == e.Index &&
		r.count < maxBlockEntries && r.bytes+uint64(len(e.Body)) <= maxBlockBytes
}

// begin starts a block with e as its first entry.
func (b *builder) begin(uid ra.UID, gen uint64, cut ra.Index, e *ra.Entry) error {
	if len(b.index) >= indexStep {
		if err := b.writeIndexes(); err != nil {
			return err
		}
	}
	b.open = true
	b.rows = append(b.rows, tableRow{uid: uid, row: row{
		file: b.number, gen: gen, cut: cut, first: e.Index, term: e.Term, bodies: b.pos(),
	}})
	return nil
}

// writeIndexes writes the indexes of all blocks that have none yet.
func (b *builder) writeIndexes() error {
	at := b.pos()
	for i := b.unindexed; i < len(b.rows); i++ {
		if r := &b.rows[i]; r.count > 0 {
			r.index = at
			at += uint64(r.count) * indexEntry
		}
	}
	b.unindexed = len(b.rows)
	err := b.write(b.index)
	b.index = b.index[:0]
	return err
}

// finish writes the rest and makes it durable. The file still has its temporary name.
func (b *builder) finish() error {
	if err := b.writeIndexes(); err != nil {
		return err
	}
	s, table := b.table()
	if err := b.writeTables(&s, table); err != nil {
		return err
	}
	if err := b.f.Sync(); err != nil {
		return err
	}
	b.size, b.crc = int64(s.size), s.crc
	return b.close()
}

// close closes the handles.
func (b *builder) close() error {
	var errs []error
	for _, f := range []vfs.File{b.f, b.bulk} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	b.f, b.bulk = nil, nil
	return errors.Join(errs...)
}

// writeTables writes all that follows the indexes, and the first superblock.
func (b *builder) writeTables(s *super, table []byte) error {
	if err := b.write(table); err != nil {
		return err
	}
	if err := b.writeGap(); err != nil {
		return err
	}
	if err := b.write(table); err != nil {
		return err
	}
	if err := b.write(s.encode()); err != nil {
		return err
	}
	if err := b.flushTo(b.f); err != nil {
		return err
	}
	_, err := b.f.WriteAt(s.encode(), 0)
	return err
}

// table encodes the table and lays out what follows the indexes: both copies of the table, which share no block of the
// disk, and the second superblock.
func (b *builder) table() (super, []byte) {
	var table []byte
	for i := range b.rows {
		table = b.rows[i].append(table)
	}
	s := super{
		number: b.number, tableA: b.pos(), table: uint32(len(table)), crc: ra.Checksum(table), rows: uint32(len(b.rows)),
	}
	s.tableB = (s.tableA + uint64(s.table) + block - 1) &^ (block - 1)
	s.size = s.tableB + uint64(s.table) + superSize
	return s, table
}

// writeGap fills up with zeros to the next block.
func (b *builder) writeGap() error {
	var zeros [block]byte
	if rest := b.pos() % block; rest != 0 {
		return b.write(zeros[:block-rest])
	}
	return nil
}

// christen gives the file its name, which is durable only after the directory is synced.
func (b *builder) christen() error {
	return b.fs.Rename(path.Join(b.dir, tempName(b.number)), path.Join(b.dir, fileName(b.number)))
}

// drop gives the file up. What cannot be removed is removed at the next start.
func (b *builder) drop() error {
	return errors.Join(b.close(), b.fs.Remove(path.Join(b.dir, tempName(b.number))))
}
