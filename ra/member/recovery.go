package member

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// RecoveryCheckpoint is the last state of a member that stops in good order, to be written aside so that its next start
// need not replay the log (CKPT-10). It is independent of the Server.
type RecoveryCheckpoint struct{ w writing }

// RecoveryCheckpoint captures the present state for a recovery checkpoint, or returns nil: if the policy says that too
// little was applied since the newest one, if the member has failed or is suspect, if its cluster is deleted, or if the
// machine gives no state, which the observer hears of. A panic of the machine counts as that. It is called before Stop; what
// it returns must be given to Write or Drop.
func (s *Server) RecoveryCheckpoint() *RecoveryCheckpoint {
	index := s.status.Applied
	switch {
	case s.cfg.Snapshots == nil, s.stopped != nil, s.damage != nil, s.deleting != 0:
		return nil
	case !s.cfg.Policy.AcceptsRecovery(s.policyState(), index), s.core.Status().Suspect:
		return nil
	}
	c, err := s.lastState(index)
	if err != nil {
		s.problem(fmt.Errorf("no recovery checkpoint at %d: %w", index, err))
		return nil
	}
	return c
}

// lastState captures the state of the index that is applied.
func (s *Server) lastState(index ra.Index) (*RecoveryCheckpoint, error) {
	meta, err := s.metaAt(index)
	if err != nil {
		return nil, err
	}
	state, err := s.capture()
	if err != nil {
		letGo(state)
		return nil, err
	}
	return &RecoveryCheckpoint{writing{
		store: s.cfg.Snapshots, uid: s.cfg.Raft.Self, meta: meta, state: state, checkpoint: true, recovery: true,
	}}, nil
}

// Index returns the index of the last entry in the state.
func (c *RecoveryCheckpoint) Index() ra.Index { return c.w.meta.Index }

// Write writes the checkpoint. It may run on any goroutine, once, also while a further life of the member runs. If it
// fails nothing is left of it, and the next start replays the log. It returns ra.ErrClosed after GiveUp.
func (c *RecoveryCheckpoint) Write() error {
	if c.w.stopped.Load() {
		c.Drop()
		return ra.ErrClosed
	}
	c.w.run()
	if errors.Is(c.w.err, snapshot.ErrStale) {
		return nil // what is in place is as good
	}
	return c.w.err
}

// GiveUp ends Write as soon as the machine writes the next piece of its state. It may be called from any goroutine, at
// any time.
func (c *RecoveryCheckpoint) GiveUp() { c.w.stopped.Store(true) }

// Drop lets go of a checkpoint that will not be written.
func (c *RecoveryCheckpoint) Drop() { letGo(c.w.state) }
