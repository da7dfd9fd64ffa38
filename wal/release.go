package wal

import (
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Closed returns the files that are no longer written and not yet released, oldest first.
func (l *Log) Closed() []*Closed {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*Closed
	for _, c := range l.closed {
		if !c.released {
			out = append(out, c)
		}
	}
	return out
}

// Release says that everything in the file is durable elsewhere: entries in segments, truncations noted there. What the
// log itself has to remember of the file goes into the state file first. A file is let go of only after all older ones,
// and after two generations of the state file have been written without it; then it is recycled. If Release fails it
// may be called again, unless the log is closed: ra.ErrClosed.
func (l *Log) Release(c *Closed) error {
	l.release.Lock()
	defer l.release.Unlock()
	if l.over {
		return ra.ErrClosed
	}
	gone, state := l.releasable(c)
	if len(gone) == 0 {
		return nil
	}
	if err := l.advance(state, gone); err != nil {
		l.mu.Lock()
		c.released = false
		l.mu.Unlock()
		return err
	}
	return nil
}

// advance goes on to the next generation of the state file, which does without the files that are gone now, the oldest ones. Those
// that the generation before did without are recycled. The caller holds release.
func (l *Log) advance(state *stateFile, gone []*Closed) error {
	err := l.writeState(state)
	if vfs.IsFull(err) {
		// The files of the last release are only there in case its state file is damaged. Now they are needed more.
		l.recycle(0)
		err = l.writeState(state)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.closed = l.closed[len(gone):]
	l.mu.Unlock()
	l.recycle(l.cfg.Spares)
	l.lingering = gone
	if oldest := l.states.sound[0]; oldest != 0 {
		_ = l.cfg.FS.Remove(l.path(stateName(oldest))) // the next start would remove it too
	}
	l.states = l.states.next(state)
	return nil
}

// MakeRoom removes the files of the last release, for who needs space on a full disk: they are only there in case the state
// file of that release is damaged.
func (l *Log) MakeRoom() {
	l.release.Lock()
	defer l.release.Unlock()
	if !l.over {
		l.recycle(0)
	}
}

// releasable notes that c is released, and returns the released files that no unreleased one precedes, with the state
// that makes them dispensable.
func (l *Log) releasable(c *Closed) ([]*Closed, *stateFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.released = true
	n := 0
	for n < len(l.closed) && l.closed[n].released {
		n++
	}
	if n == 0 {
		return nil, nil
	}
	gone := l.closed[:n:n]
	return gone, l.captureState(gone[n-1].Seq)
}

// recycle makes spares of the lingering files as long as there are fewer than limit, and removes the others. Damaged
// ones are kept in quarantine. What fails is found again by the next start.
func (l *Log) recycle(limit int) {
	s := &l.spares
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range l.lingering {
		switch {
		case c.damaged:
			_ = vfs.ToQuarantine(l.cfg.FS, l.cfg.Dir, c.name)
		case len(s.ready) < limit && c.size >= l.cfg.FileSize:
			s.next++
			made := spare{name: spareName(s.next), size: c.size}
			if l.cfg.FS.Rename(l.path(c.name), l.path(made.name)) == nil {
				s.ready = append(s.ready, made)
				l.room.full.Store(false)
			}
		default:
			_ = l.cfg.FS.Remove(l.path(c.name))
		}
	}
	l.lingering = nil
}
