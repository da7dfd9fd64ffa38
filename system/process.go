package system

import (
	"context"

	"github.com/heliopolis-raft/heliopolis/actor"
)

// hosting is what a Node has beside its storage.
type hosting struct{}

// process is one life of a member.
type process struct{}

// written posts that the Server's own orders up to seq are durable.
func (p *process) written(seq uint64, ws *actor.Wakeups) {}

// resume posts that the log has room again for what it refused.
func (p *process) resume(ws *actor.Wakeups) {}

// storageFailed posts that nothing will ever be durable again.
func (p *process) storageFailed(err error, ws *actor.Wakeups) {}

// post lets f run in the member's next batch.
func (p *process) post(f func()) {}

// newRound makes what the members of one worker share during a round.
func (n *Node) newRound(worker int) actor.Round { return nil }

// openHosting prepares for members. The actors run, no member does.
func (n *Node) openHosting() error { return nil }

// startMember starts a member that is registered, and returns when its process lives.
func (n *Node) startMember(r *record) error { return nil }

// stopMembers stops all members in good order, and returns when their processes have ended.
func (n *Node) stopMembers(ctx context.Context) error { return nil }
