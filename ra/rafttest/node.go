package rafttest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// node is one simulated node: the members that live there, and the shipping storage on a disk that can crash. What
// actors do on a real node, the scheduler does here: the batch gathers while the one before is being synced, and the
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
	jobs  []*job

	snaps *snapshot.Store
	segs  *segment.Set
	flush flushing

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
	seq      uint64
	reset    ra.Index
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

// open opens the disk, whatever is there, and brings the members' logs back.
func (n *node) open() error {
	var err error
	if n.snaps, _, err = snapshot.Open(snapshot.Config{FS: n.fs, Dir: "snapshots"}); err != nil {
		return err
	}
	if n.segs, _, err = segment.Open(segment.Config{FS: n.fs, Dir: "segments", OwnFile: n.sim.profile.OwnFile}); err != nil {
		return err
	}
	var found *wal.Recovery
	n.log, found, err = wal.Open(wal.Config{
		FS: n.fs, Dir: "wal", FileSize: n.sim.profile.FileSize, MaxBatch: n.sim.profile.MaxBatch, Random: n,
	})
	if err != nil {
		return err
	}
	n.gather, n.closing = n.log.NewBatch(), n.log.NewBatch()
	n.orders, n.syncing, n.busy, n.flush, n.jobs = nil, nil, false, flushing{}, nil
	for _, p := range n.peers {
		if err := p.restore(found); err != nil {
			return err
		}
	}
	_, err = n.segs.Clean()
	return err
}

// start opens a node and starts its members.
func (n *node) start() {
	if err := n.open(); err != nil {
		n.sim.breach("I9", "n%d does not start: %v", n.id, err)
		return
	}
	n.up = true
	n.life++
	n.wakeSegments()
	for _, p := range n.peers {
		p.recovered()
		if !p.gone {
			p.start()
		}
	}
}

// restart opens a node that crashed. It may crash again while it recovers.
func (n *node) restart() {
	for n.chaos.IntN(4) == 0 && !n.sim.healing {
		left := n.crashIn(1+n.chaos.IntN(120), func() error { return n.open() })
		n.disk, n.fs = left, vfs.NewErrs(left)
	}
	n.start()
	for _, other := range n.sim.nodes {
		if other != n && other.up {
			n.sim.learn(other, n, raft.NodeUp, n.sim.dice.between(time.Millisecond, time.Second))
		}
	}
}

// start starts a member. A new one is registered first, and begins when that is durable.
func (p *peer) start() {
	if p.writer != nil {
		p.begin()
		return
	}
	p.register()
}

// begin makes the member's Server.
func (p *peer) begin() {
	state := p.cluster.truth.members[p.uid].state
	p.term, p.machine = state.Term, nil
	limits := raft.DefaultLimits
	limits.MaxEntriesPerAppend, limits.MaxInflightEntries = p.sim.profile.MaxEntries, p.sim.profile.MaxInflight
	limits.MaxInflightBytes = p.sim.profile.MaxInflightBytes
	server, err := member.New(member.Config{
		Raft: raft.Config{Self: p.uid, Limits: &limits}, ID: p.id(), Initial: p.initial, State: state, Applied: p.hint,
		Log: peerLog{p}, Store: p, Net: p, Timer: p, Snapshots: p.node.snaps, Background: p,
		Factory:        func(machine.Init) machine.Machine { return &replica{peer: p} },
		Observer:       member.Observer{Changed: p.changed, Committed: p.committed},
		Policy:         p.sim.profile.policy(),
		MaxAppendBytes: p.sim.profile.MaxBytes, ChunkBytes: p.sim.profile.Chunk,
	})
	if errors.Is(err, vfs.ErrInjected) {
		p.sim.plan(time.Second, event{kind: evRevive, node: p.node, worker: p, life: p.node.life})
		return
	}
	if err != nil {
		p.sim.breach("I9", "%s does not start: %v", p.uid, err)
		return
	}
	p.server, p.open, p.ticking, p.fresh = server, false, false, false
	p.timer++
	p.ticks++
	p.flush()
}

// restore takes over what the disk has of the member.
func (p *peer) restore(found *wal.Recovery) error {
	p.server, p.writer, p.log, p.base, p.hint, p.back = nil, nil, raftlog.New(p.uid, p.node.segs), 0, 0, recovery{}
	p.durable, p.late, p.fresh = 0, nil, false
	if slices.Contains(found.Deleted, p.uid) {
		p.forget()
	}
	for i := range found.Members {
		m := &found.Members[i]
		if m.Writer.UID() != p.uid {
			continue
		}
		if m.Mark != (wal.Mark{}) {
			p.cluster.truth.breach("I9", "%s is damaged by a crash alone: %+v", p.uid, m.Mark)
		}
		info, _ := p.node.snaps.Newest(p.uid)
		snap := raft.Position{Index: info.Index, Term: info.Term}
		var err error
		if p.log, err = raftlog.Recover(m, p.node.segs, raftlog.Position(snap)); err != nil {
			return err
		}
		p.writer, p.base, p.hint = m.Writer, m.Writer.Seq(), m.Applied
		p.durable = p.base
		p.writer.Owner = p
		base, baseTerm := p.log.Base()
		p.back = recovery{
			seq: p.base, state: m.State, snap: snap, base: raft.Position{Index: base, Term: baseTerm}, last: p.log.Last(),
			resets: p.log.NeedsReset(),
		}
		for i := base + 1; i <= p.log.Last(); i++ {
			term, _ := p.log.Term(i)
			p.back.terms = append(p.back.terms, term)
		}
	}
	return nil
}

// recovered compares what the disk had with the truth.
func (p *peer) recovered() {
	if !p.deleted {
		p.cluster.truth.recovered(p.uid, p.maybe, &p.back)
	}
}

// register makes a new member known to the log.
func (p *peer) register() {
	w, err := p.node.log.Writer(p.uid)
	if err != nil {
		p.sim.breach("I9", "%s is not accepted: %v", p.uid, err)
		return
	}
	p.writer, p.base, p.fresh = w, 1, true
	w.Owner = p
	if err := p.node.gather.Append(w, &wal.Op{Seq: 1, Register: &wal.Registration{Name: string(p.uid)}}); err != nil {
		p.sim.breach("I9", "%s is not registered: %v", p.uid, err)
		return
	}
	p.node.orders = append(p.node.orders, order{peer: p, seq: 1})
	p.node.kick()
}

// store puts an order into the batch that gathers.
func (n *node) store(p *peer, op *wal.Op) error {
	if err := n.gather.Append(p.writer, op); err != nil {
		return err
	}
	o := order{peer: p, seq: op.Seq, reset: op.Reset, truncate: op.Truncate}
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
		if p.alive() && p.server.Stalled() {
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
		if o := &n.syncing[i]; !o.peer.deleted {
			o.peer.cluster.truth.wrote(o.peer.uid, o)
		}
	}
	clear(n.syncing)
	n.syncing = n.syncing[:0]
	for _, a := range n.closing.Acks() {
		p := a.Writer.Owner.(*peer)
		p.durable = a.Seq
		switch {
		case p.deleted:
			p.forget()
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
	n.giveUp()
}

// giveUp stops the node because of its disk, until somebody starts it again.
func (n *node) giveUp() {
	if n.up {
		n.crash()
		n.sim.plan(n.sim.dice.between(time.Millisecond, n.sim.profile.LieDown), event{kind: evRestart, node: n})
	}
}

// apply does to a durable state what the order does, and reports whether it fits.
func (o *order) apply(d *durable) bool {
	d.seq = max(d.seq, o.seq)
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

// pullPlug makes the disk what a crash may leave of it. It may happen at any operation of whatever is under way: a
// batch that is being written, a snapshot, a flush.
func (n *node) pullPlug() {
	left := n.crashIn(n.chaos.IntN(4), n.underWay())
	n.disk, n.fs = left, vfs.NewErrs(left)
	for _, p := range n.peers {
		p.maybe = p.cluster.truth.members[p.uid].clone()
	}
	for i := range n.syncing {
		o := &n.syncing[i]
		o.apply(o.peer.maybe)
	}
	n.log, n.snaps, n.segs, n.orders, n.syncing, n.jobs, n.flush = nil, nil, nil, nil, nil, nil, flushing{}
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
		n.fs.Trace(func(vfs.Op, string) {
			if operation == 0 {
				left = n.disk.Crash(model, n.chaos)
			}
			operation--
		})
		_ = do()
		n.fs.Trace(nil)
	}
	if left == nil {
		left = n.disk.Crash(model, n.chaos)
	}
	return left
}
