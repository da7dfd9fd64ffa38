package member

import (
	"errors"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
)

// Rescue is told that what the disk has of this member is damaged: entries up to an index, or the snapshot, which the
// caller has taken out of the way. If the member has applied them, what they made is in the machine's state, and a
// snapshot of that is begun, below which nothing is missed any more. It reports false if that is not so: then the
// member must be stopped, and starts again as one that has lost entries. Whether the snapshot came to be shows when the
// disk is looked at the next time: entries that have decayed do so again, and the log stands on a snapshot that is gone.
func (s *Server) Rescue(upTo ra.Index) bool {
	s.begin()
	n := &s.snaps
	switch applied := s.status.Applied; {
	case s.stopped != nil:
		return true // nothing of it is in memory any more
	case s.cfg.Snapshots == nil || upTo > applied || !s.knows(applied):
		return false
	case n.underWay():
		n.again = true // it may be a checkpoint, or the very snapshot that has decayed
		s.writeToItsEnd()
	default:
		s.takeForRescue()
	}
	return true
}

// takeForRescue takes a snapshot of the present state.
func (s *Server) takeForRescue() {
	s.take(s.status.Applied, nil, false)
	s.writeToItsEnd()
}

// writeToItsEnd has the snapshot that is being written go on even if the member stops meanwhile: its memory, from which it
// comes, has the only copy. Whoever starts the member again has to wait for it.
func (s *Server) writeToItsEnd() {
	if w := s.snaps.writing; w != nil && !w.checkpoint {
		w.rescue = true
	}
}

// Damaged is Rescue for a member that goes on if it can: otherwise it fails at the next Flush, because of err.
func (s *Server) Damaged(upTo ra.Index, err error) {
	if !s.Rescue(upTo) {
		s.damaged(err)
	}
}

// rescue does that for what a read has shown. If it cannot be done the member stops at the end of the batch.
func (s *Server) rescue(err error) bool {
	var d *raftlog.DamageError
	if errors.As(err, &d) && s.Rescue(d.Last) {
		return true
	}
	s.damaged(err)
	return false
}

// damaged has the member stop if err tells of damage.
func (s *Server) damaged(err error) {
	if s.damage == nil && (errors.Is(err, ra.ErrDamaged) || errors.Is(err, ra.ErrCorrupt)) {
		s.damage = err
	}
}
