package damagetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// pairs is how many pairs of damaged nodes a campaign tries.
const pairs = 2000

// TestLosses damages nodes and then does what the errors tell a user to do: accepts the loss of one-member clusters
// (1-node), and where two of three nodes are damaged (two-of-three); replaces members that have lost both copies of their
// vote (votes). What goes on goes on with something that the cluster once was, with all of it as long as a majority is
// sound; members agree; what was repaired stays so; only a cluster of which a majority has no vote any more is over, and
// a one-member cluster of which nobody knows the name (I2, I9 to I12, I21).
func TestLosses(t *testing.T) {
	for _, part := range []struct {
		name         string
		nodes, count int
		plan         func(t *testing.T, r *reference) [][]struck
	}{
		{"1-node", 1, 16, onOne},
		{"votes", 3, 8, onVotes},
		{"two-of-three", 3, 16, onTwo},
	} {
		t.Run(part.name, func(t *testing.T) {
			r := referenceOf(t, part.nodes)
			if r.past == nil {
				t.Fatal("the reference in this directory was made by an older version of the test: take another directory")
			}
			plan := part.plan(t, r)
			if *campaignDir == "" {
				var some [][]struck
				for _, i := range sample(int64(len(plan)), int64(part.count), 4) {
					some = append(some, plan[i])
				}
				plan = some
			}
			campaign(t, "losses-"+part.name, len(plan), func(t *testing.T, i int) []finding {
				return []finding{r.lossOf(t, part.name, plan[i])}
			})
		})
	}
}

// lossOf tries damages and puts them into the table.
func (r *reference) lossOf(t *testing.T, row string, all []struck) finding {
	t.Helper()
	v := r.lose(t, all)
	f := finding{row: row, outcome: v.outcome}
	if len(v.problems) > 0 {
		f.problem = fmt.Sprintf("%v\n%s\nrepeat it with: go test ./system/damagetest -run TestReplayLoss -v -campaign %s -replay '%s'",
			all, strings.Join(v.problems, "\n"), r.keep(t), strings.Join(describe(len(r.nodes), all), ";"))
	}
	return f
}

// describe returns the words that TestReplayLoss reads.
func describe(nodes int, all []struck) (out []string) {
	for _, s := range all {
		out = append(out, fmt.Sprintf("%d:%s:%s", nodes, s.node, s.how))
	}
	return out
}

// onOne damages the only node: files in many ways, and bits of what belongs to single members.
func onOne(t *testing.T, r *reference) (out [][]struck) {
	for _, d := range slices.Concat(r.damages(t, r.nodes[0]), ownFlips(t, r.disks[r.nodes[0]], 8)) {
		out = append(out, []struck{{r.nodes[0], d}})
	}
	return out
}

// onVotes takes both copies of votes from one of three nodes.
func onVotes(t *testing.T, r *reference) (out [][]struck) {
	for _, node := range r.nodes {
		for _, d := range votes(t, r.disks[node]) {
			out = append(out, []struck{{node, d}})
		}
	}
	return out
}

// onTwo damages two of three nodes, half of the times so that both may cost the same clusters something.
func onTwo(t *testing.T, r *reference) (out [][]struck) {
	plans := make(map[ra.NodeID][2][]damage)
	for _, node := range r.nodes {
		plans[node] = [2][]damage{r.damages(t, node), slices.Concat(ownFlips(t, r.disks[node], 8), votes(t, r.disks[node]))}
	}
	rng := rand.New(rand.NewPCG(8, 8))
	for i := range pairs {
		var all []struck
		for _, k := range rng.Perm(len(r.nodes))[:2] {
			plan := plans[r.nodes[k]][i%2]
			all = append(all, struck{r.nodes[k], plan[rng.IntN(len(plan))]})
		}
		out = append(out, all)
	}
	return out
}

// ownFlips returns some bits of each part of a file that belongs to one member alone: one part in so many.
func ownFlips(t *testing.T, disk *vfs.Mem, oneIn int) (out []damage) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, name := range list(t, disk) {
		for _, e := range owners(t, disk, name) {
			if e.to > e.from && rng.IntN(oneIn) == 0 {
				out = append(out, damage{How: "flip", File: name, At: 8*(e.from+rng.Int64N(e.to-e.from)) + rng.Int64N(8)})
			}
		}
	}
	return out
}

// TestReplayLoss tries one of the damages of TestLosses again.
func TestReplayLoss(t *testing.T) {
	if *replay == "" {
		t.Skip("-replay names no damage")
	}
	var all []struck
	nodes := 0
	for _, text := range strings.Split(*replay, ";") {
		n, node, d := parseReplay(t, text)
		all, nodes = append(all, struck{node, d}), n
	}
	f := referenceOf(t, nodes).lossOf(t, "replay", all)
	t.Log(f.outcome)
	if f.problem != "" {
		t.Error(f.problem)
	}
}
