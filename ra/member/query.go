package member

import (
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// query is a question that waits: a consistent one for the proof of leadership, a local one for its condition, either
// for a leader to be known.
type query struct {
	// number is that of the round that has to prove leadership; of a local query it is its own.
	number   uint64
	question any
	caller   Caller
	local    bool
	when     Condition
}

// Condition holds a local query back until the entry (Index, Term) is applied (QRY-04). The zero Condition holds
// nothing back. Term 0 leaves it open of which term the entry is: for whoever knows that it is committed.
type Condition struct {
	Index ra.Index
	Term  ra.Term
}

// maxRounds bounds the consistent queries that wait for a proof of leadership.
const maxRounds = 1 << 16

// Query takes in a consistent query (QRY-06): question, as machine.Ask takes it, is put to the machine when it is
// proved that this member still led after the query came in, and everything committed until then is applied. Its panic
// is its error (QRK-04).
func (s *Server) Query(question any, c Caller) {
	if s.scratch != nil {
		borrow(&s.queries, &s.scratch.queries)
	}
	s.queries = append(s.queries, query{question: question, caller: c})
}

// askQueries asks for one proof of leadership for all queries of the batch.
func (s *Server) askQueries() {
	if len(s.queries) == 0 {
		return
	}
	r := s.needRare()
	number := r.lastQuery + 1
	refused := s.stepOwn(raft.Message{Kind: raft.Query, Query: number}).Refused
	if refused == raft.Accepted {
		r.lastQuery = number
	}
	for _, q := range s.queries {
		switch {
		case refused == raft.Accepted && len(r.rounds) < maxRounds:
			q.number = number
			r.rounds = append(r.rounds, q)
		case s.mayHold(refused):
			s.holdQuery(q)
		default:
			done(q.caller, Result{Leader: s.core.Leader(), Err: s.refusal(refused)})
		}
	}
	clear(s.queries)
	s.queries = s.queries[:0]
}

// answerQueries answers the queries that the core proved, from a state that holds all that was committed before they
// came in (REP-33), and lets those be asked again that it cannot prove any more (REP-36).
func (s *Server) answerQueries(o *raft.Orders) {
	r := s.rare
	if r == nil || len(r.rounds) == 0 {
		return
	}
	k := 0
	for ; k < len(r.rounds) && r.rounds[k].number <= max(o.QueriesReady, o.QueriesLost); k++ {
		q := r.rounds[k]
		switch {
		case q.number > o.QueriesReady:
			s.queries = append(s.queries, query{question: q.question, caller: q.caller})
		case s.status.Applied < o.Commit, s.deleting != 0: // a cluster that was started since knows more
			done(q.caller, Result{Leader: o.Leader, Err: s.behind()})
		default:
			s.count(ra.CountConsistentQueries, 1)
			s.answer(q.question, q.caller)
		}
	}
	if k > 0 {
		n := copy(r.rounds, r.rounds[k:])
		clear(r.rounds[n:])
		r.rounds = r.rounds[:n]
	}
}

// behind returns why the machine does not contain everything that is committed.
func (s *Server) behind() error {
	if s.stuck {
		return machine.ErrVersion
	}
	return ra.ErrNoProcess
}

// answer puts a question to the machine, or to the aux handler.
func (s *Server) answer(question any, c Caller) {
	if q, ok := question.(auxQuestion); ok {
		s.auxCall(q, c)
		return
	}
	said := Result{Index: s.status.Applied, Term: s.core.Term(), Leader: s.core.Leader(), Err: errGoexit}
	defer func() { done(c, said) }()
	said.Reply, said.Err = machine.Ask(s.machine.Machine(), machine.QueryContext{
		Index: said.Index, Term: said.Term, Version: s.machine.Version(),
	}, question)
}

// LocalQuery puts a question to this member's machine as it is, or as it is when the condition holds, in any role
// (QRY-02). With leaderOnly a member that does not lead refuses it, or keeps it until it knows who does (QRY-03). It
// fails with ra.ErrSuperseded if another entry was applied where the condition wants its own, and with ErrCompacted if
// that is not known any more, rather than wait for ever (QRK-13).
//
// It returns a number for CancelQuery, 0 if the query has ended already.
func (s *Server) LocalQuery(question any, when Condition, leaderOnly bool, c Caller) uint64 {
	s.begin()
	q := query{question: question, caller: c, local: true, when: when}
	if s.takeLocal(&q, leaderOnly) {
		return q.number
	}
	return 0
}

// numberLocal gives a local query that must wait its number.
func (s *Server) numberLocal(q *query) {
	if r := s.needRare(); q.number == 0 {
		r.lastLocal++
		q.number = r.lastLocal
	}
}

// takeLocal answers a local query, or reports that it waits.
func (s *Server) takeLocal(q *query, leaderOnly bool) (waits bool) {
	switch leader := s.core.Leader(); {
	case s.stopped != nil:
		done(q.caller, Result{Err: ra.ErrNoProcess})
	case leaderOnly && leader != s.cfg.Raft.Self:
		if s.mayHold(raft.NotLeader) {
			s.numberLocal(q)
			s.holdQuery(*q)
			return true
		}
		done(q.caller, Result{Leader: leader, Err: s.refusal(raft.NotLeader)})
	case q.when.Index > s.status.Applied:
		return s.await(q)
	default:
		s.answerLocal(q)
	}
	return false
}

// await keeps a local query until its condition can hold.
func (s *Server) await(q *query) bool {
	r := s.needRare()
	if len(r.waiting) >= s.cfg.MaxHeld {
		done(q.caller, Result{Leader: s.core.Leader(), Err: ra.ErrOverloaded})
		return false
	}
	if len(r.waiting) == 0 || q.when.Index < r.least {
		r.least = q.when.Index
	}
	s.numberLocal(q)
	r.waiting = append(r.waiting, *q)
	return true
}

// answerLocal answers a local query whose condition is decided.
func (s *Server) answerLocal(q *query) {
	if i := q.when.Index; i > 0 && q.when.Term > 0 {
		switch term, known := s.core.TermAt(i); {
		case !known:
			err := fmt.Errorf("member: if entry %d was of term %d is not known any more: %w", i, q.when.Term, ErrCompacted)
			done(q.caller, Result{Leader: s.core.Leader(), Err: err})
			return
		case term != q.when.Term:
			done(q.caller, Result{Leader: s.core.Leader(), Err: ra.ErrSuperseded})
			return
		}
	}
	s.count(ra.CountLocalQueries, 1)
	s.answer(q.question, q.caller)
}

// answerWaiting answers the local queries whose conditions are decided by now.
func (s *Server) answerWaiting() {
	r := s.rare
	if r == nil || len(r.waiting) == 0 || s.status.Applied < r.least {
		return
	}
	waiting := r.waiting
	r.waiting = nil
	for i := range waiting {
		s.takeLocal(&waiting[i], false)
	}
}

// CancelQuery forgets a local query that still waits, and reports whether there was one. Its caller hears nothing then.
func (s *Server) CancelQuery(number uint64) bool {
	if s.rare == nil {
		return false
	}
	is := func(q query) bool { return q.local && q.number == number }
	for _, list := range []*[]query{&s.rare.heldQueries, &s.rare.waiting} {
		if i := slices.IndexFunc(*list, is); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			return true
		}
	}
	return false
}
