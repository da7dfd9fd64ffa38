package member

import (
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// query is a consistent query and the number of the round that has to prove leadership for it.
type query struct {
	number   uint64
	question any
	caller   Caller
}

// Condition holds a local query back until the entry (Index, Term) is applied (QRY-04). The zero Condition holds
// nothing back.
type Condition struct {
	Index ra.Index
	Term  ra.Term
}

// Query takes in a consistent query (QRY-06): question, as machine.Ask takes it, is put to the machine when it is
// proved that this member still led after the query came in, and everything committed until then is applied.
func (s *Server) Query(question any, c Caller) {
	s.queries = append(s.queries, query{question: question, caller: c})
}

// LocalQuery puts a question to this member's machine as it is, or as it is when the condition holds (QRY-02). With
// leaderOnly a member that does not lead refuses it (QRY-03). It returns a number for CancelQuery, 0 if the query has
// ended.
func (s *Server) LocalQuery(question any, when Condition, leaderOnly bool, c Caller) uint64 {
	s.answer(question, c)
	return 0
}

// CancelQuery forgets a local query that still waits. Its caller hears nothing then.
func (s *Server) CancelQuery(number uint64) {}

// answer puts a question to the machine.
func (s *Server) answer(question any, c Caller) {
	term := s.core.Term()
	reply, err := machine.Ask(s.machine.Machine(), machine.QueryContext{
		Index: s.status.Applied, Term: term, Version: s.machine.Version(),
	}, question)
	done(c, Result{Reply: reply, Index: s.status.Applied, Term: term, Leader: s.core.Leader(), Err: err})
}
