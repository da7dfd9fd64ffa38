package ra

import (
	"errors"
	"fmt"
)

// The errors of the library. Test for them with errors.Is; what is returned usually says more in its text.
var (
	// ErrNameTaken: a process or cluster of that name runs already.
	ErrNameTaken = errors.New("ra: name is taken")
	// ErrInvalidName: a name is empty, too long, or has characters that are not allowed.
	ErrInvalidName = errors.New("ra: invalid name")
	// ErrUnknownCluster: no member of a cluster of that name has run on this node.
	ErrUnknownCluster = errors.New("ra: unknown cluster")
	// ErrUnknownMachine: a cluster names a machine that its node was not opened with.
	ErrUnknownMachine = errors.New("ra: unknown machine")
	// ErrNoProcess: no process of that name or PID is alive here.
	ErrNoProcess = errors.New("ra: no such process")
	// ErrNodeDown: the node is not connected.
	ErrNodeDown = errors.New("ra: node is down")
	// ErrClosed: the node or the object was closed.
	ErrClosed = errors.New("ra: closed")
	// ErrOverloaded: the receiver's queue is full. Nothing was queued; try again later.
	ErrOverloaded = errors.New("ra: overloaded")
	// ErrNoAnswer: the time of a call was over before whoever was asked had answered. A cluster may have no quorum: no majority
	// of its members that are up and in reach of each other. Errors of this kind match the context's error, too.
	ErrNoAnswer = errors.New("ra: no answer in time")
	// ErrInvalid: an argument is none of those that make sense.
	ErrInvalid = errors.New("ra: invalid argument")
	// ErrTooLarge: a command exceeds MaxPayload or the configured limit.
	ErrTooLarge = errors.New("ra: too large")
	// ErrNotLeader: the member addressed does not lead.
	ErrNotLeader = errors.New("ra: not the leader")
	// ErrSuperseded: the command was accepted by a leader that lost its place, and another entry was committed at its
	// index. It was certainly not applied.
	ErrSuperseded = errors.New("ra: command was superseded")
	// ErrCompacted: it is not known any more which entry had that index, because a snapshot has taken its place.
	ErrCompacted = errors.New("ra: entry is compacted")
	// ErrCorrupt: bytes from disk or wire do not check. Nothing of them was used.
	ErrCorrupt = errors.New("ra: corrupt data")
	// ErrDamaged: a member's data are damaged and it takes no part until it is repaired.
	ErrDamaged = errors.New("ra: member is damaged")
	// ErrDiskFull: there is no room to store a command. Queries go on while there is a leader.
	ErrDiskFull = errors.New("ra: disk full")
	// ErrStorageFailed: the disk failed twice in a row; the node neither votes nor acknowledges any more.
	ErrStorageFailed = errors.New("ra: storage failed")
)

// NotLeaderError says that the member addressed does not lead, and who does as far as it knows. The command was
// certainly not applied. It matches ErrNotLeader.
type NotLeaderError struct {
	// Member is who was asked, Leader the member that it holds for the leader, or the zero ServerID.
	Member, Leader ServerID
}

// Error says where to go next.
func (e *NotLeaderError) Error() string {
	if e.Leader == (ServerID{}) {
		return fmt.Sprintf("ra: %s is not the leader and knows none", e.Member)
	}
	return fmt.Sprintf("ra: %s is not the leader (leader %s)", e.Member, e.Leader)
}

// Is reports whether target is ErrNotLeader.
func (e *NotLeaderError) Is(target error) bool { return target == ErrNotLeader }

// UncertainError says that a command was accepted but that its fate is unknown to who was waiting for it: it may have
// been applied already, may be applied later, or never. To repeat it is safe only if the machine knows repetitions.
type UncertainError struct {
	// Index and Term are where the command stood in the log, if it got that far.
	Index Index
	Term  Term
	// Cause is why the waiting ended: for instance a context's error, ErrClosed or ErrNoProcess, or that the member which was
	// asked has left its cluster, or got a snapshot in the place of the entry.
	Cause error
}

// Error says that the command may have been applied, and why nobody knows.
func (e *UncertainError) Error() string {
	if e.Index == 0 {
		return fmt.Sprintf("ra: command may have been applied: %v", e.Cause)
	}
	return fmt.Sprintf("ra: command at index %d of term %d may have been applied: %v", e.Index, e.Term, e.Cause)
}

// Unwrap returns the cause.
func (e *UncertainError) Unwrap() error { return e.Cause }

// MayHaveBeenApplied reports whether err leaves it open if the command was applied. For every other error of a
// command the command was certainly not applied and never will be.
func MayHaveBeenApplied(err error) bool {
	var u *UncertainError
	return errors.As(err, &u)
}

// MaxNameLen bounds the length of names of processes, clusters, members and nodes, and of UIDs, in bytes.
const MaxNameLen = 255

// CheckName returns an error that wraps ErrInvalidName unless name is 1 to MaxNameLen characters of
// A-Z a-z 0-9 . _ - = with no dot in front: names end up as parts of file names.
func CheckName(name string) error {
	if name == "" || len(name) > MaxNameLen {
		return fmt.Errorf("%w: %d bytes long, allowed are 1 to %d", ErrInvalidName, len(name), MaxNameLen)
	}
	for i, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '=':
		case c == '.' && i > 0:
		default:
			return fmt.Errorf("%w: %q has %q at %d; allowed are A-Z a-z 0-9 . _ - =", ErrInvalidName, name, c, i)
		}
	}
	return nil
}

// corruptf returns an error that wraps ErrCorrupt.
func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
