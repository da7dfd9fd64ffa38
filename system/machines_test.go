package system

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// mixed is a machine whose commands are words: it does whatever a test of the surroundings needs.
//
//	add X        adds X to the state; the reply is the state
//	boom         panics
//	exit         ends the goroutine
//	later        answers when "now" comes, with what stands behind "now"
//	watch        monitors the process that sent the command, see Meta.From
//	timer        sets a timer of a millisecond, which adds "timeout"
type mixed struct {
	machine.Stored[mixedState]
}

type mixedState struct {
	Words   []string
	Waiting []machine.Caller
}

func newMixed(machine.Init) machine.Machine { return &mixed{} }

func (m *mixed) DefersReplies() bool { return true }

func (m *mixed) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	word, rest, _ := strings.Cut(string(command), " ")
	switch word {
	case "add":
		m.State.Words = append(m.State.Words, rest)
	case "boom":
		panic("boom")
	case "exit":
		runtime.Goexit()
	case "later":
		m.State.Waiting = append(m.State.Waiting, meta.From)
		return machine.NoReply
	case "now":
		for _, c := range m.State.Waiting {
			fx.Reply(c, rest)
		}
		m.State.Waiting = nil
	case "watch":
		fx.Monitor(meta.From.PID)
	case "timer":
		fx.Timer("t", time.Millisecond)
	}
	return strings.Join(m.State.Words, ",")
}

func (m *mixed) HandleDown(_ machine.Meta, d machine.Down, _ *machine.Effects) {
	m.State.Words = append(m.State.Words, "down:"+d.PID.Name+":"+d.Reason.String())
}

func (m *mixed) HandleTimeout(_ machine.Meta, timer string, _ *machine.Effects) {
	m.State.Words = append(m.State.Words, "timeout:"+timer)
}

func (m *mixed) Query(_ machine.QueryContext, question any) (any, error) {
	switch question {
	case "words":
		return strings.Join(m.State.Words, ","), nil
	case "boom":
		panic("query")
	case "exit":
		runtime.Goexit()
	}
	return nil, fmt.Errorf("unknown question %v", question)
}

// Overview panics if the last word is "hide".
func (m *mixed) Overview() map[string]any {
	if n := len(m.State.Words); n > 0 && m.State.Words[n-1] == "hide" {
		panic("overview")
	}
	return map[string]any{"words": len(m.State.Words)}
}

// InitAux gives the machine an aux handler that echoes.
func (m *mixed) InitAux(machine.Init) machine.AuxHandler { return echo{} }

type echo struct{}

func (echo) HandleAux(view machine.AuxView, e machine.AuxEvent, _ *machine.Effects) any {
	if e.Kind == machine.AuxCall {
		return fmt.Sprint(e.Command, " ", view.Status().Role == ra.Leader)
	}
	return nil
}
