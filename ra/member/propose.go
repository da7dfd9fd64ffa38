package member

import (
	"errors"
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Command takes in a command. It is proposed, refused, held or passed on to the leader at the next Flush.
func (s *Server) Command(c Command) {
	if !c.wellFormed() {
		done(c.Caller, Result{Err: ErrMalformed})
		return
	}
	s.takeIn(c)
}

// takeIn takes in a command of whatever origin.
func (s *Server) takeIn(c Command) {
	if s.scratch != nil {
		borrow(&s.commands, &s.scratch.commands)
	}
	n := len(s.commands)
	s.commands = slices.Grow(s.commands, 1)[:n+1]
	to := &s.commands[n] // filled in part by part, as it was made: a copy of the whole would have to wait for that
	to.Proposal.Index, to.Proposal.Term, to.Proposal.Body = 0, 0, c.Proposal.Body
	to.Caller, to.own = c.Caller, c.own
}

// wellFormed reports whether a command from outside makes sense (CMD-06: no other modes).
func (c *Command) wellFormed() bool {
	return ra.IsDraft(c.Proposal.Body) && proposable(c.kind()) && c.mode() <= machine.ModeNotify
}

// proposable reports whether entries of a kind may come from outside.
func proposable(k ra.Kind) bool { return k == ra.KindCommand || k == ra.KindDelete }

// proposeOwn takes in an entry of the member's own making (EFF-19, EFF-50, EFF-51), unless its payload could not be made.
func (s *Server) proposeOwn(kind ra.Kind, payload []byte, err error) {
	if err != nil {
		s.problem(err)
		return
	}
	s.takeIn(Command{Proposal: raft.NewProposal(kind, 0, payload), own: true})
}

// proposeCommands folds all commands of the batch into one proposal.
func (s *Server) proposeCommands() {
	if len(s.commands) == 0 {
		return
	}
	commands := s.commands
	s.scratch.propose = slices.Grow(s.scratch.propose[:0], len(commands))[:len(commands)]
	for i := range commands {
		s.scratch.propose[i].Body = commands[i].Proposal.Body // which is all that a proposal has
	}
	result := raft.Result{Refused: raft.Stopped}
	if s.deleting == 0 {
		result = s.stepOwn(raft.Message{Kind: raft.Propose, Entries: s.scratch.propose})
	}
	if result.Refused == raft.Accepted {
		s.accepted(commands, result.Index)
	} else {
		s.refuseCommands(commands, result.Refused)
	}
	clear(commands)
	s.commands = commands[:0]
	s.scratch.propose = emptied(s.scratch.propose)
}

// accepted notes who waits for commands that are in the log now, from an index on.
func (s *Server) accepted(commands []Command, first ra.Index) {
	term, own := s.core.Term(), 0
	for i := range commands {
		c := &commands[i]
		index := first + ra.Index(i)
		if c.own {
			own++
		}
		if c.kind() == ra.KindDelete {
			s.needRare().end.proposed = term
		}
		switch {
		case c.mode() == machine.ModeAfterAppend:
			s.appended(c, index, term)
		case c.Caller != nil:
			s.waitFor(index, term, c.Caller)
		}
	}
	s.count(ra.CountCommands, len(commands)-own)
}

// waitFor notes who waits for an entry that this member, as the leader, has appended.
func (s *Server) waitFor(index ra.Index, term ra.Term, c Caller) {
	if s.waiting.list == nil {
		s.waiting.list = s.scratch.lendWaiting()
	}
	s.waiting.add(index, term, c)
}

// appended answers a command whose sender wants to know where it stands, no more (CMD-06).
func (s *Server) appended(c *Command, index ra.Index, term ra.Term) {
	result := Result{Index: index, Term: term, Leader: s.cfg.Raft.Self}
	if c.Caller != nil {
		c.Caller.Done(result)
	} else if from := c.from(); !from.IsZero() {
		s.answerTo(from, result)
	}
}

// refuseCommands deals with commands that the core did not take.
func (s *Server) refuseCommands(commands []Command, why raft.Refusal) {
	for i := range commands {
		c := &commands[i]
		switch {
		case c.own && (why == raft.Waiting || why == raft.Overloaded):
			s.owe(c)
		case !proposable(c.kind()): // it was of this leadership
		case c.Caller == nil:
			s.refuseCast(c, why)
		case s.orders.full && s.undecided(why):
			c.Caller.Done(Result{Leader: s.core.Leader(), Err: ra.ErrDiskFull})
		case s.mayHold(why):
			r := s.needRare()
			r.heldCommands = append(r.heldCommands, *c)
		default:
			c.Caller.Done(Result{Leader: s.core.Leader(), Err: s.refusal(why)})
		}
	}
}

// refuseCast deals with a command that nobody on this member waits for. One whose sender wants to hear is rejected: the
// event names the leader, if one is known, even this member if it leads and could take no more just now (EVT-02, CMD-12;
// unlike in ra the sender is also told that no leader is known). Others go on to the leader, or are dropped (CMD-08).
func (s *Server) refuseCast(c *Command, why raft.Refusal) {
	leader := s.core.Leader()
	if why == raft.Waiting || why == raft.Stopped {
		leader = ""
	}
	if from := c.from(); !from.IsZero() {
		_ = s.sendEvent(from.PID, ra.Rejected{Correlation: from.Correlation, Leader: s.serverID(leader)})
	} else if why == raft.NotLeader && leader != "" {
		_ = s.cfg.Host.Forward(s.serverID(leader), *c)
	}
}

// maxOwed bounds what a member owes to its log.
const maxOwed = 1 << 16

// owe keeps an entry of the member's own making for the next Flush that finds it a leader who can propose.
func (s *Server) owe(c *Command) {
	r := s.needRare()
	if len(r.owed) >= maxOwed {
		s.problem(errOwed)
		return
	}
	r.owed = append(r.owed, *c)
}

var errOwed = errors.New("member: an entry of the machine's own is dropped, too many cannot be proposed")

// payOwed takes up what the member owes to the log.
func (s *Server) payOwed() {
	if s.rare == nil || len(s.rare.owed) == 0 || s.core.Role() != ra.Leader {
		return
	}
	s.commands = slices.Insert(s.commands, 0, s.rare.owed...)
	s.rare.owed = nil
}

// mayHold reports whether a request that was refused for this reason waits here for better times.
func (s *Server) mayHold(why raft.Refusal) bool {
	return s.undecided(why) && s.held() < s.cfg.MaxHeld
}

// undecided reports whether that is no answer yet: it is not known who leads, or the leader waits for something.
func (s *Server) undecided(why raft.Refusal) bool {
	return why == raft.Waiting || why == raft.NotLeader && s.core.Leader() == "" && !s.core.QuorumDamaged()
}

// refusal returns the error for a request that was refused and is not held.
func (s *Server) refusal(why raft.Refusal) error {
	switch why {
	case raft.Stopped:
		return ra.ErrNoProcess
	case raft.Malformed:
		return ErrMalformed
	case raft.NotLeader:
		if leader := s.core.Leader(); leader != "" {
			return &ra.NotLeaderError{Member: s.serverID(s.cfg.Raft.Self), Leader: s.serverID(leader)}
		}
		if s.core.QuorumDamaged() {
			return errQuorumDamaged
		}
	case raft.ChangeNotPermitted:
		return ra.ErrChangeNotPermitted
	case raft.AlreadyMember:
		return ra.ErrAlreadyMember
	case raft.NotMember:
		return ra.ErrNotMember
	case raft.MissingUID:
		return ra.ErrInvalidName
	case raft.TooManyMembers:
		return ra.ErrTooLarge
	}
	return ra.ErrOverloaded
}

// serverID returns the address of a member of the configuration in force.
func (s *Server) serverID(uid ra.UID) ra.ServerID {
	for _, m := range s.core.Configuration().Members {
		if m.UID == uid {
			return m.ID
		}
	}
	return ra.ServerID{}
}

// errQuorumDamaged says why there will be no leader.
var errQuorumDamaged = fmt.Errorf("%w: so many members have lost entries that the others are no majority, "+
	"and nobody can be elected until a loss is accepted", ra.ErrDamaged)

// mayRelease reports whether what is held can be decided: a leader is known, this member, or another to send the
// callers to; or there will be none. A leader that waits decides nothing.
func (s *Server) mayRelease() bool {
	if s.held() == 0 || s.stopped != nil {
		return false
	}
	leader := s.core.Leader()
	return s.core.QuorumDamaged() || leader != "" && (leader != s.cfg.Raft.Self || s.core.Role() == ra.Leader)
}

// maxTimeouts is how many election timeouts a request is held through at most. Between two of them lies a whole round of
// an election, after which a member whose cluster can elect leads or knows who does.
const maxTimeouts = 2

// noteTimeout counts the election timeouts through which requests are held. Those that saw too many are given back: this
// member may have been removed without having heard of it, and then it never knows a leader, while others do (MEM-03).
func (s *Server) noteTimeout() {
	if s.held() == 0 || s.core.Leader() != "" {
		return
	}
	r := s.rare
	if r.timeouts++; r.timeouts < maxTimeouts {
		return
	}
	err := &ra.NotLeaderError{Member: s.serverID(s.cfg.Raft.Self)}
	commands, queries := r.heldCommands, r.heldQueries
	r.heldCommands, r.heldQueries, r.timeouts = nil, nil, 0
	for i := range commands {
		done(commands[i].Caller, Result{Err: err})
	}
	for i := range queries {
		done(queries[i].caller, Result{Err: err})
	}
}

// release takes up what was held, before what came in later: the commands of a client keep their order.
func (s *Server) release() {
	if !s.mayRelease() {
		return
	}
	r := s.rare
	s.commands = slices.Insert(s.commands, 0, r.heldCommands...)
	held := r.heldQueries
	r.heldCommands, r.heldQueries, r.timeouts = nil, nil, 0
	for i, q := range held {
		if q.local {
			s.takeLocal(&held[i], true)
		} else {
			s.queries = append(s.queries, q)
		}
	}
}

// refuseAll ends all waiting because the member has stopped. What is not in the log was certainly not applied.
func (s *Server) refuseAll() {
	commands, queries := s.commands, s.queries
	s.commands, s.queries = nil, nil
	if r := s.rare; r != nil {
		commands = slices.Concat(commands, r.heldCommands)
		queries = slices.Concat(queries, r.heldQueries, r.rounds, r.waiting)
		r.heldCommands, r.heldQueries, r.rounds, r.waiting = nil, nil, nil, nil
	}
	for _, c := range commands {
		done(c.Caller, Result{Err: ra.ErrNoProcess})
	}
	for _, q := range queries {
		done(q.caller, Result{Err: ra.ErrNoProcess})
	}
	s.waiting.abandon(s.stopped)
}

func done(c Caller, r Result) {
	if c != nil {
		c.Done(r)
	}
}
