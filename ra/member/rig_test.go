package member

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// rig is a cluster whose members run the shipping storage on disks in memory. Nothing happens but what a test, or
// settle, lets happen: messages, works of the background and syncs wait in queues.
type rig struct {
	t     testing.TB
	nodes []*rigNode
	net   []*raft.Message
	// cut says which messages are lost; nil: none.
	cut func(m *raft.Message) bool
	// arriving is called with each message before it is delivered; nil: nobody is.
	arriving func(m *raft.Message)
	policy   snapshot.Policy
	version  machine.Version
	withAux  bool
	// code is the highest version that the members' code knows, if it is above version.
	code machine.Version
	// onApply is what the machines do beside counting.
	onApply func(n *rigNode, meta machine.Meta, id uint64, fx *machine.Effects)
	ids     *rand.Rand
	asked   map[uint64]bool // commands that were proposed, and whether they were acknowledged
	ended   map[uint64]error
	now     int64
}

// rigNode is one member on its node.
type rigNode struct {
	*rig
	uid       ra.UID
	disk      *vfs.Mem
	fs        *vfs.Errs // that of the snapshots
	walFS     *vfs.Errs // that of the write-ahead log
	wal       *wal.Log
	batch     *wal.Batch
	writer    *wal.Writer
	base      uint64
	store     *snapshot.Store
	log       *raftlog.Log
	server    *Server
	machine   *ledger // in force
	works     []rigWork
	lifo      bool // the newest work runs first
	skew      int64
	ticking   bool
	full      error // the answer of the store to every order
	problems  []error
	captures  int // of its machines, not released
	installed []machine.SnapshotChange
	left      *vfs.Mem // the disk at the moment of a crash
	// onRestore and onSnapshot stand in for what the machine does; nil: nothing does.
	onRestore  func() error
	onSnapshot func() (machine.Capture, error)
}

type rigWork struct{ run, done func() }

const rigDir = "snap"

// newRig starts the members of a new cluster.
func newRig(t testing.TB, uids ...ra.UID) *rig {
	r := &rig{t: t, ids: rand.New(rand.NewPCG(7, 8)), asked: map[uint64]bool{}, ended: map[uint64]error{}, policy: snapshot.Policy{MinInterval: 1, MinCheckpoint: 1}, now: 1000}
	r.add(uids...)
	return r
}

// add starts members, and returns the first one.
func (r *rig) add(uids ...ra.UID) *rigNode {
	for _, uid := range uids {
		disk := vfs.NewMem()
		r.nodes = append(r.nodes, &rigNode{rig: r, uid: uid, disk: disk, fs: vfs.NewErrs(disk), walFS: vfs.NewErrs(disk)})
	}
	for _, n := range r.nodes {
		n.start()
	}
	return append(r.nodes, nil)[0]
}

func (r *rig) node(uid ra.UID) *rigNode {
	return r.nodes[slices.IndexFunc(r.nodes, func(n *rigNode) bool { return n.uid == uid })]
}

func (r *rig) members() []ra.Member {
	var members []ra.Member
	for _, n := range r.nodes {
		members = append(members, ra.Member{ID: ra.ServerID{Name: "m", Node: ra.NodeID(n.uid)}, UID: n.uid})
	}
	return members
}

// start opens what is on the node's disk and starts its member.
func (n *rigNode) start() {
	n.t.Helper()
	if err := n.open(); err != nil {
		n.t.Fatalf("%s does not start: %v", n.uid, err)
	}
}

func (n *rigNode) open() error {
	n.works, n.full, n.captures, n.installed, n.problems, n.ticking = nil, nil, 0, nil, nil, false
	var err error
	if n.store, _, err = snapshot.Open(snapshot.Config{FS: n.fs, Dir: rigDir}); err != nil {
		return err
	}
	var found *wal.Recovery
	if n.wal, found, err = wal.Open(wal.Config{FS: n.walFS, Dir: "wal", FileSize: 1 << 20, Random: rand.NewChaCha8([32]byte{1})}); err != nil {
		return err
	}
	n.batch = n.wal.NewBatch()
	segments, _, err := segment.Open(segment.Config{FS: n.walFS, Dir: "seg"})
	if err != nil {
		return err
	}
	var state ra.HardState
	var applied ra.Index
	if len(found.Members) == 0 {
		n.log = raftlog.New(n.uid, segments)
		if n.writer, err = n.wal.Writer(n.uid); err == nil {
			err = n.batch.Append(n.writer, &wal.Op{Seq: 1, Register: &wal.Registration{Name: "m"}})
		}
		if err = errors.Join(err, n.wal.Commit(n.batch)); err != nil {
			return err
		}
		n.batch.Reset()
	} else {
		m := &found.Members[0]
		n.writer, state, applied = m.Writer, m.State, m.Applied
		if m.Mark != (wal.Mark{}) {
			return fmt.Errorf("damaged by a crash alone: %+v", m.Mark)
		}
		info, _ := n.store.Newest(n.uid)
		if n.log, err = raftlog.Recover(m, segments, Position{Index: info.Index, Term: info.Term}); err != nil {
			return err
		}
	}
	n.base = n.writer.Seq()
	n.server, err = New(n.config(state, applied))
	if err == nil {
		n.server.Flush()
	}
	return err
}

func (n *rigNode) config(state ra.HardState, applied ra.Index) Config {
	return Config{
		Raft: raft.Config{Self: n.uid}, ID: ra.ServerID{Name: "m", Node: ra.NodeID(n.uid)}, Initial: n.members(),
		State: state, Applied: applied, InitialVersion: n.version,
		Factory: func(machine.Init) machine.Machine { return &ledger{node: n, seen: map[uint64]bool{}} },
		Log:     n.log, Store: rigStore{n}, Net: rigNet{n}, Timer: n, Snapshots: n.store, Background: n, Policy: n.policy,
		ChunkBytes: 256, Observer: Observer{Problem: func(err error) { n.problems = append(n.problems, err) }, Committed: n.committed},
	}
}

// committed checks that what the observer hears of can be looked at.
func (n *rigNode) committed(from, to ra.Index) {
	for i := from + 1; i <= to; i++ {
		if base, _ := n.log.Base(); i <= base {
			n.t.Errorf("%s commits entry %d, which is not kept", n.uid, i)
		}
	}
}

// crash ends a node, and leaves of its disk what a crash at this moment may.
func (n *rigNode) crash(model vfs.CrashModel) { n.die(n.disk.Crash(model, n.ids)) }

// die ends a node. What is left is all there is when it starts again.
func (n *rigNode) die(left *vfs.Mem) {
	n.disk, n.fs, n.walFS, n.server, n.works, n.left = left, vfs.NewErrs(left), vfs.NewErrs(left), nil, nil, nil
}

// crashAt has the node crash at operation number at of its disks from now on. It is over when the call in which that
// happens returns.
func (n *rigNode) crashAt(at int, model vfs.CrashModel) {
	trace := func(vfs.Op, string) {
		if at == 0 {
			n.left = n.disk.Crash(model, n.ids)
		}
		at--
	}
	n.fs.Trace(trace)
	n.walFS.Trace(trace)
}

// dead ends the node if crashAt says so, and reports whether it is down.
func (n *rigNode) dead() bool {
	if n.left != nil {
		n.die(n.left)
	}
	return n.server == nil
}

// Run makes a node the Background of its member: works wait until a test runs them.
func (n *rigNode) Run(work, done func()) { n.works = append(n.works, rigWork{work, done}) }

// Arm, Cancel, Tick and Now make it the Timer; a test does without election timeouts.
func (n *rigNode) Arm(raft.TimerClass) {}
func (n *rigNode) Cancel()             {}
func (n *rigNode) Tick(on bool)        { n.ticking = on }
func (n *rigNode) Now() int64          { return n.now + n.skew }

// rigStore is the node's write-ahead log as its member sees it.
type rigStore struct{ *rigNode }

func (s rigStore) Store(op *wal.Op) error {
	if s.full != nil {
		return s.full
	}
	numbered := *op
	numbered.Seq += s.base
	if err := s.log.Order(&numbered); err != nil {
		return err
	}
	return s.batch.Append(s.writer, &numbered)
}

// rigNet is the network as its member sees it.
type rigNet struct{ *rigNode }

func (rigNet) NewMessage() *raft.Message { return new(raft.Message) }

func (s rigNet) Send(m *raft.Message) {
	if s.left == nil && (s.cut == nil || !s.cut(m)) {
		s.net = append(s.net, m)
	}
}

// work runs the oldest work of the background, and reports whether there was one.
func (n *rigNode) work() bool {
	if n.dead() || len(n.works) == 0 {
		return false
	}
	at := 0
	if n.lifo {
		at = len(n.works) - 1
	}
	w := n.works[at]
	n.works = slices.Delete(n.works, at, at+1)
	if w.run(); !n.dead() && n.server.Failed() == nil {
		w.done()
		n.server.Flush()
	}
	return true
}

// sync makes durable what was ordered, and reports whether there was something.
func (n *rigNode) sync() bool {
	if n.dead() || n.batch.Empty() {
		return false
	}
	if err := n.wal.Commit(n.batch); n.dead() {
		return true
	} else if err != nil {
		n.t.Fatalf("%s: %v", n.uid, err)
	}
	for _, a := range n.batch.Acks() {
		n.server.Written(a.Seq - n.base)
	}
	n.batch.Reset()
	n.server.Flush()
	return true
}

// deliver delivers the oldest message, and reports whether there was one.
func (r *rig) deliver() bool {
	if len(r.net) == 0 {
		return false
	}
	m := r.net[0]
	r.net = r.net[1:]
	if r.arriving != nil {
		r.arriving(m)
	}
	if n := r.node(m.To); !n.dead() {
		n.server.Step(m)
		n.server.Flush()
	}
	return true
}

// settle lets everything happen that waits, until nothing does.
func (r *rig) settle() {
	r.t.Helper()
	for round, busy := 0, true; busy; round++ {
		busy = false
		if round > 100_000 {
			r.t.Fatal("does not settle")
		}
		for _, n := range r.nodes {
			busy = n.sync() || busy
			busy = n.work() || busy
		}
		busy = r.deliver() || busy
	}
	for _, n := range r.nodes {
		if n.server != nil && n.server.Failed() != nil {
			r.t.Fatalf("%s stopped: %v", n.uid, n.server.Failed())
		}
	}
}

// tick lets seconds pass.
func (r *rig) tick(seconds int) {
	r.t.Helper()
	for range seconds {
		r.now += 1000
		for _, n := range r.nodes {
			if n.server != nil && n.ticking {
				n.server.Step(&raft.Message{Kind: raft.Tick})
				n.server.Flush()
			}
		}
		r.settle()
	}
}

// elect makes a member the leader.
func (r *rig) elect(uid ra.UID) *rigNode {
	r.t.Helper()
	n := r.node(uid)
	n.server.Step(&raft.Message{Kind: raft.Campaign})
	n.server.Flush()
	r.settle()
	if st := n.server.Status(); st.Role != ra.Leader {
		r.t.Fatalf("%s is to lead: %+v", uid, st)
	}
	return n
}

// rigCall is the caller of one command.
type rigCall struct {
	*rig
	id uint64
}

func (c rigCall) Done(result Result) {
	c.ended[c.id] = result.Err
	switch {
	case result.Err == nil:
		c.asked[c.id] = true
	case errors.Is(result.Err, ra.ErrSuperseded):
		for _, n := range c.nodes {
			if n.machine != nil && n.machine.seen[c.id] {
				c.t.Errorf("command %d ended with %v, but %s has applied it", c.id, result.Err, n.uid)
			}
		}
	}
}

// rigPayload is the length of a command: its number, and so much more that a few of them are worth a snapshot.
const rigPayload = 32

// propose gives a member commands; they are decided, and wait for the rest to happen.
func (n *rigNode) propose(count int) (last uint64) {
	for range count {
		last = n.ids.Uint64()
		n.asked[last] = false
		payload := binary.LittleEndian.AppendUint64(make([]byte, 0, rigPayload), last)[:rigPayload]
		n.server.Command(Command{Proposal: raft.NewProposal(ra.KindCommand, 0, payload), Caller: rigCall{n.rig, last}})
		n.server.Flush()
	}
	return last
}

// check fails unless all members hold the same state with everything that was acknowledged in it (I15).
func (r *rig) check(uids ...ra.UID) {
	r.t.Helper()
	first := r.node(uids[0])
	for _, uid := range uids {
		n := r.node(uid)
		if !slices.Equal(n.machine.ids, first.machine.ids) || n.machine.clock != first.machine.clock {
			r.t.Errorf("%s has %d commands, clock %d; %s has %d, clock %d", uid, len(n.machine.ids), n.machine.clock, first.uid,
				len(first.machine.ids), first.machine.clock)
		}
		for id, acknowledged := range r.asked {
			if acknowledged && !n.machine.seen[id] {
				r.t.Errorf("%s has lost command %d, which was acknowledged", uid, id)
			}
		}
		if n.captures != 0 {
			r.t.Errorf("%s: %d captures are not released", uid, n.captures)
		}
	}
}

// leftovers returns the temporary files of snapshots on the node's disk.
func (n *rigNode) leftovers() []string {
	names, err := n.disk.List(rigDir)
	if err != nil {
		n.t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return path.Ext(name) != ".tmp" && path.Ext(name) != ".recv"
	})
}

// ledger is a machine that keeps the numbers of all commands, in their order, and the newest time.
type ledger struct {
	node  *rigNode
	ids   []uint64
	seen  map[uint64]bool
	clock int64
}

func (l *ledger) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	l.node.machine = l
	id := binary.LittleEndian.Uint64(command)
	if l.seen[id] {
		l.node.t.Errorf("%s applies command %d again", l.node.uid, id)
	}
	l.ids, l.seen[id] = append(l.ids, id), true
	if meta.Time < l.clock {
		l.node.t.Errorf("%s: the clock goes back from %d to %d", l.node.uid, l.clock, meta.Time)
	}
	l.clock = meta.Time
	if f := l.node.onApply; f != nil {
		f(l.node, meta, id, fx)
	}
	return len(l.ids)
}

func (l *ledger) Version() machine.Version { return max(l.node.version, l.node.code) }

func (l *ledger) SnapshotInstalled(change machine.SnapshotChange, fx *machine.Effects) {
	l.node.machine = l
	l.node.installed = append(l.node.installed, change)
}

func (l *ledger) EnterState(ra.Role, *machine.Effects) { l.node.machine = l }

// Query answers how many commands were applied.
func (l *ledger) Query(machine.QueryContext, any) (any, error) { return len(l.ids), nil }

// InitAux has an aux handler only where a test wants one: it answers calls with its member's role.
func (l *ledger) InitAux(machine.Init) machine.AuxHandler {
	if !l.node.withAux {
		return nil
	}
	return l
}

func (l *ledger) HandleAux(v machine.AuxView, e machine.AuxEvent, _ *machine.Effects) any {
	if e.Kind != machine.AuxCall {
		return nil
	}
	return v.Status().Role
}

func (l *ledger) Snapshot() (machine.Capture, error) {
	if f := l.node.onSnapshot; f != nil {
		return f()
	}
	l.node.captures++
	return &ledgerCapture{node: l.node, ids: slices.Clone(l.ids), clock: l.clock}, nil
}

func (l *ledger) Restore(in io.Reader) error {
	if f := l.node.onRestore; f != nil {
		return f()
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	if len(b)%8 != 0 || len(b) == 0 {
		return fmt.Errorf("state of %d bytes", len(b))
	}
	l.clock = int64(binary.LittleEndian.Uint64(b))
	for b = b[8:]; len(b) > 0; b = b[8:] {
		id := binary.LittleEndian.Uint64(b)
		l.ids, l.seen[id] = append(l.ids, id), true
	}
	return nil
}

// ledgerCapture is the state of a ledger.
type ledgerCapture struct {
	node     *rigNode
	ids      []uint64
	clock    int64
	released bool
}

func (c *ledgerCapture) WriteTo(w io.Writer) (int64, error) {
	if c.released {
		c.node.t.Error("a capture is written after its release")
	}
	b := binary.LittleEndian.AppendUint64(nil, uint64(c.clock))
	for _, id := range c.ids {
		b = binary.LittleEndian.AppendUint64(b, id)
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (c *ledgerCapture) Release() {
	if c.released {
		c.node.t.Error("a capture is released twice")
	}
	c.released = true
	c.node.captures--
}
