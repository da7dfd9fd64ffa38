package rafttest

import "fmt"

// Outcome is what a run came to.
type Outcome struct {
	// Hash is a digest of all events: equal for equal runs.
	Hash uint64 `json:"-"`
	// Events counts all of them, those of the healing included.
	Events int `json:"events"`
	// Commits and Acknowledged count entries and commands, Elections leaderships.
	Commits      int `json:"commits"`
	Acknowledged int `json:"acknowledged"`
	Elections    int `json:"elections"`
	// Crashes counts those of nodes, in recoveries too and orderly stops among them, Recoveries how often a node came up,
	// Faults operations of disks that failed.
	Crashes    int `json:"crashes"`
	Recoveries int `json:"recoveries"`
	Faults     int `json:"faults"`
	// Flushes counts files of the write-ahead log that went to segments, Snapshots those that members took themselves, Packed
	// those of them that are in packs, Installs those that came from a leader, Truncations ends of logs that were removed, Changes those of configurations.
	Flushes     int `json:"flushes"`
	Snapshots   int `json:"snapshots"`
	Packed      int `json:"packed"`
	Installs    int `json:"installs"`
	Truncations int `json:"truncations"`
	Changes     int `json:"changes"`
	// Farewells counts the recovery checkpoints that members left behind when their nodes were stopped.
	Farewells int `json:"farewells"`
	// Upgrades counts steps of clusters to a higher version of their machine.
	Upgrades int `json:"upgrades"`
	// Decayed counts bits that flipped, and Repairs the members that lost entries by that and are sound again.
	Decayed int `json:"decayed"`
	Repairs int `json:"repairs"`
	// Effects counts the messages of machines.
	Effects int `json:"effects"`
	// Deletions counts clusters that were deleted.
	Deletions int `json:"deletions"`
}

// Add adds what another run came to.
func (o *Outcome) Add(x Outcome) {
	o.Events += x.Events
	o.Commits += x.Commits
	o.Acknowledged += x.Acknowledged
	o.Elections += x.Elections
	o.Crashes += x.Crashes
	o.Recoveries += x.Recoveries
	o.Faults += x.Faults
	o.Flushes += x.Flushes
	o.Snapshots += x.Snapshots
	o.Packed += x.Packed
	o.Installs += x.Installs
	o.Truncations += x.Truncations
	o.Changes += x.Changes
	o.Decayed += x.Decayed
	o.Repairs += x.Repairs
	o.Upgrades += x.Upgrades
	o.Effects += x.Effects
	o.Deletions += x.Deletions
	o.Farewells += x.Farewells
}

// String lists the counts.
func (o *Outcome) String() string {
	return fmt.Sprintf("%d events, %d elections, %d commits, %d acknowledged commands, %d crashes, %d recoveries, %d disk errors, "+
		"%d flushes, %d snapshots, %d of them in packs, %d recovery checkpoints, %d installed, %d truncations, %d changes, %d upgrades, %d effects, "+
		"%d flipped bits, %d repairs, %d deleted clusters",
		o.Events, o.Elections, o.Commits, o.Acknowledged, o.Crashes, o.Recoveries, o.Faults, o.Flushes, o.Snapshots, o.Packed,
		o.Farewells, o.Installs, o.Truncations, o.Changes, o.Upgrades, o.Effects, o.Decayed, o.Repairs, o.Deletions)
}

// outcome adds up what the run came to.
func (s *sim) outcome() Outcome {
	o := s.done
	o.Hash, o.Events = s.digest.Sum64(), s.events
	for _, n := range s.nodes {
		o.Faults += n.fs.Struck()
	}
	for _, c := range s.clusters {
		o.Commits += len(c.truth.committed)
		o.Upgrades += c.truth.upgrades
		if c.closed() {
			o.Deletions++
		}
	}
	return o
}
