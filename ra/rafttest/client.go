package rafttest

import (
	"encoding/binary"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// client sends commands and queries, to whom it likes.
type client struct {
	id   int
	hint []*peer // who led each cluster when last heard of
}

// book is what the clients of a cluster know: which commands they sent, and what they were told.
type book struct {
	next    uint64
	open    int // calls without an answer
	acked   map[uint64]ra.Index
	refused map[uint64]error
	applied map[uint64]ra.Index
	highest ra.Index // of the acknowledged ones
	// probed: a command was acknowledged after all faults had ended.
	probed bool
}

func newBook() book {
	return book{acked: map[uint64]ra.Index{}, refused: map[uint64]error{}, applied: map[uint64]ra.Index{}}
}

// commandID returns the number that a command carries.
func commandID(command []byte) uint64 { return binary.LittleEndian.Uint64(command) }

// apply takes note that a command was applied somewhere. I14: always at the same index. I15: never if it was refused.
func (b *book) apply(c *cluster, id uint64, at ra.Index) {
	if old, ok := b.applied[id]; ok && old != at {
		c.truth.breach("I14", "command %d is applied at index %d and at %d", id, old, at)
	}
	if err, ok := b.refused[id]; ok {
		c.truth.breach("I15", "command %d is applied at index %d, its caller was told %v", id, at, err)
	}
	b.applied[id] = at
}

// call is one command or query under way.
type call struct {
	sim     *sim
	cluster *cluster
	client  *client
	peer    *peer
	life    uint32
	id      uint64 // 0 for a query
	floor   ra.Index
	probe   bool
	ended   bool
}

// Done hears the answer. I15: exactly one; nil only for what is applied and durable on a quorum.
func (c *call) Done(r member.Result) {
	t, b := c.cluster.truth, &c.cluster.book
	if c.ended {
		t.breach("I15", "command %d was answered twice", c.id)
	}
	c.ended = true
	b.open--
	switch {
	case c.id == 0:
		c.queried(r)
	case r.Err == nil:
		c.acknowledged(r)
	case !ra.MayHaveBeenApplied(r.Err):
		if at, ok := b.applied[c.id]; ok {
			t.breach("I15", "command %d is applied at index %d, its caller is told %v", c.id, at, r.Err)
		}
		b.refused[c.id] = r.Err
	}
	if c.client != nil && r.Leader != "" {
		if p := c.cluster.peer(r.Leader); p != nil {
			c.client.hint[c.cluster.id] = p
		}
	}
}

func (c *call) acknowledged(r member.Result) {
	t, b := c.cluster.truth, &c.cluster.book
	if b.applied[c.id] != r.Index || int(r.Index) > len(t.committed) || t.committed[r.Index-1].term != r.Term {
		t.breach("I15", "command %d is acknowledged at index %d of term %d, applied at %d", c.id, r.Index, r.Term, b.applied[c.id])
	}
	if r.Index <= c.floor {
		t.breach("I13", "command %d is acknowledged at index %d, %d was acknowledged before it was sent", c.id, r.Index, c.floor)
	}
	b.acked[c.id] = r.Index
	b.highest = max(b.highest, r.Index)
	b.probed = b.probed || c.probe
	c.sim.done.Acknowledged++
}

// queried: I13, a consistent query sees everything that was acknowledged before it was asked.
func (c *call) queried(r member.Result) {
	if r.Err == nil && r.Reply.(ra.Index) < c.floor {
		c.cluster.truth.breach("I13", "query at %s sees index %d, %d was acknowledged before", c.peer.uid, r.Reply, c.floor)
	}
}

// act is a moment in a client's life.
func (s *sim) act(c *client) {
	if s.healing {
		return
	}
	s.plan(s.dice.between(s.profile.Command/4, 2*s.profile.Command), event{kind: evClient, client: c})
	if c.hint == nil {
		c.hint = make([]*peer, maxClusters+s.profile.Clusters)
	}
	cl := s.someCluster()
	p := c.hint[cl.id]
	if p == nil || !p.alive() || s.dice.oneIn(8) {
		p = cl.members[s.dice.IntN(len(cl.members))]
	}
	if !p.alive() {
		return
	}
	if s.dice.oneIn(4) {
		s.query(c, p)
		return
	}
	for range 1 + s.dice.IntN(3) {
		s.command(c, p, false)
	}
	p.end()
}

// command sends a command to a member.
func (s *sim) command(c *client, p *peer, probe bool) {
	b := &p.cluster.book
	b.next++
	b.open++
	payload := make([]byte, 8+s.dice.IntN(s.profile.Payload))
	binary.LittleEndian.PutUint64(payload, b.next)
	cl := &call{sim: s, cluster: p.cluster, client: c, peer: p, life: p.node.life, id: b.next, probe: probe, floor: b.highest}
	p.node.calls = append(p.node.calls, cl)
	p.hear()
	p.server.Command(member.Command{Proposal: raft.NewProposal(ra.KindCommand, 0, payload), Caller: cl})
}

// query asks a member a consistent query, and ends the batch.
func (s *sim) query(c *client, p *peer) {
	s.ask(c, p)
	p.end()
}

// ask asks a member a consistent query.
func (s *sim) ask(c *client, p *peer) {
	p.cluster.book.open++
	cl := &call{sim: s, cluster: p.cluster, client: c, peer: p, life: p.node.life, floor: p.cluster.book.highest}
	p.node.calls = append(p.node.calls, cl)
	p.hear()
	p.server.Query(nil, cl)
}

// more is what clients ask of a leader that has not yet applied all that is committed.
func (s *sim) more(p *peer) {
	switch {
	case s.healing || s.profile.Scripted:
	case s.dice.oneIn(4):
		s.ask(nil, p)
	case s.dice.oneIn(2):
		s.command(nil, p, false)
	}
}

// probe sends the command that shows that a cluster serves again.
func (b *book) probe(s *sim, leader *peer) {
	s.command(nil, leader, true)
	leader.end()
}
