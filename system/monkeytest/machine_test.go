package monkeytest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// op is the first byte of a command.
type op byte

const (
	opNote    op = 'n' // be remembered
	opPark    op = 'p' // be remembered, and answered by the next opRelease
	opRelease op = 'r' // be remembered, and answer all that are parked
	opWatch   op = 'w' // be remembered, and watch a process, of which the rest of the command says who it is
	opTimer   op = 't' // be remembered, and set a timer
	opCursor  op = 'c' // be remembered, and ask for a snapshot
	opPanic   op = '!' // be remembered, and end the member: the first one that applies it, or each that does so the first time
)

// life tells the clusters apart that have one name, one after the other: by the first command that was applied, and when.
type life struct {
	Birth int64
	First uint64
}

func (l life) String() string { return fmt.Sprintf("life %d", l.First) }

// answer is the reply to every command and query: the past of the cluster up to there. IDs is never changed.
type answer struct {
	Life life
	IDs  []uint64
}

var errMalformed = errors.New("malformed command")

// memory is the state of the machine: the ids of all commands in the order in which they were applied, and what is to come.
type memory struct {
	Life    life
	IDs     []uint64
	Parked  []parked
	Watched []ra.PID
	Down    []ra.PID
	Timers  []string
}

// parked is a command that is not answered yet. Length is that of IDs behind it.
type parked struct {
	Caller machine.Caller
	Length int
}

// journal is the machine.
type journal struct {
	machine.Stored[memory]
	defers bool
	server ra.ServerID
	panics *panics
}

// panics are those that have been.
type panics struct {
	mu   sync.Mutex
	been map[panicked]bool
}

// panicked is a command, and a member if each of them is to panic.
type panicked struct {
	id  uint64
	who ra.ServerID
}

// next reports whether a member that applies a command is to panic. It does so once: what fails is not the machine but what
// is around it, and the member can be started again.
func (p *panics) next(id uint64, who ra.ServerID) bool {
	if id%2 == 0 {
		who = ra.ServerID{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	been := p.been[panicked{id, who}]
	p.been[panicked{id, who}] = true
	return !been
}

// panicText is what the machine says when it panics because it was told to.
const panicText = "as it was told"

// command encodes a command.
func command(o op, id uint64, rest ...byte) []byte {
	return append(binary.LittleEndian.AppendUint64([]byte{byte(o)}, id), rest...)
}

// DefersReplies implements machine.Deferrer.
func (j *journal) DefersReplies() bool { return j.defers }

// Apply notes the command.
func (j *journal) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	if len(command) < 9 {
		return errMalformed
	}
	s, o, id := &j.State, op(command[0]), binary.LittleEndian.Uint64(command[1:])
	if len(s.IDs) == 0 {
		s.Life = life{meta.Time, id}
	}
	s.IDs = append(s.IDs, id)
	switch o {
	case opPanic:
		if j.panics.next(id, j.server) {
			panic(panicText)
		}
	case opPark:
		if j.defers && !meta.From.IsZero() {
			s.Parked = append(s.Parked, parked{meta.From, len(s.IDs)})
			return machine.NoReply
		}
	case opRelease:
		for _, p := range s.Parked {
			fx.Reply(p.Caller, answer{s.Life, slices.Clip(s.IDs[:p.Length])})
		}
		s.Parked = nil
	case opWatch:
		if c, _, err := machine.DecodeCaller(command[9:]); err == nil {
			s.Watched = append(s.Watched, c.PID)
			fx.Monitor(c.PID)
		}
	case opTimer:
		name := fmt.Sprint(id)
		s.Timers = append(s.Timers, name)
		fx.Timer(name, time.Duration(id%900)*time.Millisecond)
	case opCursor:
		fx.ReleaseCursor()
	}
	return j.past()
}

func (j *journal) past() answer { return answer{j.State.Life, slices.Clip(j.State.IDs)} }

// HandleDown notes that a process has ended. That its node is out of reach is no end; it is watched again.
func (j *journal) HandleDown(_ machine.Meta, d machine.Down, fx *machine.Effects) {
	s := &j.State
	i := slices.Index(s.Watched, d.PID)
	switch {
	case i < 0:
	case d.Reason.Code == machine.DownNoConnection:
		fx.MonitorNode(d.PID.Node)
	default:
		s.Watched = slices.Delete(s.Watched, i, i+1)
		s.Down = append(s.Down, d.PID)
	}
}

// HandleNode watches the processes of a node that is back.
func (j *journal) HandleNode(_ machine.Meta, e machine.NodeEvent, fx *machine.Effects) {
	for _, pid := range j.State.Watched {
		if e.Up && pid.Node == e.Node {
			fx.Monitor(pid)
		}
	}
}

// HandleTimeout notes that a timer has run out.
func (j *journal) HandleTimeout(_ machine.Meta, name string, _ *machine.Effects) {
	j.State.Timers = slices.DeleteFunc(j.State.Timers, func(n string) bool { return n == name })
}

// EnterState asks anew for what the state calls for.
func (j *journal) EnterState(role ra.Role, fx *machine.Effects) {
	if role != ra.Leader {
		return
	}
	for _, pid := range j.State.Watched {
		fx.Monitor(pid)
	}
	for _, name := range j.State.Timers {
		fx.Timer(name, 10*time.Millisecond)
	}
}

// Questions.
type (
	askPast  struct{} // for an answer
	askOpen  struct{} // for the number of timers and watched processes that are to come
	askTwice struct{} // for a panic
)

// Query answers.
func (j *journal) Query(_ machine.QueryContext, question any) (any, error) {
	switch question.(type) {
	case askPast:
		return j.past(), nil
	case askOpen:
		return len(j.State.Timers) + len(j.State.Watched), nil
	case askTwice:
		panic("as it was asked")
	}
	return nil, errMalformed
}

// InitAux implements machine.AuxMaker.
func (j *journal) InitAux(machine.Init) machine.AuxHandler { return aux{} }

// aux answers with the number of commands.
type aux struct{}

func (aux) HandleAux(view machine.AuxView, _ machine.AuxEvent, _ *machine.Effects) any {
	return len(view.State().(*journal).State.IDs)
}

// machines are those of every node. The second one answers some commands later.
func machines(p *panics) map[string]machine.Factory {
	return map[string]machine.Factory{
		"plain":    func(i machine.Init) machine.Machine { return &journal{server: i.Server, panics: p} },
		"deferred": func(i machine.Init) machine.Machine { return &journal{server: i.Server, panics: p, defers: true} },
	}
}
