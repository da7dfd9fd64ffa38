package member

import "github.com/heliopolis-raft/heliopolis/ra/raft"

// attachChunk completes an InstallSnapshot with its chunk, and reports whether it is to be sent.
func (s *Server) attachChunk(m *raft.Message) bool { return false }
