//go:build unix

package vfs

import (
	"os"
	"syscall"
)

// lockFile takes an flock, which ends with the process and thus never needs to be cleared by hand.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
