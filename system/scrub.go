package system

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

const (
	// scrubPause is how long the scrubber rests between two passes, scrubStart before the first.
	scrubPause = time.Hour
	scrubStart = time.Minute
	// scrubStep is how many bytes it reads before it waits.
	scrubStep = 256 << 10
)

// scrubber reads what lies in segments and snapshots again and again, slowly, so that what decays there is found while
// others still have it. Entries that stand in the write-ahead log only need it not: they are in memory too, and go into
// segments from there. It is one goroutine, which sleeps most of the time.
type scrubber struct {
	passes, bytes, found atomic.Int64
	debt                 int64 // bytes read and not yet waited for; the goroutine's own
}

// ScrubStats counts what the scrubber did since the node was opened.
type ScrubStats struct {
	// Passes counts the passes over everything, Bytes what was read, and Found the entries and snapshots that have
	// decayed. A member whose memory still has what they held writes a snapshot of it; any other one is suspect.
	Passes, Bytes, Found int64
}

func (s *scrubber) stats() ScrubStats {
	return ScrubStats{Passes: s.passes.Load(), Bytes: s.bytes.Load(), Found: s.found.Load()}
}

var errSnapshotGone = fmt.Errorf("%w: the snapshot that the log stands on is gone", ra.ErrCorrupt)

// scrub is the scrubber's goroutine.
func (n *Node) scrub() {
	for wait := scrubStart; n.rest(wait); wait = scrubPause {
		if n.scrubAll() != nil {
			return
		}
		n.scrubber.passes.Add(1)
	}
}

// rest waits, and reports false if the node is closing.
func (n *Node) rest(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-n.quit:
		return false
	}
}

// pace is told what was read, and waits when it was enough. It fails when the node is closing.
func (n *Node) pace(bytes int) error {
	s := &n.scrubber
	s.bytes.Add(int64(bytes))
	if s.debt += int64(bytes); s.debt < scrubStep {
		return nil
	}
	wait := time.Duration(float64(s.debt) / float64(n.cfg.ScrubRate) * float64(time.Second))
	s.debt = 0
	if !n.rest(wait) {
		return ra.ErrClosed
	}
	return nil
}

// scrubAll is one pass.
func (n *Node) scrubAll() error {
	n.segments.Reopen()
	for _, r := range n.registry.all() {
		if err := n.scrubLog(r); err != nil {
			return err
		}
		if err := n.scrubSnapshot(r); err != nil {
			return err
		}
	}
	return nil
}

// scrubLog reads the entries of a member that lie in segments. It fails only if the node is closing.
func (n *Node) scrubLog(r *record) error {
	next := r.log.FirstSegment()
	for next > 0 && next <= r.log.Last() {
		entries, err := r.log.Read(nil, next, r.log.Last(), scrubStep)
		var d *raftlog.DamageError
		switch {
		case errors.As(err, &d):
			n.decayed(r, d.Last, err)
			next = d.Last + 1
			continue
		case err != nil || len(entries) == 0:
			return nil // it is compacted, or cut, meanwhile, or the disk cannot be read now
		}
		size := 0
		for i := range entries {
			size += len(entries[i].Body)
		}
		next = entries[len(entries)-1].Index + 1
		if err := n.pace(size); err != nil {
			return err
		}
	}
	return nil
}

// scrubSnapshot reads the snapshot of a member. One that has decayed goes to quarantine; one that is gone has gone. If the
// next one failed the member is told again.
func (n *Node) scrubSnapshot(r *record) error {
	base := r.log.Snapshot().Index
	info, ok := n.snapshots.Newest(r.uid)
	if !ok {
		if base > 0 && r.proc.Load() != nil {
			n.decayed(r, base, errSnapshotGone)
		}
		return nil
	}
	err := n.snapshots.CheckSlowly(r.uid, n.pace)
	switch {
	case errors.Is(err, ra.ErrClosed):
		return err
	case !errors.Is(err, ra.ErrCorrupt) && !errors.Is(err, vfs.ErrNotExist):
		return nil
	}
	if failed := n.snapshots.Condemn(info); errors.Is(failed, snapshot.ErrNone) {
		return nil // another one has taken its place meanwhile
	} else if failed != nil {
		n.logger.Error("a snapshot has decayed and stays where it is", zap.String("member", r.id.Name), zap.Error(failed))
		return nil
	}
	n.decayed(r, info.Index, err)
	return nil
}

// decayed tells a member that entries up to an index, or its snapshot of that index, have decayed. One that does not run
// finds out when it starts.
func (n *Node) decayed(r *record, upTo ra.Index, cause error) {
	n.scrubber.found.Add(1)
	n.logger.Warn("data at rest have decayed", zap.String("member", r.id.Name), zap.Uint64("index", uint64(upTo)), zap.Error(cause))
	if p := r.proc.Load(); p != nil {
		p.finished(func() { p.server.Damaged(upTo, cause) }, nil)
	}
}
