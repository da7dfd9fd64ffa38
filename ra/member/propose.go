package member

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// proposeCommands folds all commands of the batch into one proposal.
func (s *Server) proposeCommands() {
	if len(s.commands) == 0 {
		return
	}
	s.scratch.propose = s.scratch.propose[:0]
	for i := range s.commands {
		s.scratch.propose = append(s.scratch.propose, s.commands[i].Proposal)
	}
	if s.proposeAll(s.commands, s.scratch.propose) == raft.Malformed {
		for i := range s.commands { // one of them is, which the others must not suffer from
			if one := s.commands[i : i+1]; s.proposeAll(one, s.scratch.propose[i:i+1]) == raft.Malformed {
				s.refuseCommands(one, raft.Malformed)
			}
		}
	}
	clear(s.scratch.propose)
	clear(s.commands)
	s.commands = s.commands[:0]
}

// proposeAll proposes commands together. All of them are in the log then, or refused, or held; but if it says that one
// of them is malformed, nothing was done.
func (s *Server) proposeAll(commands []Command, entries []ra.Entry) raft.Refusal {
	result := s.core.Step(&raft.Message{Kind: raft.Propose, Entries: entries})
	switch result.Refused {
	case raft.Malformed:
	case raft.Accepted:
		for i := range commands {
			if c := commands[i].Caller; c != nil {
				s.waiting.add(result.Index+ra.Index(i), s.core.Term(), c)
			}
		}
	default:
		s.refuseCommands(commands, result.Refused)
	}
	return result.Refused
}

// refuseCommands answers commands that the core did not take, or holds them until a leader is known (CMD-03, CMD-12).
func (s *Server) refuseCommands(commands []Command, why raft.Refusal) {
	for _, c := range commands {
		if s.mayHold(why) {
			s.heldCommands = append(s.heldCommands, c)
			continue
		}
		done(c.Caller, Result{Leader: s.core.Leader(), Err: s.refusal(why)})
	}
}

// askQueries asks for one proof of leadership for all queries of the batch.
func (s *Server) askQueries() {
	if len(s.queries) == 0 {
		return
	}
	number := s.lastQuery + 1
	result := s.core.Step(&raft.Message{Kind: raft.Query, Query: number})
	for _, q := range s.queries {
		switch {
		case result.Refused == raft.Accepted:
			s.lastQuery = number
			q.number = number
			s.rounds = append(s.rounds, q)
		case s.mayHold(result.Refused):
			s.heldQueries = append(s.heldQueries, q)
		default:
			done(q.caller, Result{Leader: s.core.Leader(), Err: s.refusal(result.Refused)})
		}
	}
	clear(s.queries)
	s.queries = s.queries[:0]
}

// mayHold reports whether a request that was refused for this reason waits here for better times.
func (s *Server) mayHold(why raft.Refusal) bool {
	undecided := why == raft.Waiting || why == raft.NotLeader && s.core.Leader() == ""
	return undecided && len(s.heldCommands)+len(s.heldQueries) < s.cfg.MaxHeld
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

// mayRelease reports whether what is held can be decided: a leader is known, this member, or another to send the
// callers to. A leader that waits decides nothing.
func (s *Server) mayRelease() bool {
	if len(s.heldCommands)+len(s.heldQueries) == 0 || s.stopped != nil {
		return false
	}
	leader := s.core.Leader()
	return leader != "" && (leader != s.cfg.Raft.Self || s.core.Role() == ra.Leader)
}

// release takes up what was held, before what came in later: the commands of a client keep their order.
func (s *Server) release() {
	if !s.mayRelease() {
		return
	}
	s.commands = slices.Insert(s.commands, 0, s.heldCommands...)
	s.queries = slices.Insert(s.queries, 0, s.heldQueries...)
	clear(s.heldCommands)
	clear(s.heldQueries)
	s.heldCommands, s.heldQueries = s.heldCommands[:0], s.heldQueries[:0]
}

// refuseAll ends all waiting because the member has stopped. What is not in the log was certainly not applied.
func (s *Server) refuseAll() {
	for _, list := range [][]Command{s.commands, s.heldCommands} {
		for _, c := range list {
			done(c.Caller, Result{Err: ra.ErrNoProcess})
		}
	}
	for _, list := range [][]query{s.queries, s.heldQueries, s.rounds} {
		for _, q := range list {
			done(q.caller, Result{Err: ra.ErrNoProcess})
		}
	}
	s.commands, s.heldCommands, s.queries, s.heldQueries, s.rounds = nil, nil, nil, nil, nil
	s.waiting.abandon(s.stopped)
}

func done(c Caller, r Result) {
	if c != nil {
		c.Done(r)
	}
}
