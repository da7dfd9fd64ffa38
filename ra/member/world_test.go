package member

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// world is a host whose machine does what the test says, and which writes down what happens, in order.
type world struct {
	*host
	script script
	lines  []string
	// refuse is what sends to a process fail with.
	refuse map[ra.PID]error
	// dumb is a member that has no vote.
	dumb ra.UID
	// piece is the length of the pieces in which the member applies what is committed, 0 if it has no Batch. more is what
	// happens between them, call by call.
	piece int
	more  []func()
}

// script is a machine. Commands are words; on says what each does. Every call is written down.
type script struct {
	*world
	on       acts
	enter    map[ra.Role]func(fx *machine.Effects)
	tick     func(now time.Time, fx *machine.Effects)
	aux      func(v machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any
	applied  []string
	version  machine.Version
	deferred bool
}

// acts says what the machine does for a word.
type acts map[string]func(m machine.Meta, fx *machine.Effects) any

// newWorld returns a member "a" that has not begun, with a machine that does what on says.
func newWorld(t *testing.T, on acts) *world {
	w := &world{host: &host{t: t, calls: newHeard(t)}, refuse: map[ra.PID]error{}}
	w.script = script{world: w, on: on, enter: map[ra.Role]func(*machine.Effects){}}
	return w
}

// begin starts the member.
func (w *world) begin(others ...ra.UID) *world {
	w.t.Helper()
	cfg := w.config(func(machine.Init) machine.Machine { return &w.script }, others...)
	cfg.Host = w
	if w.piece > 0 {
		limits := raft.DefaultLimits
		limits.MaxEntriesPerAppend = w.piece
		cfg.Raft.Limits, cfg.Batch = &limits, w
	}
	for i := range cfg.Initial {
		if m := &cfg.Initial[i]; m.UID == w.dumb {
			m.Membership = ra.NonVoter
		}
	}
	cfg.Observer = Observer{Problem: func(err error) { w.line("problem %v", err) }, Deleted: func() { w.line("deleted") }}
	cfg.Applied = ra.Index(len(w.log))
	if n := len(w.log); n > 0 {
		cfg.State.Term = w.log[n-1].Term
	}
	w.start(cfg)
	return w
}

// without takes a member's vote away, before the beginning.
func (w *world) without(uid ra.UID) { w.dumb = uid }

func (w *world) line(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// took returns what was written down since it was last called.
func (w *world) took() []string {
	lines := w.lines
	w.lines = nil
	return lines
}

// want fails unless exactly these lines were written down since.
func (w *world) want(lines ...string) {
	w.t.Helper()
	if got := w.took(); !slices.Equal(got, lines) {
		w.t.Errorf("happened:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(lines, "\n  "))
	}
}

// leadAlone makes the only member of a cluster its leader.
func (w *world) leadAlone() {
	w.t.Helper()
	w.step(raft.Message{Kind: raft.Campaign})
	w.synced()
	w.synced()
	if st := w.Status(); st.Role != ra.Leader || st.Commit == 0 {
		w.t.Fatalf("is to lead: %+v", st)
	}
	w.took()
}

// do takes in a word as a command, and returns the number of its call.
func (w *world) do(word string) int {
	return w.doAs(word, machine.ModeConsensus, machine.Caller{}, true)
}

// doAs takes in a word as a command of the given mode and sender, with a caller on this member or not.
func (w *world) doAs(word string, mode machine.ReplyMode, from machine.Caller, waits bool) int {
	w.t.Helper()
	proposal, err := NewCommand([]byte(word), mode, from)
	if err != nil {
		w.t.Fatal(err)
	}
	c := Command{Proposal: proposal}
	if w.next++; waits {
		c.Caller = scribe{w, w.next}
	}
	w.Command(c)
	return w.next
}

// commit ends the batch and makes it durable, until there is nothing more to do.
func (w *world) commit() {
	w.Flush()
	for n := -1; n != len(w.stored); {
		n = len(w.stored)
		w.synced()
	}
}

// scribe is a caller that writes down how its call ends.
type scribe struct {
	*world
	n int
}

func (c scribe) Done(r Result) {
	if r.Err != nil {
		c.line("reply %d error %v", c.n, r.Err)
	} else {
		c.line("reply %d %v", c.n, r.Reply)
	}
	caller{c.calls, c.n}.Done(r)
}

func (w *world) Leave() { w.line("leave") }

func (w *world) More() {
	w.line("more")
	if len(w.more) > 0 {
		next := w.more[0]
		w.more = w.more[1:]
		next()
	}
}

func (w *world) Self() ra.PID { return ra.PID{Node: "a", Name: "m", Spawn: 1} }

func (w *world) Send(to ra.PID, message any) error {
	if err := w.refuse[to]; err != nil {
		w.line("cannot send %s %s", to.Name, show(message))
		return err
	}
	w.line("send %s %s", to.Name, show(message))
	return nil
}

func (w *world) Monitor(pid ra.PID)                    { w.line("monitor %s", pid.Name) }
func (w *world) Demonitor(pid ra.PID)                  { w.line("demonitor %s", pid.Name) }
func (w *world) MonitorNode(n ra.NodeID)               { w.line("monitor node %s", n) }
func (w *world) DemonitorNode(n ra.NodeID)             { w.line("demonitor node %s", n) }
func (w *world) SetTimer(name string, d time.Duration) { w.line("timer %s %v", name, d) }
func (w *world) CancelTimer(name string)               { w.line("cancel timer %s", name) }
func (w *world) WALFill() float64                      { return 0.25 }

func (w *world) Forward(to ra.ServerID, c Command) error {
	payload, _, _, _ := DecodeCommand(&c.Proposal)
	w.line("forward %s to %s", payload, to)
	return nil
}

// show prints what is sent, short.
func show(message any) string {
	e, ok := message.(ra.Event)
	if !ok {
		return fmt.Sprint(message)
	}
	applied, ok := e.Body.(ra.Applied)
	if !ok {
		return fmt.Sprintf("%s: %+v", e.From.Node, e.Body)
	}
	var parts []string
	for _, c := range applied {
		parts = append(parts, fmt.Sprintf("%d=%v", c.Correlation, c.Reply))
	}
	return fmt.Sprintf("%s: applied %s", e.From.Node, strings.Join(parts, " "))
}

func (s *script) Apply(m machine.Meta, command []byte, fx *machine.Effects) any {
	word := string(command)
	s.applied = append(s.applied, word)
	s.line("apply %s", word)
	if f := s.on[word]; f != nil {
		return f(m, fx)
	}
	return len(s.applied)
}

func (s *script) Snapshot() (machine.Capture, error) { return machine.CaptureBytes(nil), nil }
func (s *script) Restore(io.Reader) error            { return nil }
func (s *script) Version() machine.Version           { return s.version }
func (s *script) DefersReplies() bool                { return s.deferred }

func (s *script) Upgrade(m machine.Meta, c machine.VersionChange, fx *machine.Effects) {
	s.line("upgrade %d to %d at %d", c.From, c.To, m.Index)
}

func (s *script) HandleDown(_ machine.Meta, d machine.Down, _ *machine.Effects) {
	s.line("down %s %v", d.PID.Name, d.Reason)
}

func (s *script) HandleNode(_ machine.Meta, e machine.NodeEvent, _ *machine.Effects) {
	s.line("node %s %v", e.Node, e.Up)
}

func (s *script) HandleTimeout(_ machine.Meta, name string, _ *machine.Effects) {
	s.line("timeout %s", name)
}

func (s *script) EnterState(role ra.Role, fx *machine.Effects) {
	s.line("enter %v", role)
	if f := s.enter[role]; f != nil {
		f(fx)
	}
}

func (s *script) Query(ctx machine.QueryContext, question any) (any, error) {
	return fmt.Sprintf("%v at %d/%d", question, ctx.Index, ctx.Term), nil
}

func (s *script) Tick(now time.Time, fx *machine.Effects) {
	if s.tick != nil {
		s.tick(now, fx)
	}
}

func (s *script) InitAux(machine.Init) machine.AuxHandler {
	if s.aux == nil {
		return nil
	}
	return s
}

func (s *script) HandleAux(v machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
	return s.aux(v, e, fx)
}

// process returns the PID of a process.
func process(name string) ra.PID { return ra.PID{Node: "a", Name: name, Spawn: 7} }

// sender returns a process as the sender of a command.
func sender(name string, correlation uint64) machine.Caller {
	return machine.Caller{PID: process(name), Correlation: correlation}
}
