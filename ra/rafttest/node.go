package rafttest

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// node is one simulated node: the members that live there, and the shipping log on a disk that can crash. What an
// actor does on a real node, the scheduler does here: the batch gathers while the one before is being synced, and the
// members hear of it later.
type node struct {
	sim   *sim
	id    int
	disk  *vfs.Mem
	fs    *vfs.Errs
	chaos *rand.Rand // decides what a crash leaves on the disk
	up    bool
	life  uint32
	peers []*peer
	calls []*call

	log     *wal.Log
	gather  *wal.Batch
	closing *wal.Batch
	orders  []order // in gather
	syncing []order // in closing
	busy    bool    // closing is under way, or about to be
}

// order is what one Store put into a batch, as the truth has to know it.
type order struct {
	peer     *peer
	truncate ra.Index
	entries  []raft.Position
	state    *ra.HardState
}

func newNode(s *sim, id int) *node {
	disk := vfs.NewMem()
	return &node{sim: s, id: id, disk: disk, fs: vfs.NewErrs(disk), chaos: rand.New(rand.NewPCG(s.opts.Seed, uint64(id)))}
}

// Read makes a node the source of random ids of its log.
func (n *node) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(n.chaos.Uint32())
	}
	return len(b), nil
}

// open opens the log, whatever is there.
func (n *node) open() *wal.Recovery {
	l, found, err := wal.Open(wal.Config{FS: n.fs, FileSize: n.sim.profile.FileSize, MaxBatch: n.sim.profile.MaxBatch, Random: n})
	if err != nil {
		n.sim.breach("I9", "n%d does not start: %v", n.id, err)
		return nil
	}
	n.log, n.gather, n.closing = l, l.NewBatch(), l.NewBatch()
	n.orders, n.syncing, n.busy = nil, nil, false
	n.up = true
	n.life++
	return found
}

// start opens a node for the first time, and starts its members.
func (n *node) start() {
	if n.open() == nil {
		return
	}
	for _, p := range n.peers {
		p.begin(nil)
	}
}

// restart opens a node that crashed, and restores what its log holds.
func (n *node) restart() {
	found := n.open()
	if found == nil {
		return
	}
	for _, p := range n.peers {
		p.begin(found)
	}
	for _, other := range n.sim.nodes {
		if other != n && other.up {
			n.sim.learn(other, n, raft.NodeUp, n.sim.dice.between(time.Millisecond, time.Second))
		}
	}
}

// begin makes the member's Server from what was recovered of it, or a new one.
func (p *peer) begin(found *wal.Recovery) {
	var state ra.HardState
	p.table, p.applied, p.writer, p.base = new(memtable.Table), applied{}, nil, 0
	if found != nil {
		state = p.restore(found)
	}
	if p.writer == nil && !p.register() {
		return
	}
	limits := raft.DefaultLimits
	limits.MaxEntriesPerAppend, limits.MaxInflightEntries = p.sim.profile.MaxEntries, p.sim.profile.MaxInflight
	limits.MaxInflightBytes = p.sim.profile.MaxInflightBytes
	server, err := member.New(member.Config{
		Raft: raft.Config{Self: p.uid, Limits: &limits}, Initial: p.initial, State: state,
		Log: peerLog{p}, Store: p, Net: p, Timer: p,
		Factory:        func(machine.Init) machine.Machine { return replica{p} },
		Observer:       member.Observer{Changed: p.changed, Committed: p.committed},
		MaxAppendBytes: p.sim.profile.MaxBytes,
	})
	if err != nil {
		p.sim.breach("I9", "%s does not start: %v", p.uid, err)
		return
	}
	p.server, p.open, p.ticking = server, false, false
	p.timer++
	p.ticks++
	p.flush()
}

// restore takes over what the log found of the member.
func (p *peer) restore(found *wal.Recovery) (state ra.HardState) {
	var terms []ra.Term
	for i := range found.Members {
		m := &found.Members[i]
		if m.Writer.UID() != p.uid {
			continue
		}
		if m.Mark != (wal.Mark{}) {
			p.cluster.truth.breach("I9", "%s is damaged by a crash alone: %+v", p.uid, m.Mark)
		}
		p.writer, p.table, p.base, state = m.Writer, m.Entries, m.Writer.Seq(), m.State
		p.writer.Owner = p
		for e := range p.table.View(1, p.table.Last()).All() {
			terms = append(terms, e.Term)
		}
	}
	p.term = state.Term
	p.cluster.truth.recovered(p.uid, p.maybe, state, terms)
	return state
}

// register makes a new member known to the log.
func (p *peer) register() bool {
	w, err := p.node.log.Writer(p.uid)
	if err != nil {
		p.sim.breach("I9", "%s is not accepted: %v", p.uid, err)
		return false
	}
	p.writer, p.base = w, 1
	w.Owner = p
	if err := p.node.gather.Append(w, &wal.Op{Seq: 1, Register: &wal.Registration{Name: string(p.uid)}}); err != nil {
		p.sim.breach("I9", "%s is not registered: %v", p.uid, err)
		return false
	}
	p.node.kick()
	return true
}

// store puts an order into the batch that gathers.
func (n *node) store(p *peer, op *wal.Op) error {
	if err := n.gather.Append(p.writer, op); err != nil {
		return err
	}
	o := order{peer: p, truncate: op.Truncate}
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
	for _, p := range n.peers {
		if p.server != nil && p.server.Stalled() {
			p.server.Resume()
			p.end()
		}
	}
}

// sync makes the closing batch durable, and lets its members hear of it.
func (n *node) sync() {
	if err := n.log.Commit(n.closing); err != nil {
		n.failed(err)
		return
	}
	for i := range n.syncing {
		o := &n.syncing[i]
		o.peer.cluster.truth.wrote(o.peer.uid, o)
	}
	clear(n.syncing)
	n.syncing = n.syncing[:0]
	for _, a := range n.closing.Acks() {
		p := a.Writer.Owner.(*peer)
		if a.Seq > p.base {
			after := time.Duration(0)
			if n.sim.dice.oneIn(n.sim.profile.LateOneIn) {
				after = n.sim.dice.skewed(n.sim.profile.Late)
			}
			n.sim.plan(after, event{kind: evWritten, peer: p, life: n.life, gen: a.Seq - p.base})
		}
	}
	n.closing.Reset()
	n.busy = false
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
	}
}

// failed: the disk has failed more than once in a row. I10: nothing of this node is to be believed any more, so it stops
// until somebody starts it again.
func (n *node) failed(err error) {
	if !errors.Is(err, ra.ErrStorageFailed) {
		n.sim.breach("I10", "n%d cannot write: %v", n.id, err)
		return
	}
	n.crash()
	n.sim.plan(n.sim.dice.between(time.Millisecond, n.sim.profile.LieDown), event{kind: evRestart, node: n})
}

// apply does to a durable state what the order does, and reports whether it fits.
func (o *order) apply(d *durable) bool {
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

// crash stops the node at once. What was not durable is lost, or not, or in part; a batch may be half written.
func (n *node) crash() {
	n.sim.crashes++
	n.up = false
	for _, c := range n.calls {
		if !c.ended { // its caller lived in the same process
			c.ended = true
			c.cluster.book.open--
		}
	}
	n.calls = n.calls[:0]
	n.pullPlug()
	for _, other := range n.sim.nodes {
		if other != n {
			n.sim.learn(other, n, raft.LeaderLost, n.sim.dice.between(time.Millisecond, 300*time.Millisecond))
			n.sim.learn(other, n, raft.NodeDown, n.sim.dice.between(100*time.Millisecond, 3*time.Second))
		}
	}
}

// pullPlug makes the disk what a crash may leave of it. If a batch is being written it may happen at any operation of
// that.
func (n *node) pullPlug() {
	model := vfs.CrashModel(n.chaos.IntN(int(vfs.CrashModels)))
	var left *vfs.Mem
	if n.busy && !n.closing.Empty() && n.chaos.IntN(2) == 0 {
		at := n.chaos.IntN(3)
		n.fs.Trace(func(vfs.Op, string) {
			if at == 0 {
				left = n.disk.Crash(model, n.chaos)
			}
			at--
		})
		_ = n.log.Commit(n.closing) // whoever would hear of the error is dead
		n.fs.Trace(nil)
	}
	if left == nil {
		left = n.disk.Crash(model, n.chaos)
	}
	n.disk, n.fs = left, vfs.NewErrs(left)
	for _, p := range n.peers {
		p.maybe = p.cluster.truth.members[p.uid].clone()
	}
	for i := range n.syncing {
		o := &n.syncing[i]
		o.apply(o.peer.maybe)
	}
	n.log, n.orders, n.syncing = nil, nil, nil
}
