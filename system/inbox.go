package system

import (
	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Bounds of what waits in a member's internal lane. Letters beyond are lost, which the algorithm allows for; it cannot
// be many, because a leader bounds what it has under way to each peer.
const (
	maxLetters  = 8192
	maxControls = 256
)

// inbox is the internal lane of a member: what happened on its node and what its peers say. It is guarded by the lock
// of the actor's mailbox. Numbers and flags stand once however often they are posted; an empty inbox owns no memory.
type inbox struct {
	any     bool
	written uint64 // orders up to this number of the log's are durable
	told    uint64 // up to here the leader knows, by the promise
	resume  bool   // the log may have room again
	failed  error  // the node's storage has failed for good

	head, tail *letter
	letters    int

	done     []func()    // ends of background work, few by contract of member.Background
	asked    *gathering  // asks for a snapshot
	controls []*call     // calls that no full client lane may keep out
	nodes    []nodeState // the last that is known of nodes, each once
}

// nodeState is whether a node is up.
type nodeState struct {
	node ra.NodeID
	up   bool
}

// push takes a letter in. It reports whether there was room.
func (in *inbox) push(l *letter) bool {
	if in.letters >= maxLetters {
		return false
	}
	in.any = true
	if in.tail == nil {
		in.head, in.tail = l, l
		in.letters = 1
		return true
	}
	in.tail.next = l
	in.tail = l
	in.letters++
	return true
}

// coalesce lets l take the place of the last letter if it says all that that one says.
func (in *inbox) coalesce(l *letter) bool {
	if in.tail == nil || !l.supersedes(in.tail) {
		return false
	}
	room := in.tail.Entries
	in.tail.Message = l.Message
	in.tail.Entries = room
	return true
}

// note takes in the state of a node.
func (in *inbox) note(node ra.NodeID, up bool) {
	in.any = true
	for i := range in.nodes {
		if in.nodes[i].node == node {
			in.nodes[i].up = up
			return
		}
	}
	in.nodes = append(in.nodes, nodeState{node, up})
}

// Empty reports whether nothing waits in the internal lane.
func (p *process) Empty() bool { return !p.in.any }

// Take moves what waits aside, for Receive, which ends what was promised.
func (p *process) Take() {
	p.batch, p.in = p.in, inbox{}
	p.promise = promise{}
}

// written posts that the Server's own orders up to seq are durable. If that only leads to an acknowledgement that was
// promised, the round takes it along, and the member hears of it with what comes next.
func (p *process) written(seq uint64, r *round, ws *actor.Wakeups) {
	p.ref.Lock()
	p.in.any = true
	p.in.written = max(p.in.written, seq)
	l := p.acknowledgement(seq)
	if l == nil {
		p.unlock(p.patience.Written || seq <= p.in.told, ws)
		return
	}
	to := p.promise.to
	p.ref.Release()
	p.rec.tally.Add(ra.CountMessagesSent, 1)
	l.slot, l.fromSlot, l.fromSpawn = to.slot, p.rec.slot, p.spawn
	r.send(r.to(to.node), l)
}

// acknowledgement returns the letter that the promise gives for the orders up to seq, or nil. The mailbox is locked.
func (p *process) acknowledgement(seq uint64) *letter {
	if seq <= p.in.told || !p.promise.Given() {
		return nil
	}
	l := newLetter()
	if !p.promise.Ack(seq, p.in.told, &l.Message) {
		l.free()
		return nil
	}
	p.in.told = seq
	return l
}

// unlock ends a post. What can wait does not wake the member: it is taken in with what comes next.
func (p *process) unlock(canWait bool, ws *actor.Wakeups) {
	if canWait {
		p.ref.Release()
	} else {
		p.ref.Unlock(ws)
	}
}

// resume posts that the log may have room again.
func (p *process) resume(ws *actor.Wakeups) {
	p.ref.Lock()
	p.in.any, p.in.resume = true, true
	p.ref.Unlock(ws)
}

// storageFailed posts that nothing will ever be durable again: the member stops with err.
func (p *process) storageFailed(err error) {
	p.ref.Lock()
	p.in.any, p.in.failed = true, err
	p.ref.Unlock(nil)
}

// deliver posts a letter, which belongs to the member from then on.
func (p *process) deliver(l *letter, ws *actor.Wakeups) {
	p.ref.Lock()
	kept := !p.in.coalesce(l) && p.in.push(l)
	p.unlock(l.canWait(&p.patience), ws)
	if !kept {
		l.free()
	}
}

// finished lets f run in the member's next batch. It is for the ends of background work, which are few.
func (p *process) finished(f func(), ws *actor.Wakeups) {
	p.ref.Lock()
	p.in.any = true
	p.in.done = append(p.in.done, f)
	p.ref.Unlock(ws)
}

// askOffer posts that a snapshot for a pack is asked for.
func (p *process) askOffer(g *gathering, ws *actor.Wakeups) {
	p.ref.Lock()
	if p.gone || p.in.asked != nil {
		p.ref.Release()
		g.answer(nil)
		return
	}
	p.in.any, p.in.asked = true, g
	p.ref.Unlock(ws)
}

// nodeChanged posts that a node came up or went down.
func (p *process) nodeChanged(node ra.NodeID, up bool, ws *actor.Wakeups) {
	p.ref.Lock()
	p.in.note(node, up)
	p.ref.Unlock(ws)
}

// control posts a call past the client lane. It fails with ra.ErrOverloaded or ra.ErrNoProcess.
func (p *process) control(c *call) error {
	p.ref.Lock()
	switch {
	case p.gone:
		p.ref.Release()
		return ra.ErrNoProcess
	case len(p.in.controls) >= maxControls:
		p.ref.Release()
		return ra.ErrOverloaded
	}
	p.in.any = true
	p.in.controls = append(p.in.controls, c)
	p.ref.Unlock(nil)
	return nil
}
