package member

import (
	"errors"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// maxDepth bounds how deep effects may lead to effects: those of a LogFunc or of an aux handler are carried out in
// place. What lies deeper is dropped.
const maxDepth = 32

// ErrTooDeep tells the observer of effects that were dropped because effects had led to effects too often.
var ErrTooDeep = errors.New("member: effects led to effects too often")

// collect lets user code ask for effects, and carries them out at once. It is for everything but Apply. A panic stops
// the member (FAIL-02); what is carried out within another collect is left to that.
func (s *Server) collect(ask func(fx *machine.Effects)) {
	switch x := s.scratch; {
	case x.depth >= maxDepth:
		s.problem(ErrTooDeep)
	case x.depth > 0:
		s.ask(ask)
	default:
		if err := s.askContained(ask); err != nil {
			s.Stop(err)
		}
	}
}

func (s *Server) askContained(ask func(fx *machine.Effects)) (err error) {
	err = errGoexit
	defer s.contain(&err)
	s.ask(ask)
	return nil
}

func (s *Server) ask(ask func(fx *machine.Effects)) {
	x := s.scratch
	depth := x.depth
	fx := x.push()
	ask(fx)
	if fx.Wants() != 0 && s.status.Applied > 0 { // outside of Apply the state is that of the last entry applied
		s.wants(&ra.Entry{Index: s.status.Applied}, fx, 0)
	}
	s.perform(fx, 0, fx.Len())
	s.problem(fx.Err())
	x.popTo(depth)
}

// perform carries out effects from number first up to, and without, number end.
func (s *Server) perform(fx *machine.Effects, first, end int) {
	for i := first; i < end && s.stopped == nil; i++ {
		if e := fx.At(i); s.mine(e) {
			s.execute(e)
		}
	}
}

func (s *Server) performContained(fx *machine.Effects) (err error) {
	err = errGoexit
	defer s.contain(&err)
	s.perform(fx, 0, fx.Len())
	return nil
}

// mine reports whether this member carries an effect out (EFF-02). Those of its aux handler it carries out in any role.
func (s *Server) mine(e *machine.Effect) bool {
	if e.Owner == machine.ForAux {
		return true
	}
	switch e.Scope() {
	case machine.OnEvery:
		return true
	case machine.OnLeader:
		return s.leading
	}
	return e.RunsAt(machine.Place{
		Leads: s.leading, Node: s.cfg.ID.Node, Membership: s.membership(), VoterOn: s.voterOn,
	})
}

// membership returns this member's own, in the configuration in force; a stranger counts as a non-voter.
func (s *Server) membership() ra.Membership {
	for _, m := range s.core.Configuration().Members {
		if m.UID == s.cfg.Raft.Self {
			return m.Membership
		}
	}
	return ra.NonVoter
}

// voterOn reports whether a voter of the cluster lives on a node (EFF-12).
func (s *Server) voterOn(node ra.NodeID) bool {
	for _, m := range s.core.Configuration().Members {
		if m.ID.Node == node && m.Membership == ra.Voter {
			return true
		}
	}
	return false
}

// execute carries an effect out. Unknown ones are ignored (EFF-04). ReleaseCursor and Checkpoint were looked at right
// after their Apply; see wants.
func (s *Server) execute(e *machine.Effect) {
	switch e.Kind {
	case machine.EffectSend:
		s.sendMessage(e)
	case machine.EffectReply:
		s.answerTo(machine.Caller{PID: e.PID, Correlation: e.Correlation}, s.lateResult(e))
	case machine.EffectMonitor:
		s.monitor(e.PID, e.Owner)
	case machine.EffectDemonitor:
		s.demonitor(e.PID, setOf(e.Owner))
	case machine.EffectMonitorNode:
		s.monitorNode(ra.NodeID(e.Name), e.Owner)
	case machine.EffectDemonitorNode:
		s.demonitorNode(ra.NodeID(e.Name), setOf(e.Owner))
	case machine.EffectTimer:
		s.setTimer(e.Name, e.Delay)
	case machine.EffectTimerAt:
		s.setTimer(e.Name, s.until(e.Time))
	case machine.EffectCancelTimer:
		s.cancelTimer(e.Name)
	case machine.EffectAppend, machine.EffectTryAppend:
		s.appendCommand(e)
	case machine.EffectCall:
		if f, ok := e.Value.(func()); ok {
			f()
		}
	case machine.EffectLog, machine.EffectLogLocal:
		s.readBack(e)
	case machine.EffectReleaseCursorAt, machine.EffectCheckpointAt, machine.EffectPromote:
		s.stateEffect(e)
	case machine.EffectAux:
		if s.aux != nil {
			s.auxEvent(machine.AuxEvent{Kind: machine.AuxCast, Command: e.Value})
		}
	}
}

// sendMessage sends a message once (EFF-05, EFF-10, EFF-11). Nobody hears if that fails.
func (s *Server) sendMessage(e *machine.Effect) {
	message := e.Value
	if e.Options&machine.AsEvent != 0 {
		message = ra.Event{From: s.cfg.ID, Body: message}
	}
	if e.Options&machine.AsCast != 0 {
		message = machine.Cast{Message: message}
	}
	_ = s.sendTo(e.PID, message)
}

// sendTo sends a message to a process.
func (s *Server) sendTo(to ra.PID, message any) error {
	s.count(ra.CountSends, 1)
	err := s.cfg.Host.Send(to, message)
	if err != nil {
		s.count(ra.CountSendsLost, 1)
	}
	return err
}

// lateResult returns the result that a deferred reply stands for (EFF-29). One that comes from no entry, but from a tick or
// a change of roles, is of the state as it is: whoever has applied that has applied the caller's command.
func (s *Server) lateResult(e *machine.Effect) Result {
	index := e.Index
	if index == 0 {
		index = s.status.Applied
	}
	return Result{Reply: e.Value, Index: index, Term: s.core.Term()}
}

// until returns how long it is to a moment by the wall clock, in milliseconds since 1970; what is past is now (EFF-20).
func (s *Server) until(at int64) time.Duration {
	now := s.cfg.Timer.Now()
	if at <= now {
		return 0
	}
	return time.Duration(min(at-now, maxDelay.Milliseconds())) * time.Millisecond
}

// maxDelay bounds the timers for a moment, so that no moment overflows.
const maxDelay = 100 * 365 * 24 * time.Hour

// appendCommand takes a command of the machine's own in, as a client's (EFF-14, EFF-15).
func (s *Server) appendCommand(e *machine.Effect) {
	proposal, err := NewCommand(e.Command, e.Mode, machine.Caller{PID: e.PID, Correlation: e.Correlation})
	if err != nil {
		s.problem(err)
		return
	}
	s.takeIn(Command{Proposal: proposal, own: e.Kind == machine.EffectAppend})
}

// readBack reads commands from the log and carries out what the machine makes of them (EFF-21, EFF-22).
func (s *Server) readBack(e *machine.Effect) {
	f, ok := e.Value.(machine.LogFunc)
	if !ok {
		return
	}
	var found []machine.LogEntry
	for _, i := range e.Indexes {
		if entry, ok := s.command(i); ok {
			found = append(found, entry)
		}
	}
	owner := e.Owner
	s.collect(func(fx *machine.Effects) {
		if owner == machine.ForAux {
			fx.BeginAux()
		}
		f(found, fx)
	})
}

// command reads one command from the log. It reports false if the entry is not there any more, not yet, or is none.
func (s *Server) command(i ra.Index) (machine.LogEntry, bool) {
	if base, _ := s.cfg.Log.Base(); i <= base || i > s.cfg.Log.Last() {
		return machine.LogEntry{}, false
	}
	x := s.scratch
	var err error
	x.read, err = s.cfg.Log.Read(x.read[:0], i, i, 0)
	if err != nil || len(x.read) != 1 || x.read[0].Kind() != ra.KindCommand {
		return machine.LogEntry{}, false
	}
	e := &x.read[0]
	payload, _, _, err := DecodeCommand(e)
	if err != nil {
		return machine.LogEntry{}, false
	}
	return machine.LogEntry{Index: e.Index, Term: e.Term, Time: e.Time(), Command: payload}, true
}
