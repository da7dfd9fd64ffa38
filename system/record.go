package system

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// record is one member that is registered on this node, whether or not it runs.
type record struct {
	node *Node
	uid  ra.UID
	id   ra.ServerID
	reg  registration
	// slot is the record's place in the registry's table, from 1. The member's worker is slot modulo their number.
	slot uint32

	writer *wal.Writer
	// log is the member's log, or what is left of it.
	log *raftlog.Log
	// proc is the member's process while it lives; nil while it is stopped.
	proc atomic.Pointer[process]

	// base is the number of the last order before the present life: the Server counts its own from 1.
	base atomic.Uint64
	// durable is the number of the last order that is known to be durable.
	durable atomic.Uint64
	await   atomic.Pointer[waiter]
	// farewell is what the member is wished to do when it stops; nil: nothing.
	farewell atomic.Pointer[farewell]
	work     sync.WaitGroup // in the background
	tally    ra.Tally

	// accepted and refused are guarded by the log's mailbox lock. refused: the member is to be told when there is room.
	accepted accepted
	refused  bool

	// life serialises what waits: start, settling, deletion.
	life     turn
	deleting uint64 // the order that deletes it, 0 for none

	mu      sync.Mutex
	damage  error    // why the member does not run
	lost    error    // what it has lost, if it is suspect, or was since the node was opened
	backlog []wal.Op // what the last life decided and could not store
}

// accepted is what the write-ahead log has taken from a member, durable or not.
type accepted struct {
	state   ra.HardState
	applied ra.Index
	// term is that of the last entry, 0 if that is not known.
	term ra.Term
	// mark is what the write-ahead log has noted as damaged of the member.
	mark wal.Mark
}

// note takes an order in.
func (a *accepted) note(op *wal.Op) {
	if op.State != nil {
		a.state = *op.State
	}
	if op.Truncate != 0 {
		a.applied = min(a.applied, op.Truncate-1)
	}
	a.applied = max(a.applied, op.Applied)
	if op.Truncate != 0 || op.Reset != 0 {
		a.term = 0
	}
	if op.Damaged != nil {
		a.mark.Add(*op.Damaged)
	}
	if op.Repaired {
		a.mark = wal.Mark{Era: a.mark.Era}
	}
	if op.Era.Number != 0 {
		a.mark.Era = op.Era
	}
	if n := len(op.Entries); n > 0 {
		a.term = op.Entries[n-1].Term
	}
}

// eraOf returns the era as the write-ahead log knows it that begins with a snapshot in force.
func eraOf(with snapshot.Info) wal.Era {
	return wal.Era{Number: with.Era, Index: with.Index, Term: with.Term}
}

// damaged returns why the member takes no part: an error that wraps ra.ErrDamaged, or ra.ErrStorageFailed when the whole
// node's storage has failed. It returns nil for a sound one.
func (r *record) damaged() error {
	if err := r.ownDamage(); err != nil {
		return err
	}
	return r.node.storageErr()
}

// ownDamage returns why the member may not run, whatever the state of the node's storage; nil if it may.
func (r *record) ownDamage() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.damage
}

// called returns the member's name and uid for errors; one whose registration is lost has no name.
func (r *record) called() string {
	if r.id.Name == "" {
		return string(r.uid)
	}
	return fmt.Sprintf("%s (%s)", r.id.Name, r.uid)
}

// setDamaged notes that the member does not run until the node is opened again. The first reason counts.
func (r *record) setDamaged(cause error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damage == nil {
		r.damage = fmt.Errorf("%w: member %s: %w", ra.ErrDamaged, r.called(), cause)
	}
	return r.damage
}

// leave hands over what a life of a member had decided and not stored (Server.Backlog); its process has ended with that.
func (r *record) leave(backlog []wal.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.backlog = backlog
}

// written tells all who wait for it that the orders up to seq, as the log counts them, are durable. It is called on the
// member's worker or the log's goroutine, so that of two calls the later one may bring the lower number.
func (r *record) written(seq uint64, on *round, ws *actor.Wakeups) {
	for old := r.durable.Load(); old < seq && !r.durable.CompareAndSwap(old, seq); old = r.durable.Load() {
	}
	if w := r.await.Load(); w != nil && w.seq <= seq && w.seq != 0 {
		w.wake()
	}
	// A further life sets base before it can be found here. In the other order it might hear of orders of the last one.
	p := r.proc.Load()
	if base := r.base.Load(); p != nil && seq > base {
		p.written(seq-base, on, ws)
	}
}

// resume tells the member that the log may have room for it.
func (r *record) resume(ws *actor.Wakeups) {
	if w := r.await.Load(); w != nil && w.seq == 0 {
		w.wake()
	}
	if p := r.proc.Load(); p != nil {
		p.resume(ws)
	}
}

// waiter waits for one thing of a record; who holds record.life may have one.
type waiter struct {
	// seq is the order that is to become durable, 0 for room in the log.
	seq  uint64
	done chan struct{}
	once sync.Once
}

func (w *waiter) wake() { w.once.Do(func() { close(w.done) }) }

// expect makes a waiter. What it waits for may have come already. The caller holds r.life, and calls r.await.Store(nil)
// in the end.
func (r *record) expect(seq uint64) *waiter {
	w := &waiter{seq: seq, done: make(chan struct{})}
	r.await.Store(w)
	return w
}

// waitFor waits until the waiter is woken. It fails when that cannot happen any more.
func (n *Node) waitFor(ctx context.Context, w *waiter) error {
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return n.noAnswer("the write-ahead log of node "+string(n.Name()), ctx.Err())
	case <-n.wal.failed:
		return n.wal.cause
	case <-n.stopped:
		return ra.ErrClosed
	}
}

// waitDurable waits until the record's order seq is durable. The caller holds r.life.
func (r *record) waitDurable(ctx context.Context, seq uint64) error {
	w := r.expect(seq)
	defer r.await.Store(nil)
	if r.durable.Load() >= seq {
		return nil
	}
	r.node.wakeWAL()
	return r.node.waitFor(ctx, w)
}
