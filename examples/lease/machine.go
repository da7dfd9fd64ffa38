package main

import (
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// locks is the machine. Its state is the locks that somebody has, by name.
type locks struct {
	machine.Stored[map[string]*lock]
}

// lock is held by one owner, and others may wait for it.
type lock struct {
	Holder  claim
	Token   ra.Index
	Until   int64 // when the lease ends, in milliseconds since 1970
	Waiting []claim
}

// claim is somebody who has a lock or wants it.
type claim struct {
	Owner ra.PID
	Lease time.Duration
}

// newLocks makes the machine of one member; it is a machine.Factory.
func newLocks(machine.Init) machine.Machine {
	return machine.From(emptyLocks(), protocol)
}

func emptyLocks() *locks {
	m := &locks{}
	m.State = map[string]*lock{}
	return m
}

// Apply carries out one command.
func (m *locks) Apply(meta machine.Meta, c Command, fx *machine.Effects) Reply {
	if c.Lock == "" || len(c.Lock) > machine.MaxTimerName {
		return Reply{Refused: "bad name of a lock"}
	}
	switch {
	case c.Op == Acquire && c.Owner.Spawn != 0 && c.Lease > 0:
		return m.acquire(meta, c, fx)
	case c.Op == Release:
		return m.release(meta, c, fx)
	}
	return Reply{Refused: "bad command"}
}

func (m *locks) acquire(meta machine.Meta, c Command, fx *machine.Effects) Reply {
	wish := claim{Owner: c.Owner, Lease: c.Lease}
	l := m.State[c.Lock]
	switch {
	case l == nil:
		l = &lock{}
		m.State[c.Lock] = l
		m.grant(meta, c.Lock, l, wish, fx)
	case l.Holder.Owner == c.Owner:
		l.Holder = wish
		m.extend(meta, c.Lock, l, fx)
	default:
		fx.Monitor(c.Owner)
		l.wait(wish)
		return Reply{}
	}
	return Reply{Token: l.Token}
}

// release frees a lock, unless the token is of an earlier grant.
func (m *locks) release(meta machine.Meta, c Command, fx *machine.Effects) Reply {
	if l := m.State[c.Lock]; l != nil && l.Token == c.Token {
		m.next(meta, c.Lock, l, fx)
	}
	return Reply{}
}

// wait puts somebody in line, once.
func (l *lock) wait(c claim) {
	i := slices.IndexFunc(l.Waiting, func(w claim) bool { return w.Owner == c.Owner })
	if i < 0 {
		l.Waiting = append(l.Waiting, c)
		return
	}
	l.Waiting[i] = c
}

// grant gives a lock to an owner.
func (m *locks) grant(meta machine.Meta, name string, l *lock, to claim, fx *machine.Effects) {
	l.Holder, l.Token = to, meta.Index
	m.extend(meta, name, l, fx)
}

// extend begins a lease.
func (m *locks) extend(meta machine.Meta, name string, l *lock, fx *machine.Effects) {
	l.Until = meta.Time + l.Holder.Lease.Milliseconds()
	fx.Monitor(l.Holder.Owner)
	fx.TimerAt(name, time.UnixMilli(l.Until))
}

// next gives a lock that has become free to who waited longest, or forgets it.
func (m *locks) next(meta machine.Meta, name string, l *lock, fx *machine.Effects) {
	if len(l.Waiting) > 0 {
		first := l.Waiting[0]
		l.Waiting = slices.Delete(l.Waiting, 0, 1)
		m.grant(meta, name, l, first, fx)
		fx.Send(first.Owner, Changed{Lock: name})
		return
	}
	delete(m.State, name)
	fx.CancelTimer(name)
	if len(m.State) == 0 {
		fx.ReleaseCursor()
	}
}
