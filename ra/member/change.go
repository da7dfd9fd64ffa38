package member

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Change asks for a change of one member of the configuration (MEM-01 to MEM-04). The caller hears when the change is
// committed and applied here, or why it was refused.
func (s *Server) Change(op raft.ChangeOp, m ra.Member, c Caller) {
	switch {
	case s.deleting != 0:
		done(c, Result{Err: ra.ErrNoProcess})
		return
	case s.proposedEnd():
		done(c, Result{Leader: s.core.Leader(), Err: ra.ErrChangeNotPermitted})
		return
	}
	result := s.Step(&raft.Message{Kind: raft.Change, Op: op, Members: []ra.Member{m}})
	if result.Refused != raft.Accepted {
		done(c, Result{Leader: s.core.Leader(), Err: s.changeRefusal(op, m, result.Refused)})
		return
	}
	if c != nil {
		s.waitFor(result.Index, s.core.Term(), c)
	}
}

// errNoVoter is why the last voter stays one.
var errNoVoter = errors.New("member: the cluster would have no voter")

// changeRefusal is refusal for a change.
func (s *Server) changeRefusal(op raft.ChangeOp, m ra.Member, why raft.Refusal) error {
	switch {
	case why != raft.Malformed:
		return s.refusal(why)
	case op == raft.Remove || m.Membership > ra.Voter && m.Membership <= ra.NonVoter:
		return errNoVoter
	}
	return fmt.Errorf("%w: change of %s to %s", ErrMalformed, m.ID, m.Membership)
}
