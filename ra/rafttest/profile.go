package rafttest

import (
	"cmp"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// Profile is the weather of one schedule: how large the world is and how much goes wrong. It is drawn from the seed,
// so that a campaign visits calm and stormy, small and large worlds.
type Profile struct {
	Nodes    int // nodes, each with one WAL
	Clusters int // clusters, each with a member on Members of the nodes
	Members  int

	// Delay is the typical delay of a message, Sync that of a commit of the WAL.
	Delay, Sync time.Duration
	// LoseOneIn, TwiceOneIn: how often a message is lost, or delivered twice; 0 is never.
	LoseOneIn, TwiceOneIn int
	// ReorderOneIn: how often a message does not keep its place among those between the same nodes.
	ReorderOneIn int
	// StallOneIn: how often a commit of the WAL takes a second or more.
	StallOneIn int
	// LateOneIn: how often a member hears late that its orders are durable, by about Late.
	LateOneIn int
	Late      time.Duration
	// StaleOneIn: how often a timer expires although it was cancelled.
	StaleOneIn int
	// Fault is the mean time between faults; 0 is never. Weights says how often each kind of them comes.
	Fault   time.Duration
	Weights [faultKinds]int
	// LieDown is the longest time for which a crashed node stays down and a partition lasts.
	LieDown time.Duration
	// Command is the mean time between commands of a client, Clients their number, Payload the largest command.
	Command time.Duration
	Clients int
	Payload int

	// Flush is the typical time that a step of the segment writer takes; OwnFile is the size of a range that gets a file
	// of its own.
	Flush   time.Duration
	OwnFile int
	// AskOneIn: how many commands make the machine ask for a snapshot, about; 0 is never. Interval is how far apart
	// snapshots are at least, Chunk the size of the pieces in which they travel.
	AskOneIn uint64
	Interval ra.Index
	Chunk    int
	// Automatic is how long the log of a member must be that takes a snapshot unasked; 4 KiB if 0. Below that there are only
	// those for packs.
	Automatic int64
	// DecayOneIn: of the orderly stops of a node, about how many are followed by a bit of its disk that flips; 0 is never.
	DecayOneIn int
	// Change is the mean time between changes of the configuration; 0 is never.
	Change time.Duration
	// Recreate is the mean time between deletions of clusters, after each of which another one of that name is started; 0 is
	// never.
	Recreate time.Duration

	// Lasts is how many times as long as others the schedule is; 0 counts as 1.
	Lasts int

	// Scripted: nothing happens but what a workload says and what follows from it.
	Scripted bool

	// Small limits make rare paths common.
	MaxEntries, MaxInflight, MaxBytes int
	MaxInflightBytes, MaxBatch        int
	FileSize                          int64
}

// drawProfile draws the weather of a schedule.
func drawProfile(d dice) Profile {
	p := Profile{
		Nodes:            pick(d, 1, 2, 3, 3, 3, 3, 4, 5, 5),
		Clusters:         pick(d, 1, 1, 1, 2, 3),
		Delay:            pick(d, 200*time.Microsecond, time.Millisecond, 5*time.Millisecond, 40*time.Millisecond),
		Sync:             pick(d, 100*time.Microsecond, time.Millisecond, 10*time.Millisecond, 50*time.Millisecond),
		LoseOneIn:        pick(d, 0, 0, 100, 20, 5),
		TwiceOneIn:       pick(d, 0, 0, 50, 10, 3),
		ReorderOneIn:     pick(d, 0, 0, 200, 30, 5),
		StallOneIn:       pick(d, 0, 0, 200, 20),
		LateOneIn:        pick(d, 0, 4, 2),
		Late:             pick(d, time.Millisecond, 20*time.Millisecond, 300*time.Millisecond),
		StaleOneIn:       pick(d, 0, 20),
		Fault:            pick(d, 0, 100*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond, time.Second),
		Weights:          drawWeights(d),
		LieDown:          pick(d, 50*time.Millisecond, 500*time.Millisecond, 3*time.Second),
		Command:          pick(d, time.Millisecond, 20*time.Millisecond, 50*time.Millisecond, 200*time.Millisecond),
		Clients:          pick(d, 1, 2, 4),
		Payload:          pick(d, 8, 64, 600, 3000, 8000),
		MaxEntries:       pick(d, 1, 2, 4, 128),
		MaxInflight:      pick(d, 1, 2, 8, 64, 4096),
		MaxBytes:         pick(d, 1, 500, 64<<10),
		MaxInflightBytes: pick(d, 1, 1000, 16<<20),
		MaxBatch:         pick(d, 0, 0, 2000, 8<<10),
		FileSize:         pick(d, int64(64<<10), 64<<10, 128<<10),
		Flush:            pick(d, 100*time.Microsecond, 5*time.Millisecond, 100*time.Millisecond),
		OwnFile:          pick(d, 1000, 0),
		AskOneIn:         pick(d, uint64(0), 1, 4, 12),
		Interval:         pick(d, ra.Index(1), 5, 20),
		Chunk:            pick(d, 50, 500, 1<<20),
		Change:           pick(d, 0, 0, 100*time.Millisecond, time.Second),
	}
	p.Recreate = pick(d, 0, 0, 0, 0, 500*time.Millisecond, 2*time.Second)
	p.Members = p.Nodes
	if p.Nodes > 3 && d.oneIn(2) {
		p.Members = 3
	}
	p.Automatic = pick(d, int64(0), 0, 1<<20)
	return p
}

// drawWeights draws how often each kind of fault comes. Those of storage are rare in some schedules: what follows from a
// crash hides what would have followed from a partition.
func drawWeights(d dice) [faultKinds]int {
	w := [faultKinds]int{
		faultCrash: pick(d, 10, 20, 40), faultPower: pick(d, 0, 5, 20), faultStop: pick(d, 0, 2, 8),
		faultUpgrade: pick(d, 0, 0, 2, 8), faultKill: 8,
		faultSuspect: 8, faultCampaign: 8, faultTransfer: 8, faultDisk: pick(d, 0, 8, 20), faultRot: pick(d, 0, 0, 4),
		faultFull: pick(d, 0, 0, 8), faultIsolate: 16, faultPartition: 16,
	}
	return w
}

// Decay is a schedule of three nodes or more in which bits flip on disks at rest. In some, members that are damaged then
// have often just begun a term of which nobody else knows.
func Decay(seed uint64, events int) Options {
	p := drawProfile(newDice(seed))
	p.Nodes = max(p.Nodes, 3)
	p.Members, p.DecayOneIn = max(p.Members, 3), 1
	p.Weights[faultStop], p.Weights[faultUpgrade] = 40, 0
	p.Fault = min(max(p.Fault, 100*time.Millisecond), 300*time.Millisecond)
	if newDice(^seed).oneIn(5) {
		p.Weights[faultStop], p.Weights[faultFlinch], p.TwiceOneIn = 0, 200, 3
		p.Recreate, p.Command, p.Lasts = 0, max(p.Command, 50*time.Millisecond), 2
	}
	return Options{Seed: seed, Events: events, Profile: &p}
}

// Storm is a schedule in which nodes crash and come back all the time, and little else happens.
func Storm(seed uint64) Options {
	p := drawProfile(newDice(seed))
	p.Nodes, p.Members, p.Clusters = min(p.Nodes, 3), min(p.Members, 3), min(p.Clusters, 2)
	p.Fault, p.LieDown, p.Change, p.Recreate, p.StallOneIn = 10*time.Millisecond, 20*time.Millisecond, 0, 0, 0
	p.Sync, p.Command = min(p.Sync, time.Millisecond), 2*time.Millisecond
	p.Weights = [faultKinds]int{faultCrash: 4, faultPower: 4, faultStop: 1, faultDisk: 1}
	return Options{Seed: seed, Events: 1000, Profile: &p}
}

// policy returns when snapshots are taken.
func (p *Profile) policy() snapshot.Policy {
	return snapshot.Policy{
		MinInterval: p.Interval, MinCheckpoint: p.Interval, MinRecovery: 1, Growth: 2, MinBytes: cmp.Or(p.Automatic, 4<<10),
	}
}

// limits returns the core's, nil if they are as they are by default.
func (p *Profile) limits() *raft.Limits {
	limits := raft.DefaultLimits
	limits.MaxEntriesPerAppend, limits.MaxInflightEntries, limits.MaxInflightBytes = p.MaxEntries, p.MaxInflight, p.MaxInflightBytes
	if limits == raft.DefaultLimits {
		return nil
	}
	return &limits
}
