// Package walnode is one node with actors and a write-ahead log, for the hosts that measure them: the log as an actor,
// and a keeper that recycles its files as if their entries were in segments.
package walnode

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/warm"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Node is one node. Its methods may be called from any goroutine.
type Node struct {
	Actors *actor.Node

	log     *wal.Log
	ref     *actor.Ref
	keeper  *keeper
	batch   *wal.Batch // gathers, under the mailbox's lock
	closing *wal.Batch // is being committed
	count   int64      // entries in batch

	syncs, entries atomic.Int64
}

// Owner is what a wal.Writer must be owned by.
type Owner interface {
	// Written says that all orders up to seq are durable. It is called on a worker of the node, and must only post.
	Written(seq uint64, ws *actor.Wakeups)
	// WarmPost loads what Written will need: of the owner itself, then what that points to. See package warm.
	WarmPost(step int)
}

// Open opens a node with its log below dir. round makes what the actors of a worker share.
func Open(name ra.NodeID, dir string, round func(*Node) actor.Round) (*Node, error) {
	fs, err := vfs.OpenOS(dir)
	if err != nil {
		return nil, err
	}
	n := &Node{}
	if n.log, _, err = wal.Open(wal.Config{FS: fs}); err != nil {
		return nil, err
	}
	n.batch, n.closing = n.log.NewBatch(), n.log.NewBatch()
	n.Actors, err = actor.Open(actor.Config{
		Name: name, ClientLane: 1 << 16, NewRound: func(int) actor.Round { return round(n) },
	})
	if err != nil {
		return nil, errors.Join(err, n.log.Close())
	}
	if n.keeper, err = spawnKeeper(n.Actors, n.log); err == nil {
		n.ref, err = n.Actors.Spawn("wal", func() actor.Actor { return (*logActor)(n) }, actor.WithOwnWorker(true))
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close stops the actors and closes the log.
func (n *Node) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(n.Actors.Close(ctx), n.log.Close())
}

// Counts returns how often the log was synced, and how many entries it was given.
func (n *Node) Counts() (syncs, entries int64) { return n.syncs.Load(), n.entries.Load() }

// Register makes a member known to the log, with its order number 1.
func (n *Node) Register(uid ra.UID, owner Owner) (*wal.Writer, error) {
	w, err := n.log.Writer(uid)
	if err != nil {
		return nil, err
	}
	w.Owner = owner
	return w, n.store(w, &wal.Op{Seq: 1, Register: &wal.Registration{Name: string(uid)}}, true)
}

// Store copies an order into the batch. The log must be woken then, usually by returning Log from the end of the round.
func (n *Node) Store(w *wal.Writer, op *wal.Op) error { return n.store(w, op, false) }

func (n *Node) store(w *wal.Writer, op *wal.Op, wake bool) error {
	n.ref.Lock()
	err := n.batch.Append(w, op)
	if err == nil {
		n.count += int64(len(op.Entries))
	}
	if wake {
		n.ref.Unlock(nil)
	} else {
		n.ref.Release()
	}
	return err
}

// Log returns the log as an actor, which writes what has gathered when it runs.
func (n *Node) Log() *actor.Ref { return n.ref }

// logActor is the log as an actor. Its inbox is the batch that gathers while the last one is being synced: members copy
// their entries straight into it.
type logActor Node

// Empty reports whether the batch has nothing to write.
func (a *logActor) Empty() bool { return a.batch.Empty() }

// Take lets the next batch gather.
func (a *logActor) Take() {
	a.batch, a.closing = a.closing, a.batch
	a.entries.Add(a.count)
	a.count = 0
}

// Receive writes and syncs what has gathered, and lets the members know.
func (a *logActor) Receive(*actor.Context) {
	if err := a.log.Commit(a.closing); err != nil {
		panic(fmt.Errorf("walnode: %w", err))
	}
	a.syncs.Add(1)
	n := notices.Get().(*notice)
	n.acks = append(n.acks[:0], a.closing.Acks()...)
	a.closing.Reset()
	a.Actors.Inject(0, n)
	a.keeper.look()
}

// notice tells members up to where their orders are durable. It goes to the worker as one job, however many members
// it is for.
type notice struct{ acks []wal.Ack }

var notices = sync.Pool{New: func() any { return new(notice) }}

// Run posts to the members.
func (n *notice) Run(ws *actor.Wakeups) {
	for i, a := range n.acks {
		warmOwners(n.acks, i)
		a.Writer.Owner.(Owner).Written(a.Seq, ws)
	}
	clear(n.acks)
	notices.Put(n)
}

// WarmPostSteps is how many steps WarmPost has.
const WarmPostSteps = 2

// warmOwners loads what it takes to tell the owners behind the first done ones.
func warmOwners(acks []wal.Ack, done int) {
	next := acks[done:warm.Group(done, len(acks))]
	for i := range next {
		warm.Value(&next[i].Writer.Owner)
	}
	for step := range WarmPostSteps {
		for i := range next {
			next[i].Writer.Owner.(Owner).WarmPost(step)
		}
	}
}
