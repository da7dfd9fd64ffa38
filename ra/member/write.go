package member

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// writeAttempts is how often a snapshot is written before it is given up.
const writeAttempts = 3

// writing is a snapshot or checkpoint that is being written, by one work in the background.
type writing struct {
	store      *snapshot.Store
	uid        ra.UID
	meta       snapshot.Meta
	state      machine.Capture
	checkpoint bool
	recovery   bool        // for the next start alone
	stopped    atomic.Bool // the member has stopped, or has no more time
	// rescue: the disk has no other copy of what it holds, so it is written to its end even if the member stops. The member's
	// own.
	rescue bool

	// The outcome, for the member when the work has ended.
	info snapshot.Info
	err  error
}

// run writes the state, again if that fails, and lets go of it.
func (w *writing) run() {
	w.err = errGoexit
	defer w.state.Release()
	for range writeAttempts {
		w.info, w.err = w.attempt()
		var panicked *machine.PanicError
		if w.err == nil || errors.Is(w.err, snapshot.ErrStale) || errors.As(w.err, &panicked) || w.stopped.Load() {
			return
		}
	}
}

// attempt writes the state once. If it fails nothing is left of it.
func (w *writing) attempt() (snapshot.Info, error) {
	create := w.store.Create
	switch {
	case w.recovery:
		create = w.store.CreateRecovery
	case w.checkpoint:
		create = w.store.CreateCheckpoint
	}
	out, err := create(w.uid, w.meta)
	if err != nil {
		return snapshot.Info{}, err
	}
	if err = w.pour(out); err != nil {
		return snapshot.Info{}, errors.Join(err, out.Abort())
	}
	return out.Commit()
}

// pour writes the state to out, unless the member stops meanwhile.
func (w *writing) pour(out io.Writer) (err error) {
	defer recoverPanic(&err)
	if _, err = w.state.WriteTo(&tap{out, &w.stopped}); err == nil && w.stopped.Load() {
		err = ra.ErrClosed
	}
	return err
}

// tap passes on what is written until it is closed.
type tap struct {
	to     io.Writer
	closed *atomic.Bool
}

func (t *tap) Write(b []byte) (int, error) {
	if t.closed.Load() {
		return 0, ra.ErrClosed
	}
	return t.to.Write(b)
}
