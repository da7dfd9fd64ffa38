package member

import "github.com/heliopolis-raft/heliopolis/ra/raft"

// Patience returns what the member need not be told before the next batch, as of the last Flush; see raft.Patience. What
// waits must be told in the next batch, whatever causes that.
func (s *Server) Patience() raft.Patience {
	if s.core == nil || s.stopped != nil || s.deleting != 0 { // a leader that waits to go waits for acknowledgements (FSM-11)
		return raft.Patience{}
	}
	return s.core.Patience()
}
