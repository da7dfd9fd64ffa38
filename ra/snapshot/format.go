package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Format 1, as docs/FORMAT-SNAPSHOT.md describes it. All numbers are little endian, all checksums CRC-32C.
const (
	formatVersion = 1
	headMagic     = "HELIOSNP"
	footMagic     = "HELIOEND"
	headSize      = 24
	footSize      = 40
)

// ErrVersion says that a snapshot was written by a program that knows a later format. It is left alone.
var ErrVersion = errors.New("snapshot: unknown format version")

// encodeHead returns the header and the meta behind it.
//
//	0   8  "HELIOSNP"
//	8   4  CRC-32C of bytes 12 to 24 and of the meta
//	12  4  format version
//	16  4  length of the meta
//	20  4  zero
//	24     meta
func encodeHead(meta []byte) []byte {
	b := make([]byte, headSize, headSize+len(meta))
	copy(b, headMagic)
	le := binary.LittleEndian
	le.PutUint32(b[12:], formatVersion)
	le.PutUint32(b[16:], uint32(len(meta)))
	b = append(b, meta...)
	le.PutUint32(b[8:], ra.Checksum(b[12:]))
	return b
}

// footer ends a file, behind the compressed state.
//
//	0   8  "HELIOEND"
//	8   4  CRC-32C of bytes 12 to 40
//	12  4  CRC-32C of the compressed state
//	16  4  checksum of the header, so that no two halves of different files can pass for one
//	20  4  zero
//	24  8  length of the compressed state
//	32  8  length of the state
type footer struct {
	state, head uint32
	packed, raw uint64
}

func (f *footer) encode() []byte {
	b := make([]byte, footSize)
	copy(b, footMagic)
	le := binary.LittleEndian
	le.PutUint32(b[12:], f.state)
	le.PutUint32(b[16:], f.head)
	le.PutUint64(b[24:], f.packed)
	le.PutUint64(b[32:], f.raw)
	le.PutUint32(b[8:], ra.Checksum(b[12:]))
	return b
}

func decodeFooter(b []byte) (footer, error) {
	le := binary.LittleEndian
	if len(b) != footSize || string(b[:8]) != footMagic {
		return footer{}, corruptf("no footer of a snapshot")
	}
	if want, got := le.Uint32(b[8:]), ra.Checksum(b[12:]); want != got {
		return footer{}, corruptf("snapshot footer checksum is %08x, should be %08x", got, want)
	}
	if le.Uint32(b[20:]) != 0 {
		return footer{}, corruptf("snapshot footer does not fit together")
	}
	return footer{state: le.Uint32(b[12:]), head: le.Uint32(b[16:]), packed: le.Uint64(b[24:]), raw: le.Uint64(b[32:])}, nil
}

// layout is what header and footer say of a file.
type layout struct {
	meta Meta
	foot footer
	from int64 // of the compressed state
	size int64 // of the file
}

// sized is a file that is read.
type sized interface {
	io.ReaderAt
	Size() (int64, error)
}

// readLayout reads and checks header and footer. It fails with an error that wraps ra.ErrCorrupt if they do not check.
func readLayout(f sized) (*layout, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size < headSize+footSize {
		return nil, corruptf("snapshot of %d bytes", size)
	}
	head, err := readHead(f, size)
	if err != nil {
		return nil, err
	}
	l := &layout{size: size, from: int64(len(head))}
	if l.meta, err = decodeMeta(head[headSize:]); err != nil {
		return nil, err
	}
	foot, err := readPart(f, size-footSize, footSize)
	if err != nil {
		return nil, err
	}
	if l.foot, err = decodeFooter(foot); err != nil {
		return nil, err
	}
	if l.foot.head != binary.LittleEndian.Uint32(head[8:]) || l.foot.packed != uint64(size-footSize-l.from) {
		return nil, corruptf("header and footer of the snapshot do not belong together")
	}
	return l, nil
}

// readHead reads the header with the meta.
func readHead(f io.ReaderAt, size int64) ([]byte, error) {
	b, err := readPart(f, 0, headSize)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	n := int64(le.Uint32(b[16:]))
	if string(b[:8]) != headMagic || n > MaxMeta || headSize+n+footSize > size {
		return nil, corruptf("no header of a snapshot")
	}
	if b, err = readPart(f, 0, int(headSize+n)); err != nil {
		return nil, err
	}
	if want, got := le.Uint32(b[8:]), ra.Checksum(b[12:]); want != got {
		return nil, corruptf("snapshot header checksum is %08x, should be %08x", got, want)
	}
	if v := le.Uint32(b[12:]); v != formatVersion {
		return nil, fmt.Errorf("%w %d, this program knows %d", ErrVersion, v, formatVersion)
	}
	if le.Uint32(b[20:]) != 0 {
		return nil, corruptf("snapshot header does not fit together")
	}
	return b, nil
}

// verify reads the whole compressed state and checks it.
func (l *layout) verify(f io.ReaderAt) error {
	r := section{f: f, off: l.from, end: l.size - footSize}
	buf := make([]byte, min(128<<10, l.size))
	for {
		_, err := r.Read(buf)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if r.crc != l.foot.state {
		return corruptf("snapshot state checksum is %08x, should be %08x", r.crc, l.foot.state)
	}
	return nil
}

// section reads a part of a file and keeps the checksum of what it read.
type section struct {
	f        io.ReaderAt
	off, end int64
	crc      uint32
	failed   error // what the disk said, if it failed
}

// Read implements io.Reader.
func (s *section) Read(b []byte) (int, error) {
	if s.off >= s.end {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), s.end-s.off)]
	n, err := s.f.ReadAt(b, s.off)
	if n > 0 {
		s.crc = ra.ExtendChecksum(s.crc, b[:n])
		s.off += int64(n)
		return n, nil
	}
	if err = tooShort(err); !errors.Is(err, ra.ErrCorrupt) {
		s.failed = err
	}
	return 0, err
}

// readPart reads n bytes; a file that ends too early is corrupt.
func readPart(f io.ReaderAt, off int64, n int) ([]byte, error) {
	b := make([]byte, n)
	k, err := f.ReadAt(b, off)
	if k == n {
		return b, nil
	}
	return nil, tooShort(err)
}

// tooShort says that a file is corrupt if err is that of a read beyond its end.
func tooShort(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return corruptf("snapshot is too short")
	}
	return err
}
