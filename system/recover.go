package system

import (
	"context"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// loadServer fills in the storage half of a member.Config for a start or restart: everything but Net, Timer, Store,
// Host, Observer, Effects and the scratch. What the last life had left is settled first, so it may take as long as a
// sync, and must not run on a worker. It fails with an error that wraps ra.ErrDamaged if the member may not run.
func (n *Node) loadServer(ctx context.Context, r *record, c *member.Config) error {
	return ra.ErrClosed
}

// leave hands over what a life of a member had decided and not stored (Server.Backlog); its process has ended with that.
func (r *record) leave(backlog []wal.Op) {}
