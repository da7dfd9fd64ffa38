package rafttest

import (
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

type eventKind uint8

const (
	evDeliver  eventKind = iota // message arrives at peer
	evFlush                     // peer ends its batch
	evTimer                     // election timer gen of peer expires
	evTick                      // tick gen of peer
	evMachine                   // tick of peer's machine
	evCampaign                  // peer is told to campaign
	evLearn                     // peer hears something of another member's process or node
	evTake                      // node's log takes the batch that has gathered
	evSync                      // node's log has it on disk
	evWritten                   // peer hears that its orders up to gen are durable
	evClient                    // client does something
	evFault                     // something breaks
	evRestart                   // node comes back
	evRejoin                    // all links are whole again
	evTransfer                  // peer is told to hand leadership over to the gen-th member
	evBegin                     // node starts worker, a new member
	evRevive                    // node starts worker's process again
	evWork                      // node does a job of worker
	evDone                      // peer hears that its job is done
	evSegments                  // node's segment writer takes a step
	evRecreate                  // a user deletes a cluster and starts another one of that name
	evChange                    // a user changes the members of a cluster
	evLeave                     // peer is stopped for good
	evBury                      // node deletes what it has of worker
	evSpace                     // node's log looks for space on the disk
	evRoom                      // node's disk has room again
	evScript                    // the next step of a workload
	evNudge                     // healing: whatever a user would do to a cluster without a leader
)

var eventNames = [...]string{
	"deliver", "flush", "timer", "tick", "machine", "campaign", "learn", "take", "sync", "written", "client", "fault", "restart",
	"rejoin", "transfer", "begin", "revive", "work", "done", "segments", "recreate", "change", "leave", "bury", "space", "room",
	"script", "nudge",
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
	worker  *peer
	job     *job
	server  *member.Server // what concerns an earlier life of the peer's process does not happen
	sender  *member.Server // whose process sent the message
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
		if e.kind == evDeliver && p.absent(e.message) {
			return
		}
		if !p.alive() || e.life != 0 && e.life != p.node.life || e.server != nil && e.server != p.server {
			return
		}
	} else if n := e.node; n != nil && e.life != 0 && (!n.up || e.life != n.life) {
		return
	}
	if e.peer != nil {
		s.dispatchPeer(e, e.peer)
		return
	}
	switch e.kind {
	case evTake:
		e.node.take()
	case evSync:
		e.node.sync()
	case evBegin:
		if p := e.worker; p.fresh && !p.gone {
			p.begin()
		}
	case evRevive:
		e.worker.revive()
	case evWork:
		e.node.work(e)
	case evSegments:
		e.node.segmentStage()
	case evClient:
		s.act(e.client)
	case evFault:
		s.fault()
	case evRecreate:
		if !s.healing {
			s.plan(s.dice.between(s.profile.Recreate/4, 2*s.profile.Recreate), event{kind: evRecreate})
			s.recreate()
		}
	case evChange:
		s.change()
	case evBury:
		e.worker.bury()
	case evSpace:
		e.node.space()
	case evRoom:
		e.node.disk.SetCapacity(0)
	case evScript:
		e.job.work()
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

// dispatchPeer lets a member meet with an event.
func (s *sim) dispatchPeer(e *event, p *peer) {
	switch e.kind {
	case evDeliver:
		if e.sender != nil {
			p.heard[e.message.From] = e.sender
		}
		p.step(e.message)
		p.watchAgain(e.message.From)
	case evLearn:
		if s.believes(e) {
			p.step(e.message)
			p.unwatch(e.message)
			if e.message.Kind == raft.NodeUp {
				p.watchAgain(e.message.From)
			}
		}
	case evFlush:
		p.flush()
	case evTimer:
		// A timer that was cancelled may be under way already.
		if e.gen == p.timer || s.dice.oneIn(s.profile.StaleOneIn) {
			p.step(&raft.Message{Kind: raft.ElectionTimeout})
		}
	case evTick:
		p.tick(e.gen)
	case evMachine:
		p.machineTick = false
		p.hear()
		p.server.MachineTick()
		p.end()
	case evCampaign:
		p.step(&raft.Message{Kind: raft.Campaign})
	case evWritten:
		p.wrote(e.gen)
	case evDone:
		p.hear()
		e.job.done()
		p.end()
	case evTransfer:
		to := p.cluster.members[e.gen]
		p.step(&raft.Message{Kind: raft.Transfer, To: to.uid})
	case evLeave:
		p.leave()
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
			if q.cluster == p.cluster && !p.gone && !q.gone {
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
		c.dismiss()
		if c.closed() {
			continue
		}
		var leader *peer
		for _, p := range c.members {
			if p.alive() && p.server.Status().Role == ra.Leader {
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
