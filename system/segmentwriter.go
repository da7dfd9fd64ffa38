package system

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// segmentWriter is the actor that brings full files of the write-ahead log into segments and hands them back, keeps the
// next file ready, and removes what is not needed any more. It has a goroutine of its own, so that nobody waits for it.
type segmentWriter struct {
	node *Node
	ref  *actor.Ref

	// Under the mailbox's lock. due: there is something to do; untidy: files may have become dispensable.
	due, untidy bool

	// The actor's own.
	tidy    bool // untidy, as of the batch
	retry   actor.Timer
	backoff time.Duration // 0 while that timer is not set
	// flushing is the flush under way, and steps what is left of it. A step that fails is tried again, and not those
	// before it: on a full disk that would leave another copy of the same segments each time.
	flushing *raftlog.Flush
	steps    []func() error

	// busy: the actor works, or waits for its timer, and will look for itself what there is to do.
	busy atomic.Bool
	// waits: it waits for its timer, because something has failed, and may make the next file of the log meanwhile.
	waits     atomic.Bool
	rollOvers atomic.Int64
}

// The time between two attempts at what failed doubles from minBackoff to maxBackoff.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// The next file of the log is made when the current one is full to reserveAt, and before files are flushed if it is full
// to reserveFirst.
const (
	reserveAt    = 0.25
	reserveFirst = 0.5
)

// look is called whenever something was written to the log: it wakes the actor if there is reason to.
func (w *segmentWriter) look() {
	if !w.busy.Load() && w.wanted() || w.waits.Load() && w.wantsReserve() {
		w.poke()
	}
}

// wanted reports whether a file is full, or the next one is needed soon. The first spare file is not made before a part
// of the log's file is used: a small node never needs it.
func (w *segmentWriter) wanted() bool {
	return len(w.node.log.Closed()) > 0 || w.wantsReserve()
}

func (w *segmentWriter) wantsReserve() bool {
	return w.node.wal.fill() > reserveAt && w.node.log.NeedsReserve()
}

// poke has the actor look what there is to do.
func (w *segmentWriter) poke() {
	w.busy.Store(true)
	w.ref.Lock()
	w.due = true
	w.ref.Unlock(nil)
}

// cleanUp has the actor remove files that are not needed any more.
func (w *segmentWriter) cleanUp() {
	w.busy.Store(true)
	w.ref.Lock()
	w.due, w.untidy = true, true
	w.ref.Unlock(nil)
}

// Empty reports whether nothing is to be done.
func (w *segmentWriter) Empty() bool { return !w.due }

// Take takes the flags down.
func (w *segmentWriter) Take() {
	w.tidy = w.tidy || w.untidy
	w.due, w.untidy = false, false
}

// Receive does what there is to do.
func (w *segmentWriter) Receive(ctx *actor.Context) {
	for ctx.Next() != nil {
		// Nobody has anything to say to this actor; who does so all the same gets no answer.
	}
	due := w.backoff == 0
	for ctx.NextTimer() != nil {
		due = true
	}
	if w.node.isClosing() {
		return
	}
	if !due {
		w.keepRoom()
		return
	}
	more, err := w.round()
	if err != nil {
		w.later(ctx, err)
		return
	}
	w.backoff = 0
	w.waits.Store(false)
	if more {
		w.cleanUp()
		return
	}
	w.busy.Store(false)
	w.look() // the log may have gone on while we were called busy
}

// later has the work tried again after a while.
func (w *segmentWriter) later(ctx *actor.Context, err error) {
	w.node.logger.Warn("segments: will be tried again", zap.Error(err))
	w.backoff = min(max(2*w.backoff, minBackoff), maxBackoff)
	w.waits.Store(true)
	ctx.Arm(&w.retry, w.backoff)
}

// keepRoom makes the next file of the log while other work waits to be tried again, which may take longer than the log
// needs to fill its file. If there is no space either the log knows at once, and takes no more than it has room for.
func (w *segmentWriter) keepRoom() {
	if err := w.reserve(reserveAt); err != nil {
		w.waits.Store(false) // until the timer
		w.node.logger.Warn("no next file for the log", zap.Error(err))
	}
}

// round does everything that is due, and reports whether there may be more. What fails does not keep the rest from being
// tried: to release a file may make the room that another step needs.
func (w *segmentWriter) round() (more bool, err error) {
	flushed, flushErr := w.flushAll()
	err = w.reserve(reserveAt)
	if w.tidy = w.tidy || flushed; w.tidy {
		more, tidyErr := w.cleanSegments()
		return more, errors.Join(err, flushErr, tidyErr)
	}
	return false, errors.Join(err, flushErr)
}

// reserve makes the next file if there is none and the current one is full to that part: before, one may be handed back
// in time, and to make one keeps the disk busy.
func (w *segmentWriter) reserve(at float64) error {
	n := w.node
	if n.wal.fill() < at || !n.log.NeedsReserve() {
		return nil
	}
	return n.log.Reserve()
}

// cleanSegments removes and rewrites segments that are little needed, a bounded part of them.
func (w *segmentWriter) cleanSegments() (more bool, err error) {
	if _, err := w.node.segments.Clean(); err != nil {
		return false, err
	}
	more, err = w.node.segments.Compact()
	if err == nil {
		w.tidy = more
	}
	return more, err
}

// flushAll hands back all full files, oldest first. It stops at the first that fails, and the next time goes on with that
// one: no other may be flushed before it is done with.
func (w *segmentWriter) flushAll() (any bool, err error) {
	if w.flushing != nil {
		if err := w.finish(); err != nil {
			return false, fmt.Errorf("WAL file that was begun: %w", err)
		}
		any = true
		w.rollOvers.Add(1)
	}
	for _, c := range w.node.log.Closed() {
		if w.node.isClosing() {
			return any, nil
		}
		if err := w.reserve(reserveFirst); err != nil {
			w.node.logger.Warn("no next file for the log", zap.Error(err)) // to flush may make room for it
		}
		if err := w.flush(c); err != nil {
			return any, fmt.Errorf("WAL file %d: %w", c.Seq, err)
		}
		any = true
		w.rollOvers.Add(1)
	}
	return any, nil
}

// flush brings what a file holds into segments, and hands the file back. If it fails finish goes on from there.
func (w *segmentWriter) flush(c *wal.Closed) error {
	n := w.node
	n.spare(c)
	f := raftlog.NewFlush(raftlog.Home{WAL: n.log, Segments: n.segments, Snapshots: n.snapshots, Find: n.logOf}, c)
	w.flushing, w.steps = f, []func() error{f.Prepare, f.Write, f.Tell, f.Release}
	return w.finish()
}

// finish does what is left of the flush under way.
func (w *segmentWriter) finish() error {
	for len(w.steps) > 0 {
		if err := w.steps[0](); err != nil {
			return err
		}
		w.steps = w.steps[1:]
	}
	w.flushing = nil
	return nil
}

// logOf returns the log of a member, nil if it is not registered here any more.
func (n *Node) logOf(uid ra.UID) *raftlog.Log {
	r := n.registry.byUID(uid)
	if r == nil {
		return nil
	}
	return r.log
}
