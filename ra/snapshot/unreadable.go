package snapshot

import (
	"errors"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// A disk that refuses to read a part of a file may have lost that part, or fail as a whole. The first is damage of the
// member whose file it is, and of nobody else; the second must not pass for damage of all members. So a file that cannot
// be read is damaged if, asked once more, the disk refuses it again and reads something else.

// probing is a file that remembers whether the disk refused to read of it.
type probing struct {
	vfs.File
	refused error
}

// ReadAt reads.
func (p *probing) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.File.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		p.refused = err
	}
	return n, err
}

// twice has read read a file that may be hard to read. It fails with an error that wraps ra.ErrCorrupt if what read needs
// cannot be read, and something else can.
func (s *Store) twice(f vfs.File, name string, read func(vfs.File) error) error {
	for again := false; ; again = true {
		p := &probing{File: f}
		err := read(p)
		switch {
		case p.refused == nil, again && (err == nil || errors.Is(err, ErrVersion)):
			return err
		case again && s.readsElse(f, name):
			return fmt.Errorf("%w: %s cannot be read: %w", ra.ErrCorrupt, name, p.refused)
		case again:
			return err
		}
	}
}

// checkTwice is check for a file that may be hard to read.
func (s *Store) checkTwice(f vfs.File, n id) (l *layout, err error) {
	err = s.twice(f, n.String(), func(f vfs.File) (err error) {
		l, err = check(f, n)
		return err
	})
	return l, err
}

// readPackTwice is readPack for a file that may be hard to read. If the disk refuses to read both tables nobody can tell
// whose snapshots are at stake, nor whether the disk is at fault or the file: that is no damage but an error.
func readPackTwice(f vfs.File, number uint64) (rows []packRow, hurt error, err error) {
	rows, hurt, err = readPack(f, number)
	if !refused(hurt) && !refused(err) {
		return rows, hurt, err
	}
	return readPack(f, number)
}

// refused reports whether err is the disk's, and not about what was read.
func refused(err error) bool {
	return err != nil && !errors.Is(err, ra.ErrCorrupt) && !errors.Is(err, ErrVersion)
}

// readsElse reports whether the disk reads anything of another block of the file, or of another file.
func (s *Store) readsElse(f vfs.File, name string) bool {
	size, err := f.Size()
	if err == nil && readsAny(f, size) {
		return true
	}
	names, err := s.cfg.FS.List(s.cfg.Dir)
	if err != nil {
		return false
	}
	for _, other := range names {
		_, snap := parseName(other)
		_, pack := parsePackName(other)
		// Of a pack all blocks are asked: f may be a part of it.
		if other != name && (snap || pack) && s.readsFile(other, pack) {
			return true
		}
	}
	return false
}

// readsFile reports whether the disk reads the first block of a file, or any.
func (s *Store) readsFile(name string, all bool) bool {
	f, err := s.cfg.FS.Open(s.path(name), vfs.Buffered)
	if err != nil {
		return false
	}
	size := int64(1)
	if all {
		size, err = f.Size()
	}
	reads := err == nil && readsAny(f, size)
	_ = f.Close() // it was only read
	return reads
}

// readsAny reports whether a block of the first size bytes can be read.
func readsAny(f vfs.File, size int64) bool {
	var b [1]byte
	for off := int64(0); off < size; off += vfs.BlockSize {
		if n, _ := f.ReadAt(b[:], off); n == 1 {
			return true
		}
	}
	return false
}
