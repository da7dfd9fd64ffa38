package raft

import "github.com/heliopolis-raft/heliopolis/ra/warm"

// warmMembers is how many members and peers are loaded.
const warmMembers = 4

// Warm loads what the next batch will need, see package warm.
func (r *Raft) Warm(step int) {
	switch step {
	case 0:
		warm.Value(r)
	case 1:
		warm.Value(r.lead)
		warm.Slice(r.configs, 1)
		warm.Slice(r.log.runs, 1)
		warm.Slice(r.disk.writes[:cap(r.disk.writes)], 4)
	case 2:
		warm.Slice(r.config().Members, warmMembers)
		if r.lead != nil {
			warm.Slice(r.lead.peers, warmMembers)
			warm.Slice(r.lead.values, warmMembers)
		}
	}
}
