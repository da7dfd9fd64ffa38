package raft

import (
	"fmt"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// benchGroup is a leader and two followers whose messages go from hand to hand, without copies of the log: entries
// are attached from the newest batch.
type benchGroup struct {
	leader    *Raft
	followers [2]*Raft
	batch     []ra.Entry
	msg       Message
	inbox     [8]Message
	waiting   int
}

func newBenchGroup(b *testing.B) *benchGroup {
	g := newGroup(b, "a", "b", "c")
	g.do("a", Message{Kind: Campaign})
	g.propose("a", 1)
	return &benchGroup{leader: g.members["a"].raft, followers: [2]*Raft{g.members["b"].raft, g.members["c"].raft}}
}

// leaderTakes closes the leader's batch and hands its messages to a follower each.
func (g *benchGroup) leaderTakes() uint64 {
	o := g.leader.Orders()
	g.batch = append(g.batch, o.Append...)
	for i := range o.Messages {
		g.inbox[g.waiting] = o.Messages[i]
		g.waiting++
	}
	return o.Seq
}

// followersTake closes a batch for each message, lets the disk confirm, and gives the acknowledgements to the leader.
func (g *benchGroup) followersTake() {
	for i := range g.waiting {
		m := &g.inbox[i]
		f := g.followers[0]
		if m.To != f.self {
			f = g.followers[1]
		}
		if n := m.Last - m.Index; n > 0 {
			m.Entries = g.batch[len(g.batch)-int(n):]
		}
		f.Step(m)
		seq := f.Orders().Seq
		if seq == 0 {
			continue
		}
		g.msg = Message{Kind: Written, Seq: seq}
		f.Step(&g.msg)
		o := f.Orders()
		for k := range o.Messages {
			g.leader.Step(&o.Messages[k])
		}
	}
	g.waiting = 0
}

// round brings a batch of proposals to be committed everywhere.
func (g *benchGroup) round(proposal *Message) {
	g.batch = g.batch[:0]
	g.leader.Step(proposal)
	seq := g.leaderTakes()
	g.followersTake()
	g.msg = Message{Kind: Written, Seq: seq}
	g.leader.Step(&g.msg)
	g.leaderTakes()
	g.followersTake()
}

// BenchmarkCommit measures a leader and two followers together, with everything but network, disk and machine. The
// checksum of each entry's body is part of it.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			g := newBenchGroup(b)
			proposal := Message{Kind: Propose, Entries: proposals(n)}
			g.round(&proposal)
			before := g.leader.commit
			b.ReportAllocs()
			b.ResetTimer()
			rounds := 0
			for ; b.Loop(); rounds++ {
				g.round(&proposal)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*n), "ns/entry")
			if got := int(g.leader.commit - before); got != rounds*n {
				b.Fatalf("%d of %d entries are committed", got, rounds*n)
			}
		})
	}
}
