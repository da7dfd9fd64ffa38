package rafttest

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// fuse is a crash that comes in the middle of something: at a change of the disk that is still to be made.
type fuse struct {
	left  int // changes until then; 0 is none
	model vfs.CrashModel
	// wreck is what the crash left of the disk. From then on the node is dead, and what its code still does is void.
	wreck *vfs.Mem
}

// powerCut is the panic with which a dead disk ends whatever uses it. No code of a node can hold it up: every further use
// panics again.
type powerCut struct{}

// mount puts a disk under the node, and watches what is done to it.
func (n *node) mount(d *vfs.Mem) {
	if n.fs != nil {
		n.sim.done.Faults += n.fs.Struck()
	}
	n.disk, n.fs = d, vfs.NewErrs(d)
	n.fuse = fuse{}
	n.fs.Judge(n.judge)
}

// judge is asked at every operation of the disk.
func (n *node) judge(op vfs.Op, _ string) *vfs.Fault {
	if n.fuse.wreck != nil {
		panic(powerCut{})
	}
	n.operations++
	f := n.struck(op)
	if op == n.rot && n.sim.now < n.rotUntil && !n.sim.healing {
		f = &vfs.Fault{Short: true}
	}
	if !op.Changes() {
		return f
	}
	n.changes++
	if n.fuse.left > 0 {
		if n.fuse.left--; n.fuse.left == 0 {
			n.fuse.wreck = n.disk.Crash(n.fuse.model, n.chaos)
			panic(powerCut{})
		}
	}
	return f
}

// light lets the node crash at the given change of its disk from now on, 1 for the next.
func (n *node) light(change int, model vfs.CrashModel) { n.fuse.left, n.fuse.model = change, model }

// meet lets an event happen. If a disk loses its power in the middle, the event ends there, and what the simulator has
// seen of it is forgotten.
func (s *sim) meet(e *event) {
	defer func() {
		for _, n := range s.nodes {
			if n.fuse.wreck == nil {
				continue
			}
			_ = recover()
			s.broken = nil
			for _, c := range s.clusters {
				c.truth.broken = nil
			}
			n.powerFailed()
		}
	}()
	s.dispatch(e)
}

// powerFailed is the end of an event in which the node crashed. It may have been about to start.
func (n *node) powerFailed() {
	left := n.fuse.wreck
	if n.up {
		n.expect()
		n.die(left)
	} else {
		n.sim.done.Crashes++
		n.mount(left)
	}
	if s := n.strike(); s != nil && s.Nested > 0 && !n.nested {
		n.nested = true
		n.light(s.Nested, s.Model)
	}
	n.returnLater()
}

// returnLater plans that somebody starts the node again.
func (n *node) returnLater() {
	n.sim.plan(n.sim.dice.between(time.Millisecond, n.sim.profile.LieDown), event{kind: evRestart, node: n})
}

// crash stops the node at once. What was not durable is lost, or not, or in part; a batch may be half written, and so may
// be whatever else was under way.
func (n *node) crash() {
	n.expect()
	n.die(n.crashIn(n.chaos.IntN(4), n.underWay()))
}

// expect notes what may be durable after a crash now: what is, and the batch that is just being written.
func (n *node) expect() {
	for _, p := range n.peers {
		p.maybe = p.cluster.truth.members[p.uid].clone()
	}
	for i := range n.syncing {
		o := &n.syncing[i]
		o.apply(o.peer.maybe)
	}
}

// die is the moment after a crash that left the given disk.
func (n *node) die(left *vfs.Mem) {
	n.sim.done.Crashes++
	n.up = false
	for _, c := range n.calls {
		if !c.ended { // its caller lived in the same process
			c.ended = true
			c.cluster.book.open--
		}
	}
	n.calls = n.calls[:0]
	n.mount(left)
	n.log, n.snaps, n.segs, n.orders, n.syncing, n.jobs, n.flush = nil, nil, nil, nil, nil, nil, flushing{}
	for _, other := range n.sim.nodes {
		if other != n {
			n.sim.learn(other, n, raft.LeaderLost, n.sim.dice.between(time.Millisecond, 300*time.Millisecond))
			n.sim.learn(other, n, raft.NodeDown, n.sim.dice.between(100*time.Millisecond, 3*time.Second))
		}
	}
}

// underWay picks something that the crash interrupts. Whoever would hear of its outcome is dead.
func (n *node) underWay() func() error {
	switch k := n.chaos.IntN(4); {
	case k == 0 && n.busy && !n.closing.Empty():
		return func() error { return n.log.Commit(n.closing) }
	case k == 1 && len(n.jobs) > 0:
		return func() error { n.jobs[n.chaos.IntN(len(n.jobs))].work(); return nil }
	case k == 2 && n.flush.planned && n.flush.stage != stageTell:
		return func() error { return n.doStage(&n.flush) }
	}
	return nil
}

// crashIn does something, and returns what the disk is after a crash at the given operation of it, or behind its end.
func (n *node) crashIn(operation int, do func() error) *vfs.Mem {
	model := vfs.CrashModel(n.chaos.IntN(int(vfs.CrashModels)))
	var left *vfs.Mem
	if do != nil {
		n.fs.Judge(func(vfs.Op, string) *vfs.Fault {
			if operation == 0 {
				left = n.disk.Crash(model, n.chaos)
			}
			operation--
			return nil
		})
		_ = do()
	}
	if left == nil {
		left = n.disk.Crash(model, n.chaos)
	}
	return left
}
