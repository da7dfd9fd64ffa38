package system

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// ForceShrink makes a member of this node the only one of its cluster, whatever its membership was, and returns when it
// runs as such; it elects itself soon after (API-13). It is the last resort for a cluster of which a majority is gone for
// good: members can be added again afterwards.
//
// Nobody is asked, so two things are given up. What the others had acknowledged and this member does not hold is lost;
// take the member whose log ends last, by term and then by index (Member.Overview). And should the others live after all,
// or come back, there are two clusters of one name, which must never meet: delete their data before their nodes are
// opened again where this one reaches them.
//
// It fails with ra.ErrNoProcess if there is no member of that name here, and with an error that wraps ra.ErrDamaged if
// it has lost entries: see AcceptLoss. A member that was stopped is started. If it fails for another reason the member may
// be left stopped, or be the only one already, and it may be called again.
func (n *Node) ForceShrink(ctx context.Context, member string) error {
	if err := n.mayBegin(ctx); err != nil {
		return err
	}
	r := n.registry.byName(member)
	if r == nil {
		return fmt.Errorf("%w: %s has no member %s", ra.ErrNoProcess, n.Name(), member)
	}
	l := n.lockOf(r)
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.Unlock()
	if r.hasLost() {
		return fmt.Errorf("%w: %s has lost entries", ra.ErrDamaged, r.id)
	}
	if err := n.stopLocked(ctx, r); err != nil {
		return err
	}
	if err := n.shrink(ctx, r); err != nil {
		return fmt.Errorf("system: shrink the cluster of %s: %w", r.id, err)
	}
	n.logger.Warn("a member was made the only one of its cluster", zap.String("member", member), zap.Uint64("index", uint64(r.log.Last())))
	return n.startLocked(ctx, r)
}

// shrink appends a configuration with this member alone to its log, in a term of its own, as if it had been elected.
func (n *Node) shrink(ctx context.Context, r *record) error {
	if err := r.life.lock(ctx); err != nil {
		return err
	}
	defer r.life.Unlock()
	switch {
	case r.deleting != 0, n.registry.byUID(r.uid) != r:
		return fmt.Errorf("%w: it is deleted", ra.ErrNoProcess)
	case r.damaged() != nil:
		return r.damaged()
	}
	if err := n.settle(ctx, r); err != nil {
		return err
	}
	state := ra.HardState{Term: r.term() + 1, Vote: r.uid}
	only := []ra.Member{{ID: r.id, UID: r.uid, Membership: ra.Voter}}
	entries := []ra.Entry{ra.Seal(ra.NewBody(raft.EncodeMembers(nil, only)), ra.Header{
		Index: r.log.Last() + 1, Term: state.Term, Kind: ra.KindConfig, Time: time.Now().UnixMilli(),
	})}
	op := wal.Op{Seq: n.wal.last(r) + 1, Entries: entries, State: &state, Truncate: r.log.NeedsCut()}
	if r.log.NeedsReset() {
		op.Reset = r.log.Snapshot().Index
	}
	if err := r.log.Append(entries); err != nil {
		return r.setDamaged(err)
	}
	if err := n.storeNow(ctx, r, &op); err != nil {
		return err
	}
	return r.waitDurable(ctx, n.wal.last(r))
}

// term returns the highest term that what is stored of the member, or ordered to be, speaks of.
func (r *record) term() ra.Term {
	last, _ := r.log.Term(r.log.Last())
	r.node.wal.ref.Lock()
	defer r.node.wal.ref.Release()
	return max(r.accepted.state.Term, r.accepted.term, last)
}
