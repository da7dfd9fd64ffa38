package actor

import (
	"cmp"
	"slices"
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// MonitorRef names one monitor, on the node that made it. 0 is none.
type MonitorRef uint64

// Down tells a monitor that a process has ended. It comes by Context.Next, once for each monitor, behind everything
// that the process had sent to the monitor from the same node (EFF-50); for that it waits at the end of the client
// lane, whatever the lane's bound.
type Down struct {
	Item
	// Ref is what Context.Monitor returned.
	Ref MonitorRef
	PID ra.PID
	// Reason is nil for a normal end, ra.ErrNoProcess if there was no such process, ra.ErrNodeDown if the connection
	// to its node is lost (EFF-53), a *PanicError, or whatever it stopped with.
	Reason error
}

// monitor is one process's interest in the end of another. The Down is part of it, so that nothing need be allocated
// when it is due.
type monitor struct {
	down    Down
	watcher *Ref
	target  *target // nil when the Down is on its way
	// Links in the target's list, and in the list of all the watcher's monitors; at is what points to this one.
	at, ownAt     **monitor
	next, ownNext *monitor
}

// target is the head of the list of monitors of one process.
type target struct {
	pid   ra.PID
	first *monitor
}

// monitors is a node's table of who watches whom, wherever the target lives: a process of ours, a foreign protoactor
// actor, or a process of another node. Several monitors of one pair are independent of each other, as in Erlang.
//
// Lock order: monitors.mu, then names.mu, foreigners.mu or Ref.mu.
type monitors struct {
	mu      sync.Mutex
	last    MonitorRef
	byRef   map[MonitorRef]*monitor // until its Down was taken out of the lane
	targets map[ra.PID]*target
	// peers are the other nodes on which somebody watches a process of this node.
	peers map[ra.PID][]ra.NodeID
}

func (t *monitors) init() {
	t.byRef = make(map[MonitorRef]*monitor)
	t.targets = make(map[ra.PID]*target)
	t.peers = make(map[ra.PID][]ra.NodeID)
}

// Monitor asks to be told by a Down when the process ends. If it is dead, unknown or out of reach, the Down comes at
// once. What the process had left in its worker's Round when it ended is not in the lane yet and may come after.
func (c *Context) Monitor(pid ra.PID) MonitorRef {
	n, m := c.Node(), &monitor{watcher: c.ref}
	m.down.PID = pid
	t := &n.monitors
	owned := &c.ref.extras().monitors
	t.mu.Lock()
	first := t.add(m, owned)
	err := n.reachable(pid)
	if err != nil {
		t.settle(m)
	}
	t.mu.Unlock()
	switch {
	case err != nil:
		m.deliver(err)
	case first && pid.Node != n.cfg.Name:
		_ = n.post(pid.Node, watchFrame{pid}) // if it is lost now, nodeLost tells
	}
	return m.down.Ref
}

// Demonitor ends a monitor; its Down will not come any more. It reports whether it was still to come.
func (c *Context) Demonitor(ref MonitorRef) bool {
	n, t := c.Node(), &c.Node().monitors
	t.mu.Lock()
	m := t.byRef[ref]
	if m == nil || m.watcher != c.ref {
		t.mu.Unlock()
		return false
	}
	unwatch := t.remove(m) && m.down.PID.Node != n.cfg.Name
	t.mu.Unlock()
	if unwatch {
		_ = n.post(m.down.PID.Node, unwatchFrame{m.down.PID})
	}
	return true
}

// reachable returns nil if the end of pid will be reported to the table, or else why it will not. monitors.mu is held,
// so that an end that comes just now is reported after the monitor got into the table.
func (n *Node) reachable(pid ra.PID) error {
	if pid.Node != n.cfg.Name {
		if !n.sees(pid.Node) {
			return ra.ErrNodeDown
		}
		return nil
	}
	if n.find(pid) == nil && n.foreigners.find(pid) == nil {
		return ra.ErrNoProcess
	}
	return nil
}

// find returns the living process of ours with that identity, or nil.
func (n *Node) find(pid ra.PID) *Ref {
	if pid.Node != n.cfg.Name || pid.Incarnation != n.incarnation {
		return nil
	}
	r := n.names.get(pid.Name)
	if r == nil || r.spawn != pid.Spawn || !r.Alive() {
		return nil
	}
	return r
}

// add puts m into the table, and into the list of its watcher's monitors. It reports whether it is the target's first.
func (t *monitors) add(m *monitor, owned **monitor) (first bool) {
	t.last++
	m.down.Ref = t.last
	t.byRef[m.down.Ref] = m
	to := t.targets[m.down.PID]
	if to == nil {
		to = &target{pid: m.down.PID}
		t.targets[to.pid] = to
		first = true
	}
	m.target, m.at, m.next = to, &to.first, to.first
	if m.next != nil {
		m.next.at = &m.next
	}
	to.first = m
	m.ownAt, m.ownNext = owned, *owned
	if m.ownNext != nil {
		m.ownNext.ownAt = &m.ownNext
	}
	*owned = m
	return first
}

// settle takes m out of its target's list: either its Down is due or it is not wanted any more. It reports whether it
// was the last one.
func (t *monitors) settle(m *monitor) (last bool) {
	to := m.target
	if to == nil {
		return false
	}
	*m.at = m.next
	if m.next != nil {
		m.next.at = m.at
	}
	m.target, m.at, m.next = nil, nil, nil
	if to.first == nil {
		delete(t.targets, to.pid)
	}
	return to.first == nil
}

// remove takes m out of the table altogether. It reports whether it was the last of its target.
func (t *monitors) remove(m *monitor) (last bool) {
	delete(t.byRef, m.down.Ref)
	*m.ownAt = m.ownNext
	if m.ownNext != nil {
		m.ownNext.ownAt = m.ownAt
	}
	m.ownAt, m.ownNext = nil, nil
	return t.settle(m)
}

// received is called when the watcher takes a Down out of its lane. It reports whether the Down is still wanted.
func (t *monitors) received(d *Down) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byRef[d.Ref]
	if m == nil {
		return false
	}
	t.remove(m)
	return true
}

// deliver puts the Down into the watcher's client lane.
func (m *monitor) deliver(reason error) {
	m.down.Reason = reason
	m.watcher.deliver(&m.down)
}

// deliver puts a message into the client lane whatever its bound. The caller answers for it that these are few.
func (r *Ref) deliver(m Message) {
	r.mu.Lock()
	if r.dead {
		r.mu.Unlock()
		return
	}
	r.enqueue(m)
}

// ended tells all who watch pid that it has ended.
func (n *Node) ended(pid ra.PID, reason error) {
	t := &n.monitors
	t.mu.Lock()
	due := t.due(pid)
	peers := t.peers[pid]
	delete(t.peers, pid)
	t.mu.Unlock()
	for _, m := range due {
		m.deliver(reason)
	}
	for _, p := range peers {
		_ = n.post(p, downFrame{pid, reason}) // a node that is lost is told by its own nodeLost
	}
}

// due settles all monitors of pid and returns them in the order in which they were made.
func (t *monitors) due(pid ra.PID) []*monitor {
	to := t.targets[pid]
	if to == nil {
		return nil
	}
	var all []*monitor
	for to.first != nil {
		all = append(all, to.first)
		t.settle(to.first)
	}
	slices.Reverse(all)
	return all
}

// forget drops all monitors that a process which has ended had made.
func (n *Node) forget(x *extra) {
	t := &n.monitors
	var unwatch []ra.PID
	t.mu.Lock()
	for x.monitors != nil {
		m := x.monitors
		if t.remove(m) && m.down.PID.Node != n.cfg.Name {
			unwatch = append(unwatch, m.down.PID)
		}
	}
	t.mu.Unlock()
	for _, pid := range unwatch {
		_ = n.post(pid.Node, unwatchFrame{pid})
	}
}

// nodeLost tells all who watch a process of another node that the connection is lost, and forgets who watches there.
func (n *Node) nodeLost(peer ra.NodeID) {
	t := &n.monitors
	t.mu.Lock()
	var due []*monitor
	for pid := range t.targets {
		if pid.Node == peer {
			due = append(due, t.due(pid)...)
		}
	}
	for pid := range t.peers {
		t.dropPeer(pid, peer)
	}
	t.mu.Unlock()
	slices.SortFunc(due, func(a, b *monitor) int { return cmp.Compare(a.down.Ref, b.down.Ref) })
	for _, m := range due {
		m.deliver(ra.ErrNodeDown)
	}
}

// watchedBy is called when somebody on another node begins to watch pid, or asks again because messages may have been
// lost.
func (n *Node) watchedBy(peer ra.NodeID, pid ra.PID) {
	t := &n.monitors
	t.mu.Lock()
	err := n.reachable(pid)
	if err == nil && !slices.Contains(t.peers[pid], peer) {
		t.peers[pid] = append(t.peers[pid], peer)
	}
	t.mu.Unlock()
	if err != nil {
		_ = n.post(peer, downFrame{pid, err})
	}
}

// unwatchedBy is called when nobody on another node watches pid any more.
func (n *Node) unwatchedBy(peer ra.NodeID, pid ra.PID) {
	n.monitors.mu.Lock()
	defer n.monitors.mu.Unlock()
	n.monitors.dropPeer(pid, peer)
}

func (t *monitors) dropPeer(pid ra.PID, peer ra.NodeID) {
	rest := slices.DeleteFunc(t.peers[pid], func(p ra.NodeID) bool { return p == peer })
	if len(rest) == 0 {
		delete(t.peers, pid)
	} else {
		t.peers[pid] = rest
	}
}

// watchAnew asks another node again for the end of everything that is watched there; to ask twice does no harm.
func (n *Node) watchAnew(l *Link) {
	for _, pid := range n.watchedAt(l.to) {
		_ = l.Send(watchFrame{pid})
	}
}

// watchedAt returns the processes of another node that are watched here.
func (n *Node) watchedAt(peer ra.NodeID) []ra.PID {
	n.monitors.mu.Lock()
	defer n.monitors.mu.Unlock()
	var pids []ra.PID
	for pid := range n.monitors.targets {
		if pid.Node == peer {
			pids = append(pids, pid)
		}
	}
	return pids
}
