package rafttest

import (
	"cmp"
	"errors"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// flushing is the segment writer of a node, at work on the oldest closed file of the log. Anything may happen between
// its stages.
type flushing struct {
	planned bool
	file    *wal.Closed
	ranges  []segment.Range
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
		_, err := n.segs.Flush(slices.Values(f.ranges))
		return err
	case stageTell:
		for i := range f.file.Spans {
			if p := n.member(f.file.Spans[i].UID); p != nil {
				p.log.Flushed(&f.file.Spans[i])
			}
		}
		n.sim.flushes++
		return nil
	case stageRelease:
		return n.log.Release(f.file)
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
	f.file = n.log.Closed()[0]
	spans := slices.SortedFunc(slices.Values(f.file.Spans), func(a, b wal.Span) int { return cmp.Compare(a.UID, b.UID) })
	f.ranges = f.ranges[:0]
	for i := range spans {
		p := n.member(spans[i].UID)
		if p == nil || spans[i].Deleted {
			f.ranges = append(f.ranges, segment.Range{UID: spans[i].UID, Cut: 1})
			continue
		}
		r, err := p.log.Range(&spans[i])
		if err != nil {
			p.cluster.truth.breach("panic", "%v", err)
			return nil
		}
		f.ranges = append(f.ranges, r)
	}
	return nil
}

// member returns the member of that uid here, nil if there is none any more.
func (n *node) member(uid ra.UID) *peer {
	for _, p := range n.peers {
		if p.uid == uid && p.log != nil {
			return p
		}
	}
	return nil
}
