package rafttest

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// job is what a member wants done away from itself. The work happens at one moment and the member hears of it at
// another, and a crash may come before, between, or in the middle of the work.
type job struct {
	work, done func()
	owner      *peer
	server     *member.Server // that asked for it
}

// Run takes a job from the member.
func (p *peer) Run(work, done func()) {
	j := &job{work, done, p, p.server}
	p.node.jobs = append(p.node.jobs, j)
	p.sim.plan(p.sim.dice.skewed(p.sim.profile.Sync), event{kind: evWork, node: p.node, worker: p, life: p.node.life, job: j})
}

// work does a job.
func (n *node) work(e *event) {
	for i, j := range n.jobs {
		if j == e.job {
			n.jobs = append(n.jobs[:i], n.jobs[i+1:]...)
			break
		}
	}
	e.job.work()
	e.worker.stored()
	after := time.Duration(0)
	if n.sim.dice.oneIn(2) {
		after = n.sim.dice.skewed(n.sim.profile.Delay)
	}
	n.sim.plan(after, event{kind: evDone, peer: e.worker, life: n.life, job: e.job, server: e.job.server})
}

// stored looks whether a work has left a newer durable snapshot.
func (p *peer) stored() {
	info, ok := p.node.snaps.Newest(p.uid)
	if ok && !p.deleted && info.Index != p.cluster.truth.members[p.uid].snap.Index {
		p.sim.done.Snapshots++
		p.cluster.truth.snapshot(p.uid, info.Index, info.Term)
	}
}
