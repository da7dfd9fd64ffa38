package machine

import (
	"io"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Machine is a replicated state machine over raw commands. A member calls it from one goroutine at a time.
type Machine interface {
	// Apply changes the state by one committed command and returns the reply for who sent it: any value, handed on
	// verbatim, errors included (CMD-01), or NoReply. It must be deterministic; see the package comment. The command
	// is shared with the log: it must not be changed, and is valid only until Apply returns. So is fx.
	Apply(meta Meta, command []byte, fx *Effects) (reply any)

	// Snapshot captures the state as it is now, after the last Apply and before the next. It must be quick: copy a
	// root pointer, or a small state; the bytes are made later and elsewhere, by Capture.WriteTo. If it fails there is
	// no snapshot this time, and nothing else happens.
	Snapshot() (Capture, error)

	// Restore replaces the whole state by one that Capture.WriteTo wrote, perhaps on another member. Afterwards the
	// machine must behave exactly like the one that was captured. The bytes are checked already, but a machine that
	// finds them senseless returns an error, which stops the member; what is left of its state is not used then.
	Restore(r io.Reader) error
}

// Version is the version of a machine's code (VER-01). It is 0 for machines that say nothing about it.
type Version uint32

// Meta tells what is known of a committed command beside its bytes (MAC-04). All of it is the same on every member.
// More fields may be added.
type Meta struct {
	// Index and Term are those of the command's entry. The index grows from call to call, with gaps; it makes a good
	// fencing token and unique number.
	Index ra.Index
	Term  ra.Term
	// Time is the machine's clock: milliseconds since 1970 as the leader that took the command saw them, held back so
	// that it never falls from one entry to the next.
	Time int64
	// Version is the version in force at this entry, never the one that this member's code could do (QRK-03).
	Version Version
	// Mode says what the sender waits for, and From who it is; the zero Caller if nobody waits.
	Mode ReplyMode
	From Caller

	_ uint64 // to be copied in equal parts, which is faster
}

// Now is Meta.Time as a time in UTC.
func (m Meta) Now() time.Time { return time.UnixMilli(m.Time).UTC() }

// Caller is somebody who waits for a reply: a process, and the number by which it knows the command. It is a value
// that a machine may keep in its state and in its snapshots, to answer later by Effects.Reply, whoever leads then.
type Caller struct {
	PID ra.PID
	// Correlation is the caller's own number for the command.
	Correlation uint64
}

// IsZero reports whether c is nobody.
func (c Caller) IsZero() bool { return c.PID.IsZero() }

// ReplyMode says what the sender of a command wants to hear, and when (CMD-06).
type ReplyMode uint8

// The reply modes.
const (
	// ModeNone: nothing.
	ModeNone ReplyMode = iota
	// ModeAfterAppend: index and term, as soon as the leader has appended the command to its log.
	ModeAfterAppend
	// ModeConsensus: the machine's reply, once the command is committed and applied.
	ModeConsensus
	// ModeNotify: the machine's reply, as an event with the correlation (EVT-01).
	ModeNotify

	maxMode = ModeNotify
)

var modeNames = [...]string{"noreply", "after_log_append", "await_consensus", "notify"}

// String returns the mode's name as ra spells it.
func (m ReplyMode) String() string {
	if m <= maxMode {
		return modeNames[m]
	}
	return "invalid"
}

type noReply struct{}

// String names the value in transcripts.
func (noReply) String() string { return "no reply" }

// NoReply as the reply of Apply means that the caller gets nothing now (MAC-05). The machine keeps Meta.From and
// answers later with Effects.Reply, which a Deferrer alone can: the caller of another one gets nil at once. Compare with ==.
var NoReply any = noReply{}

// Init is what a machine is made for (MAC-02).
type Init struct {
	// Cluster and Server name the cluster and this member of it. Members differ in Server, so nothing of it may get
	// into the replicated state; it is meant for logs and metrics.
	Cluster string
	Server  ra.ServerID
	// Version is the version that the first commands are applied with: the configured initial version, or what the
	// machine's code can do if that is less (VER-10).
	Version Version
}

// Factory makes a machine with its initial state. It is called at every start of a member, a restart after a failure
// included, and must return a new value each time; what the member had before is then restored and replayed into it.
type Factory func(Init) Machine
