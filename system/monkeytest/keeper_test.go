package monkeytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// keeper operates one cluster.
type keeper struct {
	w   *world
	rng *rand.Rand
	s   *subject
	h   *host
	c   *system.Cluster
	// tries counts how often the cluster was to be healed.
	tries int
}

// stage says how far a change of the members has come.
type stage int

const (
	settled  stage = iota
	removing       // the member is being removed
	wiping         // its data are being deleted
	adding         // another one is being added
)

// move is the way of one member of a cluster to another node, or away and back. Members go by force one at a time: who
// deletes two of three loses what they had.
type move struct {
	stage      stage
	from, to   ra.ServerID
	membership ra.Membership
}

// duties are what a keeper does with a cluster that lives.
var duties = []func(*keeper){
	(*keeper).transfer, (*keeper).campaign, (*keeper).pause, (*keeper).pauseAll, (*keeper).revive,
	(*keeper).change, (*keeper).change, (*keeper).change, (*keeper).change, (*keeper).delete,
}

// calm are what a keeper does while a disk decays: who changes members then may take the sound majority away.
var calm = []func(*keeper){
	(*keeper).transfer, (*keeper).campaign, (*keeper).pause, (*keeper).pauseAll, (*keeper).revive, (*keeper).delete,
}

// run operates the cluster until the context is over.
func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(k.rng.IntN(1000)) * time.Millisecond)
		if k.find() {
			k.act()
		}
	}
}

// find takes an open node, and its handle on the cluster if it has one.
func (k *keeper) find() bool {
	k.c = nil
	if k.h = k.w.any(k.rng); k.h == nil {
		return false
	}
	k.c, _ = k.h.node.Cluster(k.s.name)
	return true
}

func (k *keeper) act() {
	switch {
	case k.s.dying:
		k.again(2 * time.Second)
	case k.c != nil && k.w.victim >= 0:
		calm[k.rng.IntN(len(calm))](k)
	case k.c != nil:
		duties[k.rng.IntN(len(duties))](k)
	}
}

func (k *keeper) call(what string, limit time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return k.w.call(k.s.name, fmt.Sprintf("%s %s", nodeName(k.h.i), what), ctx, f)
}

// config describes the cluster as it is to be when it begins.
func (k *keeper) config() system.ClusterConfig {
	nodes := k.rng.Perm(len(k.w.hosts))
	count := []int{1, 3, 3, 3, 2, 4}[k.rng.IntN(6)]
	if k.w.victim >= 0 {
		count = 3
	}
	var names []ra.NodeID
	for _, i := range nodes[:min(count, len(nodes))] {
		names = append(names, nodeName(i))
	}
	return system.ClusterConfig{Name: k.s.name, Machine: k.s.machine, Members: system.Members(k.s.name, names...)}
}

// create starts the cluster. If that fails, commands that others had applied meanwhile may be gone.
func (k *keeper) create(limit time.Duration) error {
	cfg := k.config()
	k.s.past.ending()
	time.Sleep(time.Millisecond) // what is born from now on is none of the old lives
	begin := time.Now()
	var c *system.Cluster
	err := k.call(fmt.Sprint("start ", cfg.Members), limit, func(ctx context.Context) (err error) {
		c, err = k.h.node.StartCluster(ctx, cfg)
		return err
	})
	if err != nil || k.h.crashed.Load() {
		k.s.dying = true
		return err
	}
	k.s.past.started(begin)
	k.s.dying, k.s.move = false, move{}
	for _, m := range c.NotStarted() {
		k.w.note(k.s.name, "not started: %v", m)
		k.s.move = move{stage: removing, from: m.Member, to: m.Member}
	}
	return nil
}

// again makes sure that a cluster that may be deleted is, and starts it anew. Only when it is gone for sure: two clusters of
// one name may live on different nodes.
func (k *keeper) again(limit time.Duration) {
	if k.c != nil && !k.s.gone {
		_ = k.call("restart", limit, k.c.Restart)
		k.s.past.ending()
		err := k.call("delete", limit, k.c.Delete)
		k.s.gone = err == nil && !k.h.crashed.Load()
	}
	if k.s.gone = k.s.gone || k.nothingLeft(); !k.s.gone {
		if k.here() {
			k.elect() // a cluster whose start was cut short has no leader that could delete it
		}
		return
	}
	k.s.gone = k.create(limit) != nil && k.nothingLeft()
}

// here reports whether the node has a member of the cluster.
func (k *keeper) here() bool {
	for _, c := range k.h.node.Overview().Clusters {
		if c.Name == k.s.name {
			return len(c.Here) > 0
		}
	}
	return false
}

// elect has the node's member stand for election.
func (k *keeper) elect() {
	_ = k.call("campaign", time.Second, k.h.node.Member(ra.ServerID{Name: k.s.name}).TriggerElection)
}

// nothingLeft reports whether all nodes are open and none has a member of the cluster.
func (k *keeper) nothingLeft() bool {
	for i := range k.w.hosts {
		h := k.w.host(i)
		if h == nil {
			return false
		}
		for _, c := range h.node.Overview().Clusters {
			if c.Name == k.s.name && len(c.Here) > 0 {
				return false
			}
		}
	}
	return true
}

// wipe deletes what there is of the cluster by force, from all nodes: members of clusters whose start was cut short may be
// too few to ever elect a leader.
func (k *keeper) wipe() {
	k.w.wiped.Add(1)
	k.describe()
	k.s.past.ending()
	for i := range k.w.hosts {
		m := k.h.node.Member(ra.ServerID{Name: k.s.name, Node: nodeName(i)})
		_ = k.call(fmt.Sprint("wipe by force ", m.ID()), 2*time.Second, m.Delete)
	}
}

// delete deletes the cluster. Whatever it returns, the cluster may be deleted.
func (k *keeper) delete() {
	if k.s.move.stage != settled || k.rng.IntN(2) == 0 {
		return
	}
	k.s.past.ending()
	k.s.dying = true
	_ = k.call("delete", time.Duration(k.rng.IntN(3000))*time.Millisecond, k.c.Delete)
}

// one returns one of the cluster's members, as the node knows them.
func (k *keeper) one() (ra.ServerID, bool) {
	members := k.c.Members()
	if len(members) == 0 {
		return ra.ServerID{}, false
	}
	return members[k.rng.IntN(len(members))], true
}

func (k *keeper) transfer() {
	if id, ok := k.one(); ok {
		_ = k.call(fmt.Sprint("transfer to ", id), time.Second, func(ctx context.Context) error { return k.c.TransferLeadership(ctx, id) })
	}
}

func (k *keeper) campaign() {
	if id, ok := k.one(); ok {
		_ = k.call(fmt.Sprint("campaign ", id), time.Second, k.h.node.Member(id).TriggerElection)
	}
}

// pause stops a member for a while.
func (k *keeper) pause() {
	id, ok := k.one()
	if !ok {
		return
	}
	m := k.h.node.Member(id)
	_ = k.call(fmt.Sprint("stop ", id), time.Second, m.Stop)
	time.Sleep(time.Duration(k.rng.IntN(1000)) * time.Millisecond)
	_ = k.call(fmt.Sprint("restart ", id), time.Second, m.Restart)
}

// pauseAll stops all members for a while.
func (k *keeper) pauseAll() {
	_ = k.call("stop", time.Second, k.c.Stop)
	time.Sleep(time.Duration(k.rng.IntN(100)) * time.Millisecond)
	_ = k.call("restart", time.Second, k.c.Restart)
}

// revive has what is stopped run again.
func (k *keeper) revive() {
	cfg := system.ClusterConfig{Name: k.s.name, Machine: k.s.machine, Members: k.c.Members()}
	if k.here() { // otherwise a new cluster might be started beside one of which the node does not know
		_ = k.call("start or restart", 2*time.Second, func(ctx context.Context) error {
			_, err := k.h.node.StartOrRestartCluster(ctx, cfg)
			return err
		})
	}
}

// change goes on with the change of the members, or begins one.
func (k *keeper) change() {
	m := &k.s.move
	switch m.stage {
	case settled:
		k.begin(m)
	case removing:
		err := k.call(fmt.Sprint("remove ", m.from), 2*time.Second, func(ctx context.Context) error { return k.c.RemoveMember(ctx, m.from) })
		switch {
		case err == nil || errors.Is(err, ra.ErrNotMember):
			m.stage = wiping
		case noVoter(err):
			m.stage = settled // it is the last one: who drew it knew old members
		}
	case wiping:
		if k.call(fmt.Sprint("wipe ", m.from), 2*time.Second, k.h.node.Member(m.from).Delete) == nil {
			m.stage = adding
		}
	case adding:
		k.add(m)
	}
}

// begin draws a member that is to move. Half of the moves begin with its data being deleted.
func (k *keeper) begin(m *move) {
	members := k.c.Members()
	from, ok := k.one()
	if !ok || len(members) < 3 {
		return
	}
	to := ra.ServerID{Name: k.s.name, Node: nodeName(k.rng.IntN(len(k.w.hosts)))}
	if slices.Contains(members, to) {
		to = from
	}
	*m = move{stage: removing, from: from, to: to, membership: ra.Membership(k.rng.IntN(2))}
	if k.rng.IntN(2) == 0 && k.canLose(from) {
		_ = k.call(fmt.Sprint("wipe by force ", from), 2*time.Second, k.h.node.Member(from).Delete)
	}
}

// canLose reports whether the cluster has a majority without that member: there are three at least, all of them voters. What
// this node holds for the members may be old, so the leader is asked, and has to prove that it leads.
func (k *keeper) canLose(id ra.ServerID) bool {
	leader, ok := k.c.Leader()
	if !ok {
		return false
	}
	o, err := k.h.node.Member(leader).Overview(k.w.ctx(time.Second))
	if err != nil || o.Status.Role != ra.Leader || !o.Core.ChangePermitted {
		return false
	}
	proof, err := k.c.ConsistentQuery(k.w.ctx(time.Second), askPast{})
	members := o.Core.Configuration.Members
	return err == nil && proof.Term == o.Status.Term && len(members) > 2 &&
		slices.ContainsFunc(members, func(m ra.Member) bool { return m.ID == id }) &&
		!slices.ContainsFunc(members, func(m ra.Member) bool { return m.Membership != ra.Voter })
}

// add adds the member, as AddMember's documentation says.
func (k *keeper) add(m *move) {
	err := k.call(fmt.Sprint("add ", m.to), 2*time.Second, func(ctx context.Context) error { return k.c.AddMember(ctx, m.to, m.membership) })
	switch {
	case err == nil || errors.Is(err, ra.ErrAlreadyMember):
		m.stage = settled
	case errors.Is(err, ra.ErrNameTaken):
		_ = k.call(fmt.Sprint("wipe ", m.to), 2*time.Second, k.h.node.Member(m.to).Delete)
	}
}
