package system

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// StartOrRestartCluster starts the members of a cluster that are stopped, or a new cluster if there is none of that name
// (API-05). It returns when a leader answers; then Cluster.NotStarted names the members that do not run, as far as their
// nodes could be asked. Members that run are left alone, so the call may be repeated.
//
// There is a cluster if any of the members that cfg names or this node knows is registered on its node, or any member on a
// node that is up; then cfg says no more than where to look, for the cluster may have other members by now. It is never
// replaced by a new one, also if it has lost a majority: then the call fails when ctx is done, and what it started runs on.
// Nor does one begin where nothing is found and somebody may have it: a majority of the members that cfg names, and of
// those that this node knows, must have been asked and have nothing, and all nodes that are up must have answered. Otherwise
// it fails: with ra.ErrDamaged if a node has lost something that may have been a member (Report.Unaccounted, Report.Orphans, or one
// of Report.Damaged without a name), so that only StartCluster begins anew; with ra.ErrNodeDown, or what else kept these from
// being asked, if that may be done later.
//
// It fails with ra.ErrNameTaken if the cluster has another machine than cfg.Machine. If several nodes call it at once for a
// cluster that is not there yet, one of them starts it and all get it.
// All its errors are *StartError.
func (n *Node) StartOrRestartCluster(ctx context.Context, cfg ClusterConfig) (*Cluster, error) {
	for {
		c, err := n.startOrRestart(ctx, cfg)
		if !errors.Is(err, errThere) || ctx.Err() != nil {
			return c, err
		}
		// Somebody has begun it since this call looked for it, so that there is something to be found, or nobody any more.
	}
}

func (n *Node) startOrRestart(ctx context.Context, cfg ClusterConfig) (*Cluster, error) {
	v := revival{node: n, cfg: cfg, why: make(map[ra.ServerID]error)}
	if err := n.checkCluster(&v.cfg); err != nil {
		return nil, &StartError{Cluster: cfg.Name, Err: err}
	}
	if e := n.board.get(cfg.Name); e != nil {
		over, _ := e.underWay()
		awaitEnd(ctx, over)
	}
	v.start(ctx, v.cfg.Members)
	if e := n.board.get(cfg.Name); e != nil {
		v.start(ctx, e.ids())
	}
	found, err := v.found()
	if !found { // neither where cfg says nor where this node knows of
		w, silent := n.askAround(ctx, cfg.Name, "")
		v.silent = silent
		v.start(ctx, w.members)
		if found, err = v.found(); found && err == nil {
			n.board.open(cfg.Name, cfg.Machine).adopt(n, w)
		}
	}
	if !found {
		if err = v.unknown(ctx); err == nil {
			return n.StartCluster(ctx, v.cfg)
		}
	}
	var c *Cluster
	if err == nil {
		c, err = v.lead(ctx)
	}
	if err != nil {
		return nil, &StartError{Cluster: cfg.Name, Err: err}
	}
	return c, nil
}

// revival is a cluster of which stopped members are started.
type revival struct {
	node *Node
	cfg  ClusterConfig
	// asked are the lists of members that were asked for: each is, as somebody says, the cluster's.
	asked [][]ra.ServerID
	// silent are the nodes that are up and were asked whether they have any, and have not answered.
	silent []ra.NodeID
	// why tells of each member that was tried why it does not run; nil: it does.
	why map[ra.ServerID]error
}

// start starts members that were not tried yet.
func (v *revival) start(ctx context.Context, ids []ra.ServerID) {
	if !slices.ContainsFunc(v.asked, func(before []ra.ServerID) bool { return slices.Equal(before, ids) }) {
		v.asked = append(v.asked, ids)
	}
	var todo []ra.ServerID
	for _, id := range ids {
		if _, tried := v.why[id]; !tried {
			todo = append(todo, id)
		}
	}
	like := errandFor{cluster: v.cfg.Name, machine: v.cfg.Machine}
	for i, err := range v.node.runAllOf(ctx, errandRevive, like, todo) {
		v.why[todo[i]] = err
	}
}

// found reports whether there is such a cluster: one of its members is registered, whether or not it could be started. The
// error says why it is not the one that is wanted.
func (v *revival) found() (bool, error) {
	found := false
	for _, err := range v.why {
		if errors.Is(err, errOtherMachine) {
			return true, err
		}
		found = found || !saysNothing(err)
	}
	return found, nil
}

var (
	// errMayBeLost says that a cluster of which nothing is found is not known to be new, and what can be done.
	errMayBeLost = errors.New("nothing of it is found, and it may be among what these nodes have lost: bring back the nodes " +
		"that are away, or what was lost, and call again; Node.StartCluster gives it up and begins anew")
	// errNotAsked says that of others.
	errNotAsked = errors.New("nothing of it is found, and these, who may have it, could not be asked: call again when they can; " +
		"Node.StartCluster begins anew without them")
)

// unknown returns an error if the cluster, of which nothing was found, may be there all the same: it wraps ra.ErrDamaged if that
// is because something is lost. Who does not say that he has nothing is not taken for somebody who has nothing.
func (v *revival) unknown(ctx context.Context) error {
	var open []*MemberError
	for _, ids := range v.asked {
		lost, others := v.uncertain(ids)
		if len(lost) > 0 {
			return fmt.Errorf("%w: %w", errMayBeLost, joined(lost))
		}
		open = append(open, others...)
	}
	err := joined(open)
	for _, node := range v.silent {
		why := ctx.Err()
		if why == nil {
			why = ra.ErrNodeDown
		}
		err = errors.Join(err, fmt.Errorf("node %s has not answered: %w", node, why))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNotAsked, err)
	}
	return nil
}

// uncertain returns which members of a cluster may be there: those that may be lost, and those that could not be asked. There
// are none if a majority certainly is not: no cluster began, or goes on, without one.
func (v *revival) uncertain(ids []ra.ServerID) (lost, others []*MemberError) {
	never := 0
	for _, id := range ids {
		switch err := v.why[id]; {
		case errors.Is(err, ra.ErrDamaged):
			lost = append(lost, &MemberError{Member: id, Err: err})
		case errors.Is(err, errAbsent):
			never++
		default:
			others = append(others, &MemberError{Member: id, Err: err})
		}
	}
	if 2*never > len(ids) {
		return nil, nil
	}
	return lost, others
}

// saysNothing reports whether the error of errandRevive leaves it open whether the cluster has data on that node, or says
// that it has none.
func saysNothing(err error) bool {
	for _, nothing := range []error{
		errAbsent, ra.ErrNameTaken, ra.ErrNodeDown, ra.ErrClosed, ra.ErrOverloaded, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, nothing) {
			return true
		}
	}
	return false
}

// lead returns when a leader has answered and those of its members were tried that cfg did not name.
func (v *revival) lead(ctx context.Context) (*Cluster, error) {
	e := v.node.board.open(v.cfg.Name, v.cfg.Machine)
	e.known.Store(true)
	if len(e.ids()) == 0 {
		e.setMembers(v.node, v.cfg.Members)
	}
	v.awake(ctx, e)
	if err := v.node.answers(ctx, e, nil); err != nil {
		return nil, errors.Join(err, joined(v.failures(v.cfg.Members)))
	}
	known, err := v.node.do(ctx, e, &request{kind: callMembers, at: leaderOf(e)})
	if err != nil {
		return nil, err
	}
	members, _ := known.Reply.(membersReply)
	v.start(ctx, idsOf(members.now))
	return &Cluster{node: v.node, entry: e, notStarted: v.failures(idsOf(members.now))}, nil
}

// awake has a member that was never told anything stand for election: whoever started the cluster was stopped before it
// did that, and such members wait in silence (API-07).
func (v *revival) awake(ctx context.Context, e *entry) {
	if leaderOf(e) != nil {
		return
	}
	for _, id := range e.ids() {
		if err, tried := v.why[id]; !tried || err != nil {
			continue
		}
		m, err := v.node.Member(id).Metrics(ctx)
		if err == nil && m.Running && m.Term == 0 && m.Last == 0 {
			_, _ = v.node.do(ctx, e, &request{kind: callCampaign, at: v.node.route(id), fixed: true})
			return
		}
	}
}

// failures returns why members do not run.
func (v *revival) failures(ids []ra.ServerID) []*MemberError {
	var failed []*MemberError
	for _, id := range ids {
		if err := v.why[id]; err != nil {
			failed = append(failed, &MemberError{Member: id, Err: err})
		}
	}
	return failed
}

var (
	// errAbsent says that a member is not registered where it should be.
	errAbsent = fmt.Errorf("%w: it is not registered", ra.ErrNoProcess)
	// errOtherMachine says that a cluster has another machine than is wanted.
	errOtherMachine = fmt.Errorf("%w by a cluster with another machine", ra.ErrNameTaken)
)

// revive starts a member of this node, unless it runs; nil is one that is not registered. It fails with errAbsent, and
// ra.ErrDamaged, too, if it may have been registered; with ra.ErrNameTaken if the member is of another cluster,
// errOtherMachine, and as startMember does.
func (n *Node) revive(ctx context.Context, r *record, f errandFor) error {
	switch {
	case r == nil:
		return n.orLostOf(f.cluster, errAbsent)
	case r.reg.cluster != f.cluster:
		return fmt.Errorf("%w: member %s is of cluster %s", ra.ErrNameTaken, r.id.Name, r.reg.cluster)
	case r.reg.machine != f.machine:
		return fmt.Errorf("%w: %s", errOtherMachine, r.reg.machine)
	}
	err := n.startMember(ctx, r)
	if errors.Is(err, ra.ErrNameTaken) && r.proc.Load() != nil {
		return nil // it runs
	}
	return err
}
