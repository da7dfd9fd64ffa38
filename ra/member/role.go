package member

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// become takes note of this member's role before anything is done in it. A leader that hands over, or waits for its
// storage, still leads: nobody else carries out the effects of what it commits meanwhile.
func (s *Server) become(o *raft.Orders) {
	leads := o.Leader == s.cfg.Raft.Self || o.Removed
	again := leads && s.ledTerm != o.Term
	s.countElection(o, again)
	if s.leading && (!leads || again) {
		s.endLeadership()
	}
	s.leading = leads
	if leads {
		s.ledTerm = o.Term
	}
	if role := s.role(o.Role); role != s.entered || again && role == ra.Leader {
		s.enter(role)
	}
}

// countElection counts what an election has come to. One that the member wins at once, alone in its cluster, is one, too.
func (s *Server) countElection(o *raft.Orders, elected bool) {
	stood := s.status.Role == ra.Candidate && s.status.Term == o.Term
	switch {
	case o.Role == ra.PreVote && s.status.Role != ra.PreVote:
		s.count(ra.CountPreVotes, 1)
	case (o.Role == ra.Candidate || elected) && !stood:
		s.count(ra.CountElections, 1)
	}
	if elected {
		s.count(ra.CountLeaderships, 1)
	}
}

// role returns the role as seen from outside: deletion of the cluster is no affair of the core.
func (s *Server) role(core ra.Role) ra.Role {
	switch {
	case s.deleting == 0:
		return core
	case s.leading:
		return ra.TerminatingLeader
	}
	return ra.TerminatingFollower
}

// enter tells the machine of its member's role (MAC-06). A leader's machine has its first tick at once (MAC-07).
func (s *Server) enter(role ra.Role) {
	s.entered = role
	s.collect(func(fx *machine.Effects) { s.machine.EnterState(role, fx) })
	if role == ra.Leader && s.stopped == nil {
		s.tickMachine()
	}
}

func (s *Server) tickMachine() {
	if s.machine.Ticks() {
		now := time.UnixMilli(s.cfg.Timer.Now()).UTC()
		s.collect(func(fx *machine.Effects) { s.machine.Tick(now, fx) })
	}
}

// WantsTick reports whether MachineTick has something to do. Ask after each Flush.
func (s *Server) WantsTick() bool {
	if s.stopped != nil {
		return false
	}
	owes := s.rare != nil && len(s.rare.unsent)+len(s.rare.owed) > 0
	return owes || s.aux != nil || s.deleting != 0 || s.leading && s.machine.Ticks()
}

// MachineTick is to be called about once a second while WantsTick, and a Flush after it: the machine's tick (MAC-07),
// that of its aux handler (MAC-09), and another try at what could not be done at once.
func (s *Server) MachineTick() {
	s.begin()
	if s.stopped != nil {
		return
	}
	s.resend()
	if s.entered == ra.Leader {
		s.tickMachine()
	}
	if s.aux != nil && s.stopped == nil {
		switch s.entered {
		case ra.Leader, ra.Follower, ra.AwaitCondition:
			s.auxEvent(machine.AuxEvent{Kind: machine.AuxTick})
		}
	}
	s.tickDeletion()
}
