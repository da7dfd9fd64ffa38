package rafttest

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// What follows keeps schedules in which disks decay within the fault model while members join and leave: in every
// configuration that is or may come in force a majority of the voters is sound. Who removes sound members from a cluster
// of which others wait for their repair loses that, as he would if they were lost.

// spared reports whether all clusters with a member on the node can do without it, whatever it loses. One that deletes
// itself cannot: of those who know of it for certain there may be one only.
func (n *node) spared() bool {
	return !slices.ContainsFunc(n.peers, func(p *peer) bool {
		if p.cluster.closed() {
			return !p.cluster.forced && p.registered() && !p.buried()
		}
		return !p.gone && !p.cluster.spares(n)
	})
}

// spares reports whether the cluster can do without a node. While a change is asked for, nobody knows.
func (c *cluster) spares(n *node) bool {
	if x := c.change; x != nil && !x.ended && x.by.node.up && x.by.node.life == x.life {
		return false
	}
	return !slices.ContainsFunc(append(c.pending(), c.current()), func(members []ra.Member) bool { return !c.sound(members, n) })
}

// bears reports whether a user may ask for a change of a configuration.
func (c *cluster) bears(now []ra.Member, about *peer, op raft.ChangeOp, kind ra.Membership) bool {
	if about.sim.profile.DecayOneIn == 0 {
		return true
	}
	next := slices.DeleteFunc(slices.Clone(now), func(m ra.Member) bool { return m.UID == about.uid })
	if op == raft.Set {
		next = append(next, ra.Member{UID: about.uid, Membership: kind})
	}
	return c.sound(next, nil)
}

// sound reports whether a majority of the voters has lost nothing and is not on a certain node. Who is promotable may be a
// voter soon.
func (c *cluster) sound(members []ra.Member, but *node) bool {
	voters, sound := 0, 0
	for i := range members {
		p := c.peer(members[i].UID)
		hurt := p.gone || p.suspect || p.unmarked || p.node == but || p.node.decay.fresh || p.node.hides()
		switch kind := members[i].Membership; {
		case kind == ra.Voter && !hurt:
			sound++
			voters++
		case kind == ra.Voter, kind == ra.Promotable && hurt:
			voters++
		}
	}
	return sound > voters/2
}
