package system

import (
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// shown is what others may see of a member while it runs, without asking it (QRY-10).
type shown struct {
	role, term, commit, applied atomic.Uint64
}

func (s *shown) update(st member.Status) {
	s.role.Store(uint64(st.Role))
	s.term.Store(uint64(st.Term))
	s.commit.Store(uint64(st.Commit))
	s.applied.Store(uint64(st.Applied))
}

// Metrics are a member's key numbers. They are read one after the other, not at one instant.
type Metrics struct {
	// Running: the member's process lives; the rest is zero otherwise.
	Running bool
	Role    ra.Role
	Term    ra.Term
	Commit  ra.Index
	Applied ra.Index
	// Last is the last index in the member's log, Snapshot that of its newest snapshot.
	Last     ra.Index
	Snapshot ra.Index
}

// metrics returns the key numbers of a member of this node.
func (r *record) metrics() Metrics {
	p := r.proc.Load()
	if p == nil {
		return Metrics{}
	}
	return Metrics{
		Running: true,
		Role:    ra.Role(p.shown.role.Load()), Term: ra.Term(p.shown.term.Load()),
		Commit: ra.Index(p.shown.commit.Load()), Applied: ra.Index(p.shown.applied.Load()),
	}
}

// MemberOverview describes a member in full (QRY-09).
type MemberOverview struct {
	ID      ra.ServerID
	Cluster string
	Machine string
	// Core is the member as the algorithm sees it: role, term, vote, log, configuration and, on a leader, its peers.
	Core raft.Status
	// Applied is the last index that the machine has applied.
	Applied ra.Index
	// Stalled: the member waits for room in the log.
	Stalled bool
}

// overview describes the member. It is called by the worker.
func (p *process) overview() MemberOverview {
	return MemberOverview{
		ID: p.rec.id, Cluster: p.rec.reg.cluster, Machine: p.rec.reg.machine,
		Core: p.server.Core(), Applied: p.server.Status().Applied, Stalled: p.server.Stalled(),
	}
}
