package system

import (
	"context"
	"errors"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Close stops the node in good order: calls fail with ra.ErrClosed from now on, all members stop and leave behind how far
// they came, what they ordered is made durable, and the files are closed. With Config.Snapshots.MinRecovery they leave their
// state behind, too, as far as half of the time of ctx goes. If ctx ends first Close returns its error; the
// node still stops, and Close may be called again to wait for that. Only when it has returned nil, or another error, may
// the directory be opened again.
func (n *Node) Close(ctx context.Context) error {
	n.closing.Store(true)
	n.closeLock.Lock()
	defer n.closeLock.Unlock()
	if n.closed {
		return nil
	}
	if err := n.closeActors(ctx); err != nil {
		return err
	}
	n.closed = true
	return n.closeStorage()
}

// closeActors ends everything that runs.
func (n *Node) closeActors(ctx context.Context) error {
	if n.actors == nil {
		return nil
	}
	if err := n.stopMembers(ctx); err != nil {
		return err
	}
	if err := n.pool.close(ctx); err != nil {
		return err
	}
	return n.actors.Close(ctx)
}

// closeStorage writes what is left and closes the files. Nobody else uses them any more.
func (n *Node) closeStorage() error {
	var errs []error
	if n.wal != nil && n.wal.ref != nil {
		n.wal.close(ra.ErrClosed)
		errs = append(errs, n.wal.finish())
	}
	close(n.stopped)
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	if n.segments != nil {
		errs = append(errs, n.segments.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	if n.ownFS != nil {
		errs = append(errs, n.ownFS.Close())
	}
	return errors.Join(errs...)
}
