package system

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// errVersion says that something was written by a program that knows a later format.
var errVersion = errors.New("system: unknown format version")

// highWaterName is the file that says how far the write-ahead log has come. It stands beside the log's directory, so that
// who sets back the one leaves the other.
const highWaterName = "HIGHWATER"

// openStorage reads what is in the directory. Snapshots come first, since they decide what the rest is needed for, and
// the write-ahead log last, since to open it changes it: it goes on in a new file, with what it found damaged noted. All
// this ends with the context, as if the node had crashed.
func (n *Node) openStorage(ctx context.Context) error {
	fs := &covered{fs: n.fs, over: ctx.Err}
	defer func() { fs.over = nil }()
	var err error
	var shots *snapshot.Report
	n.snapshots, shots, err = snapshot.Open(snapshot.Config{FS: fs, Dir: "snapshots", Level: n.cfg.SnapshotLevel})
	if err != nil {
		return err
	}
	var segs *segment.Report
	n.segments, segs, err = segment.Open(segment.Config{FS: fs, Dir: "segments"})
	if err != nil {
		return err
	}
	var found *wal.Recovery
	n.log, found, err = wal.Open(wal.Config{
		FS: fs, Dir: "wal", FileSize: n.cfg.WALFileSize, FirstFile: firstFile(n.cfg.WALFileSize), Buffered: n.cfg.Buffered,
		HighWater: highWaterName, Check: n.recognize,
	})
	if err != nil {
		return err
	}
	n.report = Report{
		Damaged: make(map[ra.UID]error), Suspect: make(map[ra.UID]error), NotStarted: make(map[ra.UID]error),
		Torn: found.Torn, Losses: found.Losses, Unaccounted: found.Unaccounted, Quarantined: found.Quarantined, HighWater: found.HighWater, Segments: *segs,
		Snapshots: *shots,
	}
	n.unaccounted.Store(found.Unaccounted)
	return n.restore(found)
}

// firstFile draws how much of the first file of the write-ahead log is used, between half of it and all (WAL-05).
func firstFile(size int64) int64 { return size/2 + rand.N(size/2+1) }

// recognize refuses the log of another node, and one in which a later program has registered members, before it is begun. What
// does not fit together is the loss of its member.
func (n *Node) recognize(uid ra.UID, w wal.Registration) error {
	reg, err := decodeRegistration(uid, w)
	switch {
	case errors.Is(err, errVersion):
		return err
	case err == nil && reg.id.Node != n.cfg.Name:
		return refuse("Name", "the data in %s are those of node %s, not %s", n.cfg.Dir, reg.id.Node, n.cfg.Name)
	}
	return nil
}

// restore makes records of all members that the log knows, and removes what is left of deleted ones.
func (n *Node) restore(found *wal.Recovery) error {
	for _, uid := range found.Deleted {
		n.segments.Forget(uid)
		if err := n.snapshots.Remove(uid); err != nil {
			return err
		}
	}
	for i := range found.Members {
		if err := n.restoreMember(&found.Members[i]); err != nil {
			return err
		}
	}
	for _, uid := range slices.Concat(n.segments.UIDs(), n.snapshots.UIDs()) {
		if n.registry.byUID(uid) == nil && !slices.Contains(n.report.Orphans, uid) {
			n.report.Orphans = append(n.report.Orphans, uid)
		}
	}
	n.strays = append(n.strays, n.report.Orphans...)
	return nil
}

// restoreMember makes the record of one member. It fails only if the node must not be opened.
func (n *Node) restoreMember(m *wal.Member) error {
	r := &record{node: n, uid: m.Writer.UID(), writer: m.Writer}
	m.Writer.Owner = r
	r.accepted = accepted{state: m.State, applied: m.Applied, mark: m.Mark}
	r.durable.Store(m.Writer.Seq())
	reg, err := decodeRegistration(r.uid, m.Registration)
	if err == nil {
		r.id, r.reg = reg.id, reg
	}
	if n.registry.add(r) != nil {
		err = errors.Join(err, fmt.Errorf("the name %q is another member's", r.id.Name))
		r.id, r.reg = ra.ServerID{}, registration{}
		if err := n.registry.add(r); err != nil {
			return err
		}
	}
	lost := n.restoreLog(r, m)
	if err != nil {
		n.strays = append(n.strays, r.uid)
		lost = fmt.Errorf("%w: %w", errRegistrationLost, err) // whatever else it has lost
	}
	if lost != nil {
		n.report.Damaged[r.uid] = r.setDamaged(lost)
	}
	if err := r.suspicion(); err != nil {
		n.report.Suspect[r.uid] = err
	}
	return nil
}

// startAll starts all members that are sound, on as many goroutines as there are processors: to restore a machine takes
// processor time and disk. Those that cannot be started are left alone.
func (n *Node) startAll(ctx context.Context) error {
	var mu sync.Mutex
	var all sync.WaitGroup
	todo := make(chan *record)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for r := range todo {
				err := n.startFirst(ctx, r)
				mu.Lock()
				n.report.add(r, err)
				mu.Unlock()
			}
		})
	}
	err := n.feed(ctx, todo)
	close(todo)
	all.Wait()
	return err
}

// startFirst starts a member while the node is being opened. Other nodes may speak to this one already: it is no failure if
// one of them was faster, or had the member deleted.
func (n *Node) startFirst(ctx context.Context, r *record) error {
	err := n.startMember(ctx, r)
	if errors.Is(err, errDeleted) || errors.Is(err, ra.ErrNameTaken) && r.proc.Load() != nil {
		return nil
	}
	return err
}

// feed hands out the sound members.
func (n *Node) feed(ctx context.Context, todo chan<- *record) error {
	for _, r := range n.registry.all() {
		if r.damaged() != nil {
			continue
		}
		select {
		case todo <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// maxSettle bounds how long a member's start waits for what its last life ordered: a disk that is full for longer must
// not hold up the start of others.
const maxSettle = 10 * time.Second

// errDeleted says that a member cannot be started because it is deleted.
var errDeleted = fmt.Errorf("%w: it is deleted", ra.ErrNoProcess)

// loadServer fills in the storage half of a member.Config for a start or restart: everything but Net, Timer, Store,
// Host, Observer and the scratch. What the last life had left is settled first, so it may take as long as a sync, and
// must not run on a worker. It fails with an error that wraps ra.ErrDamaged if the member may not run.
func (n *Node) loadServer(ctx context.Context, r *record, c *member.Config) error {
	if err := r.life.lock(ctx); err != nil {
		return err
	}
	defer r.life.Unlock()
	switch {
	case r.deleting != 0, n.registry.byUID(r.uid) != r:
		return fmt.Errorf("%w: %s", errDeleted, r.id)
	case r.damaged() != nil:
		return r.damaged()
	}
	factory := n.cfg.Machines[r.reg.machine]
	if factory == nil {
		return fmt.Errorf("%w: %q of member %s", ra.ErrUnknownMachine, r.reg.machine, r.id)
	}
	bounded, cancel := context.WithTimeout(ctx, maxSettle)
	defer cancel()
	if err := n.settle(bounded, r); err != nil {
		return err
	}
	c.Raft.Self, c.ID, c.Cluster = r.uid, r.id, r.reg.cluster
	c.Factory, c.InitialVersion, c.Initial = factory, r.reg.version, r.reg.initial
	c.Log, c.Snapshots, c.Background, c.Policy = r.log, n.snapshots, memberWork{r}, n.cfg.Snapshots
	n.wal.ref.Lock()
	c.State, c.Applied = r.accepted.state, r.accepted.applied
	c.Suspect, c.Epoch = r.accepted.mark.What != 0, r.writer.Seq()
	r.base.Store(r.writer.Seq())
	n.wal.ref.Release()
	return nil
}

// settle makes an end of the last life: what it had decided is stored, and all of it is durable. A new life counts on
// that everything it finds in its log is.
func (n *Node) settle(ctx context.Context, r *record) error {
	r.mu.Lock()
	backlog := r.backlog
	r.mu.Unlock()
	for i := range backlog {
		if err := n.storeLate(ctx, r, &backlog[i]); err != nil {
			return err
		}
		r.leave(backlog[i+1:])
	}
	if err := r.waitDurable(ctx, n.wal.last(r)); err != nil {
		return err
	}
	return n.agree(r)
}

// storeLate stores an order, and waits for room if need be.
func (n *Node) storeLate(ctx context.Context, r *record, op *wal.Op) error {
	for {
		w := r.expect(0)
		err := n.store(r, op)
		if err == nil || !noRoom(err) {
			r.await.Store(nil)
			return err
		}
		n.wakeWAL()
		err = n.waitFor(ctx, w)
		r.await.Store(nil)
		if err != nil {
			return err
		}
	}
}

// noRoom reports whether the log may take an order later.
func noRoom(err error) bool {
	return errors.Is(err, ra.ErrOverloaded) || errors.Is(err, ra.ErrDiskFull)
}

// agree checks that the log in memory and the write-ahead log end with the same entry. They differ if the last life ended
// between the two; then only what is on the disk counts, and that is read when the node is opened again.
func (n *Node) agree(r *record) error {
	if r.log.NeedsReset() {
		return nil // the snapshot is ahead; the order that says so comes first in the new life
	}
	n.wal.ref.Lock()
	last, term := r.writer.Last(), r.accepted.term
	n.wal.ref.Release()
	have := r.log.Last()
	haveTerm, _ := r.log.Term(have)
	if have != last || term != 0 && term != haveTerm {
		return r.setDamaged(fmt.Errorf("the log ends at %d of term %d, what is stored at %d of term %d", have, haveTerm, last, term))
	}
	return nil
}
