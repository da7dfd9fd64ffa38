package system

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// AcceptLoss has the members of a cluster on this node that have lost entries go on with what is left, as voters like any
// other, and returns when they run. It is for a cluster that cannot repair itself: of which a majority of the members is
// suspect, or whose only member is. Calls to such a cluster fail with ra.ErrDamaged.
//
// It gives up what makes a repair safe. Commands that were acknowledged may be gone for good, if no member that takes part
// from now on has them; and a member that has applied more than the new leader's log holds stops, and has to be removed
// and added again. So it should be called for as few members as a majority needs, those first that have most of the log,
// and not while a sound member is only out of reach. What cannot be read stays in quarantine, and snapshots from before that are put
// back go there, too (decision 23).
//
// A member that has lost its term and vote is accepted only if it is its cluster's only one: it must not vote again, and
// others can replace it. Nor is one accepted in whose place a snapshot lies that is not its own and cannot be moved away: it
// would begin with that. AcceptLoss fails with ra.ErrUnknownCluster if the cluster has no member here, and with
// ErrNothingLost if those that it has are sound. If it fails for another reason a member may be left stopped, and it may be
// called again.
func (n *Node) AcceptLoss(ctx context.Context, cluster string) error {
	if err := n.mayBegin(ctx); err != nil {
		return err
	}
	all := n.registry.byCluster(cluster)
	if len(all) == 0 {
		return fmt.Errorf("%w: %s has no member on %s", ra.ErrUnknownCluster, cluster, n.Name())
	}
	var failed []error
	accepted := 0
	for _, r := range all {
		if !r.hasLost() {
			continue
		}
		switch err := n.acceptLossOf(ctx, r); {
		case errors.Is(err, ErrNothingLost): // another call was faster
			continue
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", r.id, err))
		}
		accepted++
	}
	if accepted == 0 {
		return fmt.Errorf("%w: %s", ErrNothingLost, cluster)
	}
	return errors.Join(failed...)
}

// AcceptUnaccounted accepts that members may have been in what is lost of the node's log, of which nothing else tells any more
// (Report.Unaccounted). It is for when nobody misses any, or whoever was missed was started anew: from then on a name that the
// node does not know is an unknown one, and Node.StartOrRestartCluster takes it for new, unless something of it is left without a
// registration (Report.Orphans, Node.DeleteRemains). Members that are known, damaged or not,
// are not concerned; one that is gone from a cluster which others still have is removed and added there. It fails with
// ErrNothingLost if there is nothing to accept, though of several calls at once each may succeed, and may be called again if it
// fails otherwise.
//
// What was accepted does not come back: a start that finds the same loss again knows by the state file of the log, which the
// acceptance writes, who was there. Only if that file is lost, too, or more of the log, may there be something to accept again. It
// fails with ra.ErrDiskFull if there is no space for that file.
func (n *Node) AcceptUnaccounted(ctx context.Context) error {
	if err := n.mayBegin(ctx); err != nil {
		return err
	}
	if !n.unaccounted.Load() {
		return fmt.Errorf("%w that nobody accounts for", ErrNothingLost)
	}
	if err := n.log.AcceptUnaccounted(); err != nil {
		return err
	}
	n.unaccounted.Store(false)
	return nil
}

// ErrNothingLost says that there is nothing to accept.
var ErrNothingLost = errors.New("system: no member has lost anything")

// mayBegin returns why a call that stops a member and changes it must not even begin.
func (n *Node) mayBegin(ctx context.Context) error {
	if n.isClosing() {
		return ra.ErrClosed
	}
	return ctx.Err()
}

// hasLost reports whether the member is marked as damaged.
func (r *record) hasLost() bool {
	r.node.wal.ref.Lock()
	defer r.node.wal.ref.Release()
	return r.accepted.mark.What != 0
}

// acceptLossOf is AcceptLoss for one member.
func (n *Node) acceptLossOf(ctx context.Context, r *record) error {
	l := n.lockOf(r)
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.Unlock()
	if !r.hasLost() {
		return ErrNothingLost
	}
	if err := r.damaged(); errors.Is(err, errInPlace) {
		return err
	}
	if err := n.stopLocked(ctx, r); err != nil {
		return err
	}
	op := wal.Op{Repaired: true}
	if r.accepted.mark.What&wal.DamagedState != 0 {
		state, err := n.newTerm(ctx, r)
		if err != nil {
			return err
		}
		op.State = &state
	}
	if err := n.forgive(ctx, r, &op); err != nil {
		return err
	}
	n.logger.Warn("a loss was accepted", zap.String("member", r.id.Name), zap.Uint64("last", uint64(r.log.Last())))
	return n.startLocked(ctx, r)
}

// forgive takes a member's mark back, durably.
func (n *Node) forgive(ctx context.Context, r *record, op *wal.Op) error {
	if err := r.life.lock(ctx); err != nil {
		return err
	}
	defer r.life.Unlock()
	with, err := n.snapshots.AcceptLoss(r.uid, r.log.Last())
	if err != nil {
		return err
	}
	op.Era = eraOf(with)
	if r.log.NeedsCut() != 0 {
		if err := n.mark(ctx, r); err != nil {
			return err
		}
	}
	op.Seq = n.wal.last(r) + 1
	if err := n.storeNow(ctx, r, op); err != nil {
		return err
	}
	if err := r.waitDurable(ctx, n.wal.last(r)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damage, r.lost = nil, nil
	return nil
}

// newTerm returns term and vote for a member that has lost its own: a term in which it cannot have promised anything to
// anybody, because it is the only one that could ask. What turns out to be lost of its log meanwhile is marked, too.
func (n *Node) newTerm(ctx context.Context, r *record) (ra.HardState, error) {
	if r.reg.cluster == "" {
		return ra.HardState{}, r.damaged()
	}
	c := member.Config{ID: r.id, Cluster: r.reg.cluster, Factory: n.cfg.Machines[r.reg.machine], InitialVersion: r.reg.version}
	c.Raft.Self, c.Initial, c.Log, c.Snapshots, c.Suspect = r.uid, r.reg.initial, r.log, n.snapshots, true
	if c.Factory == nil {
		return ra.HardState{}, fmt.Errorf("%w: %q of member %s", ra.ErrUnknownMachine, r.reg.machine, r.id)
	}
	c.State.Term = r.term()
	s, err := member.New(c)
	for err != nil {
		from, lost := n.lostBy(r, err)
		if !lost {
			return ra.HardState{}, err
		}
		if again := n.lose(ctx, r, from, err); again != nil {
			return ra.HardState{}, errors.Join(again, err)
		}
		s, err = member.New(c)
	}
	if members := s.Configuration().Members; len(members) != 1 || members[0].UID != r.uid {
		return ra.HardState{}, r.damaged()
	}
	return ra.HardState{Term: c.State.Term + 1}, nil
}
