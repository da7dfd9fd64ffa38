package rafttest

import (
	"errors"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
)

// flushing is the segment writer of a node, at work on the oldest closed file of the log. Anything may happen between
// its stages.
type flushing struct {
	planned bool
	flush   *raftlog.Flush
	stage   int
}

// The stages of a flush.
const (
	stageBegin = iota
	stageFlush
	stageTell
	stageRelease
	stageClean
)

// wakeSegments wakes the segment writer if there is something for it.
func (n *node) wakeSegments() {
	if f := &n.flush; !f.planned && (f.stage != stageBegin || len(n.log.Closed()) > 0) {
		f.planned = true
		n.sim.plan(n.sim.dice.skewed(n.sim.profile.Flush), event{kind: evSegments, node: n, life: n.life})
	}
}

// segmentStage takes one step. What fails is tried again.
func (n *node) segmentStage() {
	f := &n.flush
	f.planned = false
	err := n.doStage(f)
	switch {
	case errors.Is(err, ra.ErrStorageFailed):
		n.failed(err)
		return
	case err == nil && f.stage == stageClean:
		*f = flushing{}
	case err == nil:
		f.stage++
	}
	n.wakeSegments()
}

func (n *node) doStage(f *flushing) error {
	switch f.stage {
	case stageBegin:
		return n.beginFlush(f)
	case stageFlush:
		return f.flush.Write()
	case stageTell:
		return f.flush.Tell()
	case stageRelease:
		n.sim.done.Flushes++
		return f.flush.Release()
	}
	if n.sim.dice.oneIn(2) {
		if _, err := n.segs.Clean(); err != nil {
			return err
		}
	}
	if n.sim.dice.oneIn(4) {
		if _, err := n.segs.Compact(); err != nil {
			return err
		}
	}
	return nil
}

// beginFlush asks the members what the file holds of them.
func (n *node) beginFlush(f *flushing) error {
	f.flush = raftlog.NewFlush(raftlog.Home{WAL: n.log, Segments: n.segs, Snapshots: n.snaps, Find: n.logOf}, n.log.Closed()[0])
	err := f.flush.Prepare()
	if errors.Is(err, raftlog.ErrOutOfStep) {
		n.sim.breach("panic", "n%d cannot flush: %v", n.id, err)
	}
	return err
}

// logOf returns the log of a member, nil if there is none any more.
func (n *node) logOf(uid ra.UID) *raftlog.Log {
	for _, p := range n.peers {
		if p.uid == uid {
			return p.log
		}
	}
	return nil
}
