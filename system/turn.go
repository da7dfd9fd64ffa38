package system

import (
	"context"
	"sync"
)

// turn is a mutex for what may take long, as what waits for a disk: who waits for it can give up. The zero turn is free.
type turn struct {
	once sync.Once
	held chan struct{}
}

func (t *turn) room() chan struct{} {
	t.once.Do(func() { t.held = make(chan struct{}, 1) })
	return t.held
}

// Lock takes the turn, however long that takes.
func (t *turn) Lock() { t.room() <- struct{}{} }

// Unlock lets the next one have it.
func (t *turn) Unlock() { <-t.room() }

// tryLock takes the turn if it is free.
func (t *turn) tryLock() bool {
	select {
	case t.room() <- struct{}{}:
		return true
	default:
		return false
	}
}

// lock takes the turn, or fails with the context's error if that is over first.
func (t *turn) lock(ctx context.Context) error {
	if t.tryLock() {
		return nil
	}
	select {
	case t.room() <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
