// Package vfs is the file system as storage sees it: the operating system's, one in memory that can crash, and one that
// fails on demand.
//
// Nothing else in storage imports os, so that every storage package runs unchanged on all three. Names are relative to
// the root that the file system was opened on, with slashes between their parts, and cannot leave it.
//
// This package makes no compatibility promise.
package vfs

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// BlockSize is the unit of direct I/O: offset, length and memory address of such a read or write are multiples of it.
const BlockSize = 4096

// ErrNotExist and ErrExist are the errors that errors.Is finds when a name is missing or taken.
var (
	ErrNotExist = fs.ErrNotExist
	ErrExist    = fs.ErrExist
)

// IsFull reports whether err says that there is no space left, or no more of one's share, or no file may become longer.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// FS is a file system below one root. Its methods may be called by several goroutines at once.
type FS interface {
	Files
	Dirs
}

// Files is the part of FS that deals in files. What Create, Rename and Remove did to a directory is durable only after
// a SyncDir of that directory.
type Files interface {
	// Create makes a new empty file for reading and writing. It fails with ErrExist if the name is taken.
	Create(name string, mode Mode) (File, error)
	// Open opens an existing file for reading and writing. It fails with ErrNotExist if there is none.
	Open(name string, mode Mode) (File, error)
	// Rename gives the file old the name new, whether or not another file had it.
	Rename(old, new string) error
	// Remove deletes a file, or a directory that is empty.
	Remove(name string) error
}

// Dirs is the part of FS that deals in directories.
type Dirs interface {
	// MkdirAll makes a directory and those above it, each synced into its parent. What exists already is no error.
	MkdirAll(name string) error
	// List returns the names in a directory, sorted; the name of a directory, or of anything else that is no file, ends in
	// a slash. Nobody is to open such a thing: a pipe would block, a socket cannot be opened.
	List(dir string) ([]string, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock takes the named lock file, which it makes if need be, for this process alone, until the lock is closed or the
	// process ends. It fails at once with an error that wraps ErrLocked if another holder has it. A directory should have
	// one lock file only.
	Lock(name string) (io.Closer, error)
}

// File is an open file. ReadAt may be called by several goroutines at once, also while another one writes elsewhere in
// the file.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Sync makes the content and the size durable (fdatasync). After an error nothing may be assumed about what was
	// written since the last successful Sync, and a further Sync that succeeds proves nothing: the file must be given up.
	Sync() error
	// Size returns the length in bytes.
	Size() (int64, error)
	io.Closer
}

// Mode says how a file is opened.
type Mode uint8

const (
	// Buffered is ordinary access through the page cache.
	Buffered Mode = iota
	// Direct goes round the page cache where the system can do it, and is Buffered elsewhere. The file may then be
	// written and read in aligned blocks only, see BlockSize and AlignedBuffer.
	Direct
)

// IsDirect reports whether f really goes round the page cache.
func IsDirect(f File) bool {
	d, ok := f.(interface{ IsDirect() bool })
	return ok && d.IsDirect()
}

// WriteSync writes b at offset off and makes that durable, as WriteAt and Sync would. Nothing else that was written to f
// since the last Sync need become durable by it. After an error it is as after one of Sync. Where the system can do it no
// processor is occupied meanwhile.
func WriteSync(f File, b []byte, off int64) error {
	if w, ok := f.(interface {
		WriteSync(b []byte, off int64) error
	}); ok {
		return w.WriteSync(b, off)
	}
	return writeThenSync(f, b, off)
}

func writeThenSync(f File, b []byte, off int64) error {
	if _, err := f.WriteAt(b, off); err != nil {
		return err
	}
	return f.Sync()
}

// Map returns f with its first n bytes, which it must have, in memory, where the system can do that: there a write is a store. It
// costs no call of the system, whoever reads the file sees it, also when this process has been killed, and a Sync makes it
// durable like any other. All else is as before, but f is not to be used itself any more, and nobody may close the file while
// another one writes.
func Map(f File, n int) File {
	if m, ok := f.(interface{ Map(n int) File }); ok {
		return m.Map(n)
	}
	return f
}

// Zero writes n zero bytes from offset off on; both are multiples of BlockSize. Afterwards and after a Sync the blocks
// belong to the file for good: later writes to them need no space and change no metadata.
func Zero(f File, off, n int64) error {
	if z, ok := f.(interface{ Zero(off, n int64) error }); ok {
		return z.Zero(off, n)
	}
	return writeZeros(f, off, n)
}

// zeroStep is how much writeZeros writes at once. Large writes leave large pages in the cache, which makes later small
// writes to the file cheaper. Past the cache each write keeps the disk busy, and others waiting, so they are smaller.
const (
	zeroStep       = 1 << 20
	directZeroStep = 256 << 10
)

func writeZeros(f File, off, n int64) error {
	most := int64(zeroStep)
	if IsDirect(f) {
		most = directZeroStep
	}
	zeros := AlignedBuffer(int(min(n, most)))
	for n > 0 {
		step := min(n, most)
		if _, err := f.WriteAt(zeros[:step], off); err != nil {
			return err
		}
		off += step
		n -= step
	}
	return nil
}
