package system

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// lockName is the file whose lock stands for the whole data directory. It holds the number of the process that has it.
const lockName = "LOCK"

// maxPID bounds what is read of it.
const maxPID = 32

// LockedError says that a node has the data directory open already, in this process or another one.
type LockedError struct {
	Dir string
	// PID is the process that holds the lock, as far as it has said so; 0 if it has not.
	PID   int
	Cause error
}

// Error says who holds which directory.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("system: %s is in use", e.Dir)
	}
	return fmt.Sprintf("system: %s is in use by process %d", e.Dir, e.PID)
}

// Unwrap returns the cause, which matches vfs.ErrLocked.
func (e *LockedError) Unwrap() error { return e.Cause }

// lockDir takes the data directory for this node alone, until the lock is closed or the process ends.
func lockDir(fs vfs.FS, dir string) (io.Closer, error) {
	lock, err := fs.Lock(lockName)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &LockedError{Dir: dir, PID: readPID(fs), Cause: err}
	}
	if err != nil {
		return nil, err
	}
	if err := writePID(fs); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// writePID notes who holds the lock. The length never changes, so that the file is never seen half written.
func writePID(fs vfs.FS) error {
	f, err := fs.Open(lockName, vfs.Buffered)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%-*d\n", maxPID-1, os.Getpid()), 0)
	return errors.Join(err, f.Close())
}

// readPID returns who holds the lock, 0 if that cannot be told.
func readPID(fs vfs.FS) int {
	f, err := fs.Open(lockName, vfs.Buffered)
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
