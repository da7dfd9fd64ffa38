package wal

import (
	"errors"
	"fmt"
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// spare is a file that is ready to become the next WAL file: all its blocks are written, so that writing to it needs no
// space. What it holds, zeros or an old WAL file, does not matter.
type spare struct {
	name string
	size int64
}

var errNoSpare = errors.New("wal: no spare file")

// spares are the files that are ready.
type spares struct {
	mu    sync.Mutex // held while a spare is made: whoever needs one then waits for it
	ready []spare
	next  uint64 // number for the next one's name
}

// Reserve makes a spare file if there is none, so that the next roll-over need not. It takes as long as writing and
// syncing FileSize bytes, and may be called by any goroutine while others commit. With ra.ErrDiskFull there is no space
// for it; entries are then taken only as far as the current file has room, until a later Reserve or Release succeeds.
func (l *Log) Reserve() error {
	err := l.reserve(l.cfg.FileSize)
	if vfs.IsFull(err) {
		l.room.full.Store(true)
		return fmt.Errorf("%w: %w", ra.ErrDiskFull, err)
	}
	return err
}

// NeedsReserve reports whether Reserve would have something to do.
func (l *Log) NeedsReserve() bool {
	l.spares.mu.Lock()
	defer l.spares.mu.Unlock()
	return len(l.spares.ready) == 0
}

// reserve sees to it that there is a spare of at least size bytes, and of FileSize.
func (l *Log) reserve(size int64) error {
	s := &l.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	size = max(size, l.cfg.FileSize)
	for i := range s.ready {
		if s.ready[i].size >= size {
			// The next one to be taken is the last.
			last := len(s.ready) - 1
			s.ready[i], s.ready[last] = s.ready[last], s.ready[i]
			return nil
		}
	}
	made, err := l.makeSpare(size)
	if err != nil {
		return err
	}
	s.ready = append(s.ready, made)
	l.room.full.Store(false)
	return nil
}

// takeSpare takes a spare away. There is one: reserve was called before, and nobody else takes any.
func (l *Log) takeSpare() (spare, error) {
	s := &l.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.ready)
	if n == 0 {
		return spare{}, errNoSpare
	}
	out := s.ready[n-1]
	s.ready = s.ready[:n-1]
	return out, nil
}

// makeSpare makes a zeroed file. It gets its name only when it is whole. The caller holds the lock of the spares.
func (l *Log) makeSpare(size int64) (spare, error) {
	l.spares.next++
	fs, s := l.cfg.FS, spare{name: spareName(l.spares.next), size: size}
	f, err := fs.Create(l.path(s.name+tempSuffix), l.mode())
	if err != nil {
		return spare{}, err
	}
	err = vfs.Zero(f, 0, size)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(l.path(s.name+tempSuffix), l.path(s.name))
	}
	if err != nil {
		_ = fs.Remove(l.path(s.name + tempSuffix))
		return spare{}, err
	}
	return s, nil
}
