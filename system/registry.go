package system

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
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

const (
	pageSize = 1 << 10
	maxPages = 1 << 12
)

type page [pageSize]atomic.Pointer[record]

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
	return append([]*record(nil), g.clusters[cluster]...)
}

// register makes a new member known, durably, and returns its record; it is not started. It fails with ra.ErrNameTaken
// if the local name is taken here. Many may be registered at once and share a sync.
func (n *Node) register(ctx context.Context, g registration) (*record, error) {
	r, errs := n.registerAll(ctx, []registration{g})
	return r[0], errs[0]
}

// registerAll is register for many at once. Either the record or the error at an index is nil.
func (n *Node) registerAll(ctx context.Context, gs []registration) ([]*record, []error) {
	return make([]*record, len(gs)), make([]error, len(gs))
}

// unregister forgets a member for good, with everything that it stored. Its process must have ended.
func (n *Node) unregister(ctx context.Context, r *record) error { return nil }
