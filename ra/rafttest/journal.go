package rafttest

import (
	"errors"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// order is what one Store put into a batch, as the truth has to know it.
type order struct {
	peer     *peer
	seq      uint64
	reset    ra.Index
	truncate ra.Index
	entries  []raft.Position
	state    *ra.HardState
	deletes  bool
	repaired bool
}

// store puts an order into the batch that gathers.
func (n *node) store(p *peer, op *wal.Op) error {
	if op.Repaired && op.Era.Number == 0 {
		with := n.snaps.BeginEra(p.uid)
		op.Era = wal.Era{Number: with.Era, Index: with.Index, Term: with.Term}
	}
	if err := n.gather.Append(p.writer, op); err != nil {
		if errors.Is(err, ra.ErrDiskFull) {
			n.lack()
		}
		return err
	}
	o := order{peer: p, seq: op.Seq, reset: op.Reset, truncate: op.Truncate, repaired: op.Repaired}
	for i := range op.Entries {
		o.entries = append(o.entries, raft.Position{Index: op.Entries[i].Index, Term: op.Entries[i].Term})
	}
	if op.State != nil {
		o.state = new(*op.State)
	}
	n.orders = append(n.orders, o)
	n.kick()
	return nil
}

// kick wakes the log's actor, so to say.
func (n *node) kick() {
	if !n.busy {
		n.busy = true
		n.sim.plan(n.sim.dice.between(0, 100*time.Microsecond), event{kind: evTake, node: n, life: n.life})
	}
}

// take lets the next batch gather; the one before will be on disk after a while.
func (n *node) take() {
	n.gather, n.closing = n.closing, n.gather
	n.orders, n.syncing = n.syncing[:0], n.orders
	after := n.sim.dice.skewed(n.sim.profile.Sync)
	if n.sim.dice.oneIn(n.sim.profile.StallOneIn) {
		after += n.sim.dice.between(time.Second, 4*time.Second)
	}
	n.sim.plan(after, event{kind: evSync, node: n, life: n.life})
	n.resume()
}

// wrote tells the truth what is durable now.
func (n *node) wrote() {
	for i := range n.syncing {
		o := &n.syncing[i]
		o.peer.cluster.truth.wrote(o.peer.uid, o)
		if o.repaired {
			o.peer.repaired()
		}
	}
	clear(n.syncing)
	n.syncing = n.syncing[:0]
}

// resume lets the members try again whose orders there was no room for.
func (n *node) resume() {
	for _, p := range n.peers {
		if p.alive() && p.server.Stalled() {
			p.hear()
			p.server.Resume()
			p.end()
		}
	}
}

// space looks whether there is room on the disk again: for the batch that waits, and then for the members.
func (n *node) space() {
	n.lacking = false
	if n.log.NeedsReserve() {
		if err := n.log.Reserve(); err != nil && !deliberate(err) {
			n.failed(err)
			return
		}
	}
	n.resume()
}

// lack plans another look for space.
func (n *node) lack() {
	if !n.lacking {
		n.lacking = true
		n.sim.plan(n.sim.dice.between(20*time.Millisecond, time.Second), event{kind: evSpace, node: n, life: n.life})
	}
}

// sync makes the closing batch durable, and lets its members hear of it.
func (n *node) sync() {
	if err := n.log.Commit(n.closing); err != nil {
		if errors.Is(err, ra.ErrDiskFull) { // it is late, not lost
			n.sim.plan(n.sim.dice.between(20*time.Millisecond, time.Second), event{kind: evSync, node: n, life: n.life})
			return
		}
		n.failed(err)
		return
	}
	n.wrote()
	for _, a := range n.closing.Acks() {
		p := a.Writer.Owner.(*peer)
		p.durable = a.Seq
		switch {
		case p.deleted:
			if a.Seq == p.writer.Seq() {
				p.forget()
			}
			continue
		case p.fresh:
			n.sim.plan(0, event{kind: evBegin, node: n, worker: p, life: n.life})
		}
		if a.Seq > p.base && p.server != nil {
			after := time.Duration(0)
			if n.sim.dice.oneIn(n.sim.profile.LateOneIn) {
				after = n.sim.dice.skewed(n.sim.profile.Late)
			}
			n.sim.plan(after, event{kind: evWritten, peer: p, life: n.life, gen: a.Seq - p.base, server: p.server})
		}
	}
	n.closing.Reset()
	n.busy = false
	n.wakeSegments()
	n.log.Note()
	if !n.gather.Empty() {
		n.kick()
		return
	}
	n.rest()
}

// rest is what a log's owner does when nothing waits to be written.
func (n *node) rest() {
	var err error
	if n.log.NeedsReserve() && n.sim.dice.oneIn(4) {
		err = n.log.Reserve()
	} else if n.sim.dice.oneIn(4) {
		err = n.log.Seal()
	}
	if errors.Is(err, ra.ErrStorageFailed) {
		n.failed(err)
		return
	}
	n.wakeSegments() // a seal for which the file had no room has filled it
}

// failed: the disk has failed more than once in a row. I10: nothing of this node is to be believed any more, so it stops
// until somebody starts it again.
func (n *node) failed(err error) {
	if !errors.Is(err, ra.ErrStorageFailed) {
		n.sim.breach("I10", "n%d cannot write: %v", n.id, err)
		return
	}
	n.giveUp()
}

// giveUp stops the node because of its disk, until somebody starts it again.
func (n *node) giveUp() {
	if n.up {
		n.crash()
		n.returnLater()
	}
}

// apply does to a durable state what the order does, and reports whether it fits.
func (o *order) apply(d *durable) bool {
	d.seq = max(d.seq, o.seq)
	d.deleted, d.healed = d.deleted || o.deletes, d.healed || o.repaired
	if o.reset != 0 {
		d.reset(o.reset)
	}
	if o.truncate != 0 {
		d.cut(o.truncate)
	}
	for _, e := range o.entries {
		if !d.write(e) {
			return false
		}
	}
	if o.state != nil {
		d.state = *o.state
	}
	return true
}
