package rafttest

import (
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Workload is a course of events that is always the same and in which nothing goes wrong but what its script says. So a
// Strike can be tried at each of its operations.
type Workload struct {
	// Name names the workload, and About says in a line what it does to the disk.
	Name, About string
	// Events is how many events it has before it heals.
	Events  int
	profile Profile
	script  func(*sim)
	// reached says of an undisturbed run whether it did what it is there for.
	reached func(Outcome) bool
}

// Workloads returns all of them.
func Workloads() []*Workload {
	return []*Workload{
		{
			Name: "append", About: "one member appends small entries, and the log is sealed and goes on", Events: 300,
			profile: calm(1, nil), reached: func(o Outcome) bool { return o.Acknowledged > 20 },
		},
		{
			Name: "elections", About: "terms and votes, with few entries between them", Events: 1200, script: elections,
			profile: calm(3, func(p *Profile) { p.Command = 30 * time.Millisecond }), reached: func(o Outcome) bool { return o.Elections > 6 },
		},
		{
			Name: "overwrite", About: "leaders are cut off, and their divergent ends overwritten", Events: 2000, script: divergence,
			profile: calm(3, func(p *Profile) { p.Command, p.MaxEntries = 8*time.Millisecond, 8 }),
			reached: func(o Outcome) bool { return o.Truncations > 0 && o.Elections > 2 },
		},
		{
			Name: "roll-over", About: "the log's files fill up before they are flushed", Events: 400,
			profile: calm(1, func(p *Profile) { p.Payload, p.Flush = 12000, 60*time.Millisecond }),
			reached: func(o Outcome) bool { return o.Flushes > 2 },
		},
		{
			Name: "flush", About: "small and large ranges go into segments, which are cleaned and rewritten", Events: 700,
			profile: calm(1, func(p *Profile) {
				p.Clusters, p.Payload, p.OwnFile, p.AskOneIn, p.Interval = 3, 6000, 8000, 12, 15
			}),
			reached: func(o Outcome) bool { return o.Flushes > 3 && o.Snapshots > 0 },
		},
		{
			Name: "snapshot", About: "snapshots and checkpoints are written, promoted and replaced", Events: 500,
			profile: calm(1, func(p *Profile) { p.AskOneIn, p.Interval = 1, 3 }),
			reached: func(o Outcome) bool { return o.Snapshots > 10 },
		},
		{
			Name: "packs", About: "members with little state share files of snapshots, and some are deleted", Events: 1500, script: rebirths,
			profile: calm(2, func(p *Profile) { p.Clusters, p.Payload, p.Automatic = 5, 3000, 1<<20 }),
			reached: func(o Outcome) bool { return o.Packed > 15 && o.Deletions > 2 },
		},
		{
			Name: "install", About: "a member that was away gets snapshots in many pieces", Events: 2000, script: absence,
			profile: calm(3, func(p *Profile) { p.AskOneIn, p.Interval, p.Chunk = 1, 3, 300 }),
			reached: func(o Outcome) bool { return o.Installs > 1 },
		},
		{
			Name: "membership", About: "members join, leave and are deleted", Events: 1200,
			profile: calm(4, func(p *Profile) { p.Members, p.Change = 3, 25*time.Millisecond }),
			reached: func(o Outcome) bool { return o.Changes > 3 },
		},
		{
			Name: "registration", About: "many members are registered, a few at a time share a sync", Events: 700,
			profile: calm(2, func(p *Profile) { p.Clusters, p.Sync = 40, 2*time.Millisecond }),
			reached: func(o Outcome) bool { return o.Acknowledged > 10 },
		},
		{
			Name: "rebirth", About: "clusters are deleted, and others started under their names", Events: 1000, script: rebirths,
			profile: calm(2, func(p *Profile) { p.AskOneIn, p.Interval, p.Payload = 2, 3, 2000 }),
			reached: func(o Outcome) bool { return o.Deletions > 2 },
		},
		{
			Name: "upgrade", About: "nodes are stopped in good order, and come back with newer code", Events: 500, script: upgrades,
			profile: calm(1, func(p *Profile) { p.AskOneIn, p.Interval = 3, 3 }),
			reached: func(o Outcome) bool { return o.Upgrades > 2 },
		},
		{
			Name: "recovery", About: "all nodes are stopped or crash again and again, and recover", Events: 700, script: restarts,
			profile: calm(3, func(p *Profile) { p.Payload, p.AskOneIn, p.Interval = 2000, 4, 5 }),
			reached: func(o Outcome) bool { return o.Recoveries > 8 },
		},
		{
			Name: "failing", About: "writes and syncs fail, and batches are written again elsewhere", Events: 500, script: failures,
			profile: calm(1, func(p *Profile) { p.Payload, p.AskOneIn, p.Interval = 2000, 12, 5 }),
			reached: func(o Outcome) bool { return o.Faults > 5 },
		},
		{
			Name: "full", About: "the disk is full for a while, several times", Events: 700, script: fullness,
			profile: calm(1, func(p *Profile) { p.Payload, p.AskOneIn, p.Interval = 6000, 12, 10 }),
			reached: func(o Outcome) bool { return o.Flushes > 0 && o.Commits > 60 },
		},
	}
}

// calm is a profile in which nothing goes wrong.
func calm(nodes int, change func(*Profile)) Profile {
	p := Profile{
		Scripted: true, Nodes: nodes, Members: nodes, Clusters: 1, Delay: 200 * time.Microsecond, Sync: 200 * time.Microsecond,
		LieDown: 50 * time.Millisecond, Command: 5 * time.Millisecond, Clients: 1, Payload: 200, Flush: 500 * time.Microsecond,
		Chunk: 1 << 20, Interval: 1, MaxEntries: 64, MaxInflight: 256, MaxBytes: 64 << 10, MaxInflightBytes: 1 << 20, FileSize: 64 << 10,
	}
	if change != nil {
		change(&p)
	}
	return p
}

// every lets the steps of a script happen one after the other, over and over.
func (s *sim) every(d time.Duration, steps ...func()) {
	next := 0
	j := new(job)
	j.work = func() {
		if s.healing {
			return
		}
		steps[next%len(steps)]()
		next++
		s.plan(d, event{kind: evScript, job: j})
	}
	s.plan(d, event{kind: evScript, job: j})
}

func elections(s *sim) {
	s.every(15*time.Millisecond, s.askForElection, s.handOver, s.askForElection, s.killSome)
}

// divergence leaves a leader alone with its clients, lets the others elect another one, and brings them together again.
func divergence(s *sim) {
	alone := -1
	s.every(30*time.Millisecond, func() {
		n := s.someLeader()
		alone = n.id
		s.cutOff(n)
	}, func() {
		p := s.clusters[0].members[(alone+1)%len(s.nodes)]
		s.plan(0, event{kind: evCampaign, peer: p, life: p.node.life})
	}, s.reconnect)
}

// absence cuts a node that does not lead off, until the others have let go of what it lacks.
func absence(s *sim) {
	s.every(60*time.Millisecond, func() { s.cutOff(s.nodes[(s.someLeader().id+1)%len(s.nodes)]) }, s.reconnect)
}

func restarts(s *sim) {
	one := func(how func(*node)) func() {
		return func() {
			if n := s.nodes[s.dice.IntN(len(s.nodes))]; n.up {
				how(n)
			}
		}
	}
	fall := func(n *node) { n.crash(); n.returnLater() }
	s.every(60*time.Millisecond, one((*node).stop), one(fall), func() {
		for _, n := range s.nodes {
			if n.up {
				fall(n)
			}
		}
	})
}

func rebirths(s *sim) { s.every(50*time.Millisecond, s.recreate) }

func upgrades(s *sim) { s.every(50*time.Millisecond, s.upgradeSome, s.askForElection) }

func failures(s *sim) {
	fail := func(op vfs.Op, after int, short bool) func() {
		return func() { s.nodes[0].fs.Inject(vfs.Fault{Op: op, After: after, Times: 1, Short: short}) }
	}
	s.every(12*time.Millisecond, fail(vfs.OpSync, 0, false), fail(vfs.OpWrite, 0, true), fail(vfs.OpSync, 2, false),
		fail(vfs.OpRename, 0, false), fail(vfs.OpSyncDir, 0, false), fail(vfs.OpCreate, 0, false), fail(vfs.OpRemove, 0, false))
}

func fullness(s *sim) {
	n := s.nodes[0]
	s.every(53*time.Millisecond, func() { n.disk.SetCapacity(n.disk.Used() + int64(s.dice.IntN(20<<10)) + 1) }, func() {},
		func() { n.disk.SetCapacity(0) })
}

// Operations is how many operations an undisturbed run has on each node's disk before it heals, and how many of them
// change it.
type Operations struct{ All, Changes []int }

// Measure runs the workload undisturbed. It fails if that does not what the workload is there for.
func (w *Workload) Measure() (Operations, error) {
	s := w.sim(nil)
	if err := s.run(); err != nil {
		return Operations{}, fmt.Errorf("workload %s: %w", w.Name, err)
	}
	if out := s.outcome(); !w.reached(out) {
		return Operations{}, fmt.Errorf("workload %s does not come to what it is there for: %+v", w.Name, out)
	}
	return s.calmOps, nil
}

// Run runs the workload with a strike. The error, if any, is a *Failure.
func (w *Workload) Run(strike *Strike) (Outcome, error) {
	s := w.sim(strike)
	err := s.runSafely()
	return s.outcome(), err
}

func (w *Workload) sim(strike *Strike) *sim {
	p := w.profile
	s := newSim(Options{Seed: 1, Events: w.Events, Profile: &p, Strike: strike})
	s.script = w.script
	return s
}
