package member

import "github.com/heliopolis-raft/heliopolis/ra/raft"

// Patience returns what the member need not be told before the next batch, as of the last Flush; see raft.Patience. What
// waits must be told in the next batch, whatever causes that.
func (s *Server) Patience() raft.Patience {
	if s.core == nil || s.stopped != nil || s.deleting != 0 { // the end of the cluster waits for an order (FSM-11)
		return raft.Patience{}
	}
	return s.core.Patience()
}

// Promise fills in what the member says to its leader when orders of its become durable, as of the last Flush, by the
// Server's own numbers; see raft.Promise. It holds until the member is told of anything. What of it was sent, the member
// is told by Acknowledged.
func (s *Server) Promise(p *raft.Promise) {
	n := &s.orders
	if s.core == nil || s.restored != nil || s.stopped != nil || s.deleting != 0 || len(n.own) > 0 || len(n.backlog) > 0 {
		*p = raft.Promise{}
		return
	}
	s.core.Promise(p, n.shift)
}
