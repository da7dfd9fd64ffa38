package system

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ReplaceDamaged replaces the members of this node that can never run again (Report.Damaged): those that have lost their
// term and vote, for instance because a file of the write-ahead log is gone, and those that cannot be read. Each is removed
// from its cluster, deleted here, and added again under another uid, with the membership that it had; a voter is promotable
// until it has caught up (MEM-04), and so is whoever was removed before a crash. Members of different clusters are replaced
// side by side. It returns how many were replaced, when their changes are committed, and why the others were not, joined; it
// may be called again then, also after a crash in the middle. Of several calls at once one begins when the other has ended.
//
// The others of a cluster must be able to commit that. Where they cannot, it fails for that member when the context ends,
// or with ra.ErrDamaged, which says what the member has lost, as soon as nobody else is there to be asked. That is also the
// error of a cluster's only member (see AcceptLoss), of one that has lost its registration, so that nobody knows what
// it was of (see DeleteRemains), and of one whose cluster is gone, and its name another's: what is left of that one
// Member.Delete deletes.
func (n *Node) ReplaceDamaged(ctx context.Context) (int, error) {
	if err := n.mayBegin(ctx); err != nil {
		return 0, err
	}
	if err := n.storageErr(); err != nil {
		return 0, err
	}
	if err := n.replacing.lock(ctx); err != nil {
		return 0, err
	}
	defer n.replacing.Unlock()
	var damaged []*record
	for _, r := range n.registry.all() {
		if r.ownDamage() != nil {
			damaged = append(damaged, r)
		}
	}
	errs := each(damaged, runtime.GOMAXPROCS(0)*8, func(r *record) error { return n.replace(ctx, r) })
	replaced := 0
	for i, err := range errs {
		switch {
		case err == nil:
			replaced++
		case errors.Is(err, errSucceeded):
			errs[i] = nil
		default:
			errs[i] = fmt.Errorf("system: replace %s: %w", damaged[i].called(), err)
		}
	}
	return replaced, errors.Join(errs...)
}

// errSucceeded says that a member is not there any more.
var errSucceeded = errors.New("system: member is deleted")

// replace puts another member in the place of a damaged one. It fails with errSucceeded if somebody else deletes that one
// meanwhile, and may have put another one in its place.
func (n *Node) replace(ctx context.Context, r *record) error {
	if r.reg.cluster == "" {
		return r.damaged()
	}
	c, err := n.Cluster(r.reg.cluster)
	if err != nil {
		return err
	}
	if len(c.Members()) == 1 && len(r.reg.initial) == 1 {
		return r.damaged()
	}
	membership, err := c.withdraw(ctx, r)
	if err != nil {
		return err
	}
	if n.registry.byUID(r.uid) != r {
		return errSucceeded
	}
	if err := n.deleteMember(ctx, r, false); err != nil { // that one: its name may be another's by now
		return err
	}
	if err := c.AddMember(ctx, r.id, membership); err != nil {
		return err
	}
	n.logger.Warn("a damaged member was replaced", zap.String("cluster", c.Name()), zap.String("member", r.id.Name), zap.String("uid", string(r.uid)))
	return nil
}

// withdraw removes a member from its cluster unless that was done, and returns the membership with which to come back.
func (c *Cluster) withdraw(ctx context.Context, r *record) (ra.Membership, error) {
	e, err := c.current()
	if err != nil {
		return 0, err
	}
	members, err := c.node.roll(ctx, e)
	if err != nil {
		return 0, err
	}
	if !slices.EqualFunc(members.initial, r.reg.initial, func(a, b ra.Member) bool { return a.UID == b.UID }) {
		return 0, fmt.Errorf("%w, and the cluster %s is another one now", ra.ErrDamaged, c.Name())
	}
	for _, m := range members.now {
		if m.UID != r.uid {
			continue
		}
		if err := c.RemoveMember(ctx, r.id); err != nil {
			return 0, err
		}
		if m.Membership == ra.NonVoter {
			return ra.NonVoter, nil
		}
	}
	return ra.Promotable, nil
}
