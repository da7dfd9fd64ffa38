package raft

import (
	"math"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Term returns the term of this member, as of the last Step.
func (r *Raft) Term() ra.Term { return r.state.Term }

// Leader returns the leader of that term, or "" if it is not known.
func (r *Raft) Leader() ra.UID { return r.leader }

// Configuration returns the configuration in force, as of the last Step. It must not be changed.
func (r *Raft) Configuration() Configuration { return *r.config() }

// Patience is what a leader need not hear of at once: news that by itself gives it nothing to do. Whoever brings such
// news may let it wait for other news. The zero value is somebody who must hear of everything.
type Patience struct {
	// Term is the leader's.
	Term ra.Term
	// Acks: an AppendReply of this term which accepts, and confirms nothing above this index, can wait, unless it says that
	// its sender is suspect, or can run a newer machine than Version, which all peers are known to run. 0: none can.
	Acks    ra.Index
	Version uint32
	// Written: that its own orders are on disk can wait, because without a peer that commits nothing.
	Written bool
}

// CanWait reports whether m is such an AppendReply.
func (p *Patience) CanWait(m *Message) bool {
	return m.Kind == AppendReply && !m.Reject && !m.Suspect && m.Term == p.Term && m.Index <= p.Acks && m.Version <= p.Version
}

// Patience returns what can wait until the next batch, as of the last Orders. Only a leader that has sent its peers all
// that it has, in a configuration that is settled, has any. Something always comes: the answer that commits, or a tick
// as long as a peer lacks something (REP-14).
func (r *Raft) Patience() Patience {
	l := r.lead
	if l == nil || r.role != ra.Leader || l.leaving || len(r.configs) > 1 || len(l.peers) < 2 || r.failed != nil {
		return Patience{}
	}
	out := Patience{Term: r.state.Term, Acks: r.commit, Version: math.MaxUint32, Written: true}
	for i := range l.peers {
		p := &l.peers[i]
		if !p.voter || p.suspect || i != r.at && (p.status != replicating || p.next <= r.log.last || p.poke) {
			return Patience{}
		}
		if i == r.at {
			continue
		}
		out.Version = min(out.Version, p.version)
		if p.match > r.commit {
			out.Written = false
		}
	}
	return out
}
