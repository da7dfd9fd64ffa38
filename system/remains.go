package system

import (
	"context"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
)

// DeleteRemains deletes, for good, what is left here of a member whose registration is lost: one of Report.Orphans, or one
// of Report.Damaged without a name. It returns when that is durable. What is in quarantine stays there. To delete what is
// not there is no error. It fails with ra.ErrNameTaken if the member is registered, so that it has a name and Member.Delete
// is to be called. If it fails for another reason it may be called again.
//
// Such remains are in nobody's way but StartOrRestartCluster's. They may be the last that there is of a cluster: whoever
// deletes them should know that it is sound elsewhere, or given up.
func (n *Node) DeleteRemains(ctx context.Context, uid ra.UID) error {
	if err := n.mayBegin(ctx); err != nil {
		return err
	}
	if err := n.storageErr(); err != nil {
		return err
	}
	r := n.registry.byUID(uid)
	if r == nil && n.isLeft(uid) {
		var err error
		if r, err = n.adoptOrphan(uid); err != nil {
			return err
		}
	}
	switch {
	case r == nil:
		return nil
	case r.id.Name != "":
		return fmt.Errorf("%w: %s is member %s", ra.ErrNameTaken, uid, r.id)
	}
	return n.forget(ctx, r)
}

// adoptOrphan makes a record without a name of an orphan, so that it can be deleted as any other member is. Of several calls
// at once the later ones get the record of the first.
func (n *Node) adoptOrphan(uid ra.UID) (*record, error) {
	r := &record{node: n, uid: uid, log: raftlog.New(uid, n.segments)}
	_ = r.setDamaged(errRegistrationLost)
	r.life.Lock() // whoever finds it waits until it has its writer
	defer r.life.Unlock()
	if err := n.registry.add(r); err != nil {
		if first := n.registry.byUID(uid); first != nil {
			return first, nil
		}
		return nil, err
	}
	w, err := n.log.Writer(uid)
	if err != nil {
		n.registry.remove(r)
		return nil, err
	}
	w.Owner, r.writer = r, w
	return r, nil
}
