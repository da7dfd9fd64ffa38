package system

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// A node with members of a cluster hears from them who leads it, and who belongs to it. One that has none knows what it
// was told last, and the cluster may have moved meanwhile, as a whole. Such a node is a visitor here; when nobody answers
// whom it knows it asks all nodes that are up.

// seekTime bounds how long other nodes are asked where a cluster is.
const seekTime = time.Second

// whereabouts is what a node says of a cluster, or what several say together. The zero whereabouts says nothing.
type whereabouts struct {
	machine string
	// running: members run there, and say who the members are. Otherwise members are those that are registered there.
	running bool
	members []ra.ServerID
	// leader is who is held for the leader of term; leads: that one lives there.
	leader ra.ServerID
	term   ra.Term
	leads  bool
}

// whereabouts says what this node has of a cluster.
func (n *Node) whereabouts(cluster string) (w whereabouts) {
	for _, r := range n.registry.byCluster(cluster) {
		w.machine = r.reg.machine
		w.members = append(w.members, r.id)
		w.running = w.running || r.proc.Load() != nil
	}
	e := n.board.get(cluster)
	if !w.running || e == nil {
		return w
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	w.term, w.members = e.term, e.ids()
	if s := e.standing.Load(); s.leader != nil {
		w.leader, w.leads = s.leader.id, s.leader.id.Node == n.Name()
	}
	return w
}

// and returns what two nodes say together: the one of the newer term is believed, of one term the one that has the leader.
func (w whereabouts) and(other whereabouts) whereabouts {
	switch {
	case other.running && !w.running:
		return other
	case !other.running && !w.running:
		w.members = union(w.members, other.members)
	case other.running && (other.term > w.term || other.term == w.term && other.leads):
		return other
	}
	return w
}

// union returns the members of both lists.
func union(a, b []ra.ServerID) []ra.ServerID {
	all := a[:len(a):len(a)]
	for _, id := range b {
		if !slices.Contains(a, id) {
			all = append(all, id)
		}
	}
	return all
}

// askAround asks all nodes that are up for a cluster with that machine; any machine will do if that is empty. silent are those
// that have not answered, of which nobody knows what they have.
func (n *Node) askAround(ctx context.Context, cluster, machine string) (sum whereabouts, silent []ra.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, seekTime)
	defer cancel()
	nodes := append(n.actors.Peers(), n.Name())
	said, answered := make([]whereabouts, len(nodes)), make([]bool, len(nodes))
	var all sync.WaitGroup
	for i, node := range nodes {
		all.Go(func() { said[i], answered[i] = n.askNode(ctx, node, cluster) })
	}
	all.Wait()
	sum.machine = machine
	for i, w := range said {
		if !answered[i] {
			silent = append(silent, nodes[i])
		}
		if len(w.members) > 0 && (machine == "" || w.machine == machine) {
			sum = sum.and(w)
		}
	}
	return sum, silent
}

// askNode asks one node for a cluster. It reports whether that has answered.
func (n *Node) askNode(ctx context.Context, node ra.NodeID, cluster string) (w whereabouts, answered bool) {
	if node == n.Name() {
		return n.whereabouts(cluster), true
	}
	c := n.newCall(callSeek)
	if err := n.submitThere(ra.ServerID{Name: cluster, Node: node}, c); err != nil {
		c.discard()
		return whereabouts{}, false
	}
	r, _ := c.wait(ctx)
	w, answered = r.Reply.(whereabouts)
	return w, answered
}

// search is a look round for a cluster that is under way. Everybody who misses the cluster meanwhile shares it.
type search struct {
	over  chan struct{}
	found bool // once over is closed: a member runs somewhere
}

// search begins to look for a cluster, unless somebody is doing that; nil if the node is closing.
func (n *Node) search(e *entry) *search {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.search != nil {
		return e.search
	}
	s := &search{over: make(chan struct{})}
	begun := n.chore(func() {
		w, _ := n.askAround(context.Background(), e.cluster, e.machine)
		e.adopt(n, w)
		e.mu.Lock()
		e.search = nil
		e.mu.Unlock()
		s.found = w.running
		close(s.over)
	})
	if !begun {
		return nil
	}
	e.search = s
	return s
}

// seek has a visitor look round for a cluster. It reports whether a member of it was found to run.
func (n *Node) seek(ctx context.Context, e *entry) bool {
	s := n.search(e)
	if s == nil {
		return false
	}
	select {
	case <-s.over:
		return s.found
	case <-n.quit:
	case <-ctx.Done():
	}
	return false
}

// visited reports whether the node is but a visitor: no member of the cluster runs here or is being started.
func (e *entry) visited() bool { return e.cluster != "" && !e.busy() }

// isForeign reports whether a member is none as far as is known.
func (e *entry) isForeign(id ra.ServerID) bool {
	return !slices.ContainsFunc(e.standing.Load().members, func(r *route) bool { return r.id == id })
}

// adopt takes in what others say of a cluster, unless members of it are here, who know better. What only names members
// that do not run is no reason to forget others.
func (e *entry) adopt(n *Node, w whereabouts) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(w.members) == 0 || e.local > 0 || e.starting != nil {
		return
	}
	old := e.standing.Load()
	next := &standing{leader: old.leader}
	if w.running {
		next.members, next.leader = n.routes(w.members), nil
	} else {
		next.members = n.routes(union(w.members, e.ids()))
	}
	if w.leader != (ra.ServerID{}) {
		next.leader = n.route(w.leader)
	}
	e.set(next)
}

// refresh has a visitor ask the leader for the members, since they have just been changed.
func (n *Node) refresh(ctx context.Context, e *entry) {
	r, err := n.do(ctx, e, &request{kind: callMembers, at: leaderOf(e)})
	if m, ok := r.Reply.(membersReply); ok && err == nil {
		e.adopt(n, whereabouts{running: true, members: idsOf(m.now), leader: r.Leader})
	}
}

// missed is told how a call failed that is not tried again, so that a visitor asks the right one the next time.
func (n *Node) missed(e *entry, err error) {
	if !e.visited() {
		return
	}
	var redirect *ra.NotLeaderError
	if errors.As(err, &redirect) && redirect.Leader != (ra.ServerID{}) {
		e.hint(n, redirect.Leader, 0)
	} else if redirect != nil || errors.Is(err, ra.ErrNoProcess) || errors.Is(err, ra.ErrNodeDown) {
		n.search(e)
	}
}
