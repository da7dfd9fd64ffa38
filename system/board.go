package system

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// board is the leaderboard: what this node knows of clusters, by name (QRY-16).
type board struct {
	mu      sync.RWMutex
	entries map[string]*entry
	// defers reports whether the machine of that name answers later; machines remembers what it said.
	defers   func(machine string) bool
	machines map[string]bool
}

// entry is one cluster on the board. Handles of the cluster keep it.
type entry struct {
	cluster string
	machine string
	// defers: the machine may answer later.
	defers atomic.Bool
	// standing is what calls look at, one read without a lock.
	standing atomic.Pointer[standing]
	// removed: the cluster was deleted, or its name stands for another one.
	removed atomic.Bool
	// known: the node knows the cluster even if no member is here, for it was started from here, or had members here.
	known atomic.Bool

	mu sync.Mutex
	// term is the newest term of which the leader was told.
	term ra.Term
	// local counts the members that run here.
	local int
	// starting is closed when StartCluster has ended; nil if it has, or there is none. doomed: it has failed, and takes back what it
	// began.
	starting chan struct{}
	doomed   bool
	// changed is closed when standing changes; nil while nobody waits.
	changed chan struct{}
	// search is under way if it is not nil.
	search *search
}

// standing is how a cluster stands, as far as a node knows. It is never changed.
type standing struct {
	// leader is nil if none is known.
	leader  *route
	members []*route
}

// route is the way to one member: its record if it lives here.
type route struct {
	id  ra.ServerID
	rec *record
}

func (b *board) init(defers func(string) bool) {
	b.entries, b.machines, b.defers = make(map[string]*entry), make(map[string]bool), defers
}

// get returns the entry of a cluster, or nil.
func (b *board) get(cluster string) *entry {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.entries[cluster]
}

// open returns the entry of a cluster, a new one if there is none.
func (b *board) open(cluster, machine string) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.openLocked(cluster, machine)
}

func (b *board) openLocked(cluster, machine string) *entry {
	if e := b.entries[cluster]; e != nil {
		return e
	}
	return b.add(cluster, machine)
}

// join is open for a member that is about to run here; entry.left ends it. What is still known of an older cluster of
// that name with another machine is given up. An entry that knows no members gets those given: whoever finds it can ask.
func (b *board) join(n *Node, cluster, machine string, members []ra.ServerID) *entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.openLocked(cluster, machine)
	if e.machine != machine && !e.busy() {
		b.removeLocked(e)
		e = b.add(cluster, machine)
	}
	if len(e.standing.Load().members) == 0 {
		e.setMembers(n, members)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.local++
	return e
}

// claim makes a new entry for a cluster that is about to be started. It fails with errThere while members of one
// of that name run here, or another call starts one.
func (b *board) claim(cluster, machine string) (*entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.entries[cluster]; e != nil {
		if e.busy() {
			return nil, fmt.Errorf("%w: %s", errThere, cluster)
		}
		e.removed.Store(true)
	}
	e := b.add(cluster, machine)
	e.starting = make(chan struct{})
	return e, nil
}

// add puts a new entry on the board. b.mu is held.
func (b *board) add(cluster, machine string) *entry {
	defers, known := b.machines[machine]
	if !known {
		defers = b.defers(machine)
		b.machines[machine] = defers
	}
	e := &entry{cluster: cluster, machine: machine}
	e.defers.Store(defers)
	e.standing.Store(&standing{})
	b.entries[cluster] = e
	return e
}

// started ends a claim: a cluster that could not be started is forgotten, unless a member runs here that could not be
// removed again.
func (b *board) started(e *entry, ok bool) {
	e.mu.Lock()
	over := e.starting
	e.starting = nil
	e.mu.Unlock()
	e.known.Store(ok)
	if !ok {
		b.leave(e)
	}
	close(over)
}

// failed says that the cluster could not be started, and that started follows when nothing is left of it.
func (e *entry) failed() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.doomed = true
}

// underWay returns what is closed when StartCluster has ended, with nothing left if it failed; nil if it is not under way. doomed:
// it has failed.
func (e *entry) underWay() (over <-chan struct{}, doomed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.starting, e.doomed
}

// leave forgets a cluster unless members of it run here or are being started.
func (b *board) leave(e *entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !e.busy() {
		b.removeLocked(e)
	}
}

// busy reports whether members of the cluster run here or are being started.
func (e *entry) busy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.local > 0 || e.starting != nil
}

// livesOutside reports whether the cluster has members on other nodes, as far as is known.
func (e *entry) livesOutside(node ra.NodeID) bool {
	return slices.ContainsFunc(e.standing.Load().members, func(r *route) bool { return r.id.Node != node })
}

// abandon is called when the cluster has no member here any more and stays known. A member that comes later may belong
// to another cluster, whose terms begin anew.
func (e *entry) abandon() {
	e.known.Store(true)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.local == 0 {
		e.term = 0
	}
}

// removeLocked forgets a cluster, if e still stands for it. b.mu is held.
func (b *board) removeLocked(e *entry) {
	e.removed.Store(true)
	if b.entries[e.cluster] == e {
		delete(b.entries, e.cluster)
	}
}

// names returns all clusters, sorted.
func (b *board) names() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Sorted(maps.Keys(b.entries))
}

// set puts another standing in force and wakes who waits for one. e.mu is held.
func (e *entry) set(s *standing) {
	e.standing.Store(s)
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// routeTo returns the way to a member, one that is known if possible. e.mu is held.
func (e *entry) routeTo(n *Node, id ra.ServerID) *route {
	for _, r := range e.standing.Load().members {
		if r.id == id && (r.rec == nil) == (id.Node != n.Name()) {
			return r
		}
	}
	return n.route(id)
}

// route finds the way to a member.
func (n *Node) route(id ra.ServerID) *route {
	r := &route{id: id}
	if id.Node == n.Name() {
		r.rec = n.registry.byName(id.Name)
	}
	return r
}

// setMembers takes in the members of the cluster. What is known of the leader stays.
func (e *entry) setMembers(n *Node, ids []ra.ServerID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.set(&standing{leader: e.standing.Load().leader, members: n.routes(ids)})
}

// routes finds the ways to members, and sorts them.
func (n *Node) routes(ids []ra.ServerID) []*route {
	members := make([]*route, len(ids))
	for i, id := range ids {
		members[i] = n.route(id)
	}
	slices.SortFunc(members, func(a, b *route) int {
		return cmp.Or(cmp.Compare(a.id.Name, b.id.Name), cmp.Compare(a.id.Node, b.id.Node))
	})
	return members
}

// configured takes in the configuration of a member that runs here.
func (e *entry) configured(p *process, members []ra.Member) { e.setMembers(p.node, idsOf(members)) }

func idsOf(members []ra.Member) []ra.ServerID {
	ids := make([]ra.ServerID, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	return ids
}

// follows takes in what a member that runs here holds for the leader. The newest term counts.
func (e *entry) follows(p *process, s member.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.Term < e.term || s.Term == e.term && s.Leader == "" && s.Role == ra.Follower {
		return
	}
	e.term = s.Term
	old := e.standing.Load()
	next := &standing{members: old.members}
	if s.Leader != "" {
		id := p.serverID(s.Leader)
		if id == (ra.ServerID{}) || old.leader != nil && old.leader.id == id && !old.leader.stale() {
			return
		}
		next.leader = e.routeTo(p.node, id)
	} else if old.leader == nil {
		return
	}
	e.set(next)
}

// stale reports whether the record behind the route is gone.
func (r *route) stale() bool { return r.rec != nil && r.rec.proc.Load() == nil }

// hint takes in what an answer says of the leader, and its term, 0 if it says none. Members that run here know better, if
// they know any; but what one of them says that has not come so far yet is no news.
func (e *entry) hint(n *Node, leader ra.ServerID, term ra.Term) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.standing.Load()
	if leader == (ra.ServerID{}) || old.leader != nil && (old.leader.id == leader || e.local > 0) {
		return
	}
	if e.local > 0 { // otherwise it may be the term of an earlier cluster of the name
		e.term = max(e.term, term)
	}
	e.set(&standing{leader: e.routeTo(n, leader), members: old.members})
}

// left takes note that a member here has ended. If it led, no leader is known any more.
func (e *entry) left(p *process) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.local--
	if old := e.standing.Load(); old.leader != nil && old.leader.id == p.rec.id {
		e.set(&standing{members: old.members})
	}
}

// await returns a channel that is closed at the next change.
func (e *entry) await() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.changed
}

// waitLeader returns when a leader is known.
func (e *entry) waitLeader(ctx context.Context, n *Node) (ra.ServerID, error) {
	for {
		changed := e.await()
		if s := e.standing.Load(); s.leader != nil {
			return s.leader.id, nil
		}
		select {
		case <-changed:
		case <-n.quit:
			return ra.ServerID{}, ra.ErrClosed
		case <-ctx.Done():
			return ra.ServerID{}, n.noLeader(e, ctx.Err())
		}
	}
}
