package system

import (
	"errors"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// lockName is the file whose lock stands for the whole data directory. It holds the number of the process that has it.
const lockName = "LOCK"

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
	lock, err := vfs.Hold(fs, lockName)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &LockedError{Dir: dir, PID: vfs.Holder(fs, lockName), Cause: err}
	}
	return lock, err
}
