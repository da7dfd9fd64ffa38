package wal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// A damaged WAL file goes to quarantine when it is released. By then the start that found the damage may be long past, and a later
// one need not find it again: a last batch is void once what could be read of it was written again, and a released file is not read at
// all. So a damaged file has a note in quarantine before the log goes on to the next one.

// noteSuffix stands behind the name of a damaged WAL file in the name of its note, an empty file.
const noteSuffix = walSuffix + damagedSuffix

const damagedSuffix = ".damaged"

// readNotes learns which files are known to be damaged.
func (r *recovery) readNotes() error {
	names, err := r.l.cfg.FS.List(r.l.path(vfs.Quarantine))
	if errors.Is(err, vfs.ErrNotExist) {
		return nil
	}
	for _, name := range names {
		if seq, ok := number(name, noteSuffix); ok {
			r.noted = append(r.noted, seq)
		}
	}
	return err
}

// isNoted reports whether a file is known to be damaged.
func (r *recovery) isNoted(seq uint64) bool { return slices.Contains(r.noted, seq) }

// writeNotes notes the damaged files that have no note yet.
func (r *recovery) writeNotes() error {
	fs := r.l.cfg.FS
	for _, c := range r.l.closed {
		if !c.damaged || r.isNoted(c.Seq) {
			continue
		}
		err := vfs.MakeQuarantine(fs, r.l.cfg.Dir)
		if err == nil {
			err = vfs.Note(fs, r.l.path(vfs.Quarantine), c.name+damagedSuffix)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// AcceptUnaccounted has the log forget that something is lost of nobody knows whom (Recovery.Unaccounted). That nothing is, is no
// error. It may be called by any goroutine, and again if it fails: with ra.ErrDiskFull if there is no space, with ra.ErrClosed
// behind Close, else with errors of the file system.
//
// What says so is an empty file. It is there before the log goes on to a next file, which may hide the loss. A start that finds the
// same loss again knows by the state file that it is settled: that names all members that there are. So it is durable first.
func (l *Log) AcceptUnaccounted() error {
	l.release.Lock()
	defer l.release.Unlock()
	switch {
	case l.over:
		return ra.ErrClosed
	case !l.unaccounted:
		return nil
	}
	err := l.advance(l.settledState(), nil)
	if err == nil {
		err = l.forgetLoss()
	}
	if vfs.IsFull(err) {
		return fmt.Errorf("%w: %w", ra.ErrDiskFull, err)
	}
	l.unaccounted = err != nil
	return err
}

// forgetLoss removes the file that says that something is lost of nobody knows whom.
func (l *Log) forgetLoss() error {
	if err := l.cfg.FS.Remove(l.path(lostName)); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	return l.cfg.FS.SyncDir(l.cfg.Dir)
}

// settledState returns the state of all members now. Files before the oldest one that is there count as released: those that are
// missing are not missed again.
func (l *Log) settledState() *stateFile {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.current.seq
	if len(l.closed) > 0 {
		oldest = l.closed[0].Seq
	}
	return l.captureState(max(l.states.released, oldest-1))
}
