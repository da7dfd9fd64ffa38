package member

import (
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// auxEvent tells the aux handler of something, carries out what it asks for, and returns its reply (MAC-09).
func (s *Server) auxEvent(event machine.AuxEvent) (reply any) {
	s.collect(func(fx *machine.Effects) {
		fx.BeginAux()
		reply = fx.TakeReply(s.aux.HandleAux(auxView{s}, event, fx))
	})
	return reply
}

// auxQuestion is a command to the aux handler in the place of a query.
type auxQuestion struct {
	command any
	from    machine.Caller
}

// AuxCall gives a command to the aux handler, at once and whatever the role (QRY-13). A handler that answers later does
// so to from; if that is nobody, the caller gets nil. It fails with machine.ErrNoAux if the machine has none.
func (s *Server) AuxCall(command any, from machine.Caller, c Caller) {
	s.begin()
	s.auxCall(auxQuestion{command, from}, c)
}

func (s *Server) auxCall(q auxQuestion, c Caller) {
	result := Result{Index: s.status.Applied, Term: s.core.Term(), Leader: s.core.Leader()}
	switch {
	case s.stopped != nil:
		result.Err = ra.ErrNoProcess
	case s.aux == nil:
		result.Err = machine.ErrNoAux
	default:
		result.Reply = s.auxEvent(machine.AuxEvent{Kind: machine.AuxCall, Command: q.command, From: q.from})
		result.Err = s.stopped
	}
	if result.Reply == machine.NoReply {
		if !q.from.IsZero() {
			return
		}
		result.Reply = nil
	}
	done(c, result)
}

// AuxCast gives a command to the aux handler, at once; nobody waits.
func (s *Server) AuxCast(command any) {
	s.begin()
	if s.stopped == nil && s.aux != nil {
		s.auxEvent(machine.AuxEvent{Kind: machine.AuxCast, Command: command})
	}
}

// ConsistentAux is AuxCall once it is proved that this member leads (QRY-07).
func (s *Server) ConsistentAux(command any, from machine.Caller, c Caller) {
	s.Query(auxQuestion{command, from}, c)
}

// auxView is what the aux handler sees of its member.
type auxView struct{ *Server }

// Status tells where the member stands (MAC-10).
func (v auxView) Status() machine.AuxStatus {
	s := v.Server
	core := s.core.Status()
	status := machine.AuxStatus{
		Role: s.role(core.Role), Leader: s.serverID(core.Leader), Term: core.State.Term, Applied: s.status.Applied,
		LastIndex: core.Last.Index, LastTerm: core.Last.Term, Version: s.machine.Version(),
		Members: core.Configuration.Members, WALFill: s.cfg.Host.WALFill(),
	}
	if s.cfg.Snapshots != nil {
		if info, ok := s.cfg.Snapshots.Newest(s.cfg.Raft.Self); ok {
			status.SnapshotSize = info.Size
		}
	}
	return status
}

// State returns the machine as its user wrote it.
func (v auxView) State() any { return machine.Innermost(v.machine.Machine()) }

// Command reads a command from the log.
func (v auxView) Command(index ra.Index) (machine.LogEntry, bool) { return v.command(index) }
