package member

import "github.com/heliopolis-raft/heliopolis/ra/raft"

// snapshotOrder carries out what the core orders about a snapshot that is being received.
func (s *Server) snapshotOrder(o *raft.SnapshotOrder) {
	if o.Op == raft.SnapshotStore && o.Done {
		s.sent = append(s.sent, raft.Message{Kind: raft.SnapshotFailed, Index: o.Index, LogTerm: o.Term})
	}
}
