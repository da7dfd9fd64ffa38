// Package floor is the disk alone: three files, each written and synced for all commands that wait, and a command is
// done when two of them have it. Nothing is replicated, applied or ordered. No replicated log on these disks can answer
// one command sooner; what a host takes longer is its own.
package floor

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// fileSize is the length of each file, zeroed beforehand and recycled by wrapping round.
const fileSize = 64 << 20

// Host writes the files.
type Host struct {
	files   []*file
	running sync.WaitGroup
}

// New returns a host that is not started.
func New() driver.Rival { return &Host{} }

// command is done when a majority of the files has it.
type command struct {
	missing atomic.Int32
	done    func(error)
}

// file is one file and the goroutine that writes it.
type file struct {
	f      vfs.File
	offset int64
	buffer []byte

	mu      sync.Mutex
	wake    *sync.Cond
	waiting []*command
	bytes   int
	closed  bool

	syncs, entries atomic.Int64
}

// Start makes the files below dir.
func (h *Host) Start(nodes int, dir string) error {
	for i := range nodes {
		f, err := create(filepath.Join(dir, fmt.Sprint("node", i)))
		if err != nil {
			return errors.Join(err, h.Close())
		}
		h.files = append(h.files, f)
		h.running.Go(f.run)
	}
	return nil
}

func create(dir string) (*file, error) {
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		return nil, err
	}
	f, err := fs.Create("log", vfs.Direct)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(vfs.Zero(f, 0, fileSize), f.Sync(), fs.SyncDir(".")); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	x := &file{f: f, buffer: vfs.AlignedBuffer(fileSize / 8)}
	x.wake = sync.NewCond(&x.mu)
	return x, nil
}

// StartClusters has nothing to do: a file does not know whose commands it holds.
func (h *Host) StartClusters(int) error { return nil }

// Propose has a command written to all files.
func (h *Host) Propose(_ int, payload []byte, done func(error)) {
	c := &command{done: done}
	c.missing.Store(int32(len(h.files)/2 + 1))
	for _, f := range h.files {
		f.add(c, len(payload))
	}
}

func (f *file) add(c *command, n int) {
	f.mu.Lock()
	f.waiting = append(f.waiting, c)
	f.bytes += n
	f.mu.Unlock()
	f.wake.Signal()
}

// run writes and syncs whatever waits, until the file is closed.
func (f *file) run() {
	var batch []*command
	for {
		f.mu.Lock()
		for len(f.waiting) == 0 && !f.closed {
			f.wake.Wait()
		}
		if f.closed {
			f.mu.Unlock()
			return
		}
		batch, f.waiting = f.waiting, batch[:0]
		n := f.bytes
		f.bytes = 0
		f.mu.Unlock()
		err := f.writeSync(n)
		f.syncs.Add(1)
		f.entries.Add(int64(len(batch)))
		for _, c := range batch {
			if c.missing.Add(-1) == 0 {
				c.done(err)
			}
		}
		clear(batch)
	}
}

func (f *file) writeSync(n int) error {
	n = min((n+vfs.BlockSize-1)&^(vfs.BlockSize-1), len(f.buffer))
	if f.offset+int64(n) > fileSize {
		f.offset = 0
	}
	if _, err := f.f.WriteAt(f.buffer[:n], f.offset); err != nil {
		return err
	}
	f.offset += int64(n)
	return f.f.Sync()
}

// Stats returns how often the files were synced.
func (h *Host) Stats() driver.Stats {
	var s driver.Stats
	for _, f := range h.files {
		s.Syncs += f.syncs.Load()
		s.Entries += f.entries.Load()
	}
	return s
}

// Close stops the goroutines and closes the files.
func (h *Host) Close() error {
	for _, f := range h.files {
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		f.wake.Signal()
	}
	h.running.Wait()
	var errs []error
	for _, f := range h.files {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}
