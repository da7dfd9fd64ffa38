package system

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// The process is its Server's Store, Net, Timer and Batch. The Server calls these only while it is flushed.
var (
	_ member.Store = (*process)(nil)
	_ member.Net   = (*process)(nil)
	_ member.Timer = (*process)(nil)
	_ member.Batch = (*process)(nil)
)

// Store gives an order to the node's log, which wakes up at the end of the round.
func (p *process) Store(op *wal.Op) error {
	p.round.dirty = true
	return p.node.store(p.rec, op)
}

// NewMessage returns a message to be filled and sent.
func (p *process) NewMessage() *raft.Message {
	if p.sending == nil {
		p.sending = newLetter()
	}
	return &p.sending.Message
}

// Send puts the message that NewMessage gave out into the round's outbox. One for a member that nobody knows is lost.
func (p *process) Send(*raft.Message) {
	l := p.sending
	p.sending = nil
	to := p.peers.find(l.To)
	if to == nil {
		p.learnMembers() // it may have been added just now
		if to = p.peers.find(l.To); to == nil {
			l.free()
			return
		}
	}
	l.slot = to.slot
	l.fromSlot, l.fromSpawn = p.rec.slot, p.spawn
	p.rec.tally.Add(ra.CountMessagesSent, 1)
	p.round.write(to, l)
}

// Leave sends what the worker's round has gathered, and wakes the log.
func (p *process) Leave() { p.round.leave() }

// learnMembers takes in the configuration in force, if it changed.
func (p *process) learnMembers() {
	if members := p.server.Configuration().Members; !p.peers.sameMembers(members) {
		p.peers.set(p.round, members)
		p.entry.configured(p, members)
		if i := slices.IndexFunc(members, func(m ra.Member) bool { return m.UID == p.rec.uid }); i >= 0 {
			p.shown.membership.Store(uint64(members[i].Membership))
		}
	}
}

// broadcast and poll are the times that election timers are made of (TIM-01).
const (
	broadcast = 100 * time.Millisecond
	poll      = time.Second
)

// Arm sets the election timer.
func (p *process) Arm(class raft.TimerClass) { p.ctx.Arm(&p.election, drawTimer(class)) }

// drawTimer draws the length of an election timer.
func drawTimer(class raft.TimerClass) time.Duration {
	low, high := time.Millisecond, broadcast
	switch class {
	case raft.Short:
		low, high = broadcast, 5*broadcast
	case raft.Medium:
		low, high = broadcast, poll
	case raft.Long:
		low, high = poll, poll+10*broadcast
	}
	return low + rand.N(high-low)
}

// Cancel cancels the election timer.
func (p *process) Cancel() { p.ctx.Disarm(&p.election) }

// Tick turns the core's tick on or off; conclude subscribes.
func (p *process) Tick(on bool) { p.coreTick = on }

// Now is the wall clock in milliseconds since 1970.
func (p *process) Now() int64 { return p.round.now() }

// applyObserver hears what the member becomes.
func (p *process) observer() member.Observer {
	return member.Observer{
		Deleted: p.dissolve,
		Problem: p.problem,
	}
}

// host is the node as the effects of a member's machine reach it (EFF-05 to EFF-23).
type host process

var _ member.Host = (*host)(nil)

// Self is the member's own process.
func (h *host) Self() ra.PID { return h.ref.PID() }

// Send sends a message to a process, once. A PID with Spawn 0 is a name.
func (h *host) Send(to ra.PID, message any) error {
	if to.Node == "" {
		to.Node = h.node.Name()
	}
	if to.Spawn == 0 {
		return h.node.sendByName(to, message)
	}
	return h.node.actors.Send(to, message)
}

// Monitor watches a process for machine and aux handler.
func (h *host) Monitor(pid ra.PID) {
	if h.monitors == nil {
		h.monitors = make(monitorTable)
	}
	if h.monitors[pid] == 0 {
		h.monitors[pid] = h.ctx.Monitor(pid)
	}
}

// Demonitor ends it.
func (h *host) Demonitor(pid ra.PID) {
	if ref := h.monitors[pid]; ref != 0 {
		delete(h.monitors, pid)
		h.ctx.Demonitor(ref)
	}
}

// MonitorNode watches a node.
func (h *host) MonitorNode(node ra.NodeID) { h.ctx.MonitorNode(node) }

// DemonitorNode ends it.
func (h *host) DemonitorNode(node ra.NodeID) { h.ctx.DemonitorNode(node) }

// SetTimer starts a timer of the machine. They have a name space of their own (QRK-05).
func (h *host) SetTimer(name string, d time.Duration) { h.ctx.SetTimer(name, d) }

// CancelTimer stops it.
func (h *host) CancelTimer(name string) { h.ctx.CancelTimer(name) }

// Forward passes a command on to the leader's process. Nobody waits for it (CMD-08).
func (h *host) Forward(to ra.ServerID, c member.Command) error {
	k := h.node.newCall(callForward)
	k.entry = c.Proposal
	return h.node.submit(to, k)
}

// WALFill is how much of the log's current file is used.
func (h *host) WALFill() float64 { return h.node.Stats().WALFill }
