package member

import (
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// rare is what most members do not have most of the time. A Server has none until it needs one.
type rare struct {
	watch watchlist
	// timers are the machine's timers that this leadership has set.
	timers map[string]struct{}
	// unsent are notifications that could not be sent yet, of unsentCommands commands, one for each process.
	unsent         []note
	unsentCommands int
	// owed are entries of the member's own making that its leader could not propose yet.
	owed []Command
	// heldCommands and heldQueries wait for a leader to be known (CMD-03).
	heldCommands []Command
	heldQueries  []query
	// timeouts counts the election timeouts since something is held.
	timeouts int
	// rounds are the consistent queries that wait for the proof of leadership, in order of their number.
	rounds    []query
	lastQuery uint64
	lastLocal uint64
	// waiting are local queries whose condition does not hold yet; none can before entry least is applied.
	waiting []query
	least   ra.Index
	// early are effects of the time before the first batch.
	early *machine.Effects
	// end is what there is to do about the deletion of the cluster.
	end ending
}

// needRare returns the rare part, made if need be.
func (s *Server) needRare() *rare {
	if s.rare == nil {
		s.rare = new(rare)
	}
	return s.rare
}

// held returns how many commands and queries wait for a leader to be known.
func (s *Server) held() int {
	if s.rare == nil {
		return 0
	}
	return len(s.rare.heldCommands) + len(s.rare.heldQueries)
}

// holdQuery keeps a query until a leader is known.
func (s *Server) holdQuery(q query) {
	r := s.needRare()
	r.heldQueries = append(r.heldQueries, q)
}
