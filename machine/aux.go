package machine

import (
	"errors"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ErrNoAux: an aux command was sent to a machine that has no AuxMaker (QRY-13).
var ErrNoAux = errors.New("machine: has no aux handler")

// AuxMaker makes the member's aux handler: a local companion of the machine with a state of its own, which is neither
// replicated nor stored (MAC-08). It is called once at each start of a member. Commands to the aux handler reach it
// whatever the member's role.
type AuxMaker interface {
	InitAux(init Init) AuxHandler
}

// AuxHandler is the local companion. The member calls it from one goroutine at a time, the machine's.
type AuxHandler interface {
	// HandleAux takes one event. The reply is used for AuxCall only; NoReply defers it to Effects.Reply with
	// event.From. It may read the machine but must not change it. Effects are run by this member, whatever its role;
	// monitors asked for here are the aux handler's own and survive changes of role (EFF-17). The view and fx are
	// valid only during the call.
	HandleAux(view AuxView, event AuxEvent, fx *Effects) (reply any)
}

// AuxKind says what an AuxEvent is.
type AuxKind uint8

// The kinds of aux events.
const (
	// AuxCast: Command came by an Aux effect or a cast; nobody waits.
	AuxCast AuxKind = iota + 1
	// AuxCall: Command came by a call; From waits for the reply.
	AuxCall
	// AuxEval: entries were applied; once per batch, before the effects of the batch.
	AuxEval
	// AuxTick: about once a second, in leaders, followers and members that await a condition.
	AuxTick
	// AuxDown: the process in Down ended.
	AuxDown
	// AuxNode: a node came up or went down, as Node says.
	AuxNode
)

var auxKindNames = [...]string{"invalid", "cast", "call", "eval", "tick", "down", "node"}

// String returns the kind's name.
func (k AuxKind) String() string {
	if int(k) < len(auxKindNames) {
		return auxKindNames[k]
	}
	return auxKindNames[0]
}

// AuxEvent is something that the aux handler is told. Fields that do not belong to its Kind are zero.
type AuxEvent struct {
	Kind    AuxKind
	Command any
	From    Caller
	Down    Down
	Node    NodeEvent
}

// AuxView is what an aux handler may see of its member (MAC-10).
type AuxView interface {
	// Status tells where the member stands.
	Status() AuxStatus
	// State returns the machine as its user wrote it, without wrappers, to be read only.
	State() any
	// Command reads the command at an index from the log. It reports false if the entry is not there any more, not
	// yet, or is not a command.
	Command(index ra.Index) (LogEntry, bool)
}

// AuxStatus tells where a member stands.
type AuxStatus struct {
	Role ra.Role
	// Leader is the zero ServerID if none is known.
	Leader ra.ServerID
	Term   ra.Term
	// Applied is the index of the last entry that the state contains, LastIndex and LastTerm are those of the last
	// entry of the log.
	Applied   ra.Index
	LastIndex ra.Index
	LastTerm  ra.Term
	Version   Version
	Members   []ra.Member
	// WALFill is how much of the node's write-ahead log file is used, from 0 to 1.
	WALFill float64
	// SnapshotSize is the size of the last snapshot in bytes, 0 if there is none.
	SnapshotSize int64
}
