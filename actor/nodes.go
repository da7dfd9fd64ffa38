package actor

import (
	"maps"
	"slices"
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// NodeEvent tells a process that a node it watches came up or went down (EFF-51). It comes by Context.Next. A process
// that does not come round to its events finds at most two, and the last is what is true.
type NodeEvent struct {
	Item
	Node ra.NodeID
	Up   bool

	watch  *nodeWatch
	queued bool // in the client lane
	void   bool // overtaken by later events; not to be shown
}

// nodeWatch is one process's interest in one node. It owns the two events that can wait at a time, so the client lane
// grows by no more than these however often the node comes and goes.
type nodeWatch struct {
	watcher *Ref
	events  [2]NodeEvent
	last    *NodeEvent // the one that was queued last
	ended   bool
}

// peers is what a node knows of the other nodes of its fabric.
//
// Lock order: peers.calls, peers.mu, Ref.mu.
type peers struct {
	calls    sync.Mutex // held while handlers are called, so that they are called in order
	mu       sync.Mutex
	up       map[ra.NodeID]bool
	watches  map[ra.NodeID]map[*Ref]*nodeWatch
	handlers []func(peer ra.NodeID, up bool)
}

func (p *peers) init() {
	p.up = make(map[ra.NodeID]bool)
	p.watches = make(map[ra.NodeID]map[*Ref]*nodeWatch)
}

// Peers returns the nodes that are connected now, sorted.
func (n *Node) Peers() []ra.NodeID {
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	return slices.Sorted(maps.Keys(n.peers.up))
}

// HandleNodes adds a function that is called whenever another node comes up or goes down (TIM-05), and at once, before
// HandleNodes returns, for those that are up. Calls come one at a time, in order, on any goroutine, and must not block.
func (n *Node) HandleNodes(f func(peer ra.NodeID, up bool)) {
	n.peers.calls.Lock()
	defer n.peers.calls.Unlock()
	n.peers.mu.Lock()
	n.peers.handlers = append(n.peers.handlers, f)
	up := slices.Sorted(maps.Keys(n.peers.up))
	n.peers.mu.Unlock()
	for _, peer := range up {
		f(peer, true)
	}
}

// MonitorNode asks to be told by NodeEvents when the node comes up or goes down. The first one comes at once and says
// how it is now; asking again asks for that (EFF-51). It lasts until DemonitorNode.
func (c *Context) MonitorNode(node ra.NodeID) {
	n := c.Node()
	p := &n.peers
	c.ref.extras().watchesNodes = true
	p.mu.Lock()
	defer p.mu.Unlock()
	if old := p.watches[node][c.ref]; old != nil {
		old.ended = true
	}
	w := &nodeWatch{watcher: c.ref}
	for i := range w.events {
		w.events[i].Node, w.events[i].watch = node, w
	}
	if p.watches[node] == nil {
		p.watches[node] = make(map[*Ref]*nodeWatch)
	}
	p.watches[node][c.ref] = w
	w.changed(p.up[node] || node == n.cfg.Name)
}

// DemonitorNode ends it; events that wait will not come any more.
func (c *Context) DemonitorNode(node ra.NodeID) {
	p := &c.Node().peers
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(node, c.ref)
}

func (p *peers) drop(node ra.NodeID, r *Ref) {
	w := p.watches[node][r]
	if w == nil {
		return
	}
	w.ended = true
	delete(p.watches[node], r)
	if len(p.watches[node]) == 0 {
		delete(p.watches, node)
	}
}

// forget drops all that a process which has ended had asked for.
func (p *peers) forget(r *Ref) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for node := range p.watches {
		p.drop(node, r)
	}
}

// changed brings the waiting events up to date. Events alternate, so with two in the lane the new state is what the
// first of them says, and then the second is void, or it is what the second said before it became void.
func (w *nodeWatch) changed(up bool) {
	for i := range w.events {
		e := &w.events[i]
		if !e.queued {
			e.Up, e.queued, e.void = up, true, false
			w.last = e
			w.watcher.deliver(e)
			return
		}
	}
	w.last.void = w.last.Up != up
}

// received is called when the watcher takes an event out of its lane. It reports whether it is to be shown, and if so
// returns a copy, because the event itself may be used again.
func (p *peers) received(e *NodeEvent) (*NodeEvent, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.queued = false
	if e.void || e.watch.ended {
		return nil, false
	}
	return &NodeEvent{Node: e.Node, Up: e.Up}, true
}

// peerChanged is called by the fabric, one call at a time.
func (n *Node) peerChanged(peer ra.NodeID, up bool) {
	p := &n.peers
	p.calls.Lock()
	defer p.calls.Unlock()
	p.mu.Lock()
	if up {
		p.up[peer] = true
	} else {
		delete(p.up, peer)
	}
	for _, w := range p.watches[peer] {
		w.changed(up)
	}
	handlers := slices.Clone(p.handlers)
	p.mu.Unlock()
	if up { // a request that overtook the news that the connection was lost is lost with it
		n.watchAnew(n.Link(peer))
	} else {
		n.nodeLost(peer)
	}
	for _, h := range handlers {
		h(peer, up)
	}
}
