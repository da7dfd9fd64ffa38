package actor

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Frame is what travels on a Link: one unit of traffic between two nodes, most often a batch for many actors. The
// receiver shares it with the sender, so neither may change it.
type Frame any

// The frames by which nodes talk about processes; all others are for HandleFrames.
type (
	sendFrame struct {
		to  ra.PID
		msg any
	}
	watchFrame   struct{ pid ra.PID }
	unwatchFrame struct{ pid ra.PID }
	downFrame    struct {
		pid    ra.PID
		reason error
	}
)

// Fabric is a network in memory that connects the nodes of one process: those opened with it in their Config. It has
// switches for tests. All methods may be called from any goroutine.
type Fabric struct {
	mu    sync.Mutex
	nodes map[ra.NodeID]*Node
	links map[pair]*Link
	apart map[pair]bool // pairs, in both orders, that Disconnect has parted
	// events wait to be told, one after the other and outside the lock, and the first perhaps just is. told counts those that
	// were; progress is signalled when that grows.
	events   []nodeChange
	telling  bool
	told     uint64
	progress sync.Cond
}

type pair struct{ from, to ra.NodeID }

// nodeChange is that one node comes to see another one or loses sight of it.
type nodeChange struct {
	node *Node
	peer ra.NodeID
	up   bool
}

// NewFabric returns a network without nodes.
func NewFabric() *Fabric {
	f := &Fabric{nodes: make(map[ra.NodeID]*Node), links: make(map[pair]*Link), apart: make(map[pair]bool)}
	f.progress.L = &f.mu
	return f
}

// Link is the way from one node to another, whether or not they are connected. Keep it: to look it up costs more than
// to use it.
type Link struct {
	from *Node
	to   ra.NodeID
	peer atomic.Pointer[Node] // nil if not connected
	cut  atomic.Bool
}

// Link returns the way to another node.
func (n *Node) Link(to ra.NodeID) *Link {
	if l, ok := n.links.Load(to); ok {
		return l.(*Link)
	}
	l := &Link{from: n, to: to}
	if f := n.cfg.Fabric; f != nil {
		l = f.link(n, to)
	}
	kept, _ := n.links.LoadOrStore(to, l)
	return kept.(*Link)
}

// post sends a frame to another node. Unlike Link it leaves no trace of a node that never was, so that PIDs which come
// from far away cannot fill the table.
func (n *Node) post(to ra.NodeID, frame Frame) error {
	if !n.knows(to) {
		n.counts.dropped.Add(1)
		return ra.ErrNodeDown
	}
	return n.Link(to).Send(frame)
}

// sees reports whether another node is connected.
func (n *Node) sees(to ra.NodeID) bool { return n.knows(to) && n.Link(to).Up() }

func (n *Node) knows(to ra.NodeID) bool {
	if _, ok := n.links.Load(to); ok {
		return true
	}
	f := n.cfg.Fabric
	return f != nil && f.has(to)
}

// Up reports whether the nodes are connected.
func (l *Link) Up() bool { return l.peer.Load() != nil }

// To returns the name of the node that the link leads to.
func (l *Link) To() ra.NodeID { return l.to }

// Send hands a frame to the other node's handler, on the caller's goroutine, and returns when that has returned. It
// fails with ra.ErrNodeDown if the nodes are not connected; the frame is counted as dropped then (EFF-05).
func (l *Link) Send(f Frame) error {
	peer := l.peer.Load()
	if peer == nil {
		l.from.counts.dropped.Add(1)
		return ra.ErrNodeDown
	}
	if l.cut.Load() {
		l.from.counts.dropped.Add(1)
		return nil // the sender cannot know
	}
	peer.arrived(l.from.cfg.Name, f)
	return nil
}

// HandleFrames sets who gets the frames that other nodes send by Link.Send: f is called on the sender's goroutine, by
// several at once, and must not block. Frames that come before it is set are dropped.
func (n *Node) HandleFrames(f func(from ra.NodeID, frame Frame)) { n.frames.Store(&f) }

// arrived takes in a frame.
func (n *Node) arrived(from ra.NodeID, frame Frame) {
	switch f := frame.(type) {
	case sendFrame:
		_ = n.Send(f.to, f.msg) // counted there; nobody is told across nodes
	case watchFrame:
		n.watchedBy(from, f.pid)
	case unwatchFrame:
		n.unwatchedBy(from, f.pid)
	case downFrame:
		n.ended(f.pid, f.reason)
	default:
		if h := n.frames.Load(); h != nil {
			(*h)(from, frame)
		} else {
			n.counts.dropped.Add(1)
		}
	}
}

func (f *Fabric) has(node ra.NodeID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.nodes[node] != nil
}

// join puts a node into the network, and returns when that is told: then it sees all that were there before, and they see it.
// What waits to be told may be waited for, so that whoever is being told must not call it.
func (f *Fabric) join(n *Node) error {
	f.mu.Lock()
	if err := f.joinLocked(n); err != nil {
		f.mu.Unlock()
		return err
	}
	until := f.told + uint64(len(f.events))
	f.tellLocked()
	for f.told < until {
		f.progress.Wait()
	}
	f.mu.Unlock()
	return nil
}

func (f *Fabric) joinLocked(n *Node) error {
	name := n.cfg.Name
	if f.nodes[name] != nil {
		return fmt.Errorf("actor: node %s is open already: %w", name, ra.ErrNameTaken)
	}
	f.nodes[name] = n
	n.links.Range(func(to, l any) bool { // of before
		f.links[pair{name, to.(ra.NodeID)}] = l.(*Link)
		return true
	})
	for peer := range f.nodes {
		f.settle(name, peer)
		f.settle(peer, name)
	}
	return nil
}

// leave takes a node out of the network, if it is in it; the others see it go down.
func (f *Fabric) leave(n *Node) {
	f.mu.Lock()
	defer f.unlockAndTell()
	name := n.cfg.Name
	if f.nodes[name] != n {
		return
	}
	delete(f.nodes, name)
	for peer := range f.nodes {
		f.settle(peer, name)
	}
	for p, l := range f.links {
		if p.from == name {
			l.peer.Store(nil)
			delete(f.links, p)
		}
	}
}

// link returns the link between two nodes, made on first use.
func (f *Fabric) link(n *Node, to ra.NodeID) *Link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.linkLocked(n, to)
}

func (f *Fabric) linkLocked(n *Node, to ra.NodeID) *Link {
	p := pair{n.cfg.Name, to}
	l := f.links[p]
	if l == nil {
		l = &Link{from: n, to: to}
		if f.nodes[p.from] == n {
			f.links[p] = l
		}
	}
	return l
}

// settle makes the link between two nodes what it should be now, and tells the one that sends if that is a change.
func (f *Fabric) settle(from, to ra.NodeID) {
	n := f.nodes[from]
	if n == nil || from == to {
		return
	}
	want := f.nodes[to]
	if f.apart[pair{from, to}] {
		want = nil
	}
	l := f.linkLocked(n, to)
	was := l.peer.Swap(want)
	if was != want {
		f.events = append(f.events, nodeChange{node: n, peer: to, up: want != nil})
	}
}

// unlockAndTell releases f.mu and tells of what has changed, in order. Whoever is telling goes on until all is told,
// so a caller that finds it so may return a little before its own change is told.
func (f *Fabric) unlockAndTell() {
	f.tellLocked()
	f.mu.Unlock()
}

// tellLocked is unlockAndTell for who needs the lock afterwards. It is not held meanwhile.
func (f *Fabric) tellLocked() {
	if f.telling {
		return
	}
	f.telling = true
	for len(f.events) > 0 {
		e := f.events[0]
		f.mu.Unlock()
		e.node.peerChanged(e.peer, e.up)
		f.mu.Lock()
		f.events = f.events[1:]
		f.told++
		f.progress.Broadcast()
	}
	f.events, f.telling = nil, false
}

// Disconnect parts two nodes, and both notice: monitors say ra.ErrNodeDown and sends fail, until Connect.
func (f *Fabric) Disconnect(a, b ra.NodeID) { f.part(a, b, true) }

// Connect ends what Disconnect began. Nodes of one fabric are connected from the start.
func (f *Fabric) Connect(a, b ra.NodeID) { f.part(a, b, false) }

func (f *Fabric) part(a, b ra.NodeID, apart bool) {
	f.mu.Lock()
	defer f.unlockAndTell()
	for _, p := range []pair{{a, b}, {b, a}} {
		if apart {
			f.apart[p] = true
		} else {
			delete(f.apart, p)
		}
		f.settle(p.from, p.to)
	}
}

// Cut lets everything that one node sends to another vanish, and nobody notices, until Heal. The other direction works.
// Both nodes must be open.
func (f *Fabric) Cut(from, to ra.NodeID) {
	if l, _ := f.between(from, to); l != nil {
		l.cut.Store(true)
	}
}

// Heal ends what Cut began. What both nodes watch at each other is asked for anew, since a request or an answer may
// have been lost: a Down comes late then, but it comes.
func (f *Fabric) Heal(from, to ra.NodeID) {
	forth, back := f.between(from, to)
	if forth == nil {
		return
	}
	forth.cut.Store(false)
	forth.from.watchAnew(forth)
	back.from.watchAnew(back)
}

// between returns the links between two open nodes, nil if they are not both open.
func (f *Fabric) between(from, to ra.NodeID) (forth, back *Link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, b := f.nodes[from], f.nodes[to]
	if a == nil || b == nil || a == b {
		return nil, nil
	}
	return f.linkLocked(a, to), f.linkLocked(b, from)
}
