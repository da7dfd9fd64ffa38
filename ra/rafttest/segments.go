package rafttest

import (
	"errors"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// flushing is the segment writer of a node, at work on the oldest closed file of the log. Anything may happen between
// its stages.
type flushing struct {
	planned bool
	flush   *raftlog.Flush
	stage   int
	offers  []offered
	packed  []snapshot.Info // of them, in force
}

// offered is a snapshot that a member offers for a pack. As long as there is a job of it the member's data must stay.
type offered struct {
	*member.Offer
	job *job
}

// The stages of a flush.
const (
	stageGather = iota
	stagePack
	stageBegin
	stageFlush
	stageTell
	stageRelease
	stageClean
)

// wakeSegments wakes the segment writer if there is something for it.
func (n *node) wakeSegments() {
	if f := &n.flush; !f.planned && (f.stage != stageGather || len(n.log.Closed()) > 0) {
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
		if f.stage == stagePack {
			n.tellPacked(f)
		}
		f.stage++
	}
	n.wakeSegments()
}

func (n *node) doStage(f *flushing) error {
	switch f.stage {
	case stageGather:
		n.gatherOffers(f)
		return nil
	case stagePack:
		n.pack(f)
		return nil
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

// gatherOffers asks the members that the file has something of for snapshots. Some do not answer in time.
func (n *node) gatherOffers(f *flushing) {
	for _, s := range n.log.Closed()[0].Spans {
		p := n.peerOf(s.UID)
		if p == nil || !p.alive() || p.open || s.First == 0 || n.sim.dice.oneIn(8) {
			continue
		}
		if o := p.server.Offer(); o != nil {
			j := &job{work: func() {}, done: func() {}, owner: p, server: p.server}
			f.offers = append(f.offers, offered{o, j})
			n.jobs = append(n.jobs, j)
		}
	}
}

// pack writes the offers. If that fails there is another way, and the next time.
func (n *node) pack(f *flushing) {
	pack := n.snaps.NewPack()
	for _, o := range f.offers {
		o.AddTo(pack)
	}
	var err error
	if f.packed, err = pack.Commit(); err != nil && !deliberate(err) {
		n.sim.breach("I10", "n%d cannot write a pack: %v", n.id, err)
	}
}

// tellPacked lets the members know what has become of their offers.
func (n *node) tellPacked(f *flushing) {
	for _, o := range f.offers {
		k := slices.IndexFunc(f.packed, func(i snapshot.Info) bool { return i.UID == o.UID() })
		var info snapshot.Info
		if k >= 0 {
			info = f.packed[k]
			n.sim.done.Packed++
		}
		n.jobs = slices.DeleteFunc(n.jobs, func(j *job) bool { return j == o.job })
		o.job.owner.stored()
		o.job.done = func() { o.Taken(info, k >= 0) }
		after := time.Duration(0)
		if n.sim.dice.oneIn(2) {
			after = n.sim.dice.skewed(n.sim.profile.Delay)
		}
		n.sim.plan(after, event{kind: evDone, peer: o.job.owner, life: n.life, job: o.job, server: o.job.server})
	}
	f.offers, f.packed = nil, nil
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
	if p := n.peerOf(uid); p != nil {
		return p.log
	}
	return nil
}

// peerOf returns a member on the node, nil if there is none any more.
func (n *node) peerOf(uid ra.UID) *peer {
	for _, p := range n.peers {
		if p.uid == uid {
			return p
		}
	}
	return nil
}
