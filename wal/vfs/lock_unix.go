//go:build unix

package vfs

import (
	"errors"
	"os"
	"syscall"
)

// noWaitFlag has an open not wait for who is at the other end of a pipe.
const noWaitFlag = syscall.O_NONBLOCK

// lockFile takes an flock, which ends with the process and thus never needs to be cleared by hand.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// isLocked reports whether err says that another one has the lock, and not that the file system knows none for this file.
func isLocked(err error) bool { return errors.Is(err, syscall.EWOULDBLOCK) }
