package wal

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// readStep is how much of a file is read at once.
const readStep = 1 << 20

// source reads a file in large steps. What cannot be read counts as zeros, but must not be taken for the end of the log,
// which is zeros too: see unreadable.
type source struct {
	f    vfs.File
	size int64
	buf  []byte
	at   int64           // offset of buf in the file
	bad  map[int64]error // why the blocks at these offsets could not be read
	dead error           // of many blocks not one could be read: that is not damage, it is a disk that fails
}

// bytes returns n bytes at offset off, which the file has. They are valid until the next call.
func (s *source) bytes(off int64, n int) []byte {
	if off < s.at || off+int64(n) > s.at+int64(len(s.buf)) {
		s.fill(off, n)
	}
	return s.buf[off-s.at:][:n]
}

// fill reads a step, or more if more is wanted.
func (s *source) fill(off int64, n int) {
	want := int(min(max(int64(n), readStep), s.size-off))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf, s.at = s.buf[:want], off
	if k, err := s.f.ReadAt(s.buf, off); err == nil || k == want {
		return
	}
	good := false
	for p := 0; p < want; p += block {
		part := s.buf[p:min(p+block, want)]
		k, err := s.f.ReadAt(part, off+int64(p))
		if err == nil || k == len(part) {
			good = true
			continue
		}
		clear(part)
		s.spoil(off+int64(p), len(part), err)
	}
	if !good && want > block {
		s.dead = fmt.Errorf("%w: %w", errUnreadable, s.unreadable(off, off+1))
	}
}

// spoil notes that the blocks of n bytes at off cannot be read.
func (s *source) spoil(off int64, n int, err error) {
	if s.bad == nil {
		s.bad = make(map[int64]error)
	}
	for at := off &^ (block - 1); at < off+int64(n); at += block {
		s.bad[at] = err
	}
}

// unreadable returns why the bytes from lo to hi, which were asked for before, could not all be read; nil if they could.
func (s *source) unreadable(lo, hi int64) error {
	if len(s.bad) == 0 {
		return nil
	}
	for at := lo &^ (block - 1); at < hi; at += block {
		if err := s.bad[at]; err != nil {
			return err
		}
	}
	return nil
}

// readFileHeader returns the header of a WAL file from whichever copy is sound. A file of which neither can be read is
// not damaged as far as anybody knows: that is an error of the disk.
func (s *source) readFileHeader() (fileHeader, error) {
	if s.size < headerSize {
		return fileHeader{}, corruptf("WAL file of %d bytes", s.size)
	}
	b := s.bytes(0, headerSize)
	h, err := decodeFileHeader(b[:block])
	if err == nil || errors.Is(err, errVersion) {
		return h, err
	}
	if second, err2 := decodeFileHeader(b[block:]); err2 == nil || errors.Is(err2, errVersion) {
		return second, err2
	}
	if cause := s.unreadable(0, headerSize); cause != nil {
		return h, fmt.Errorf("%w: header: %w", errUnreadable, cause)
	}
	return h, err
}

// batchInfo is one batch as its table tells, without the frames.
type batchInfo struct {
	header batchHeader
	crc    uint32
	table  []byte // a copy
	off    int64
}

// end returns the offset behind the batch.
func (b *batchInfo) end() int64 { return b.off + int64(b.header.length) }

// head reads the head of a batch at off, which must end before limit.
func (s *source) head(off, limit int64, fileID uint64) (batchInfo, bool) {
	if off+block > limit {
		return batchInfo{}, false
	}
	fixed := s.bytes(off, batchFixed)
	if binary.LittleEndian.Uint32(fixed) != headMagic {
		return batchInfo{}, false
	}
	h := decodeBatchHeader(fixed)
	if h.fileID != fileID || !h.fits(limit-off) {
		return batchInfo{}, false
	}
	b := s.bytes(off, batchFixed+int(h.table))
	return check(h, b[:batchFixed], b[batchFixed:], off)
}

// tail reads the tail of a batch that ends at end and begins at or after from.
func (s *source) tail(from, end int64, fileID uint64) (batchInfo, bool) {
	fixed := s.bytes(end-batchFixed, batchFixed)
	if binary.LittleEndian.Uint32(fixed) != tailMagic {
		return batchInfo{}, false
	}
	h := decodeBatchHeader(fixed)
	if h.fileID != fileID || !h.fits(end-from) {
		return batchInfo{}, false
	}
	n := int(h.table)
	b := s.bytes(end-batchFixed-int64(n), n+batchFixed)
	return check(h, b[n:], b[:n], end-int64(h.length))
}

// check compares the checksum of a head or tail.
func check(h batchHeader, fixed, table []byte, off int64) (batchInfo, bool) {
	crc := ra.ExtendChecksum(ra.Checksum(fixed[8:batchFixed]), table)
	if crc != binary.LittleEndian.Uint32(fixed[4:]) {
		return batchInfo{}, false
	}
	return batchInfo{header: h, crc: crc, table: append([]byte(nil), table...), off: off}, true
}

// resync looks behind a head that is not sound for the next thing that is: the tail of the same batch, or the head or
// tail of a later one. Sequence numbers below seq are remains of nothing that matters. It does not look at the chain: see
// walk.follow.
func (s *source) resync(off, limit int64, fileID, seq uint64) (batchInfo, bool) {
	for p := off; p+block <= limit; p += block {
		if p > off {
			if b, ok := s.head(p, limit, fileID); ok && b.header.seq > seq {
				return b, true
			}
		}
		b, ok := s.tail(off, p+block, fileID)
		if ok && (b.header.seq > seq && b.off > off || b.header.seq == seq && b.off == off) {
			return b, true
		}
	}
	return batchInfo{}, false
}

// frame is a sound frame.
type frame struct {
	row   uint32
	entry ra.Entry
}

// frames calls yield for every sound frame of the batch, in order, with a body that is valid during the call only. What
// is not sound it skips: to the next frame if the length is known, byte by byte otherwise; the salt sees to it that
// nothing else can be taken for a frame of this batch.
func (s *source) frames(b *batchInfo, yield func(frame)) {
	var head frameHead
	area := s.bytes(b.off+int64(b.header.framesAt), int(b.header.frames))
	for len(area) > 0 {
		row, body, rest, ok := head.open(area, b.header.salt)
		if !ok {
			area = area[1:]
			continue
		}
		if e, err := ra.OpenEntry(body); err == nil {
			yield(frame{row: row, entry: e})
		}
		area = rest
	}
}
