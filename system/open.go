// Package system assembles: it opens a node, which hosts members of many Raft clusters on one disk, and calls them.
package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Node is one node: a directory that it alone uses, and the members of clusters that live in it. Its methods may be
// called from any goroutine.
type Node struct {
	cfg    Config
	limits raft.Limits // of all members
	logger *zap.Logger

	fs          vfs.FS
	ownFS       io.Closer // fs, if Open made it
	lock        io.Closer
	log         *wal.Log
	segments    *segment.Set
	snapshots   *snapshot.Store
	actors      *actor.Node
	wal         *walActor
	segwriter   *segmentWriter
	pool        pool
	registry    registry
	report      Report
	strays      []ra.UID     // members that were here without a registration when the node was opened
	unaccounted atomic.Bool  // see Report.Unaccounted
	repaired    atomic.Int64 // members that were suspect and are sound again
	scrubber    scrubber
	replacing   turn // one ReplaceDamaged at a time

	// closing is set when Close begins, from when on calls fail with ra.ErrClosed; stopped is closed when the log takes
	// nothing any more.
	closing   atomic.Bool
	stopped   chan struct{}
	closeLock sync.Mutex // one Close at a time
	closed    bool

	hosting
}

// Name returns the node's name.
func (n *Node) Name() ra.NodeID { return n.cfg.Name }

// Actors returns the actors of the node: for sending, monitoring, and for users' own processes beside the members.
func (n *Node) Actors() *actor.Node { return n.actors }

// isClosing reports whether Close was called.
func (n *Node) isClosing() bool { return n.closing.Load() }

// Open opens the node whose data are in cfg.Dir, and starts all members that are registered there. Members that have
// lost entries are started too, and repaired from their peers; those that have lost more than that are not started, nor
// are those whose machine is not given. Report names them. It fails with a *ConfigError if something in cfg
// cannot be, with a *LockedError if another node has the directory open, with the context's error if the
// directory could not be read, or members not all be started, in time, and with errors of the file system. It never deletes
// what it does not understand.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, limits: cfg.Limits.core(), logger: cfg.Logger, fs: cfg.FS, stopped: make(chan struct{})}
	n.pool = pool{limit: cfg.BackgroundJobs, logger: cfg.Logger}
	n.registry.init()
	if err := n.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("system: open %s: %w", cfg.Dir, err), n.Close(context.WithoutCancel(ctx)))
	}
	return n, nil
}

// open is the part of Open that may be undone by Close, however far it came.
func (n *Node) open(ctx context.Context) error {
	if n.fs == nil {
		fs, err := vfs.OpenOS(n.cfg.Dir)
		if err != nil {
			return err
		}
		n.fs, n.ownFS = fs, fs
	}
	var err error
	if n.lock, err = lockDir(n.fs, n.cfg.Dir); err != nil {
		return err
	}
	if err := n.openStorage(ctx); err != nil {
		return err
	}
	if err := n.openActors(); err != nil {
		return err
	}
	n.markSuspects(ctx)
	n.segwriter.cleanUp()
	if !n.cfg.NoAutoStart {
		if err := n.startAll(ctx); err != nil {
			return err
		}
	}
	if n.cfg.ScrubRate > 0 {
		n.chore(n.scrub)
	}
	return nil
}

// openActors starts the actors that all members share.
func (n *Node) openActors() error {
	n.wal, n.segwriter = newWALActor(n), &segmentWriter{node: n}
	n.segwriter.busy.Store(true) // until members are marked: then open calls it
	var err error
	n.actors, err = actor.Open(actor.Config{
		Name: n.cfg.Name, Workers: n.cfg.Workers, ClientLane: n.cfg.ClientLane, Logger: n.cfg.Logger, Fabric: n.cfg.Fabric,
		Apart: true, NewRound: n.newRound,
	})
	if err != nil {
		return err
	}
	n.segwriter.ref, err = n.actors.Spawn(reserved+"segments", func() actor.Actor { return n.segwriter }, actor.WithOwnWorker(false))
	if err != nil {
		return err
	}
	n.wal.ref, err = n.actors.Spawn(reserved+"wal", func() actor.Actor { return n.wal }, actor.WithOwnWorker(true))
	if err != nil {
		return err
	}
	return n.openHosting()
}
