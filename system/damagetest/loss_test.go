package damagetest

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// struck is a damaged node of a reference.
type struck struct {
	node ra.NodeID
	how  damage
}

// loss opens the nodes of a reference of which some are damaged, does what the errors tell a user to do, and looks that
// nothing is lost in silence, that nothing is lost that a sound majority has, and that everything goes on which can.
type loss struct {
	attempt
	fabric  *actor.Fabric
	struck  []struck
	reports map[ra.NodeID]system.Report
	last    map[string]ra.Result // of each cluster that goes on
	// accepted are the clusters of which a loss was accepted, replaced those that got new members, and over those that
	// cannot go on.
	accepted, replaced, over []string
}

// lose damages copies of nodes, and goes through their lives.
func (r *reference) lose(t *testing.T, all []struck) (v verdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &loss{attempt: attempt{t: t, ref: r, disks: make(map[ra.NodeID]*vfs.Mem), want: maps.Clone(r.want)}, struck: all}
		for _, n := range r.nodes {
			a.disks[n] = clone(r.disks[n])
		}
		for _, s := range all {
			s.how.apply(t, a.disks[s.node], r, s.node)
		}
		a.firstLife()
		left := a.kill()
		a.closeAll()
		a.secondLife()
		a.otherSecondLife(left)
		v.outcome, v.problems = a.outcome(), a.problems
	})
	return v
}

func (a *loss) outcome() string {
	suspects := 0
	for _, r := range a.reports {
		suspects += len(r.Suspect)
	}
	switch {
	case len(a.problems) > 0:
		return wrong
	case len(a.over) > 0:
		return "some cluster cannot go on"
	case len(a.accepted) > 0:
		return "a loss was accepted"
	case len(a.replaced) > 0:
		return "a member was replaced"
	case suspects > 0:
		return "repaired from the peers"
	}
	return "nothing lost"
}

// firstLife opens the nodes and brings every cluster to go on.
func (a *loss) firstLife() {
	a.openAll()
	a.reports = make(map[ra.NodeID]system.Report)
	for name, n := range a.open {
		a.reports[name] = n.Report()
	}
	a.last = make(map[string]ra.Result)
	for _, cluster := range slices.Sorted(maps.Keys(a.want)) {
		a.bring(cluster)
	}
	a.compare()
}

// secondLife opens the nodes again: I9: what was accepted or repaired stays so.
func (a *loss) secondLife() {
	a.openAll()
	for name, n := range a.open {
		report := n.Report()
		for _, uids := range []map[ra.UID]error{report.Suspect, report.Damaged} {
			for uid, err := range uids {
				if cluster := clusterOf(uid); a.last[cluster].Index > 0 && a.reports[name].Damaged[uid] == nil {
					a.problem("%s is damaged again on %s: %v", cluster, name, err)
				}
			}
		}
	}
	for _, cluster := range slices.Sorted(maps.Keys(a.last)) {
		if got, err := a.command(cluster); err != nil {
			a.problem("%s does not go on in the next life: %v", cluster, err)
		} else {
			a.took(cluster, got, a.want[cluster])
		}
	}
	a.compare()
	a.closeAll()
}

// remains is what is left of the nodes when they are killed, and what they had acknowledged.
type remains struct {
	disks map[ra.NodeID]*vfs.Mem
	want  map[string]digest
}

// kill returns what is left of the nodes if they are killed now.
func (a *loss) kill() remains {
	synctest.Wait()
	left := remains{disks: make(map[ra.NodeID]*vfs.Mem), want: maps.Clone(a.want)}
	for name, disk := range a.disks {
		left.disks[name] = disk.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
	}
	return left
}

// otherSecondLife opens the nodes, as they were left when they were killed, with the files as they were before they were damaged, which
// somebody has found somewhere, and in half of the cases with all snapshots and segments of before, beside those that there are or in
// their place. Nothing of what these have comes back: I12: a cluster goes on where it was, or says that it has lost something.
func (a *loss) otherSecondLife(left remains) {
	a.disks, a.want = left.disks, left.want
	for i, s := range a.struck {
		switch (int(s.how.At) + i) % 4 {
		case 0:
			a.restore(s.node, false, "snapshots", "segments")
		case 1:
			a.restore(s.node, true, "segments")
		case 2:
			a.restore(s.node, true, "snapshots", "segments")
		}
		a.putBack(s.node, s.how.File)
		a.putBack(s.node, s.how.Other)
	}
	a.openAll()
	for _, cluster := range slices.Sorted(maps.Keys(a.last)) {
		if got, err := a.command(cluster); err == nil {
			a.took(cluster, got, a.want[cluster])
		} else if count := a.members(cluster); 2*count[sound] > len(a.ref.nodes) || count[lost]+count[suspect] == 0 {
			a.problem("%s, of which files were put back, and %v members are sound, suspect and lost: %v", cluster, count, err)
		}
	}
	a.closeAll()
}

// restore puts directories back as the reference has them; instead says that nothing else is in them then.
func (a *loss) restore(node ra.NodeID, instead bool, dirs ...string) {
	for _, dir := range dirs {
		for _, name := range inDir(a.t, a.disks[node], dir) {
			if instead {
				remove(a.t, a.disks[node], name)
			}
		}
		for _, name := range inDir(a.t, a.ref.disks[node], dir) {
			a.putBack(node, name)
		}
	}
}

// putBack puts a file back as the reference has it.
func (a *loss) putBack(node ra.NodeID, name string) {
	if slices.Contains(list(a.t, a.ref.disks[node]), name) {
		write(a.t, a.disks[node], name, read(a.t, a.ref.disks[node], name))
	}
}

func (a *loss) openAll() {
	a.open, a.fabric = make(map[ra.NodeID]*system.Node), actor.NewFabric()
	for _, name := range a.ref.nodes {
		n, err := system.Open(a.t.Context(), config(name, a.fabric, a.disks[name]))
		if err != nil {
			a.problem("%s does not open: %v", name, err)
			continue
		}
		a.open[name] = n
	}
}

func (a *loss) closeAll() {
	synctest.Wait()
	for name, n := range a.open {
		if err := n.Close(context.Background()); err != nil {
			a.problem("%s does not close: %v", name, err)
		}
	}
}

// isStruck reports whether a node is damaged.
func (a *loss) isStruck(node ra.NodeID) bool {
	return slices.ContainsFunc(a.struck, func(s struck) bool { return s.node == node })
}

// via returns a sound node, or the first one if there is none.
func (a *loss) via() ra.NodeID {
	for _, n := range a.ref.nodes {
		if !a.isStruck(n) {
			return n
		}
	}
	return a.ref.nodes[0]
}

// command gives a cluster a command.
func (a *loss) command(cluster string) (ra.Result, error) {
	return a.process(a.via(), cluster, a.order(cluster))
}

// order is the command.
func (a *loss) order(cluster string) []byte { return []byte{opCount, byte(len(cluster)), 7} }

// took notes what a command made of a state.
func (a *loss) took(cluster string, got ra.Result, before digest) {
	if want := before.next(a.order(cluster)); got.Reply != want {
		a.problem("%s has silently lost something: %+v, want %+v", cluster, got.Reply, want)
	}
	a.want[cluster], _ = got.Reply.(digest)
	a.last[cluster] = got
}

// The states of a member.
const (
	sound   = iota
	suspect // it has lost entries
	lost    // it does not run
)

// member returns the state of a cluster's member on a node.
func (a *loss) member(cluster string, node ra.NodeID) int {
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	switch o, err := a.open[node].Member(ra.ServerID{Name: cluster, Node: node}).Overview(ctx); {
	case err != nil:
		return lost
	case o.Core.Suspect:
		return suspect
	}
	return sound
}

// members returns how many members of a cluster are in which state.
func (a *loss) members(cluster string) (count [3]int) {
	for _, node := range a.ref.nodes {
		count[a.member(cluster, node)]++
	}
	return count
}

// bring brings a cluster to go on, if that is possible.
func (a *loss) bring(cluster string) {
	got, err := a.command(cluster)
	count := a.members(cluster)
	switch {
	case err == nil:
		a.took(cluster, got, a.want[cluster])
	case 2*count[sound] > len(a.ref.nodes):
		a.problem("%s is not available, though a majority is sound: %v", cluster, err)
		return
	case !errors.Is(err, ra.ErrDamaged) && count[lost] == 0:
		a.problem("%s, of which a majority is damaged: %v", cluster, err)
		return
	default:
		a.local(cluster)
		a.accept(cluster, count, a.uncertain(cluster, err, nil))
	}
	if a.last[cluster].Index > 0 {
		a.replaceLost(cluster)
	}
}

// local asks the members that run while nobody leads: what they answer is something that the cluster once was.
func (a *loss) local(cluster string) {
	for _, node := range a.ref.nodes {
		ctx, cancel := context.WithTimeout(a.t.Context(), patience)
		got, err := a.open[node].Member(ra.ServerID{Name: cluster, Node: node}).LocalQuery(ctx, nil)
		cancel()
		switch state := a.member(cluster, node); {
		case err != nil && state == lost:
		case err != nil:
			a.problem("a local query of %s on %s: %v", cluster, node, err)
		case !a.was(cluster, got.Reply):
			a.problem("a local query of %s on %s is answered with %+v, which it never was", cluster, node, got.Reply)
		}
	}
}

// was reports whether something was the state of a cluster once.
func (a *loss) was(cluster string, reply any) bool {
	d, ok := reply.(digest)
	return ok && slices.Contains(a.ref.past[cluster], d)
}

// accept accepts losses of a cluster, one after the other, until it goes on. It goes on with something that it once was,
// and perhaps with the commands that ended with an error saying so.
func (a *loss) accept(cluster string, count [3]int, unsure []digest) {
	for _, s := range a.struck {
		ctx, cancel := context.WithTimeout(a.t.Context(), patience)
		err := a.open[s.node].AcceptLoss(ctx, cluster)
		cancel()
		if err != nil {
			continue // it has lost its vote, and must not get another one
		}
		got, err := a.command(cluster)
		if err != nil {
			unsure = a.uncertain(cluster, err, unsure)
			continue // another one is needed
		}
		for _, before := range slices.Concat(a.ref.past[cluster], unsure) {
			if got.Reply == before.next(a.order(cluster)) {
				a.accepted = append(a.accepted, cluster)
				a.took(cluster, got, before)
				return
			}
		}
		a.problem("%s goes on with %+v, which follows on nothing that it was", cluster, got.Reply)
		return
	}
	if a.over = append(a.over, cluster); 2*count[lost] <= len(a.ref.nodes) {
		a.problem("%s does not go on, though only %d of its members have lost their votes", cluster, count[lost])
	}
}

// uncertain returns the states that a cluster may come to if a command takes effect later whose error says that it may.
func (a *loss) uncertain(cluster string, err error, before []digest) []digest {
	if !ra.MayHaveBeenApplied(err) {
		return before
	}
	out := slices.Clone(before)
	for _, d := range slices.Concat(a.ref.past[cluster], before) {
		out = append(out, d.next(a.order(cluster)))
	}
	return out
}

// replaceLost has new members take the places of those that do not run, as the error says.
func (a *loss) replaceLost(cluster string) {
	for _, s := range a.struck {
		if a.member(cluster, s.node) != lost {
			continue
		}
		if err := a.replace(cluster, s.node); err != nil {
			a.problem("the member of %s on %s is not replaced: %v", cluster, s.node, err)
			continue
		}
		a.replaced = append(a.replaced, cluster)
	}
}

// replace removes a member, deletes it, and adds another one.
func (a *loss) replace(cluster string, node ra.NodeID) error {
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	id := ra.ServerID{Name: cluster, Node: node}
	c, err := a.open[a.via()].Cluster(cluster)
	if err != nil {
		return err
	}
	if err := c.RemoveMember(ctx, id); err != nil {
		return err
	}
	if err := a.open[node].Member(id).Delete(ctx); err != nil && !errors.Is(err, ra.ErrNoProcess) {
		return err
	}
	return c.AddMember(ctx, id, ra.Promotable)
}

// compare compares all members of the clusters that go on.
func (a *loss) compare() {
	for _, cluster := range slices.Sorted(maps.Keys(a.last)) {
		for _, node := range a.ref.nodes {
			a.equal(cluster, node)
		}
	}
}

// equal compares the state of a member with what its cluster has acknowledged. One that had applied what others lost stops
// when the loss was accepted, and must be replaced.
func (a *loss) equal(cluster string, node ra.NodeID) {
	ask := func() (ra.Result, error) {
		ctx, cancel := context.WithTimeout(a.t.Context(), patience)
		defer cancel()
		return queryAfter(ctx, a.open[node].Member(ra.ServerID{Name: cluster, Node: node}), a.last[cluster])
	}
	got, err := ask()
	if err != nil && slices.Contains(a.accepted, cluster) && !slices.Contains(a.replaced, cluster) {
		if err = a.replace(cluster, node); err == nil {
			a.replaced = append(a.replaced, cluster)
			got, err = ask()
		}
	}
	if err != nil {
		a.problem("%s on %s: %v", cluster, node, err)
	} else if got.Reply != a.want[cluster] {
		a.problem("%s on %s differs: %+v, want %+v", cluster, node, got.Reply, a.want[cluster])
	}
}
