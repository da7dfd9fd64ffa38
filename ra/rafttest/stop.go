package rafttest

import (
	"errors"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// stop stops a node in good order: members end, what they ordered is written, files are closed. I9: afterwards everything
// is durable, so that a power cut at once loses nothing.
func (n *node) stop() {
	for _, p := range n.peers {
		p.rest()
	}
	for _, p := range n.peers {
		p.sayFarewell()
	}
	for len(n.jobs) > 0 {
		j := n.jobs[0]
		n.jobs = n.jobs[1:]
		j.work()
		j.owner.stored()
	}
	if err := errors.Join(n.finish(), n.segs.Close()); err != nil {
		if !deliberate(err) && !errors.Is(err, ra.ErrStorageFailed) {
			n.sim.breach("I10", "n%d cannot be stopped: %v", n.id, err)
		}
		n.expect()
	}
	n.die(n.disk.Crash(pick(n.sim.dice, vfs.CrashKept, vfs.CrashLost), n.chaos))
	n.returnLater()
}

// rest ends a member's process, and leaves behind what it decided and how far it came.
func (p *peer) rest() {
	if !p.alive() {
		return
	}
	p.hear()
	p.last = p.server.RecoveryCheckpoint()
	p.server.Stop(ra.ErrClosed)
	mark := p.server.Mark()
	p.late = p.server.Backlog()
	p.server = nil
	if mark != nil && len(p.late) == 0 {
		_ = p.Store(mark) // a hint, which may be lost
	}
}

// sayFarewell writes the last state of a member aside, for its next start (CKPT-10). It may fail, or be given up: nothing
// relies on it.
func (p *peer) sayFarewell() {
	c := p.last
	if p.last = nil; c == nil {
		return
	}
	if p.node.chaos.IntN(8) == 0 {
		c.GiveUp()
	}
	switch err := c.Write(); {
	case err == nil:
		p.sim.done.Farewells++
	case !deliberate(err) && !errors.Is(err, ra.ErrClosed) && !errors.Is(err, snapshot.ErrBusy):
		p.cluster.truth.breach("I10", "%s cannot leave its state behind: %v", p.uid, err)
	}
}

// finish writes what is left, and closes the log.
func (n *node) finish() error {
	err := n.log.Commit(n.closing)
	if err == nil {
		n.wrote()
		n.syncing, n.orders = n.orders, nil
		err = n.log.Commit(n.gather)
	}
	if err == nil {
		n.wrote()
	}
	return errors.Join(err, n.log.Close())
}
