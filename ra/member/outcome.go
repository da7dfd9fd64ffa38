package member

import (
	"errors"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// named reports whether an entry names a sender that wants to hear of it.
func named(meta *machine.Meta) bool {
	pid := &meta.From.PID
	return meta.Mode != machine.ModeNone && (pid.Spawn != 0 || pid.Name != "")
}

// noteOutcome notes who is to be told of an entry that was just applied, when effects of the batch are carried out. A
// caller on this member is told by any member; a sender whom the entry names, by the leader only, whoever had accepted
// the command (CMD-13a).
func (s *Server) noteOutcome(caller Caller, reply any, meta *machine.Meta, effects int) {
	named := named(meta)
	if reply == machine.NoReply {
		if named {
			return // the machine answers later, to the sender that the entry names (MAC-05)
		}
		reply = nil
	}
	var to *machine.Caller
	switch {
	case named && s.leading && meta.Mode == machine.ModeNotify:
		s.scratch.addNote(meta.From, s.resultFor(Result{Reply: reply, Index: meta.Index, Term: meta.Term, Leader: s.core.Leader()}))
	case named && s.leading && meta.Mode == machine.ModeConsensus && caller == nil:
		to = new(meta.From)
	}
	if caller != nil || to != nil {
		o := s.scratch.addOutcome()
		o.effects, o.caller, o.to = effects, caller, to
		o.result.Reply, o.result.Index, o.result.Term, o.result.Leader = reply, meta.Index, meta.Term, s.core.Leader()
	}
}

// resultFor returns a result as other processes see it.
func (s *Server) resultFor(r Result) ra.Result {
	return ra.Result{Reply: r.Reply, Index: r.Index, Term: r.Term, Leader: s.cfg.ID}
}

// finish ends a batch that was applied: notifications, the aux handler, and then entry by entry its effects and its
// reply (EFF-01).
func (s *Server) finish(fx *machine.Effects) {
	x := s.scratch
	s.resend()
	for i := range x.notes {
		s.notify(x.notes[i].to, x.notes[i].commands)
	}
	if s.aux != nil {
		s.auxEvent(machine.AuxEvent{Kind: machine.AuxEval})
	}
	at := 0
	for i := range x.outcomes {
		o := &x.outcomes[i]
		s.perform(fx, at, o.effects)
		at = o.effects
		s.tell(o)
	}
	s.perform(fx, at, fx.Len())
	s.problem(fx.Err())
}

// tell tells who waits, once.
func (s *Server) tell(o *outcome) {
	caller, to := o.caller, o.to
	o.caller, o.to = nil, nil
	if caller != nil {
		caller.Done(o.result)
	} else if to != nil {
		s.answerTo(*to, o.result)
	}
}

// answerTo answers a process that waits for one command: by an event that looks like a notification. It is not tried
// again: who waits has a deadline.
func (s *Server) answerTo(to machine.Caller, r Result) {
	_ = s.sendEvent(to.PID, ra.Applied{{Correlation: to.Correlation, Result: s.resultFor(r)}})
}

// sendEvent sends an event that names this member.
func (s *Server) sendEvent(to ra.PID, body any) error {
	return s.sendTo(to, ra.Event{From: s.cfg.ID, Body: body})
}

// maxUnsent bounds the notifications of a member that could not be sent yet, in commands.
const maxUnsent = 4096

// notify tells a process what became of its commands (EVT-01). What cannot be sent now is kept, in order, unless the
// process is known to be gone.
func (s *Server) notify(to ra.PID, commands ra.Applied) {
	pending := s.pendingFor(to)
	if pending == nil {
		if err := s.sendEvent(to, commands); err == nil || errors.Is(err, ra.ErrNoProcess) {
			return
		}
	}
	r := s.needRare()
	if room := maxUnsent - r.unsentCommands; len(commands) > room {
		s.problem(&LostEventsError{To: to, Commands: len(commands) - room})
		commands = commands[:room]
	}
	r.unsentCommands += len(commands)
	switch {
	case len(commands) == 0:
	case pending != nil:
		pending.commands = append(pending.commands, commands...)
	default:
		r.unsent = append(r.unsent, note{to: to, commands: commands})
	}
}

// pendingFor returns what a process is still to be told, or nil.
func (s *Server) pendingFor(to ra.PID) *note {
	if s.rare == nil {
		return nil
	}
	for i := range s.rare.unsent {
		if s.rare.unsent[i].to == to {
			return &s.rare.unsent[i]
		}
	}
	return nil
}

// resend tries again to send notifications, one event a process.
func (s *Server) resend() {
	if s.rare == nil || len(s.rare.unsent) == 0 {
		return
	}
	kept := s.rare.unsent[:0]
	s.rare.unsentCommands = 0
	for _, n := range s.rare.unsent {
		if err := s.sendEvent(n.to, n.commands); err != nil && !errors.Is(err, ra.ErrNoProcess) {
			kept = append(kept, n)
			s.rare.unsentCommands += len(n.commands)
		}
	}
	clear(s.rare.unsent[len(kept):])
	s.rare.unsent = kept
}

// LostEventsError tells that notifications were dropped because too many could not be sent.
type LostEventsError struct {
	To       ra.PID
	Commands int
}

// Error tells whose notifications were dropped.
func (e *LostEventsError) Error() string {
	return "member: notifications dropped, " + e.To.String() + " cannot be reached"
}
