package raft

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// damage takes from the disk of a member that is down the end of its log, or all of it with the snapshot. Term and vote
// stay. One of three at a time: of two nobody could be elected any more.
func (s *sim) damage(n *simNode) {
	if !s.frail || s.rng.IntN(3) > 0 || !slices.ContainsFunc(simInitial, func(m ra.Member) bool { return m.UID == n.uid }) {
		return
	}
	for _, other := range s.nodes {
		if other != n && other.disk.suspect {
			return
		}
	}
	if n.intact == nil {
		n.intact = new(n.disk)
		n.intact.log = slices.Clone(n.disk.log)
	}
	switch k := s.rng.IntN(4); {
	case k == 0:
		n.disk.snapshot, n.disk.members, n.disk.log = Position{}, simInitial, nil
	case k > 1 && len(n.disk.log) > 0:
		n.disk.log = slices.Clone(n.disk.log[:s.rng.IntN(len(n.disk.log))])
	}
	n.disk.suspect = true
}

// lost reports whether the member had an entry on its disk before that was damaged.
func (n *simNode) lost(i ra.Index, term ra.Term) bool {
	return n.intact != nil && (n.intact.term(i) == term || n.intact.snapshot.Index >= i)
}

// checkSuspect: I10: what a suspect member says counts for nothing.
func (s *sim) checkSuspect(n *simNode, m *Message) {
	switch m.Kind {
	case VoteReply, PreVoteReply:
		if n.disk.suspect && !m.Reject {
			s.fail("I10: %s is suspect and grants %v", n.uid, m)
		}
	case VoteRequest, PreVoteRequest, Append:
		if n.disk.suspect {
			s.fail("I10: %s is suspect and sends %v", n.uid, m)
		}
	case AppendReply, HeartbeatReply:
		if n.disk.suspect && !m.Suspect && !m.Reject && (m.Kind == AppendReply || m.Query != 0) {
			s.fail("I10: %s is suspect and acknowledges %v", n.uid, m)
		}
	}
}

// checkRepair: I9: a member that is sound again has everything that is committed and that it ever had.
func (s *sim) checkRepair(n *simNode) {
	if n.intact == nil || n.disk.suspect {
		return
	}
	for i := n.disk.snapshot.Index + 1; int(i) <= len(s.committed); i++ {
		if term := s.committed[i-1].Term; n.lost(i, term) && n.disk.term(i) != term {
			s.fail("I9: %s is sound again without committed %d, which it had", n.uid, i)
			return
		}
	}
	n.intact = nil
}
