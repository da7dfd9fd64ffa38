package wal

import (
	"errors"
	"fmt"
	"path"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Closed is a file that is no longer written. It stays until it is released.
type Closed struct {
	// Seq is the number in the file's name.
	Seq uint64
	// Spans is what the members have in it, one each.
	Spans []Span

	name     string
	size     int64
	damaged  bool
	released bool
}

// room says whether there is room for entries, for Append, which runs while another batch is committed.
type room struct {
	full atomic.Bool  // no further file could be made for want of space
	left atomic.Int64 // what is left for entries in the current file
}

// admit refuses n bytes of frames that b should not take.
func (l *Log) admit(b *Batch, n int) error {
	if n == 0 {
		return nil
	}
	pending := b.pending.Load()
	if pending > 0 && pending+int64(n) > int64(l.cfg.MaxBatch) {
		return fmt.Errorf("%w: the batch holds %d bytes", ra.ErrOverloaded, pending)
	}
	if !l.room.full.Load() {
		return nil
	}
	const overhead = 4 * block // per batch: head, tail, padding
	l.mu.Lock()
	defer l.mu.Unlock()
	used := int64(n)
	for _, other := range l.batches {
		used += other.pending.Load() + overhead
	}
	if used > l.room.left.Load() {
		return fmt.Errorf("%w: %d bytes are left in the last WAL file", ra.ErrDiskFull, l.room.left.Load())
	}
	return nil
}

// roll goes on in the next file, which has room for a batch of need bytes. The batch is still unwritten: if there is no
// space for another file that is reported as ra.ErrDiskFull, and nothing has changed.
func (l *Log) roll(need int64) error {
	err, old := l.reserve(headerSize+need+block+l.cfg.emergencyRoom()), l.cur
	if err == nil {
		err = l.rollOver(need)
	}
	switch {
	case err == nil:
		l.finish(old)
		return nil
	case vfs.IsFull(err) && !errors.Is(err, errBegun): // some file systems need space for a name, too
		l.room.full.Store(true)
		return fmt.Errorf("%w: %w", ra.ErrDiskFull, err)
	}
	return l.fail(err)
}

// errBegun says that a file may have its name that was not begun to the end. As its header says where the one before it ends,
// nothing more may be written there.
var errBegun = errors.New("wal: the next file may be there")

// rollOver closes the current file where it was last confirmed and begins the next one, whose header says where that
// was, and which has room for a batch of need bytes. What was written to the old file beyond is void from the moment on
// that the new file has its name.
func (l *Log) rollOver(need int64) error {
	h := fileHeader{
		seq: l.cur.header.seq + 1, prevSeq: l.cur.header.seq, prevID: l.cur.header.id, prevEnd: uint64(l.cur.off), firstBatch: l.next,
	}
	next, err := l.begin(h, need)
	if err != nil {
		// The spare may have been bad: once more, with another one.
		first := err
		if next, err = l.begin(h, need); err != nil {
			return errors.Join(first, err)
		}
	}
	l.retire(l.cur)
	l.cur, l.sealed, l.firstEnd, l.gauge.rolled = next, false, 0, true
	l.setCurrent()
	return nil
}

// begin makes the file that h describes out of a spare: header, first batches if there are any, sync, name, sync of the
// directory. Header and first batches thus appear together or not at all. Behind them the file has room for need bytes
// and a mark.
func (l *Log) begin(h fileHeader, need int64, first ...*Batch) (*file, error) {
	size := headerSize + need + block + l.cfg.emergencyRoom()
	before := echoOfNone
	for _, b := range first {
		size += b.need(before) + block
		before += b.echo
	}
	if err := l.reserve(size); err != nil {
		return nil, err
	}
	s, err := l.takeSpare()
	if err != nil {
		return nil, err
	}
	f, err := l.openSpare(s, &h, first)
	if err != nil {
		// It is not used again. If it cannot be removed either, the next start finds and removes it.
		_ = l.cfg.FS.Remove(l.path(s.name))
		return nil, err
	}
	return f, nil
}

// openSpare turns the spare into the file that h describes.
func (l *Log) openSpare(s spare, h *fileHeader, first []*Batch) (*file, error) {
	id, err := l.random()
	if err != nil {
		return nil, err
	}
	h.id, h.size, h.log = id, uint64(s.size), l.id
	handle, err := l.cfg.FS.Open(l.path(s.name), l.mode())
	if err != nil {
		return nil, err
	}
	f := &file{f: handle, header: *h, size: s.size, off: headerSize, chain: h.chain()}
	if err := l.christen(f, s.name, first); err != nil {
		return nil, errors.Join(err, handle.Close())
	}
	return f, nil
}

// mode is how the files of the log are written.
func (l *Log) mode() vfs.Mode {
	if l.cfg.Buffered {
		return vfs.Buffered
	}
	return vfs.Direct
}

// christen is the part of openSpare that happens on the disk.
func (l *Log) christen(f *file, name string, first []*Batch) error {
	b := vfs.AlignedBuffer(headerSize)
	f.header.encode(b)
	if _, err := f.f.WriteAt(b, 0); err != nil {
		return err
	}
	if err := f.f.Sync(); err != nil {
		return err
	}
	for i, b := range first {
		if err := f.write(b, f.header.firstBatch+uint64(i), 0); err != nil {
			return err
		}
	}
	err := l.cfg.FS.Rename(l.path(name), l.path(fileName(f.header.seq)))
	if vfs.IsFull(err) { // then it did not happen
		return err
	}
	if err == nil {
		err = l.cfg.FS.SyncDir(l.cfg.Dir)
	}
	if err != nil {
		return errors.Join(errBegun, err)
	}
	return nil
}

// retire hands a file that is no longer written to those who wait for it.
func (l *Log) retire(f *file) {
	c := &Closed{Seq: f.header.seq, Spans: f.spans, name: fileName(f.header.seq), size: f.size}
	l.mu.Lock()
	l.closed = append(l.closed, c)
	l.mu.Unlock()
}

// finish writes into a full file, behind what is confirmed there, that the log continues in the next file: should that
// one ever be missing, the loss shows. All in the file was synced before, so that a failure here harms nothing; nor does
// one of Close.
func (l *Log) finish(old *file) {
	if old.left() >= old.markSize() {
		l.seal.Reset()
		_ = old.write(l.seal, l.next, batchContinues)
	}
	_ = old.f.Close()
}

// setCurrent tells everybody which file is being written.
func (l *Log) setCurrent() {
	l.mu.Lock()
	l.current = l.cur.header
	l.mu.Unlock()
	l.tellRoom()
}

// tellRoom notes what is left for entries in the current file.
func (l *Log) tellRoom() {
	l.room.left.Store(l.cur.left() - l.cfg.emergencyRoom() - 2*int64(l.cur.echo.size()))
}

// path returns the name of one of the log's files for the file system.
func (l *Log) path(name string) string { return path.Join(l.cfg.Dir, name) }
