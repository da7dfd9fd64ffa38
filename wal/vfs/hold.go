package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxPID bounds what is read of a lock file.
const maxPID = 32

// Hold takes a lock file as FS.Lock does, and notes in it which process has it, for Holder.
func Hold(fs FS, name string) (io.Closer, error) {
	lock, err := fs.Lock(name)
	if err != nil {
		return nil, err
	}
	if err := writePID(fs, name); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// writePID notes who holds the lock. The length never changes, so that the file is never seen half written.
func writePID(fs FS, name string) error {
	f, err := fs.Open(name, Buffered)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%-*d\n", maxPID-1, os.Getpid()), 0)
	return errors.Join(err, f.Close())
}

// Holder returns the number of the process that holds a lock file, 0 if that cannot be told.
func Holder(fs FS, name string) int {
	f, err := fs.Open(name, Buffered)
	if err != nil {
		return 0
	}
	defer f.Close()
	var b [maxPID]byte
	n, _ := f.ReadAt(b[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
