package machine

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// The interfaces below are optional: a machine that has none of them is complete. Those that a machine has are found
// once, by As, so also through wrappers such as From. Vet tells of methods that were meant for one of them but have
// another signature.

// DownHandler hears that a process ended which the machine monitors by Effects.Monitor. The call is a committed entry
// like any command, so it comes on all members, and behind all commands that the process had sent before (EFF-50).
// The monitor is spent; one end may be told more than once, around changes of leaders.
type DownHandler interface {
	HandleDown(meta Meta, down Down, fx *Effects)
}

// NodeHandler hears of nodes that the machine monitors by Effects.MonitorNode: once at first, and at every change
// (EFF-51). The call is a committed entry.
type NodeHandler interface {
	HandleNode(meta Meta, event NodeEvent, fx *Effects)
}

// TimeoutHandler hears that the machine's timer of that name ran out (EFF-19). The call is a committed entry; commands
// may have come before it that have set the timer anew, so a machine that minds compares Meta.Time with its state.
type TimeoutHandler interface {
	HandleTimeout(meta Meta, timer string, fx *Effects)
}

// Versioned tells the highest version that the machine's code can do (VER-01). It is read once, when the member
// starts. Raise it with every change that would give another state when an old log is replayed. A new version comes in
// force when all members of the cluster can do it (VER-04): one after the other may get the new code, under way.
type Versioned interface {
	Version() Version
}

// VersionSelector returns what applies with the rules of version v: itself, or another type over the same state
// (VER-05). It is asked of the machine that the Factory made, for versions up to its own.
type VersionSelector interface {
	ForVersion(v Version) Machine
}

// VersionChange is a step from one version to a higher one; versions may be skipped.
type VersionChange struct{ From, To Version }

// Upgrader turns the state into that of a higher version (VER-05). It is called on what ForVersion gave for the new
// version, at the same index on all members, before anything is applied with the new rules.
type Upgrader interface {
	Upgrade(meta Meta, change VersionChange, fx *Effects)
}

// StateEnterer hears of the member's change of role (MAC-06). Roles differ between members, so the call must not
// change the state. A new leader must ask anew for all monitors and timers that its state calls for: those of the old
// leader are void (EFF-52). Entries of earlier terms that it has not applied yet come after that, with their effects.
// At Recover the state is that of the snapshot, before the log is replayed. More roles may
// be added; ignore what is not known.
type StateEnterer interface {
	EnterState(role ra.Role, fx *Effects)
}

// Ticker is called on the leader only, when it becomes leader and then about once a second (MAC-07). It must not
// change the state: followers do not see it. To change something append a command. A member whose machine has no
// Ticker costs nothing while it is idle.
type Ticker interface {
	Tick(now time.Time, fx *Effects)
}

// Deferrer is a machine that answers some commands with NoReply, and later by Effects.Reply (MAC-05). If DefersReplies
// says so, each command that is waited for carries its caller, some 60 bytes, and Meta.From is set. Machines without it
// see a Meta.From only where the sender gave one, as for notifications.
type Deferrer interface {
	DefersReplies() bool
}

// Overviewer tells people about the state, in values that JSON can show (MAC-11). It must be cheap, and copy what it
// returns. An AuxHandler may be one, too, and tell about a state of its own (QRY-09).
type Overviewer interface {
	Overview() map[string]any
}

// SnapshotChange is the replacement of a member's state by a snapshot from its leader. Old is what the state stood for
// before.
type SnapshotChange struct{ Old, New SnapshotMeta }

// SnapshotInstaller hears that the state was replaced by a snapshot from the leader, after Restore (MAC-12). Only the
// member concerned is called, so the call must not change the state. Not called when a member restores its own.
type SnapshotInstaller interface {
	SnapshotInstalled(change SnapshotChange, fx *Effects)
}

// Wrapper is a machine around another: Unwrap returns what is inside, a Machine or a Typed. Optional interfaces that a
// wrapper does not have itself are those of what it wraps, except VersionSelector: a wrapper must select versions
// itself, by wrapping what the inner machine selects.
type Wrapper interface {
	Unwrap() any
}

// maxWrappers bounds how deep As and Innermost look.
const maxWrappers = 16

// As returns m as a T, or else what it wraps, from outside to inside.
func As[T any](m any) (T, bool) {
	for range maxWrappers {
		if t, ok := m.(T); ok {
			return t, true
		}
		w, ok := m.(Wrapper)
		if !ok {
			break
		}
		m = w.Unwrap()
	}
	var none T
	return none, false
}

// Innermost returns what the user wrote, with all wrappers taken off.
func Innermost(m any) any {
	for range maxWrappers {
		w, ok := m.(Wrapper)
		if !ok {
			break
		}
		m = w.Unwrap()
	}
	return m
}
