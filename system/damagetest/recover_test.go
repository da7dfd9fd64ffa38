package damagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// patience is how long a call may take before it counts as one that hangs. It is the bubble's time and costs nothing.
const patience = 2 * time.Minute

// attempt opens the nodes of a reference, one of them damaged, and looks what became of all clusters.
type attempt struct {
	t      *testing.T
	ref    *reference
	node   ra.NodeID // the damaged one
	disks  map[ra.NodeID]*vfs.Mem
	open   map[ra.NodeID]*system.Node
	want   map[string]digest
	report system.Report // of the damaged node
	// hurt are the clusters of which the damaged node's member takes no part.
	hurt []string
	// older: what the node's log has of the cluster "late" may be gone.
	older bool
	// told: the damaged node has said that a part of its log is lost, which it does once.
	told bool
	// unnamed: of some member it is only known that there is one, and that it is damaged.
	unnamed bool
	// problems are what must not be.
	problems []string
}

// wrong is the outcome that must not be.
const wrong = "WRONG"

// verdict is what became of a damage.
type verdict struct {
	// outcome is a short name of what happened.
	outcome  string
	hurt     []string
	problems []string
}

// try damages a copy of one node's disk, opens all nodes, and gives every cluster something to do; then once more.
func (r *reference) try(t *testing.T, node ra.NodeID, d damage, twice bool) (v verdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := &attempt{t: t, ref: r, node: node, older: d.How == "all-old" || d.How == "clone", disks: make(map[ra.NodeID]*vfs.Mem), want: make(map[string]digest)}
		for _, n := range r.nodes {
			a.disks[n] = clone(r.disks[n])
		}
		if d.Killed {
			a.disks[node] = clone(r.killed[node])
		}
		d.apply(t, a.disks[node], r, node)
		for name, want := range r.want {
			a.want[name] = want
		}
		evidence := a.evidence(d)
		a.live()
		v.outcome = a.outcome()
		a.checkEvidence(d, evidence)
		if twice {
			first := slices.Clone(a.hurt)
			a.live()
			for _, name := range a.hurt {
				if !slices.Contains(first, name) {
					a.problem("%s was sound at first, and is damaged after a restart", name)
				}
			}
		}
		v.hurt, v.problems = a.hurt, a.problems
	})
	return v
}

func (a *attempt) problem(format string, args ...any) {
	a.problems = append(a.problems, fmt.Sprintf(format, args...))
}

// live opens the nodes, has every cluster do something, and closes the nodes.
func (a *attempt) live() {
	a.open, a.hurt = make(map[ra.NodeID]*system.Node), nil
	fabric := actor.NewFabric()
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	for _, name := range a.ref.nodes {
		n, err := system.Open(ctx, config(name, fabric, a.disks[name]))
		if err != nil {
			a.problem("%s does not open: %v", name, err)
			continue
		}
		a.open[name] = n
		if name == a.node {
			a.report = n.Report()
			a.told = a.told || len(a.report.Losses) > 0
		}
	}
	for _, cluster := range slices.Sorted(maps.Keys(a.want)) {
		a.ask(cluster)
	}
	synctest.Wait()
	for _, n := range a.open {
		if err := n.Close(context.Background()); err != nil {
			a.problem("%s does not close: %v", n.Name(), err)
		}
	}
}

// ask gives a cluster a command, by a node that is sound if there is one, and then looks at its members.
func (a *attempt) ask(cluster string) {
	command := []byte{opCount, byte(len(a.want)), 7}
	want := a.want[cluster].next(command)
	via := a.ref.nodes[0]
	if via == a.node {
		via = a.ref.nodes[len(a.ref.nodes)-1]
	}
	got, err := a.process(via, cluster, command)
	switch {
	case err == nil && got.Reply == want:
		a.want[cluster] = want
	case err == nil:
		a.problem("%s has silently lost something: %+v, want %+v", cluster, got.Reply, want)
		a.want[cluster] = got.Reply.(digest)
		return
	case len(a.ref.nodes) > 1:
		a.problem("%s is not available, though two of three members are sound: %v", cluster, err)
		return
	case errors.Is(err, ra.ErrDamaged):
		a.hurt = append(a.hurt, cluster)
		return
	case a.nameless(cluster):
		a.unnamed = true
		return
	default:
		a.problem("%s: %v", cluster, err)
		return
	}
	for _, name := range a.ref.nodes {
		a.look(name, cluster, got)
	}
}

func (a *attempt) process(via ra.NodeID, cluster string, command []byte) (ra.Result, error) {
	n := a.open[via]
	if n == nil {
		return ra.Result{}, errors.New("its node does not run")
	}
	c, err := n.Cluster(cluster)
	if err != nil {
		return ra.Result{}, err
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	return c.Process(ctx, command)
}

// queryAfter asks a member for its state when it has applied what last tells of. A snapshot may have taken the place of that
// entry; then it is of the term that was acknowledged, since that was committed.
func queryAfter(ctx context.Context, m *system.Member, last ra.Result) (ra.Result, error) {
	got, err := m.LocalQuery(ctx, nil, system.AfterApplied(last.Index, last.Term))
	if errors.Is(err, ra.ErrCompacted) {
		return m.LocalQuery(ctx, nil, system.AfterApplied(last.Index, 0))
	}
	return got, err
}

// look compares a member's state with what the cluster has acknowledged. Only that on the damaged node may have none.
func (a *attempt) look(node ra.NodeID, cluster string, last ra.Result) {
	n := a.open[node]
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	m := n.Member(ra.ServerID{Name: cluster, Node: node})
	got, err := queryAfter(ctx, m, last)
	switch {
	case err == nil && got.Reply == a.want[cluster]:
	case err == nil:
		a.problem("%s on %s differs: %+v, want %+v", cluster, node, got.Reply, a.want[cluster])
	case node == a.node && errors.Is(err, ra.ErrDamaged):
		a.hurt = append(a.hurt, cluster)
	case node == a.node && a.nameless(cluster):
		a.unnamed = true
	default:
		a.problem("%s on %s: %v", cluster, node, err)
	}
}

// nameless reports whether the damaged node has found a member of the cluster of which it does not know the name any more,
// or has lost the part of its log in which the cluster's first word was, and says so, or has said so in its life before.
func (a *attempt) nameless(cluster string) bool {
	if a.older && cluster == "late" && a.told {
		return true
	}
	for _, uids := range []map[ra.UID]error{a.report.Damaged, a.report.Suspect} {
		for uid := range uids {
			if clusterOf(uid) == cluster {
				return true
			}
		}
	}
	return false
}

// complains reports whether the damaged node has noticed anything.
func (a *attempt) complains() bool {
	r := &a.report
	return r.HighWater != nil || len(r.Damaged)+len(r.Suspect)+len(r.NotStarted)+len(r.Losses)+len(r.Quarantined)+len(r.Orphans)+
		len(r.Segments.Damaged)+len(r.Segments.Lost)+
		len(r.Segments.Degraded)+len(r.Segments.Quarantined)+len(r.Snapshots.Damaged)+len(r.Snapshots.Quarantined) > 0
}

// outcome names what happened.
func (a *attempt) outcome() string {
	switch {
	case len(a.problems) > 0:
		return wrong
	case a.unnamed:
		return "damaged, name lost too"
	case len(a.hurt) > 1:
		return "several members damaged"
	case len(a.hurt) == 1:
		return "one member damaged"
	case len(a.report.Suspect)+len(a.report.Damaged) > 0:
		return "repaired from its peers"
	case a.report.Torn:
		return "taken for a torn write"
	case a.complains():
		return "found, nothing lost"
	}
	return "no effect"
}

// evidence is what the damaged file holds before the nodes are opened.
func (a *attempt) evidence(d damage) []byte {
	if d.How != "flip" && d.How != "zero" && d.How != "garble" && d.How != "cut" {
		return nil
	}
	return read(a.t, a.disks[a.node], d.File)
}

// checkEvidence sees to it that what cost somebody something is still there, in its place or in quarantine.
func (a *attempt) checkEvidence(d damage, want []byte) {
	if want == nil || len(a.hurt) == 0 {
		return
	}
	dir, base := path.Dir(d.File), path.Base(d.File)
	for _, name := range list(a.t, a.disks[a.node]) {
		if name == d.File || strings.HasPrefix(name, dir+"/quarantine/"+base) {
			if slices.Equal(read(a.t, a.disks[a.node], name), want) {
				return
			}
		}
	}
	a.problem("%s was damaged, hurt %v, and is not there any more", d.File, a.hurt)
}

// sample returns count different numbers below n, spread over all of them, or all if count is not less.
func sample(n, count, seed int64) []int64 {
	out := make([]int64, 0, min(n, count))
	if count >= n {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 5))
	for i := range count {
		from, to := i*n/count, (i+1)*n/count
		out = append(out, from+rng.Int64N(to-from))
	}
	return out
}
