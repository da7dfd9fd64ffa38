package rafttest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// changing waits for the end of a change of the configuration.
type changing struct {
	sim   *sim
	about *peer
	op    raft.ChangeOp
	by    *peer // who was asked, in that life of its node
	life  uint32
	ended bool
}

// Done hears how the change ended. A member that was removed is stopped by its user after a while.
func (c *changing) Done(r member.Result) {
	if c.ended {
		c.about.cluster.truth.breach("I15", "the caller of a change of %s hears twice", c.about.uid)
	}
	c.ended = true
	if r.Err != nil {
		return
	}
	c.sim.done.Changes++
	if c.op == raft.Remove {
		c.sim.plan(c.sim.dice.between(0, c.sim.profile.LieDown), event{kind: evLeave, peer: c.about})
	}
}

// change lets a user change the members of a cluster.
func (s *sim) change() {
	if s.healing || s.profile.Change == 0 {
		return
	}
	s.plan(s.dice.between(s.profile.Change/4, 2*s.profile.Change), event{kind: evChange})
	c := s.someCluster()
	leader := s.leaderOf(c)
	if leader == nil {
		return
	}
	members := leader.server.Configuration().Members
	op, about, kind := raft.Set, (*peer)(nil), ra.Voter
	switch {
	case s.dice.oneIn(3) || len(members) < 2:
		about, kind = s.newcomer(c, members), pick(s.dice, ra.Voter, ra.Voter, ra.Promotable, ra.NonVoter)
	case s.dice.oneIn(2):
		op, about = raft.Remove, c.peer(members[s.dice.IntN(len(members))].UID)
	default:
		about = c.peer(members[s.dice.IntN(len(members))].UID)
		kind = pick(s.dice, ra.Voter, ra.Voter, ra.NonVoter)
	}
	if about == nil || !c.bears(members, about, op, kind) {
		return
	}
	c.change = &changing{sim: s, about: about, op: op, by: leader, life: leader.node.life}
	leader.hear()
	leader.server.Change(op, ra.Member{ID: about.id(), UID: about.uid, Membership: kind}, c.change)
	leader.end()
}

// newcomer starts a member that shall join, on a node that is up and has none of the configuration; nil if there is no
// such node.
func (s *sim) newcomer(c *cluster, members []ra.Member) *peer {
	at := s.dice.IntN(len(s.nodes))
	for i := range s.nodes {
		n := s.nodes[(at+i)%len(s.nodes)]
		busy := slices.ContainsFunc(n.peers, func(p *peer) bool { return p.cluster == c && !p.gone })
		if !n.up || busy {
			continue
		}
		c.joined++
		p := s.newPeer(c, n, fmt.Sprintf("c%d_%d_%d", c.id, n.id, c.joined))
		// The configuration with which the cluster began, not the present one: it is what holds below the first entry
		// that says otherwise, and a snapshot from there would spread whatever is in its place.
		p.initial = c.initial
		if err := p.restore(new(wal.Recovery)); err != nil {
			s.breach("I9", "%s does not start: %v", p.uid, err)
			return nil
		}
		p.start()
		return p
	}
	return nil
}

// leave ends a member that is not in the cluster any more, for good. Its peers see that its process has ended.
func (p *peer) leave() {
	if p.gone {
		return
	}
	p.quit()
	if p.sim.dice.oneIn(2) {
		p.condemn()
	}
}

// quit ends a member's process for good.
func (p *peer) quit() {
	if p.gone {
		return
	}
	if p.alive() && p.server.Failed() == nil {
		p.hear()
		p.server.Stop(member.ErrRemoved)
	}
	p.gone = true
	p.sayDown()
}

// sayDown lets all peers see that the member's process has ended.
func (p *peer) sayDown() {
	for _, q := range p.cluster.members {
		if q != p && q.alive() {
			p.sim.plan(p.sim.dice.between(0, time.Second), event{
				kind: evLearn, peer: q, life: q.node.life, gen: 1, message: &raft.Message{Kind: raft.LeaderDown, From: p.uid},
			})
		}
	}
}

// bury deletes what the node has of a member that has left, once nothing of its last life is at work any more.
func (p *peer) bury() {
	n := p.node
	if !n.up || p.writer == nil || p.deleted {
		return
	}
	if slices.ContainsFunc(n.jobs, func(j *job) bool { return j.owner == p }) {
		p.sim.plan(p.sim.profile.Sync, event{kind: evBury, node: n, worker: p, life: n.life})
		return
	}
	op := &wal.Op{Seq: p.writer.Seq() + 1, Delete: true}
	if err := n.gather.Append(p.writer, op); err != nil {
		p.cluster.truth.breach("panic", "%s cannot be deleted: %v", p.uid, err)
		return
	}
	n.orders = append(n.orders, order{peer: p, seq: op.Seq, deletes: true})
	p.deleted = true
	n.kick()
}

// forget removes what is left of a member whose deletion is durable.
func (p *peer) forget() {
	p.node.segs.Forget(p.uid)
	_ = p.node.snaps.Remove(p.uid) // the next start does it if the disk fails now
	p.log = nil
	p.departs(p.herald)
}

// errKilled is why a member's process ends that is to start again.
var errKilled = errors.New("killed")

// kill ends a member's process, as a failure of its machine would. It will start again, with the log that it has.
func (p *peer) kill() {
	p.hear()
	p.server.Stop(errKilled)
	p.late = p.server.Backlog()
	p.server = nil
	p.sayDown()
	p.sim.plan(p.sim.dice.between(0, p.sim.profile.LieDown/4), event{kind: evRevive, node: p.node, worker: p, life: p.node.life})
}

// revive starts the process again, once all that its last life decided is durable.
func (p *peer) revive() {
	if p.server != nil || p.gone {
		return
	}
	if p.unmarked {
		p.mark()
		return
	}
	for len(p.late) > 0 && p.Store(&p.late[0]) == nil {
		p.late = p.late[1:]
	}
	if len(p.late) > 0 || p.durable < p.writer.Seq() {
		p.sim.plan(p.sim.dice.between(time.Millisecond, 20*time.Millisecond), event{kind: evRevive, node: p.node, worker: p, life: p.node.life})
		return
	}
	p.base = p.writer.Seq()
	p.begin()
}

// dismiss stops the members that no configuration names any more, as a user would. Whoever is about to start again may
// have one in its log that does.
func (c *cluster) dismiss() {
	if slices.ContainsFunc(c.members, func(p *peer) bool { return !p.gone && !p.alive() }) {
		return
	}
	for _, p := range c.members {
		if !p.gone && !c.named(p) {
			p.leave()
		}
	}
}

// named reports whether the member is in the newest configuration that is committed, in one that a member of that knows,
// or in one that may still be committed: its entry may be nowhere but in a message that is under way. What others say,
// who were removed themselves, is of the past.
func (c *cluster) named(p *peer) bool {
	has := func(members []ra.Member) bool {
		return slices.ContainsFunc(members, func(m ra.Member) bool { return m.UID == p.uid })
	}
	current := c.current()
	return slices.ContainsFunc(c.pending(), has) || has(current) || slices.ContainsFunc(current, func(m ra.Member) bool {
		q := c.peer(m.UID)
		return q.alive() && has(q.server.Configuration().Members)
	})
}

// pending returns the configurations that may still be committed. Terms do not fall along a log, so one of an older term
// than the last entry committed is not among them.
func (c *cluster) pending() (all [][]ra.Member) {
	t := c.truth
	for i := range t.configs {
		at := t.configs[i].at
		if n := len(t.committed); int(at.index) > n && (n == 0 || at.term >= t.committed[n-1].term) {
			all = append(all, t.configs[i].members)
		}
	}
	return all
}

// current returns the newest configuration that is committed.
func (c *cluster) current() []ra.Member {
	members := c.initial
	at := ra.Index(0)
	for i := range c.truth.configs {
		x := &c.truth.configs[i]
		if x.at.index > at && int(x.at.index) <= len(c.truth.committed) && c.truth.committed[x.at.index-1] == x.at {
			members, at = x.members, x.at.index
		}
	}
	return members
}
