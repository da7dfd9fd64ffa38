package snapshot

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Reader reads the state of a snapshot. The file stays readable until Close, also if a newer snapshot takes its place.
type Reader struct {
	f     vfs.File
	l     *layout
	part  section
	z     *zstd.Decoder
	total uint64
}

// OpenReader opens the snapshot of a member to restore the machine from it. It returns ErrNone if there is none. The
// memory for decoding is bounded, and no more is decoded than the footer says.
func (s *Store) OpenReader(uid ra.UID) (*Reader, error) {
	f, l, err := s.openNewest(uid)
	if err != nil {
		return nil, err
	}
	return s.newReader(f, l)
}

// newReader reads the state of an open file, which it closes if that is not possible.
func (s *Store) newReader(f vfs.File, l *layout) (*Reader, error) {
	if s.cfg.MaxState > 0 && l.foot.raw > uint64(s.cfg.MaxState) {
		err := fmt.Errorf("%w: state of %d bytes, allowed are %d", ra.ErrTooLarge, l.foot.raw, s.cfg.MaxState)
		return nil, errors.Join(err, f.Close())
	}
	r := &Reader{f: f, l: l, part: section{f: f, off: l.from, end: l.size - footSize}}
	var err error
	r.z, err = zstd.NewReader(&r.part, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxWindow), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

// openNewest opens a member's snapshot.
func (s *Store) openNewest(uid ra.UID) (vfs.File, *layout, error) {
	f, _, err := s.openInForce(uid)
	if err != nil {
		return nil, nil, err
	}
	l, err := readLayout(f)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, l, nil
}

// openInForce opens what a member's snapshot lies in. One that is replaced meanwhile, or moved to another pack, is found
// where it is then.
func (s *Store) openInForce(uid ra.UID) (vfs.File, Info, error) {
	for {
		info, ok := s.Newest(uid)
		if !ok {
			return nil, Info{}, fmt.Errorf("%w of %s", ErrNone, uid)
		}
		f, err := s.open(info.id(), info.at)
		if errors.Is(err, vfs.ErrNotExist) {
			if s.newestSettled(uid) != info {
				continue
			}
		}
		return f, info, err
	}
}

// newestSettled is Newest when nobody is about to change it: a file goes before it is noted that it is gone.
func (s *Store) newestSettled(uid ra.UID) Info {
	s.publish.Lock()
	defer s.publish.Unlock()
	info, _ := s.Newest(uid)
	return info
}

// Meta returns what the snapshot stands for.
func (r *Reader) Meta() Meta { return r.l.meta }

// Size returns the length of the state in bytes.
func (r *Reader) Size() int64 { return int64(r.l.foot.raw) }

// Read reads the state. It returns io.EOF only after every byte was checked: what was read before an error that wraps
// ra.ErrCorrupt must not be used.
func (r *Reader) Read(b []byte) (int, error) {
	n, err := r.z.Read(b)
	if r.total += uint64(n); r.total > r.l.foot.raw {
		return 0, corruptf("state is longer than %d bytes", r.l.foot.raw)
	}
	switch {
	case err == nil:
		return n, nil
	case err != io.EOF:
		return n, r.cause(err)
	case r.total != r.l.foot.raw || r.part.off != r.part.end || r.part.crc != r.l.foot.state:
		return n, corruptf("state of %d bytes does not check", r.total)
	}
	return n, io.EOF
}

// cause tells an error of the disk from bytes that cannot be decoded.
func (r *Reader) cause(err error) error {
	if r.part.failed != nil {
		return r.part.failed
	}
	return corruptf("state: %v", err)
}

// Close closes the file.
func (r *Reader) Close() error {
	r.z.Close()
	return r.f.Close()
}
