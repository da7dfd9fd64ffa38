package member

import (
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// wants decides on what the machine asked for while e was applied, before the next entry is (SNAP-01). The effects of e
// are those of fx from number first on; their conditions are there.
func (s *Server) wants(e *ra.Entry, fx *machine.Effects, first int) {}

// afterApply looks after each batch if a snapshot is due.
func (s *Server) afterApply() {}

// stateEffect carries out the effects about states that the machine itself kept: ReleaseCursorAt, CheckpointAt, Promote.
func (s *Server) stateEffect(e *machine.Effect) {}
