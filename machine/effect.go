package machine

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// EffectKind says what an Effect asks for. The set is closed.
type EffectKind uint8

// The kinds of effects; each names the method of Effects that asks for it.
const (
	EffectSend EffectKind = iota + 1
	EffectReply
	EffectMonitor
	EffectDemonitor
	EffectMonitorNode
	EffectDemonitorNode
	EffectTimer
	EffectTimerAt
	EffectCancelTimer
	EffectAppend
	EffectTryAppend
	EffectCall
	EffectLog
	EffectLogLocal
	EffectReleaseCursor
	EffectReleaseCursorAt
	EffectCheckpoint
	EffectCheckpointAt
	EffectPromote
	EffectAux

	maxEffect = EffectAux
)

var effectNames = [...]string{
	"invalid", "send", "reply", "monitor", "demonitor", "monitor node", "demonitor node", "timer", "timer at",
	"cancel timer", "append", "try append", "call", "log", "log local", "release cursor", "release cursor at",
	"checkpoint", "checkpoint at", "promote", "aux",
}

// String returns the kind in plain words.
func (k EffectKind) String() string {
	if k <= maxEffect {
		return effectNames[k]
	}
	return effectNames[0]
}

// Owner says for whom an effect acts: the machine or the member's aux handler.
type Owner uint8

// The owners of effects.
const (
	ForMachine Owner = iota
	ForAux
)

// SendOption changes how a message is sent (EFF-11). Options can be joined with |.
type SendOption uint8

// The options of Send.
const (
	// AsEvent wraps the message in an event that names the sending member (EVT-03).
	AsEvent SendOption = 1 << iota
	// AsCast wraps the message, or the event, in a Cast.
	AsCast
	// Local has the message sent by the voter on the receiver's node, if there is one, else by the leader (EFF-12).
	// That saves a way over the network; around changes of leaders the message may be sent by nobody or by two.
	Local
)

// Cast is the envelope of messages sent with AsCast: a one-way request, for receivers that tell such from calls.
type Cast struct{ Message any }

// Effect is one thing that a machine asks for. It is a plain value, so that tests can compare it; fields that its kind
// does not use are zero. Ask for effects by the methods of Effects.
type Effect struct {
	Kind  EffectKind
	Owner Owner
	// Options are those of EffectSend, Mode is that of EffectAppend and EffectTryAppend.
	Options SendOption
	Mode    ReplyMode
	// NoTransfers and Written are the Condition of the effects about snapshots.
	NoTransfers bool
	Written     ra.Index
	// Index is the entry at whose application the effect was asked for, 0 outside of any. For EffectReleaseCursorAt,
	// EffectCheckpointAt and EffectPromote it is the index that was named.
	Index ra.Index
	// PID is the process that is sent to or monitored, or that waits for a reply; Correlation is the number by which
	// it knows the command.
	PID         ra.PID
	Correlation uint64
	// Name is the name of a timer, or of a node: the monitored one, or where EffectLogLocal runs.
	Name string
	// Delay is that of EffectTimer, Time that of EffectTimerAt in milliseconds since 1970.
	Delay time.Duration
	Time  int64
	// Value is the message, the reply, the aux command, the func() of EffectCall, the LogFunc of the log effects or
	// the Capture.
	Value any
	// Command is what EffectAppend and EffectTryAppend append, Indexes what the log effects read.
	Command []byte
	Indexes []ra.Index
}

// TakeCapture hands the effect's Capture over, with the duty to release it, or returns nil if there is none (any
// more). Captures that nobody took are released by Effects.Reset.
func (e *Effect) TakeCapture() Capture {
	c, ok := e.Value.(Capture)
	if !ok || e.Kind != EffectReleaseCursorAt && e.Kind != EffectCheckpointAt {
		return nil
	}
	e.Value = nil
	return c
}

// Scope says which members carry an effect out (EFF-02).
type Scope uint8

// The scopes.
const (
	// OnLeader: the leader only.
	OnLeader Scope = iota
	// OnNearest: the voter on the node concerned, or else the leader (EFF-12).
	OnNearest
	// OnEvery: each member.
	OnEvery
)

// Scope returns which members carry the effect out, out of recovery; while a member recovers it drops all effects
// (EFF-03).
func (e *Effect) Scope() Scope {
	switch e.Kind {
	case EffectDemonitor, EffectDemonitorNode, EffectTryAppend, EffectReleaseCursor, EffectReleaseCursorAt,
		EffectCheckpoint, EffectCheckpointAt, EffectPromote, EffectAux:
		return OnEvery
	case EffectMonitor, EffectMonitorNode:
		if e.Owner == ForAux {
			return OnEvery
		}
	case EffectLogLocal:
		return OnNearest
	case EffectSend:
		if e.Options&Local != 0 && e.PID.Node != "" {
			return OnNearest
		}
	}
	return OnLeader
}

// Place is where a member stands when it has to decide if an effect is its own to carry out.
type Place struct {
	Leads      bool
	Node       ra.NodeID
	Membership ra.Membership
	// VoterOn reports whether a voter of the cluster lives on a node. It must be set on the leader.
	VoterOn func(ra.NodeID) bool
}

// RunsAt reports whether the member at p carries the effect out. In a stable cluster exactly one member does so for
// the scopes OnLeader and OnNearest (EFF-12).
func (e *Effect) RunsAt(p Place) bool {
	switch e.Scope() {
	case OnEvery:
		return true
	case OnNearest:
		node := e.PID.Node
		if e.Kind == EffectLogLocal {
			node = ra.NodeID(e.Name)
		}
		if p.Leads {
			return node == p.Node || !p.VoterOn(node)
		}
		return node == p.Node && p.Membership == ra.Voter
	}
	return p.Leads
}
