package main

import (
	"maps"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// HandleDown hears that the process of an owner has ended: its locks go to the next ones.
func (m *locks) HandleDown(meta machine.Meta, d machine.Down, fx *machine.Effects) {
	if d.Reason.Code == machine.DownNoConnection {
		return // It may well live. If it does not, its leases end.
	}
	for _, name := range m.names() {
		l := m.State[name]
		l.Waiting = slices.DeleteFunc(l.Waiting, func(w claim) bool { return w.Owner == d.PID })
		if l.Holder.Owner == d.PID {
			m.next(meta, name, l, fx)
		}
	}
}

// HandleTimeout hears that a lease is over. The name of the timer is that of the lock.
func (m *locks) HandleTimeout(meta machine.Meta, name string, fx *machine.Effects) {
	l := m.State[name]
	switch {
	case l == nil: // It was released while the timeout was under way.
	case meta.Time < l.Until: // There is a new lease meanwhile.
		fx.TimerAt(name, time.UnixMilli(l.Until))
	default:
		m.next(meta, name, l, fx)
	}
}

// EnterState hears what this member is from now on. A new leader sets up what the old one had.
func (m *locks) EnterState(role ra.Role, fx *machine.Effects) {
	if role != ra.Leader {
		return
	}
	for _, name := range m.names() {
		l := m.State[name]
		fx.TimerAt(name, time.UnixMilli(l.Until))
		fx.Monitor(l.Holder.Owner)
		fx.Send(l.Holder.Owner, Changed{Lock: name})
		for _, w := range l.Waiting {
			fx.Monitor(w.Owner)
		}
	}
}

// names returns the names of all locks, always in the same order.
func (m *locks) names() []string { return slices.Sorted(maps.Keys(m.State)) }
