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

	code machine.Version // what the machines' code can do

	fuse fuse
	// operations and changes count what was done to the disk, in all lives; starts counts attempts to open it.
	operations, changes, starts int
	nested                      bool   // the strike has struck the recovery, too
	rot                         vfs.Op // fails, until rotUntil
	rotUntil                    time.Duration
	sticky                      vfs.Op
	stickyStart                 int

	snaps *snapshot.Store
	segs  *segment.Set
	flush flushing

	log     *wal.Log
	gather  *wal.Batch
	closing *wal.Batch
	orders  []order // in gather
	syncing []order // in closing
	busy    bool    // closing is under way, or about to be
	lacking bool    // somebody waits for space

	decay decay
}

func newNode(s *sim, id int) *node {
	n := &node{sim: s, id: id, chaos: rand.New(rand.NewPCG(s.opts.Seed, uint64(id)))}
	n.mount(vfs.NewMem())
	return n
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
	n.starts++
	struck := n.fs.Struck()
	snaps, shots, err := snapshot.Open(snapshot.Config{FS: n.fs, Dir: "snapshots"})
	if err != nil {
		return err
	}
	segs, parts, err := segment.Open(segment.Config{FS: n.fs, Dir: "segments", OwnFile: n.sim.profile.OwnFile})
	if err != nil {
		return err
	}
	log, found, err := wal.Open(wal.Config{
		FS: n.fs, Dir: "wal", FileSize: n.sim.profile.FileSize, MaxBatch: n.sim.profile.MaxBatch, HighWater: "HIGHWATER", Random: n,
	})
	if err != nil {
		return err
	}
	n.snaps, n.segs, n.log = snaps, segs, log
	n.gather, n.closing = n.log.NewBatch(), n.log.NewBatch()
	n.orders, n.syncing, n.busy, n.lacking, n.flush, n.jobs = nil, nil, false, false, flushing{}, nil
	if n.fs.Struck() > struck {
		parts.Degraded = nil // what the disk refused to read stands somewhere else, too
		// A roster goes to quarantine then, and is written anew.
		parts.Quarantined = slices.DeleteFunc(parts.Quarantined, func(name string) bool { return name == "ROSTER" })
	}
	n.inspect(shots, parts, found)
	return n.restore(found)
}

// inspect looks at what was found that is not as it should be. I11: a crash alone leaves nothing that looks like damage.
func (n *node) inspect(shots *snapshot.Report, parts *segment.Report, found *wal.Recovery) {
	if n.decay.any() {
		n.decay.snapshots = shots.Lost
		return
	}
	if len(shots.Damaged)+len(shots.Quarantined) > 0 {
		n.sim.breach("I11", "n%d takes a crash for damage: %+v", n.id, *shots)
	}
	if len(parts.Damaged)+len(parts.Lost)+len(parts.Degraded)+len(parts.Quarantined) > 0 {
		n.sim.breach("I11", "n%d takes a crash for damage: %+v", n.id, *parts)
	}
	if len(found.Losses)+len(found.Quarantined) > 0 {
		n.sim.breach("I11", "n%d takes a crash for damage: %+v, %v", n.id, found.Losses, found.Quarantined)
	}
	if found.HighWater != nil && n.life > 0 {
		n.sim.breach("I11", "n%d has lost its high-water mark by a crash: %v", n.id, found.HighWater)
	}
}

// restore puts the members' logs together, and removes what is left of members that are deleted.
func (n *node) restore(found *wal.Recovery) error {
	for _, uid := range found.Deleted {
		n.segs.Forget(uid)
		if err := n.snaps.Remove(uid); err != nil {
			return err
		}
	}
	for _, p := range n.peers {
		if err := p.restore(found); err != nil {
			return err
		}
	}
	n.exhume(found)
	if n.decay.any() {
		return nil // what cannot be read stays where it is until members are marked
	}
	_, err := n.segs.Clean()
	return err
}

// start opens a node and starts its members. If it cannot read or write its disk somebody tries again later.
func (n *node) start() {
	switch err := n.open(); {
	case err == nil:
	case deliberate(err) && !n.sim.healing:
		n.mount(n.disk.Crash(vfs.CrashKept, n.chaos)) // the process has ended
		n.returnLater()
		return
	default:
		n.sim.breach("I9", "n%d does not start: %v", n.id, err)
		return
	}
	n.up = true
	n.decay.fresh = false
	n.life++
	n.sim.done.Recoveries++
	n.wakeSegments()
	for _, p := range n.peers {
		p.recovered()
	}
	for _, p := range n.peers {
		p.comeBack()
	}
	for _, other := range n.sim.nodes {
		if other != n && other.up {
			n.sim.learn(other, n, raft.NodeUp, n.sim.dice.between(time.Millisecond, time.Second))
		}
	}
}

// restart opens a node that is down. It may crash again while it recovers.
func (n *node) restart() {
	n.decays()
	for n.chaos.IntN(4) == 0 && !n.sim.healing && !n.sim.profile.Scripted {
		n.sim.done.Crashes++
		n.mount(n.crashIn(1+n.chaos.IntN(120), n.open))
	}
	n.start()
}

// comeBack starts a member after its node, or goes on deleting it.
func (p *peer) comeBack() {
	switch {
	case p.deleted:
	case !p.gone:
		p.start()
	case p.condemned:
		p.condemn()
	case p.dissolved:
		p.gone, p.dissolved, p.herald = false, false, ""
		p.start()
	}
}

// start starts a member. A new one is registered first, and begins when that is durable.
func (p *peer) start() {
	switch {
	case p.unmarked:
		p.mark()
	case p.writer != nil:
		p.begin()
	default:
		p.register()
	}
}

// begin makes the member's Server.
func (p *peer) begin() {
	state := p.cluster.truth.members[p.uid].state
	p.term, p.machine, p.code, p.machineTick = state.Term, nil, p.node.code, false
	server, err := member.New(member.Config{
		Raft: raft.Config{Self: p.uid, Limits: p.sim.profile.limits()}, ID: p.id(), Cluster: p.cluster.name, Initial: p.initial, State: state, Applied: p.hint,
		Suspect: p.suspect, Epoch: p.base,
		Log: peerLog{p}, Store: p, Net: p, Timer: p, Batch: p, Host: peerHost{p}, Snapshots: p.node.snaps, Background: p,
		Factory:        func(machine.Init) machine.Machine { return &replica{peer: p, code: p.code} },
		Observer:       member.Observer{Changed: p.changed, Committed: p.committed},
		Policy:         p.sim.profile.policy(),
		MaxAppendBytes: p.sim.profile.MaxBytes, ChunkBytes: p.sim.profile.Chunk,
	})
	if deliberate(err) || errors.Is(err, machine.ErrVersion) && !p.sim.healing {
		p.sim.plan(time.Second, event{kind: evRevive, node: p.node, worker: p, life: p.node.life})
		return
	}
	if err != nil && p.loses(err) {
		return
	}
	if err != nil {
		p.sim.breach("I9", "%s does not start: %v", p.uid, err)
		return
	}
	p.server, p.open, p.ticking, p.fresh, p.promise = server, false, false, false, promised{}
	p.progress, p.known, p.leading, p.wishes = progress{}, p.hint, 0, nil
	p.lost, p.heard = "", map[ra.UID]*member.Server{}
	p.timer++
	p.ticks++
	p.flush()
}

// restore takes over what the disk has of the member.
func (p *peer) restore(found *wal.Recovery) error {
	p.server, p.writer, p.log, p.base, p.hint, p.back = nil, nil, nil, 0, 0, recovery{}
	p.durable, p.late, p.fresh = 0, nil, false
	p.deleted, p.suspect, p.unmarked = false, false, false
	for i := range found.Members {
		m := &found.Members[i]
		if m.Writer.UID() != p.uid {
			continue
		}
		if m.Mark != (wal.Mark{}) && !p.node.decay.any() {
			p.cluster.truth.breach("I9", "%s is damaged by a crash alone: %+v", p.uid, m.Mark)
		}
		if want := p.registration(); p.node.decay.any() {
		} else if got := m.Registration; got.Name != want.Name || string(got.Config) != string(want.Config) {
			p.cluster.truth.breach("I9", "%s is registered as %q with %q, was with %q", p.uid, got.Name, got.Config, want.Config)
		}
		p.node.snaps.SetEra(p.uid, m.Mark.Era.Number)
		info, ok := p.node.snaps.Newest(p.uid)
		if ok && m.Mark.Era.Ended(info.Era, info.Index, info.Term) {
			p.cluster.truth.breach("I9", "%s takes its own snapshot %+v for one from before era %+v", p.uid, info, m.Mark.Era)
		}
		snap := raft.Position{Index: info.Index, Term: info.Term}
		if raftlog.Disowns(m, p.node.segs, raftlog.Position(snap)) {
			p.cluster.truth.breach("I9", "%s takes its own snapshot %+v for one of another history", p.uid, snap)
		}
		var err error
		p.log, err = raftlog.Recover(m, p.node.segs, raftlog.Position(snap))
		if p.assess(m, err); err != nil && !p.unmarked {
			return err
		}
		p.writer, p.base, p.hint = m.Writer, m.Writer.Seq(), m.Applied
		p.durable = p.base
		p.writer.Owner = p
		base, baseTerm := p.log.Base()
		p.back = recovery{
			known: true, seq: p.base, state: m.State, snap: snap, base: raft.Position{Index: base, Term: baseTerm}, last: p.log.Last(),
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
	if p.unmarked {
		p.cluster.truth.damaged(p.uid, p.maybe, &p.back)
	} else {
		if p.node.decay.any() {
			p.cluster.truth.decayed(p.uid, &p.back)
		}
		p.cluster.truth.recovered(p.uid, p.maybe, &p.back)
	}
	p.maybe = nil
	p.deleted = p.cluster.truth.members[p.uid].deleted
}

// exhume looks for what should be gone. I12: nothing is there of members that were never here, or whose deletion the log
// has forgotten.
func (n *node) exhume(found *wal.Recovery) {
	known := make(map[ra.UID]bool)
	for i := range found.Members {
		uid := found.Members[i].Writer.UID()
		known[uid] = true
		if !slices.ContainsFunc(n.peers, func(p *peer) bool { return p.uid == uid }) {
			n.sim.breach("I12", "n%d knows of %s, which was never there", n.id, uid)
		}
	}
	for _, uid := range slices.Concat(n.segs.UIDs(), n.snaps.UIDs()) {
		if !known[uid] && !slices.Contains(found.Deleted, uid) {
			n.sim.breach("I12", "n%d has data of %s, which it does not know", n.id, uid)
		}
	}
}

// registration is what the log is told of a member: its name, which others had before it and will have after it, and
// with whom it began.
func (p *peer) registration() *wal.Registration {
	return &wal.Registration{Name: p.cluster.name, Config: raft.EncodeMembers(nil, p.initial)}
}

// register makes a new member known to the log.
func (p *peer) register() {
	w, err := p.node.log.Writer(p.uid)
	if err != nil {
		p.sim.breach("I9", "%s is not accepted: %v", p.uid, err)
		return
	}
	p.writer, p.log, p.base, p.fresh = w, raftlog.New(p.uid, p.node.segs), 1, true
	w.Owner = p
	if err := p.node.gather.Append(w, &wal.Op{Seq: 1, Register: p.registration()}); err != nil {
		p.sim.breach("I9", "%s is not registered: %v", p.uid, err)
		return
	}
	p.node.orders = append(p.node.orders, order{peer: p, seq: 1})
	p.node.kick()
}
