package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// ClusterConfig says what cluster is to be started.
type ClusterConfig struct {
	// Name is the cluster's name, as ra.CheckName allows it.
	Name string
	// Machine names the machine, in Config.Machines of every node concerned.
	Machine string
	// Members are the first members; none means one on this node, with the cluster's name. A member without a node is on
	// this one.
	Members []ra.ServerID
	// InitialVersion is the version of the machine that the first commands are applied with (VER-10).
	InitialVersion machine.Version
}

// Members returns addresses for a cluster on nodes: each has the cluster's name; further ones on a node that is named
// again have a number behind it.
func Members(cluster string, nodes ...ra.NodeID) []ra.ServerID {
	seen := make(map[ra.NodeID]int)
	ids := make([]ra.ServerID, len(nodes))
	for i, node := range nodes {
		seen[node]++
		ids[i] = ra.ServerID{Name: cluster, Node: node}
		if k := seen[node]; k > 1 {
			ids[i].Name += "-" + strconv.Itoa(k)
		}
	}
	return ids
}

// StartCluster starts a new cluster and returns when it has a leader that answers (API-03). It fails with
// ra.ErrNameTaken, ra.ErrInvalidName, ra.ErrUnknownMachine or whatever keeps a majority of the members from being
// started, a *MemberError for each; then nothing is left running. It does not fail if others could not be started:
// Cluster.NotStarted names those. If several nodes start a cluster with the same members at once, one of these calls succeeds and
// the others fail with ra.ErrNameTaken. If ctx is done first the node may go on for some seconds to leave nothing behind, and another
// call for that name waits until then. If this node, or that of a member, is closed, crashes, is out of reach or has no room on its
// disk meanwhile, members may be left that were never elected: StartOrRestartCluster goes on with them, unless they are too few.
// Those keep the name until they are deleted by force (Member.Delete). What nodes have lost keeps no name: it begins anew where StartOrRestartCluster would not.
func (n *Node) StartCluster(ctx context.Context, cfg ClusterConfig) (*Cluster, error) {
	all, err := n.StartClusters(ctx, []ClusterConfig{cfg})
	if len(all) == 1 && all[0] != nil {
		return all[0], nil
	}
	return nil, err
}

// StartClusters starts many clusters at once, which is faster than one after the other. The handle of one that failed is
// nil, and the error has a *StartError for each of them.
func (n *Node) StartClusters(ctx context.Context, cfgs []ClusterConfig) ([]*Cluster, error) {
	births := make([]*birth, len(cfgs))
	for i, cfg := range cfgs {
		births[i] = n.conceive(ctx, cfg)
	}
	n.startMembersOf(ctx, births)
	each(births, 256, func(b *birth) error {
		n.elect(ctx, b)
		if b.err != nil && b.entry != nil {
			b.entry.failed()
		}
		return nil
	})
	n.seeTo(ctx, func() { n.bury(ctx, births) })
	clusters := make([]*Cluster, len(births))
	var failed []error
	for i, b := range births {
		if b.err != nil {
			failed = append(failed, &StartError{Cluster: b.cfg.Name, Err: b.err})
			continue
		}
		clusters[i] = &Cluster{node: n, entry: b.entry, notStarted: b.failures()}
	}
	return clusters, errors.Join(failed...)
}

// StartError says why a cluster could not be started.
type StartError struct {
	Cluster string
	Err     error
}

// Error names the cluster and the reason.
func (e *StartError) Error() string {
	return fmt.Sprintf("system: start cluster %q: %v", e.Cluster, e.Err)
}

// Unwrap returns the reason.
func (e *StartError) Unwrap() error { return e.Err }

// MemberError says why something could not be done for one member of a cluster.
type MemberError struct {
	Member ra.ServerID
	Err    error
}

// Error names the member and the reason.
func (e *MemberError) Error() string { return fmt.Sprintf("member %s: %v", e.Member, e.Err) }

// Unwrap returns the reason.
func (e *MemberError) Unwrap() error { return e.Err }

// NotStarted tells which of the cluster's members could not be started, and why, by the call that returned this handle:
// StartCluster, StartClusters or StartOrRestartCluster (API-03, API-05). They are members all the same, and count for the
// majority. One that has nothing on its node will not get there by itself: remove it and add it again. One whose node did
// not answer in time may run by now.
func (c *Cluster) NotStarted() []*MemberError { return slices.Clone(c.notStarted) }

// birth is a cluster on its way into the world.
type birth struct {
	cfg     ClusterConfig
	entry   *entry
	members []ra.Member
	// decider is the index of the member that is started first.
	decider int
	// started tells which members could be started, and why tells why others could not.
	started []bool
	why     []error
	err     error
}

var (
	// errThere says that there is a cluster of that name, something of one, or somebody who is starting one.
	errThere = fmt.Errorf("%w by its cluster", ra.ErrNameTaken)
	// errNewborn is errThere if somebody is just starting it.
	errNewborn = fmt.Errorf("%w, which is being started", errThere)
)

// failures returns why members could not be started.
func (b *birth) failures() []*MemberError {
	var failed []*MemberError
	for i, err := range b.why {
		if err != nil {
			failed = append(failed, &MemberError{Member: b.members[i].ID, Err: err})
		}
	}
	return failed
}

// conceive checks what was asked for, and names the members.
func (n *Node) conceive(ctx context.Context, cfg ClusterConfig) *birth {
	b := &birth{cfg: cfg}
	if b.err = n.checkCluster(&b.cfg); b.err != nil {
		return b
	}
	if b.entry, b.err = n.claim(ctx, &b.cfg); b.err != nil {
		return b
	}
	for _, id := range b.cfg.Members {
		b.members = append(b.members, ra.Member{ID: id, UID: newUID(b.cfg.Name)})
	}
	b.decider = decider(b.cfg.Name, b.cfg.Members)
	b.started, b.why = make([]bool, len(b.members)), make([]error, len(b.members))
	return b
}

// decider returns the index of the member that is started first: the same whoever starts the cluster, in whatever order he names
// its members. A hash of the name chooses it, so that those of many clusters are spread over the nodes.
func decider(cluster string, ids []ra.ServerID) int {
	sorted := slices.SortedFunc(slices.Values(ids), func(a, b ra.ServerID) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Name, b.Name))
	})
	return slices.Index(ids, sorted[hash(cluster)%uint32(len(sorted))])
}

func hash(cluster string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(cluster))
	return h.Sum32()
}

// claim takes the cluster's name.
func (n *Node) claim(ctx context.Context, cfg *ClusterConfig) (*entry, error) {
	if e := n.board.get(cfg.Name); e != nil {
		if over, doomed := e.underWay(); doomed {
			awaitEnd(ctx, over)
		}
	}
	return n.board.claim(cfg.Name, cfg.Machine)
}

// awaitEnd returns when over is closed or nil, or ctx is over.
func awaitEnd(ctx context.Context, over <-chan struct{}) {
	if over == nil {
		return
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// checkCluster refuses what cannot work, and fills in what was left out.
func (n *Node) checkCluster(cfg *ClusterConfig) error {
	if n.isClosing() {
		return ra.ErrClosed
	}
	if err := ra.CheckName(cfg.Name); err != nil {
		return err
	}
	if len(cfg.Members) == 0 {
		cfg.Members = Members(cfg.Name, n.Name())
	}
	if len(cfg.Members) > raft.MaxMembers {
		return fmt.Errorf("%w: %d members, allowed are %d", ra.ErrTooLarge, len(cfg.Members), raft.MaxMembers)
	}
	ids := make([]ra.ServerID, len(cfg.Members))
	seen := make(map[ra.ServerID]bool)
	for i, id := range cfg.Members {
		if id.Node == "" {
			id.Node = n.Name()
		}
		if err := errors.Join(ra.CheckName(id.Name), ra.CheckName(string(id.Node))); err != nil {
			return err
		}
		if seen[id] {
			return fmt.Errorf("%w: member %s is named twice", ra.ErrNameTaken, id)
		}
		ids[i], seen[id] = id, true
	}
	cfg.Members = ids
	return nil
}

// startMembersOf starts the members of all clusters. One of each goes first, and decides whose the name is if several nodes start the
// cluster at once: otherwise each of them might get some members, and none a majority.
func (n *Node) startMembersOf(ctx context.Context, births []*birth) {
	n.startSome(ctx, births, func(b *birth, member int) bool { return member == b.decider })
	for _, b := range births {
		if why := b.why; b.err == nil && errors.Is(why[b.decider], errNewborn) {
			b.err = joined(b.failures())
			for i := range why { // the others are not tried, so nothing of them is to be taken back
				why[i] = why[b.decider]
			}
		}
	}
	n.startSome(ctx, births, func(b *birth, member int) bool { return b.err == nil && member != b.decider })
}

// startSome starts those members that are chosen: one errand for each node, all at once.
func (n *Node) startSome(ctx context.Context, births []*birth, chosen func(b *birth, member int) bool) {
	type place struct{ birth, member int }
	errands := make(map[ra.NodeID]*errand)
	places := make(map[ra.NodeID][]place)
	var nodes []ra.NodeID
	for i, b := range births {
		for k, m := range b.members {
			if !chosen(b, k) {
				continue
			}
			at := m.ID.Node
			if errands[at] == nil {
				errands[at] = &errand{kind: errandStart}
				nodes = append(nodes, at)
			}
			errands[at].start = append(errands[at].start, registration{
				uid: m.UID, id: m.ID, cluster: b.cfg.Name, machine: b.cfg.Machine, initial: b.members, version: b.cfg.InitialVersion,
			})
			places[at] = append(places[at], place{i, k})
		}
	}
	each(nodes, len(nodes), func(at ra.NodeID) error {
		for i, err := range n.run(ctx, at, errands[at]) {
			p := places[at][i]
			births[p.birth].why[p.member], births[p.birth].started[p.member] = err, err == nil
		}
		return nil
	})
}

// joined returns errors as one, nil if there is none.
func joined(failed []*MemberError) error {
	errs := make([]error, len(failed))
	for i, err := range failed {
		errs[i] = err
	}
	return errors.Join(errs...)
}

// elect has one of the members elected, and returns when the cluster answers. Which one, a hash of the name decides, so
// that the leaders of many clusters are spread over the nodes.
func (n *Node) elect(ctx context.Context, b *birth) {
	if b.err != nil {
		return
	}
	var running []ra.ServerID
	for i, ok := range b.started {
		if ok {
			running = append(running, b.members[i].ID)
		}
	}
	if 2*len(running) <= len(b.members) {
		b.err = joined(b.failures())
		return
	}
	b.entry.setMembers(n, b.cfg.Members)
	first := n.route(running[hash(b.cfg.Name)%uint32(len(running))])
	if _, b.err = n.do(ctx, b.entry, &request{kind: callCampaign, at: first, fixed: true}); b.err != nil {
		return
	}
	b.err = n.answers(ctx, b.entry, first)
}

// noQuestion only proves something.
var noQuestion = machine.QueryFunc(func(machine.QueryContext, any) (any, error) { return nil, nil })

// answers returns when a cluster has a leader that answers. at, if set, is the member to ask first.
func (n *Node) answers(ctx context.Context, e *entry, at *route) error {
	r, err := n.do(ctx, e, &request{kind: callConsistent, question: noQuestion, at: at})
	e.hint(n, r.Leader, r.Term)
	return err
}

// bury leaves nothing of clusters that could not be started, even if ctx is done.
func (n *Node) bury(ctx context.Context, births []*birth) {
	rest := make(map[ra.NodeID][]errandFor)
	var nodes []ra.NodeID
	for _, b := range births {
		if b.entry != nil {
			defer n.started(b)
		}
		for i, ok := range b.started {
			if m := b.members[i]; b.err != nil && (ok || !errors.Is(b.why[i], ra.ErrNameTaken)) {
				if rest[m.ID.Node] == nil {
					nodes = append(nodes, m.ID.Node)
				}
				rest[m.ID.Node] = append(rest[m.ID.Node], errandFor{name: m.ID.Name, uid: m.UID})
			}
		}
	}
	each(nodes, len(nodes), func(node ra.NodeID) error {
		n.cleanUp(ctx, node, rest[node])
		return nil
	})
}

// started ends the claim on a cluster's name. Members that the name had here before, or that could not be taken back, are
// found under it, also if they do not run.
func (n *Node) started(b *birth) {
	n.board.started(b.entry, b.err == nil)
	if n.board.get(b.cfg.Name) != nil {
		return
	}
	for _, r := range n.registry.byCluster(b.cfg.Name) {
		n.enter(r)
	}
}

// seeTo does what is to be done even if ctx is over meanwhile. It returns when it is done, or ctx is over.
func (n *Node) seeTo(ctx context.Context, f func()) {
	done := make(chan struct{})
	if !n.chore(func() { defer close(done); f() }) {
		f() // the node is being closed, and nothing of it takes long any more
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// cleanUpTime bounds how long a call goes on, after its context is done, to leave nothing behind.
const cleanUpTime = 5 * time.Second

// cleanUp deletes members by force.
func (n *Node) cleanUp(ctx context.Context, node ra.NodeID, members []errandFor) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	n.run(ctx, node, &errand{kind: errandDelete, names: members})
}

// runAll does an errand for members, one for each node at the same time, and returns the errors by member.
func (n *Node) runAll(ctx context.Context, kind errandKind, ids []ra.ServerID) []error {
	return n.runAllOf(ctx, kind, errandFor{}, ids)
}

// runAllOf is runAll for an errand that needs more than names: what is the same for all members is in like.
func (n *Node) runAllOf(ctx context.Context, kind errandKind, like errandFor, ids []ra.ServerID) []error {
	places := make(map[ra.NodeID][]int)
	var nodes []ra.NodeID
	for i, id := range ids {
		if places[id.Node] == nil {
			nodes = append(nodes, id.Node)
		}
		places[id.Node] = append(places[id.Node], i)
	}
	errs := make([]error, len(ids))
	each(nodes, len(nodes), func(at ra.NodeID) error {
		e := &errand{kind: kind}
		for _, i := range places[at] {
			f := like
			f.name = ids[i].Name
			e.names = append(e.names, f)
		}
		for k, err := range n.run(ctx, at, e) {
			errs[places[at][k]] = err
		}
		return nil
	})
	return errs
}
