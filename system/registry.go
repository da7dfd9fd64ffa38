package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// registry is the records of all members of a node.
type registry struct {
	mu       sync.RWMutex
	uids     map[ra.UID]*record
	names    map[string]*record   // by local name
	clusters map[string][]*record // by cluster name
	free     []uint32             // slots that were used before
	last     uint32               // highest slot that was ever used
	// pages is the table of slots, read without a lock.
	pages [maxPages]atomic.Pointer[page]
}

// The table has room for maxMembers members.
const (
	pageSize   = 1 << 10
	maxPages   = 1 << 12
	maxMembers = pageSize*maxPages - 1
)

type page [pageSize]atomic.Pointer[record]

func (g *registry) init() {
	g.uids = make(map[ra.UID]*record)
	g.names = make(map[string]*record)
	g.clusters = make(map[string][]*record)
}

// at returns the record in a slot, or nil. The slot may come from another node.
func (g *registry) at(slot uint32) *record {
	if slot/pageSize >= maxPages {
		return nil
	}
	p := g.pages[slot/pageSize].Load()
	if p == nil {
		return nil
	}
	return p[slot%pageSize].Load()
}

// byUID returns the record of a member, or nil.
func (g *registry) byUID(uid ra.UID) *record {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.uids[uid]
}

// byName returns the record of the member with a local name, or nil.
func (g *registry) byName(name string) *record {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.names[name]
}

// byCluster returns the records of the members that a cluster has here.
func (g *registry) byCluster(cluster string) []*record {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Clone(g.clusters[cluster])
}

// all returns all records, sorted by uid.
func (g *registry) all() []*record {
	g.mu.RLock()
	defer g.mu.RUnlock()
	out := make([]*record, 0, len(g.uids))
	for _, r := range g.uids {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *record) int { return cmp.Compare(a.uid, b.uid) })
	return out
}

// size returns the number of records.
func (g *registry) size() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.uids)
}

// add takes a record in. It fails with ra.ErrNameTaken if its uid or local name is taken: errThere if that is by a member of its
// cluster. A record without a name, whose registration is lost, is found by its uid only.
func (g *registry) add(r *record) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x := g.names[r.id.Name]; x != nil && x.reg.cluster == r.reg.cluster {
		return fmt.Errorf("%w: member %s (%s)", errThere, x.id.Name, x.uid)
	}
	if g.uids[r.uid] != nil || g.names[r.id.Name] != nil {
		return fmt.Errorf("%w: member %s (%s)", ra.ErrNameTaken, r.id.Name, r.uid)
	}
	if len(g.uids) >= maxMembers {
		return fmt.Errorf("%w: %d members", ra.ErrOverloaded, len(g.uids))
	}
	g.uids[r.uid] = r
	if r.id.Name != "" {
		g.names[r.id.Name] = r
		g.clusters[r.reg.cluster] = append(g.clusters[r.reg.cluster], r)
	}
	g.place(r)
	return nil
}

// place gives the record a slot. The caller holds mu.
func (g *registry) place(r *record) {
	if n := len(g.free); n > 0 {
		r.slot, g.free = g.free[n-1], g.free[:n-1]
	} else {
		g.last++
		r.slot = g.last
	}
	p := &g.pages[r.slot/pageSize]
	if p.Load() == nil {
		p.Store(new(page))
	}
	p.Load()[r.slot%pageSize].Store(r)
}

// remove lets go of a record.
func (g *registry) remove(r *record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.uids[r.uid] != r {
		return
	}
	delete(g.uids, r.uid)
	if g.names[r.id.Name] == r {
		delete(g.names, r.id.Name)
		rest := slices.DeleteFunc(slices.Clone(g.clusters[r.reg.cluster]), func(x *record) bool { return x == r })
		g.clusters[r.reg.cluster] = rest
		if len(rest) == 0 {
			delete(g.clusters, r.reg.cluster)
		}
	}
	g.pages[r.slot/pageSize].Load()[r.slot%pageSize].Store(nil)
	g.free = append(g.free, r.slot)
}

// register makes a new member known, durably, and returns its record; it is not started. It fails with ra.ErrNameTaken
// if the local name is taken here. Many may be registered at once and share a sync.
func (n *Node) register(ctx context.Context, g registration) (*record, error) {
	r, errs := n.registerAll(ctx, []registration{g})
	return r[0], errs[0]
}

// maxTogether bounds the registrations that wait for one sync: the table of a batch has its bound, too.
const maxTogether = 4096

// registerAll is register for many at once. Either the record or the error at an index is nil.
func (n *Node) registerAll(ctx context.Context, gs []registration) ([]*record, []error) {
	records, errs := make([]*record, len(gs)), make([]error, len(gs))
	for from := 0; from < len(gs); from += maxTogether {
		to := min(from+maxTogether, len(gs))
		for i := from; i < to; i++ {
			records[i], errs[i] = n.announce(gs[i])
		}
		n.wakeWAL()
		for i := from; i < to; i++ {
			if errs[i] != nil {
				continue
			}
			if errs[i] = n.confirm(ctx, records[i]); errs[i] != nil {
				records[i] = nil
			}
		}
	}
	return records, errs
}

// announce takes a name, and orders the registration.
func (n *Node) announce(g registration) (*record, error) {
	if n.isClosing() {
		return nil, ra.ErrClosed
	}
	if g.uid == "" {
		g.uid = newUID(g.id.Name)
	}
	if err := g.check(n.cfg.Name); err != nil {
		return nil, err
	}
	r := &record{node: n, uid: g.uid, id: g.id, reg: g, log: raftlog.New(g.uid, n.segments)}
	r.life.Lock() // whoever finds it waits until the log knows it, or it is gone again
	defer r.life.Unlock()
	if err := n.registry.add(r); err != nil {
		if x := n.registry.byName(g.id.Name); errors.Is(err, errThere) && x != nil && n.isNewborn(x) {
			err = fmt.Errorf("%w: member %s (%s)", errNewborn, x.id.Name, x.uid)
		}
		return nil, err
	}
	w, err := n.log.Writer(g.uid)
	if err == nil {
		w.Owner, r.writer = r, w
		err = n.wal.append(r, &wal.Op{Seq: 1, Register: g.encode()})
	}
	if err != nil {
		n.registry.remove(r)
		return nil, err
	}
	return r, nil
}

// isNewborn reports whether a member has not stored anything yet but its registration: its cluster is just being started. It
// does not wait: one that is just being registered or worked on counts, too.
func (n *Node) isNewborn(r *record) bool {
	if !r.life.tryLock() {
		return true
	}
	defer r.life.Unlock()
	return r.writer != nil && n.wal.last(r) == 1
}

// confirm waits until a registration is durable. If that takes too long it is taken back.
func (n *Node) confirm(ctx context.Context, r *record) error {
	r.life.Lock()
	defer r.life.Unlock()
	err := r.waitDurable(ctx, 1)
	if err == nil {
		return nil
	}
	if again := n.orderDeletion(r); again == nil {
		n.wakeWAL()
	}
	n.registry.remove(r)
	return err
}

// orderDeletion orders that the member is deleted, once. The caller holds r.life.
func (n *Node) orderDeletion(r *record) error {
	if r.deleting != 0 {
		return nil
	}
	seq := n.wal.last(r) + 1
	op := wal.Op{Seq: seq, Delete: true}
	if seq == 1 { // an orphan: the log deletes only what is registered, and no crash may come between
		op.Register = &wal.Registration{Name: string(r.uid)}
	}
	err := n.wal.append(r, &op)
	if err == nil {
		r.deleting = seq
	}
	return err
}

// errRuns says that a member cannot be deleted because it is running.
var errRuns = errors.New("system: member is running")

// unregister forgets a member for good, with everything that it stored. Its process must have ended. If it fails it may
// be called again; the member is gone then all the same when the node is opened the next time, unless the log had
// already failed.
func (n *Node) unregister(ctx context.Context, r *record) error {
	if err := r.life.lock(ctx); err != nil {
		return err
	}
	defer r.life.Unlock()
	switch {
	case n.registry.byUID(r.uid) != r:
		return nil // its registration was taken back
	case r.proc.Load() != nil:
		return errRuns
	}
	r.work.Wait() // a snapshot that is still being written would come back
	if err := n.orderDeletion(r); err != nil {
		return err
	}
	if err := r.waitDurable(ctx, r.deleting); err != nil {
		return err
	}
	n.segments.Forget(r.uid)
	if err := n.snapshots.Remove(r.uid); err != nil {
		return err
	}
	n.registry.remove(r)
	n.segwriter.cleanUp()
	return nil
}
