package member

import (
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/warm"
)

// How many callers are loaded, and how much of each.
const (
	warmCallers = 4
	warmCaller  = 128
	warmBody    = 64
	applyAhead  = 4
)

// warmApply is called before the first of next is applied, and loads what applying a later one will need.
func (s *Server) warmApply(next []ra.Entry) {
	if len(next) > applyAhead {
		warm.Slice(next[applyAhead].Body, warmBody)
	}
	if callers := s.waiting.list[s.waiting.head:]; len(callers) > applyAhead {
		warm.Pointee(callers[applyAhead].caller, warmCaller)
	}
}

// Warm loads what the next batch will need, see package warm.
func (s *Server) Warm(step int) {
	switch step {
	case 0:
		warm.Value(s)
		return
	case 1:
		warm.Value(s.rare)
		warm.Slice(s.waiting.list[s.waiting.head:], warmCallers)
	case 2:
		next := s.waiting.list[s.waiting.head:]
		for i := range next[:min(len(next), warmCallers)] {
			warm.Pointee(next[i].caller, warmCaller)
		}
	}
	if s.core != nil && s.machine != nil { // it may have failed while it was restored
		s.core.Warm(step - 1)
		s.machine.Warm(step - 1)
	}
}
