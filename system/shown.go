package system

import (
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// shown is what others may see of a member while it runs, without asking it (QRY-10).
type shown struct {
	role, term, commit, applied, written, latency, membership atomic.Uint64
}

func (s *shown) update(server *member.Server) {
	st := server.Status()
	s.role.Store(uint64(st.Role))
	s.term.Store(uint64(st.Term))
	s.commit.Store(uint64(st.Commit))
	s.applied.Store(uint64(st.Applied))
	s.written.Store(uint64(server.Durable()))
}

// Metrics are a member's key numbers. They are read one after the other, not at one instant.
type Metrics struct {
	// UID is what the member is called on the disk: unique, and never used again, unlike its name (ID-02).
	UID ra.UID
	// Counts is what the member has counted, each from the moment on that its node was opened or it came to that, through all its
	// starts: Counts[ra.CountElections], for example (MET-01).
	Counts ra.Counts
	// Running: the member's process lives; the rest is zero otherwise.
	Running bool
	Role    ra.Role
	Term    ra.Term
	Commit  ra.Index
	Applied ra.Index
	// Last is the last index in the member's log, Snapshot that of its newest snapshot. Up to Written the log is durable
	// here; while something is being written that may be more.
	Last, Written, Snapshot ra.Index
	// Latency is how long it took from the moment that a leader took the last applied command in until this member had
	// applied it, by the clocks of their nodes, to a few milliseconds; 0 if nothing was applied since the member's start.
	Latency time.Duration
	// Membership is what the member is in the newest configuration that it knows.
	Membership ra.Membership
}

// metrics returns the key numbers of a member of this node.
func (r *record) metrics() Metrics {
	p := r.proc.Load()
	if p == nil {
		return Metrics{UID: r.uid, Counts: r.tally.Counts()}
	}
	ordered, last := r.node.wal.lastOf(r)
	if r.durable.Load() < ordered {
		last = min(last, ra.Index(p.shown.written.Load()))
	}
	return Metrics{
		UID: r.uid, Counts: r.tally.Counts(), Running: true,
		Role: ra.Role(p.shown.role.Load()), Term: ra.Term(p.shown.term.Load()),
		Commit: ra.Index(p.shown.commit.Load()), Applied: ra.Index(p.shown.applied.Load()),
		Last: r.log.Last(), Written: last, Snapshot: r.log.Snapshot().Index,
		Latency:    time.Duration(p.shown.latency.Load()) * time.Millisecond,
		Membership: ra.Membership(p.shown.membership.Load()),
	}
}

// MemberOverview describes a member in full (QRY-09).
type MemberOverview struct {
	member.Overview
	// MachineName is the name of its machine in Config.Machines.
	MachineName string
	// Initial are the members that the cluster began with, whatever has changed since (QRY-08). It must not be changed.
	Initial []ra.Member
}

// overviewReply answers callOverview: with err if the machine would not say what it has.
type overviewReply struct {
	overview MemberOverview
	err      error
}

// overview describes the member. It is called by the worker.
func (p *process) overview() overviewReply {
	o, err := p.server.Overview()
	return overviewReply{MemberOverview{Overview: o, MachineName: p.rec.reg.machine, Initial: p.rec.reg.initial}, err}
}

// Overview describes a node (API-15).
type Overview struct {
	Node ra.NodeID
	// Peers are the nodes that are connected.
	Peers []ra.NodeID
	// Clusters are those that the node knows, sorted by name.
	Clusters []ClusterOverview
	// Foreign counts messages to members that they did not understand, Problems what members had to report that did not
	// stop them.
	Foreign, Problems int64
}

// ClusterOverview describes a cluster as a node knows it.
type ClusterOverview struct {
	Name, Machine string
	// Leader is the zero ServerID if none is known.
	Leader  ra.ServerID
	Members []ra.ServerID
	// Here are the members that are registered on this node.
	Here map[ra.ServerID]Metrics
}

// Overview describes the node. It asks no member, so it is as cheap as its length allows.
func (n *Node) Overview() Overview {
	o := Overview{
		Node: n.Name(), Peers: n.actors.Peers(), Foreign: n.counts.foreign.Load(), Problems: n.counts.problems.Load(),
	}
	for _, name := range n.board.names() {
		e := n.board.get(name)
		if e == nil {
			continue
		}
		c := ClusterOverview{Name: name, Machine: e.machine, Members: e.ids(), Here: make(map[ra.ServerID]Metrics)}
		if s := e.standing.Load(); s.leader != nil {
			c.Leader = s.leader.id
		}
		for _, r := range n.registry.byCluster(name) {
			c.Here[r.id] = r.metrics()
		}
		o.Clusters = append(o.Clusters, c)
	}
	return o
}
