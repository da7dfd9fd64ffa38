package main

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// maxWaiting bounds the lines of version 1.
const maxWaiting = 100

// bounded is version 1 of the machine, over the same state: nobody gets in line behind maxWaiting others.
type bounded struct{ *locks }

func newBounded(machine.Init) machine.Machine {
	return machine.From(bounded{emptyLocks()}, protocol)
}

// Version says what this code can do.
func (b bounded) Version() machine.Version { return 1 }

// ForVersion returns the code that applies while version v is in force.
func (b bounded) ForVersion(v machine.Version) machine.Typed[Command, Reply] {
	if v == 0 {
		return b.locks
	}
	return b
}

// Apply refuses what would make a line too long.
func (b bounded) Apply(meta machine.Meta, c Command, fx *machine.Effects) Reply {
	if l := b.State[c.Lock]; c.Op == Acquire && l != nil && l.full() && !l.knows(c.Owner) {
		return Reply{Refused: "too many wait for it"}
	}
	return b.locks.Apply(meta, c, fx)
}

// Upgrade sends the last ones of long lines away. They hear why when they ask again.
func (b bounded) Upgrade(_ machine.Meta, _ machine.VersionChange, fx *machine.Effects) {
	for _, name := range b.names() {
		l := b.State[name]
		if !l.full() {
			continue
		}
		for _, w := range l.Waiting[maxWaiting:] {
			fx.Send(w.Owner, Changed{Lock: name})
		}
		l.Waiting = l.Waiting[:maxWaiting]
	}
}

func (l *lock) full() bool { return len(l.Waiting) >= maxWaiting }

// knows reports whether somebody has the lock or waits for it.
func (l *lock) knows(pid ra.PID) bool {
	return l.Holder.Owner == pid || slices.ContainsFunc(l.Waiting, func(w claim) bool { return w.Owner == pid })
}
