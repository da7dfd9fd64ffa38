package member

import (
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// aloneTicks is how long a follower that has applied the deletion of its cluster, and hears of no leader that might
// still want to know, stays.
const aloneTicks = 30

// noteDeletion is called when the batch that held the deletion of the cluster is done: the machine hears of its end
// (FSM-11). Nothing is applied or taken in any more. A leader has the others told at once that the entry is committed,
// and asks for their answers, as it does again with every tick.
func (s *Server) noteDeletion() {
	if s.core.Role() == ra.Leader {
		s.sent = append(s.sent, raft.Message{Kind: raft.Tick})
	}
	s.enter(ra.EOL)
	if s.stopped == nil {
		s.enter(s.role(s.core.Role()))
	}
}

// finishDeletion ends the member when nobody needs it any more: the leader when all others are known to have applied
// the deletion (FSM-11), a follower when it has said so, which it does not before its log is durable (FSM-12).
func (s *Server) finishDeletion() {
	acknowledged := s.acked >= s.deleting
	if s.leading && s.core.ReplicatedTo(s.deleting) || !s.leading && (acknowledged || s.needRare().alone >= aloneTicks) {
		s.Stop(ErrDeleted)
		if f := s.cfg.Observer.Deleted; f != nil {
			f()
		}
	}
}

// tickDeletion counts how long there has been no leader.
func (s *Server) tickDeletion() {
	if s.deleting == 0 {
		return
	}
	if r := s.needRare(); s.core.Leader() == "" {
		r.alone++
	} else {
		r.alone = 0
	}
}
