package member

import (
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Change asks for a change of one member of the configuration (MEM-01 to MEM-04). The caller hears when the change is
// committed and applied here, or why it was refused.
func (s *Server) Change(op raft.ChangeOp, m ra.Member, c Caller) {
	result := s.Step(&raft.Message{Kind: raft.Change, Op: op, Members: []ra.Member{m}})
	if result.Refused != raft.Accepted {
		done(c, Result{Leader: s.core.Leader(), Err: s.refusal(result.Refused)})
		return
	}
	if c != nil {
		s.waitFor(result.Index, s.core.Term(), c)
	}
}
