package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
)

// Map does what the function of that name says.
func (f *osFile) Map(n int) File {
	if f.direct {
		return f
	}
	mem, err := syscall.Mmap(int(f.f.Fd()), 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return f
	}
	return &mappedFile{osFile: f, mem: mem}
}

// mappedFile is a file of which the beginning is mapped into memory.
type mappedFile struct {
	*osFile
	mem []byte
}

// WriteAt stores what is within the mapping, and else writes.
func (f *mappedFile) WriteAt(b []byte, off int64) (n int, err error) {
	if off < 0 || off > int64(len(f.mem)) || len(b) > len(f.mem)-int(off) {
		return f.osFile.WriteAt(b, off)
	}
	// A page that is not in memory and cannot be read, or for which there is no space, or that the file has no more, is told by a
	// signal.
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			n, err = 0, storeError(f.f.Name(), p)
		}
	}(debug.SetPanicOnFault(true))
	return copy(f.mem[off:], b), nil
}

// storeError makes an error of what a store panics with.
func storeError(name string, p any) error {
	cause, ok := p.(runtime.Error)
	if !ok {
		panic(p)
	}
	return &fs.PathError{Op: "store", Path: name, Err: fmt.Errorf("%w: %w", syscall.EIO, cause)}
}

// Close unmaps and closes the file.
func (f *mappedFile) Close() error {
	mem := f.mem
	f.mem = nil
	if mem == nil {
		return f.osFile.Close()
	}
	return errors.Join(os.NewSyscallError("munmap", syscall.Munmap(mem)), f.osFile.Close())
}
