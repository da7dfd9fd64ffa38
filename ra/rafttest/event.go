package rafttest

import (
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

type eventKind uint8

const (
	evDeliver  eventKind = iota // message arrives at peer
	evFlush                     // peer ends its batch
	evTimer                     // election timer gen of peer expires
	evTick                      // tick gen of peer
	evCampaign                  // peer is told to campaign
	evLearn                     // peer hears something of another member's process or node
	evTake                      // node's log takes the batch that has gathered
	evSync                      // node's log has it on disk
	evWritten                   // peer hears that its orders up to gen are durable
	evClient                    // client does something
	evFault                     // something breaks
	evRestart                   // node comes back
	evRejoin                    // all links are whole again
	evNudge                     // healing: whatever a user would do to a cluster without a leader
)

var eventNames = [...]string{
	"deliver", "flush", "timer", "tick", "campaign", "learn", "take", "sync", "written", "client", "fault", "restart",
	"rejoin", "nudge",
}

// event is something that happens. Only the fields that its kind needs are set.
type event struct {
	kind    eventKind
	life    uint32 // of the node: what concerns an earlier life does not happen
	gen     uint64
	node    *node
	peer    *peer
	client  *client
	message *raft.Message
}

// String describes the event for a trace.
func (e *event) String() string {
	text := eventNames[e.kind]
	if e.node != nil {
		text += fmt.Sprintf(" n%d", e.node.id)
	}
	if e.peer != nil {
		text += " " + string(e.peer.uid)
	}
	if e.client != nil {
		text += fmt.Sprintf(" client %d", e.client.id)
	}
	if m := e.message; m != nil {
		text += fmt.Sprintf(" %s from %s term %d index %d/%d last %d commit %d reject %v entries %d",
			m.Kind, m.From, m.Term, m.Index, m.LogTerm, m.Last, m.Commit, m.Reject, len(m.Entries))
	} else if e.gen != 0 {
		text += fmt.Sprintf(" #%d", e.gen)
	}
	return text
}

// dispatch lets an event happen.
func (s *sim) dispatch(e *event) {
	if p := e.peer; p != nil {
		if !p.node.up || e.life != 0 && e.life != p.node.life {
			return
		}
	} else if n := e.node; n != nil && e.life != 0 && (!n.up || e.life != n.life) {
		return
	}
	switch e.kind {
	case evDeliver:
		e.peer.step(e.message)
	case evLearn:
		if s.believes(e) {
			e.peer.step(e.message)
		}
	case evFlush:
		e.peer.flush()
	case evTimer:
		if e.gen == e.peer.timer {
			e.peer.step(&raft.Message{Kind: raft.ElectionTimeout})
		}
	case evTick:
		e.peer.tick(e.gen)
	case evCampaign:
		e.peer.step(&raft.Message{Kind: raft.Campaign})
	case evTake:
		e.node.take()
	case evSync:
		e.node.sync()
	case evWritten:
		e.peer.step(&raft.Message{Kind: raft.Written, Seq: e.gen})
	case evClient:
		s.act(e.client)
	case evFault:
		s.fault()
	case evRestart:
		if !e.node.up {
			e.node.restart()
		}
	case evRejoin:
		s.reconnect()
	case evNudge:
		s.nudge()
	}
}

// fault breaks something and plans its repair.
func (s *sim) fault() {
	if s.healing || s.profile.Fault == 0 {
		return
	}
	s.plan(s.dice.between(s.profile.Fault/4, 2*s.profile.Fault), event{kind: evFault})
	switch {
	case s.dice.oneIn(s.profile.CrashOneIn):
		s.crashSome()
	case s.dice.oneIn(4):
		s.suspectSomebody()
	default:
		s.partition()
	}
}

// crashSome crashes one node, now and then several or all at the same moment.
func (s *sim) crashSome() {
	count := 1
	if s.dice.oneIn(4) {
		count = 1 + s.dice.IntN(len(s.nodes))
	}
	for _, i := range s.dice.Perm(len(s.nodes))[:count] {
		if n := s.nodes[i]; n.up {
			n.crash()
			s.plan(s.dice.between(time.Millisecond, s.profile.LieDown), event{kind: evRestart, node: n})
		}
	}
}

// partition cuts links: one way or both, one node off, in halves, or any.
func (s *sim) partition() {
	side := make([]bool, len(s.nodes))
	shape := s.dice.IntN(4)
	lone := s.dice.IntN(len(s.nodes))
	for i := range side {
		side[i] = shape < 2 && i == lone || shape >= 2 && s.dice.oneIn(2)
	}
	oneWay := shape == 1
	for a := range s.cut {
		for b := range s.cut {
			cut := side[a] != side[b] && (!oneWay || side[a])
			if shape == 3 {
				cut = a != b && s.dice.oneIn(3)
			}
			if cut && !s.cut[a][b] {
				s.cut[a][b] = true
				s.learn(s.nodes[b], s.nodes[a], raft.NodeDown, s.dice.between(10*time.Millisecond, 2*time.Second))
				s.learn(s.nodes[b], s.nodes[a], raft.LeaderLost, s.dice.between(10*time.Millisecond, 2*time.Second))
			}
		}
	}
	s.plan(s.dice.between(time.Millisecond, s.profile.LieDown), event{kind: evRejoin})
}

// suspectSomebody makes the failure detector of one node wrong about another.
func (s *sim) suspectSomebody() {
	a, b := s.nodes[s.dice.IntN(len(s.nodes))], s.nodes[s.dice.IntN(len(s.nodes))]
	if a != b {
		for _, p := range a.peers {
			if q := p.cluster.on(b); q != nil {
				s.plan(0, event{kind: evLearn, peer: p, life: a.life, gen: 1, message: &raft.Message{Kind: raft.NodeDown, From: q.uid}})
			}
		}
		s.learn(a, b, raft.NodeUp, s.dice.between(time.Millisecond, time.Second))
	}
}

// reconnect mends all links.
func (s *sim) reconnect() {
	for a := range s.cut {
		for b := range s.cut {
			if s.cut[a][b] {
				s.cut[a][b] = false
				s.learn(s.nodes[b], s.nodes[a], raft.NodeUp, s.dice.between(time.Millisecond, 500*time.Millisecond))
			}
		}
	}
}

// believes reports whether the failure detector still holds what it was about to say: it may be late and may be wrong
// for a while, but what it said last is true in the end.
func (s *sim) believes(e *event) bool {
	if e.node == nil || e.gen != 0 {
		return true
	}
	lost := !e.node.up || s.cut[e.node.id][e.peer.node.id]
	return lost == (e.message.Kind == raft.NodeDown)
}

// learn lets every member on a node hear something about the members of its cluster on another.
func (s *sim) learn(on, about *node, kind raft.Kind, after time.Duration) {
	for _, p := range on.peers {
		for _, q := range about.peers {
			if q.cluster == p.cluster {
				ev := event{kind: evLearn, peer: p, life: on.life, message: &raft.Message{Kind: kind, From: q.uid}}
				if kind == raft.NodeDown || kind == raft.NodeUp {
					ev.node = about
				}
				s.plan(after, ev)
			}
		}
	}
}

// nudge does to each cluster that is not well what its user would: asks for an election where nobody leads, and sends
// a command where somebody does, until one was acknowledged.
func (s *sim) nudge() {
	for _, c := range s.clusters {
		var leader *peer
		for _, p := range c.members {
			if p.server.Status().Role == ra.Leader {
				leader = p
			}
		}
		switch {
		case leader == nil && len(c.truth.committed) == 0:
			p := c.members[s.dice.IntN(len(c.members))]
			s.plan(0, event{kind: evCampaign, peer: p, life: p.node.life})
		case leader != nil && !c.book.probed:
			c.book.probe(s, leader)
		}
	}
	s.plan(2*time.Second, event{kind: evNudge})
}
