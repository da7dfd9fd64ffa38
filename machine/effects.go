package machine

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Effects collects what a machine asks for, in order. The member carries the effects out after the whole batch of
// entries was applied: first the notifications of the batch, then entry by entry its effects and its reply (EFF-01).
// Only ReleaseCursor and Checkpoint are looked at earlier, before the next Apply.
//
// Effects are hints to the world, not part of the state: around crashes and changes of leaders some may be lost and
// some carried out twice (EFF-03). What must not be lost belongs into the state, from where a new leader asks for it
// again in EnterState.
//
// Values given to an effect are given away: they must not be changed afterwards. The methods keep no effect that
// nobody could carry out, such as a send to no process; Err tells of the first one. The zero Effects is ready to use,
// and after Reset it uses its memory again, so one is enough for all the machines that a goroutine runs in turn. It is
// not safe for concurrent use.
type Effects struct {
	list    []Effect
	index   ra.Index
	owner   Owner
	noReply bool
	wants   Wants
	err     error
}

// MaxTimerName bounds the names of timers, in bytes.
const MaxTimerName = 1024

// ErrBadEffect: an effect was asked for that nobody could carry out.
var ErrBadEffect = errors.New("machine: bad effect")

// Send asks for a message to a process, once, without waiting for anything: it is lost if the process is out of reach
// or overloaded (EFF-05). A PID with Spawn 0 stands for whoever has the name on that node, an empty Node for the
// node of the member that sends.
func (fx *Effects) Send(to ra.PID, message any, options ...SendOption) {
	e := fx.addTo(EffectSend, to)
	if e == nil {
		return
	}
	e.Value = message
	for _, o := range options {
		e.Options |= o
	}
}

// Reply answers a caller whose command was answered with NoReply at first (EFF-29). The value is handed on as if Apply
// had returned it.
func (fx *Effects) Reply(to Caller, value any) {
	if e := fx.addTo(EffectReply, to.PID); e != nil {
		e.Correlation, e.Value = to.Correlation, value
	}
}

// NoReply says for a typed machine what the value NoReply says for others: the caller of this command gets nothing
// now, whatever Apply returns.
func (fx *Effects) NoReply() { fx.noReply = true }

// Monitor asks to hear of the end of a process, through DownHandler, once (EFF-50). If it has ended already, that is
// told at once. Monitors of machines are void when the leader changes. A name, a PID with Spawn 0, has no end and cannot
// be monitored.
func (fx *Effects) Monitor(pid ra.PID) { fx.addMonitor(EffectMonitor, pid) }

// Demonitor ends the monitor of a process. A down that is in the log already still comes.
func (fx *Effects) Demonitor(pid ra.PID) { fx.addMonitor(EffectDemonitor, pid) }

// MonitorNode asks to hear of a node, through NodeHandler: how it is now, and every change (EFF-51).
func (fx *Effects) MonitorNode(node ra.NodeID) { fx.addNode(EffectMonitorNode, node) }

// DemonitorNode ends the monitor of a node.
func (fx *Effects) DemonitorNode(node ra.NodeID) { fx.addNode(EffectDemonitorNode, node) }

// Timer starts the timer of that name, or starts it anew: after d the TimeoutHandler is called by a committed entry
// (EFF-19). Names are the machine's own, at most MaxTimerName long. A timer is void when the leader changes (QRK-06).
func (fx *Effects) Timer(name string, d time.Duration) {
	if e := fx.addTimer(EffectTimer, name); e != nil {
		e.Delay = max(d, 0)
	}
}

// TimerAt is Timer with a moment by the wall clock of the leader (EFF-20); one that is past is at once. The moment is
// rounded down to milliseconds, as Meta.Time is: unless the clock is set back, the timeout's Meta.Time is not before it.
func (fx *Effects) TimerAt(name string, at time.Time) {
	if e := fx.addTimer(EffectTimerAt, name); e != nil {
		e.Time = at.UnixMilli()
	}
}

// CancelTimer stops the timer of that name. A timeout that is in the log already still comes.
func (fx *Effects) CancelTimer(name string) { fx.addTimer(EffectCancelTimer, name) }

// Append has the leader append a command of the machine's own; nobody gets its reply (EFF-14).
func (fx *Effects) Append(command []byte) { fx.AppendFor(command, ModeNone, Caller{}) }

// AppendFor is Append with a reply, in the given mode, to somebody whom the machine knows.
func (fx *Effects) AppendFor(command []byte, mode ReplyMode, to Caller) {
	fx.addCommand(EffectAppend, command, mode, to)
}

// TryAppend has every member send a command as a client would: followers forward it to the leader they know, or drop
// it (EFF-15). It is meant for aux handlers; asked for by Apply the command comes once per member.
func (fx *Effects) TryAppend(command []byte) { fx.TryAppendFor(command, ModeNone, Caller{}) }

// TryAppendFor is TryAppend with a reply. A member that does not lead rejects a notify (EVT-02).
func (fx *Effects) TryAppendFor(command []byte, mode ReplyMode, to Caller) {
	fx.addCommand(EffectTryAppend, command, mode, to)
}

// Call has f called on the member's goroutine, where it must neither block nor panic (EFF-13).
func (fx *Effects) Call(f func()) {
	if f == nil {
		fx.refuse(EffectCall, "no function")
		return
	}
	fx.add(EffectCall).Value = f
}

// LogEntry is a command read back from the log.
type LogEntry struct {
	Index ra.Index
	Term  ra.Term
	// Time is the clock of the leader that took the command, in milliseconds since 1970.
	Time int64
	// Command must not be changed.
	Command []byte
}

// LogFunc turns commands from the log into effects, which are carried out at once. It runs on the member's goroutine,
// like Call. It must not read the state of the machine, which has gone on.
type LogFunc func(entries []LogEntry, fx *Effects)

// Log has the leader read the commands at the indexes from the log, and call f with those that are still there, in the
// order of the indexes (EFF-21). Entries that a snapshot took away, and those that are no commands, are left out; f is
// called with what remains, even with nothing.
func (fx *Effects) Log(indexes []ra.Index, f LogFunc) {
	fx.addLog(EffectLog, indexes, f)
}

// LogLocal is Log on the voter that lives on the node, if there is one, else on the leader (EFF-22).
func (fx *Effects) LogLocal(node ra.NodeID, indexes []ra.Index, f LogFunc) {
	if node == "" {
		fx.refuse(EffectLogLocal, "no node")
		return
	}
	if e := fx.addLog(EffectLogLocal, indexes, f); e != nil {
		e.Name = string(node)
	}
}

// Aux gives a command to the aux handler of every member (EFF-27).
func (fx *Effects) Aux(command any) { fx.add(EffectAux).Value = command }

// add takes an effect in and returns it, to be completed before the next one is taken in. The memory behind the list
// is always clear, see Reset.
func (fx *Effects) add(kind EffectKind) *Effect {
	n := len(fx.list)
	if n < cap(fx.list) {
		fx.list = fx.list[:n+1]
	} else {
		fx.list = append(fx.list, Effect{})
	}
	e := &fx.list[n]
	e.Kind, e.Owner, e.Index = kind, fx.owner, fx.index
	return e
}

// addTo takes in an effect that concerns a process. Like the others below it returns nil if it refuses.
func (fx *Effects) addTo(kind EffectKind, pid ra.PID) *Effect {
	if pid.IsZero() {
		fx.refuse(kind, "no process")
		return nil
	}
	e := fx.add(kind)
	e.PID = pid
	return e
}

func (fx *Effects) addMonitor(kind EffectKind, pid ra.PID) {
	if pid.Spawn == 0 {
		fx.refuse(kind, "no process")
		return
	}
	fx.add(kind).PID = pid
}

func (fx *Effects) addNode(kind EffectKind, node ra.NodeID) {
	if node == "" {
		fx.refuse(kind, "no node")
		return
	}
	fx.add(kind).Name = string(node)
}

func (fx *Effects) addTimer(kind EffectKind, name string) *Effect {
	if len(name) > MaxTimerName {
		fx.refuse(kind, "name of %d bytes", len(name))
		return nil
	}
	e := fx.add(kind)
	e.Name = name
	return e
}

func (fx *Effects) addCommand(kind EffectKind, command []byte, mode ReplyMode, to Caller) {
	switch {
	case len(command) > ra.MaxPayload:
		fx.refuse(kind, "command of %d bytes", len(command))
	case mode > maxMode:
		fx.refuse(kind, "reply mode %d", mode)
	case mode != ModeNone && to.IsZero():
		fx.refuse(kind, "reply mode %v to nobody", mode)
	default:
		e := fx.add(kind)
		e.Command, e.Mode, e.PID, e.Correlation = command, mode, to.PID, to.Correlation
	}
}

func (fx *Effects) addLog(kind EffectKind, indexes []ra.Index, f LogFunc) *Effect {
	if f == nil {
		fx.refuse(kind, "no function")
		return nil
	}
	e := fx.add(kind)
	e.Indexes, e.Value = indexes, f
	return e
}

// refuse remembers the first effect that could not be taken in.
func (fx *Effects) refuse(kind EffectKind, format string, args ...any) {
	if fx.err == nil {
		fx.err = fmt.Errorf("%w: %v at index %d: %s", ErrBadEffect, kind, fx.index, fmt.Sprintf(format, args...))
	}
}

// All yields the effects in the order in which they were asked for. They may be changed in place; none may be added
// meanwhile.
func (fx *Effects) All() iter.Seq[*Effect] {
	return func(yield func(*Effect) bool) {
		for i := range fx.list {
			if !yield(&fx.list[i]) {
				return
			}
		}
	}
}

// Len returns the number of effects.
func (fx *Effects) Len() int { return len(fx.list) }

// At returns effect i, from 0. It may be changed in place, and is valid until an effect is added.
func (fx *Effects) At(i int) *Effect { return &fx.list[i] }

// Err tells of the first effect since Reset that was refused, nil if there is none. It wraps ErrBadEffect.
func (fx *Effects) Err() error { return fx.err }
