package walnode

import (
	"fmt"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// keeper is the actor that gives full files of a log back, as if their entries were in segments, and prepares the next
// one. It has a worker of its own, so that the log need not wait for it.
type keeper struct {
	log  *wal.Log
	ref  *actor.Ref
	due  bool // under the mailbox's lock
	busy atomic.Bool
}

// spawnKeeper starts a keeper, with spare files ready.
func spawnKeeper(n *actor.Node, l *wal.Log) (*keeper, error) {
	k := &keeper{log: l}
	if err := k.work(); err != nil {
		return nil, err
	}
	ref, err := n.Spawn("keeper", func() actor.Actor { return k }, actor.WithOwnWorker(false))
	k.ref = ref
	return k, err
}

// look wakes the keeper if the log has used its spare file.
func (k *keeper) look() {
	if k.busy.Load() || !k.log.NeedsReserve() {
		return
	}
	k.busy.Store(true)
	k.ref.Lock()
	k.due = true
	k.ref.Unlock(nil)
}

// Empty and Take make the flag the mailbox's internal lane.
func (k *keeper) Empty() bool { return !k.due }

// Take takes the flag down.
func (k *keeper) Take() { k.due = false }

// Receive does what is to be done.
func (k *keeper) Receive(*actor.Context) {
	if err := k.work(); err != nil {
		panic(fmt.Errorf("walnode: %w", err))
	}
	k.busy.Store(false)
}

func (k *keeper) work() error {
	for _, c := range k.log.Closed() {
		if err := k.log.Release(c); err != nil {
			return err
		}
	}
	return k.log.Reserve()
}
