package vfs

import (
	"errors"
	"os"
	"syscall"
)

// directFlag asks open for direct I/O.
const directFlag = syscall.O_DIRECT

// refusesDirect reports whether an open failed because the file system has no direct I/O.
func refusesDirect(err error) bool { return errors.Is(err, syscall.EINVAL) }

// syncData is fdatasync: it makes content and size durable, but not the times, whose update would cost a second write.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
