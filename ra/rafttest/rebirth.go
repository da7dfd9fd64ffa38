package rafttest

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// maxClusters bounds the clusters of a schedule, those that are gone included.
const maxClusters = 10

// closed reports whether the cluster is deleted, or about to be for certain.
func (c *cluster) closed() bool { return c.forced || c.truth.ended != 0 }

// someCluster draws one of the clusters that are not deleted; any if there is none.
func (s *sim) someCluster() *cluster {
	at := s.dice.IntN(len(s.clusters))
	for i := range s.clusters {
		if c := s.clusters[(at+i)%len(s.clusters)]; !c.closed() {
			return c
		}
	}
	return s.clusters[at]
}

// deletion waits for the end of a cluster.
type deletion struct {
	sim   *sim
	about *cluster
	ended bool
}

// Done hears that the cluster is deleted, or not. Soon there will be another one of its name.
func (d *deletion) Done(r member.Result) {
	if d.ended {
		d.about.truth.breach("I15", "the caller of the deletion of %s hears twice", d.about.name)
	}
	d.ended = true
	if r.Err == nil {
		d.sim.replace(d.about)
	}
}

// recreate lets a user delete a cluster, by its own consensus or by force, and start another one of the same name.
func (s *sim) recreate() {
	c := s.someCluster()
	if c.closed() || len(s.clusters) >= maxClusters {
		return
	}
	if leader := s.leaderOf(c); leader != nil && !s.dice.oneIn(3) {
		leader.hear()
		leader.server.Command(member.Command{Proposal: raft.NewProposal(ra.KindDelete, 0, nil), Caller: &deletion{sim: s, about: c}})
		leader.end()
		return
	}
	s.destroy(c)
}

// destroy deletes all members of a cluster by force, wherever they are; those on a node that is down when it is back.
func (s *sim) destroy(c *cluster) {
	c.forced = true
	for _, p := range c.members {
		p.quit()
		p.condemn()
	}
	s.replace(c)
}

// replace plans another cluster of the name of one that is gone.
func (s *sim) replace(old *cluster) {
	if old.replaced {
		return
	}
	old.replaced = true
	j := &job{work: func() {
		if len(s.clusters) < maxClusters {
			s.found(old)
		}
	}}
	s.plan(s.dice.between(0, s.profile.LieDown), event{kind: evScript, job: j})
}

// found starts a cluster with the name and in the place of another one.
func (s *sim) found(old *cluster) {
	c := s.newCluster(len(s.clusters), old.name, old.place)
	s.clusters = append(s.clusters, c)
	for _, p := range c.members {
		if p.node.up {
			p.start()
		}
	}
	for i := range 3 {
		p := c.members[s.dice.IntN(len(c.members))]
		s.plan(time.Duration(i)*s.dice.between(time.Millisecond, time.Second), event{kind: evCampaign, peer: p})
	}
}

// namesake returns the member that has the name of one that is gone now, nil if there is none.
func (p *peer) namesake() *peer {
	for _, q := range p.node.peers {
		if q != p && q.cluster.name == p.cluster.name && q.alive() {
			return q
		}
	}
	return nil
}

// condemn has the node delete what it has of a member that has left, for certain: again, if a crash comes first.
func (p *peer) condemn() {
	p.condemned = true
	if p.node.up {
		p.sim.plan(p.sim.dice.between(0, 10*time.Millisecond), event{kind: evBury, node: p.node, worker: p, life: p.node.life})
	}
}

// dissolve is the end of a member whose cluster has deleted itself: the node deletes what it has of it. If it crashes
// before that is durable the member begins another life, and must be dismissed again.
func (p *peer) dissolve() {
	herald := p.server.DismissedBy()
	p.quit()
	p.dissolved, p.herald = true, herald
	p.sim.plan(p.sim.dice.between(0, 10*time.Millisecond), event{kind: evBury, node: p.node, worker: p, life: p.node.life})
}

// departs says, in the name of a member of which nothing is left, that this is so.
func (p *peer) departs(to ra.UID) {
	if to != "" {
		p.sim.send(p, &raft.Message{Kind: raft.Departure, From: p.uid, To: to})
	}
}

// absent reports whether a message is for a member of which the node has nothing any more, and answers it if that is what
// a node answers.
func (p *peer) absent(m *raft.Message) bool {
	if !p.node.up || !p.buried() {
		return false
	}
	if m.Kind == raft.Dismissal && m.To == p.uid {
		p.departs(m.From)
	}
	return true
}

// buried reports whether nothing is left of a member.
func (p *peer) buried() bool { return p.gone && p.cluster.truth.members[p.uid].deleted }

// dead reports whether nothing is left of a cluster that was deleted: of the members that it had when it was, and of all
// if that was by force. I12: with all nodes up it comes to that by itself, whoever has missed what.
func (c *cluster) dead() bool {
	if c.book.open > 0 {
		return false
	}
	for _, p := range c.members {
		if c.forced && p.registered() && !p.buried() || !c.forced && c.named(p) && !p.buried() {
			return false
		}
	}
	return true
}

// registered reports whether the member was ever registered.
func (p *peer) registered() bool { return p.cluster.truth.members[p.uid].seq > 0 }
