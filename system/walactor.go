package system

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

const (
	// sealAfter is how long the log must have been idle, at least, before it says durably that its last batch is whole.
	sealAfter = 20 * time.Millisecond
	// minRetry and maxRetry bound the time between two attempts to write what there was no room for.
	minRetry = 20 * time.Millisecond
	maxRetry = time.Second
)

// store copies an order of a member's Server, with the Server's own number, into the batch that the log writes next.
// wakeWAL must follow, usually at the end of the round. With ra.ErrOverloaded and ra.ErrDiskFull there is no room just
// now, and process.resume follows when there may be again; after any other error the member must stop.
func (n *Node) store(r *record, op *wal.Op) error {
	seq := op.Seq
	if seq != 0 {
		op.Seq += r.base.Load()
	}
	err := n.wal.append(r, op)
	op.Seq = seq
	return err
}

// last returns the number of the last order that the log accepted from a member.
func (a *walActor) last(r *record) uint64 {
	a.ref.Lock()
	defer a.ref.Release()
	return r.writer.Seq()
}

// lastOf returns the number of the last order that the log accepted from a member, and the index that its log ends with
// by that.
func (a *walActor) lastOf(r *record) (seq uint64, last ra.Index) {
	a.ref.Lock()
	defer a.ref.Release()
	return r.writer.Seq(), r.writer.Last()
}

// wakeWAL lets the log write what has gathered.
func (n *Node) wakeWAL() { n.wal.ref.Wake(nil) }

// storageErr returns an error that wraps ra.ErrStorageFailed once nothing can be made durable any more.
func (n *Node) storageErr() error {
	if n.wal == nil {
		return nil // still being opened
	}
	select {
	case <-n.wal.failed:
		return n.wal.cause
	default:
		return nil
	}
}

// walActor is the write-ahead log as an actor, with a worker of its own. Its inbox is the batch that gathers while the
// last one is being written: members copy their orders straight into it.
type walActor struct {
	node *Node
	log  *wal.Log
	ref  *actor.Ref

	// Under the mailbox's lock.
	batch   *wal.Batch
	entries int64     // in batch
	refused []*record // the batch was full for them
	noSpace []*record // the disk was
	stuck   bool      // closing could not be written yet, and must come first
	due     bool      // noSpace must be looked after
	err     error     // the log takes nothing any more

	// The actor's own. taken: closing is to be written.
	closing  *wal.Batch
	taken    bool
	round    *round
	wake     actor.Wakeups
	resuming []*record
	sealing  actor.Timer
	watched  bool // the timer is set
	written  bool // something was written since it was set
	retrying actor.Timer
	backoff  time.Duration // 0 while that timer is not set
	// lastClosed is the last file that was full.
	lastClosed uint64

	// failed is closed when the storage has failed for good, and then cause says why.
	failed chan struct{}
	cause  error

	syncs, entriesWritten, bytes atomic.Int64
	used                         atomic.Int64 // bytes in the current file, roughly
}

func newWALActor(n *Node) *walActor {
	return &walActor{
		node: n, log: n.log, batch: n.log.NewBatch(), closing: n.log.NewBatch(), round: newRound(n), failed: make(chan struct{}),
	}
}

// append takes an order, numbered as the log does. One that ends a repair begins an era.
func (a *walActor) append(r *record, op *wal.Op) error {
	if op.Repaired && op.Era.Number == 0 {
		op.Era = eraOf(a.node.snapshots.BeginEra(r.uid))
	}
	if err := r.log.Order(op); err != nil {
		return err
	}
	a.ref.Lock()
	defer a.ref.Release()
	err := a.err
	if err == nil {
		err = a.batch.Append(r.writer, op)
	}
	switch {
	case err == nil:
		a.entries += int64(len(op.Entries))
		r.accepted.note(op)
		if op.Repaired {
			a.node.repaired.Add(1)
		}
	case !r.refused && errors.Is(err, ra.ErrOverloaded):
		r.refused = true
		a.refused = append(a.refused, r)
	case !r.refused && errors.Is(err, ra.ErrDiskFull):
		r.refused, a.due = true, true
		a.noSpace = append(a.noSpace, r)
	}
	return err
}

// isFull reports whether something waits just now for room on the disk.
func (a *walActor) isFull() bool {
	a.ref.Lock()
	defer a.ref.Release()
	return a.stuck || len(a.noSpace) > 0
}

// Empty reports whether there is nothing to do: applied marks alone are written when something else is.
func (a *walActor) Empty() bool { return !a.due && (a.stuck || !a.batch.Urgent()) }

// Take lets the next batch gather, if this one can be written.
func (a *walActor) Take() {
	a.due = false
	if a.stuck || !a.batch.Urgent() {
		return
	}
	a.batch, a.closing = a.closing, a.batch
	a.taken = true
	a.entriesWritten.Add(a.entries)
	a.entries = 0
	a.resuming, a.refused = a.refused, a.resuming
	for _, r := range a.resuming {
		r.refused = false
	}
}

// Receive writes and syncs what has gathered, and lets the members know.
func (a *walActor) Receive(ctx *actor.Context) {
	for ctx.Next() != nil {
		// Nobody has anything to say to the log; who does so all the same gets no answer.
	}
	for t := ctx.NextTimer(); t != nil; t = ctx.NextTimer() {
		if t == &a.sealing {
			a.seal()
		} else {
			a.retry(ctx)
		}
	}
	if a.taken && !a.stuck {
		a.tell(nil, a.resuming)
		clear(a.resuming)
		a.resuming = a.resuming[:0]
		a.commit()
	}
	a.arm(ctx)
}

// Stop has everybody know if the actor ends by a mistake of its own: then nothing can be made durable any more, either.
func (a *walActor) Stop(_ *actor.Context, reason error) {
	if reason != nil {
		a.fail(reason)
	}
}

// commit writes the closing batch.
func (a *walActor) commit() {
	size := int64(a.closing.Len())
	err := a.log.Commit(a.closing)
	switch {
	case err == nil:
		a.taken, a.written = false, true
		a.syncs.Add(1)
		a.bytes.Add(size)
		a.measure(size)
		a.tell(a.closing.Acks(), nil)
		a.closing.Reset()
		a.setStuck(false)
		a.node.segwriter.look()
		a.log.Note()
	case errors.Is(err, ra.ErrDiskFull):
		a.setStuck(true)
	default:
		a.fail(err)
	}
}

// measure keeps account of how full the current file is.
func (a *walActor) measure(size int64) {
	if closed := a.log.Closed(); len(closed) > 0 && closed[len(closed)-1].Seq != a.lastClosed {
		a.lastClosed = closed[len(closed)-1].Seq
		a.used.Store(0)
	}
	a.used.Add((size + vfs.BlockSize - 1) &^ (vfs.BlockSize - 1))
}

// fill returns how full the current file is, from 0 to 1.
func (a *walActor) fill() float64 {
	return min(float64(a.used.Load())/float64(a.node.cfg.WALFileSize), 1)
}

// setStuck says whether the closing batch must wait for space. Nobody is told: it is late, not lost.
func (a *walActor) setStuck(stuck bool) {
	if a.stuck == stuck { // only this goroutine changes it
		return
	}
	a.ref.Lock()
	a.stuck = stuck
	a.ref.Release()
	if stuck {
		a.node.logger.Warn("the disk is full: the log waits for space")
	}
}

// arm sets the timers that are needed: one to seal the log when it is idle, one to look for space again.
func (a *walActor) arm(ctx *actor.Context) {
	if a.cause != nil {
		return
	}
	if !a.watched && a.written {
		a.watched, a.written = true, false
		ctx.Arm(&a.sealing, sealAfter)
	}
	if a.backoff == 0 && (a.stuck || a.lacks()) {
		a.backoff = minRetry
		a.node.segwriter.poke()
		ctx.Arm(&a.retrying, a.backoff)
	}
}

// lacks reports whether somebody was turned away because the disk is full.
func (a *walActor) lacks() bool {
	a.ref.Lock()
	defer a.ref.Release()
	return len(a.noSpace) > 0
}

// seal says durably that the last batch is whole, unless there was another one meanwhile.
func (a *walActor) seal() {
	a.watched = false
	if a.written || a.taken || a.cause != nil {
		return // arm watches on
	}
	if err := a.log.Seal(); err != nil {
		a.fail(err)
		return
	}
	a.node.segwriter.look() // a seal for which the file had no room has filled it
}

// retry tries again what there was no room for: the batch that waits, then those that were turned away. It comes less
// and less often, until there was nobody.
func (a *walActor) retry(ctx *actor.Context) {
	if a.cause != nil {
		return
	}
	if a.stuck {
		a.commit()
	}
	again := a.comeAgain()
	if !a.stuck && len(again) == 0 {
		a.backoff = 0
		return
	}
	a.backoff = min(2*a.backoff, maxRetry)
	a.node.segwriter.poke()
	ctx.Arm(&a.retrying, a.backoff)
	a.tell(nil, again)
}

// comeAgain returns those that were turned away because the disk was full, unless it still holds up what came first.
func (a *walActor) comeAgain() []*record {
	a.ref.Lock()
	defer a.ref.Release()
	if a.stuck {
		return nil
	}
	again := a.noSpace
	a.noSpace = nil
	for _, r := range again {
		r.refused = false
	}
	return again
}

// fail ends the log: everybody is told that nothing will be durable any more.
func (a *walActor) fail(err error) {
	if a.cause != nil {
		return
	}
	if !errors.Is(err, ra.ErrStorageFailed) {
		err = fmt.Errorf("%w: %w", ra.ErrStorageFailed, err)
	}
	a.node.logger.Error("the storage has failed", zap.Error(err))
	a.close(err)
	a.cause = err
	close(a.failed)
	for _, r := range a.node.registry.all() {
		if p := r.proc.Load(); p != nil {
			p.storageFailed(err)
		}
	}
}

// close has all further orders fail with err, and nothing more written by the actor.
func (a *walActor) close(err error) {
	a.ref.Lock()
	defer a.ref.Release()
	if a.err == nil {
		a.err = err
	}
	a.stuck = true
}

// finish writes what is left when nobody orders anything any more, and the actor has ended.
func (a *walActor) finish() error {
	if a.cause != nil {
		return nil // it is known
	}
	if a.taken {
		if err := a.log.Commit(a.closing); err != nil {
			return err
		}
	}
	return a.log.Commit(a.batch)
}

// directTidings is for how few members the log's own goroutine posts, so that no worker is woken for nothing.
const directTidings = 8

// tell lets the owners know what is durable, and who may try again. It is one job for each worker, however many members
// it is for.
func (a *walActor) tell(acks []wal.Ack, again []*record) {
	if len(acks)+len(again) == 0 {
		return
	}
	if len(acks)+len(again) <= directTidings {
		t := tiding{acks: acks, again: again, round: a.round}
		t.post(&a.wake)
		a.wake.Wake()
		a.round.End(true)
		return
	}
	workers := uint32(a.node.actors.Workers())
	for w := range workers {
		t := tidings.Get().(*tiding)
		t.round = a.node.rounds[w]
		if workers == 1 {
			t.acks, t.again = append(t.acks, acks...), append(t.again, again...)
		} else {
			t.pick(acks, again, w, workers)
		}
		if len(t.acks)+len(t.again) == 0 {
			tidings.Put(t)
			continue
		}
		a.node.actors.Inject(int(w), t)
	}
}

// pick takes what is for members of worker w.
func (t *tiding) pick(acks []wal.Ack, again []*record, w, workers uint32) {
	for i := range acks {
		if acks[i].Writer.Owner.(*record).slot%workers == w {
			t.acks = append(t.acks, acks[i])
		}
	}
	for _, r := range again {
		if r.slot%workers == w {
			t.again = append(t.again, r)
		}
	}
}

// tiding is what the log has to tell the members of one worker, and the round of who tells it: the worker's, or the log's
// own.
type tiding struct {
	acks  []wal.Ack
	again []*record
	round *round
}

var tidings = sync.Pool{New: func() any { return new(tiding) }}

// Run posts to the members.
func (t *tiding) Run(ws *actor.Wakeups) {
	t.post(ws)
	clear(t.acks)
	clear(t.again)
	t.acks, t.again, t.round = t.acks[:0], t.again[:0], nil
	tidings.Put(t)
}

func (t *tiding) post(ws *actor.Wakeups) {
	for i := range t.acks {
		warmOwners(t.acks, i)
		t.acks[i].Writer.Owner.(*record).written(t.acks[i].Seq, t.round, ws)
	}
	for _, r := range t.again {
		r.resume(ws)
	}
}
