package actor

import (
	"sync"
	"sync/atomic"
)

// Stats counts what happened on a node since it was opened.
type Stats struct {
	// Actors is the number of actors that live now; Spawned is how many were ever started.
	Actors  int
	Spawned uint64
	// Timers is the number of timers that are set.
	Timers int
	// DeadLetters counts messages that reached nobody: sent to a dead or unknown process, or by a foreign protoactor
	// actor to a full lane.
	DeadLetters uint64
	// Overloads counts sends that were refused because the receiver's client lane was full.
	Overloads uint64
	// Dropped counts frames and messages that could not leave for another node, or found nobody to take them there.
	Dropped uint64
	// Crashes counts actors that ended by a panic.
	Crashes uint64
}

// counters are the moving parts of Stats.
type counters struct {
	deadLetters atomic.Uint64
	overloads   atomic.Uint64
	dropped     atomic.Uint64
	crashes     atomic.Uint64
	closeOnce   sync.Once
}

// Stats returns the node's counters. They are read one after the other, not at one instant.
func (n *Node) Stats() Stats {
	return Stats{
		Actors:      n.names.len(),
		Spawned:     n.spawns.Load(),
		Timers:      n.wheel.armed(),
		DeadLetters: n.counts.deadLetters.Load(),
		Overloads:   n.counts.overloads.Load(),
		Dropped:     n.counts.dropped.Load(),
		Crashes:     n.counts.crashes.Load(),
	}
}
