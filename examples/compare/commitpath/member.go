package commitpath

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/warm"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// command is a client's command. Commands are pooled.
type command struct {
	actor.Item
	body []byte
	done func(error)
	rest *command // given back together with this one
}

var commands = sync.Pool{New: func() any { return new(command) }}

func newCommand(payload []byte, done func(error)) *command {
	c := commands.Get().(*command)
	if c.rest != nil {
		commands.Put(c.rest)
		c.rest = nil
	}
	c.body, c.done = ra.NewBody(payload), done
	return c
}

// Refuse is called if the member ended before it took the command.
func (c *command) Refuse(err error) { c.done(err) }

// appendMessage carries entries from a leader to one follower.
type appendMessage struct {
	prev    ra.Index
	entries []ra.Entry
	next    *appendMessage
}

var appends = sync.Pool{New: func() any { return new(appendMessage) }}

func (a *appendMessage) free() {
	clear(a.entries)
	*a = appendMessage{entries: a.entries[:0]}
	appends.Put(a)
}

// table holds the last entries of a member, as many as its length, which is a power of two.
type table []ra.Entry

func (t table) at(i ra.Index) *ra.Entry { return &t[int(i)&(len(t)-1)] }

// place returns the place for an entry, which is that of the oldest one. That must be applied.
func (t table) place(i, applied ra.Index) *ra.Entry {
	if i > applied+ra.Index(len(t)) {
		panic("commitpath: more commands are in flight than the table holds")
	}
	return t.at(i)
}

// inbox is a member's internal lane: numbers that coalesce, and a list of appends, which the window of the driver
// bounds.
type inbox struct {
	written    uint64 // the node's log is durable up to this order
	acked      [replicas]ra.Index
	commit     ra.Index // the leader's
	head, tail *appendMessage
	any        bool
}

// member is one member of a group. It does what a Raft member does on the path of a commit, and nothing else.
type member struct {
	ref *actor.Ref
	in  inbox

	batch  inbox
	node   *node
	writer *wal.Writer
	peers  [replicas]*member
	leader int

	table   table // the last entries
	fresh   []ra.Entry
	last    ra.Index
	order   uint64 // the last order given to the log; order 1 was the registration
	orders  []order
	durable [replicas]ra.Index
	acked   ra.Index
	commit  ra.Index
	applied ra.Index
	machine driver.Machine
	shown   shownMachine

	waiting  []*command // for applied+1 and so on
	answered int        // of them, in this batch

	soon *appendMessage // being warmed
}

// order remembers what an order given to the log makes durable.
type order struct {
	seq  uint64
	last ra.Index
}

// Empty and Take make a member's numbers its mailbox's internal lane.
func (m *member) Empty() bool { return !m.in.any }

// Take moves what waits aside, for Receive.
func (m *member) Take() { m.batch, m.in = m.in, inbox{} }

// Receive is one activation: everything that waited, then one order for the log and one message to each peer.
func (m *member) Receive(ctx *actor.Context) {
	r := ctx.Round().(*round)
	b := m.batch
	m.batch = inbox{}
	if b.written > 0 {
		m.written(b.written)
	}
	for i, a := range b.acked {
		m.durable[i] = max(m.durable[i], a)
	}
	for a := b.head; a != nil; {
		m.take(a)
		next := a.next
		a.free()
		a = next
	}
	for c := ctx.Next(); c != nil; c = ctx.Next() {
		m.accept(c.(*command))
	}
	if len(m.fresh) > 0 {
		m.store(r)
	}
	if m.leads() {
		m.decide(r)
	} else {
		m.follow(r, b.commit)
	}
	m.shown.store(m.machine)
}

// leads reports whether the member plays the leader.
func (m *member) leads() bool { return m.node.id == m.leader }

// accept makes a command an entry, in both places: a copy of what was just written field by field would have to wait until
// the processor has put the pieces together.
func (m *member) accept(c *command) {
	m.last++
	body := ra.SealBody(c.body, ra.Header{Index: m.last, Term: 1, Kind: ra.KindCommand})
	c.body = nil
	e := m.table.place(m.last, m.applied)
	e.Index, e.Term, e.Body = m.last, 1, body
	m.fresh = slices.Grow(m.fresh, 1)[:len(m.fresh)+1]
	e = &m.fresh[len(m.fresh)-1]
	e.Index, e.Term, e.Body = m.last, 1, body
	m.waiting = append(m.waiting, c)
}

// take puts a leader's entries behind ours.
func (m *member) take(a *appendMessage) {
	if a.prev != m.last {
		panic("commitpath: append does not follow; the order of messages was not kept")
	}
	for i := range a.entries {
		*m.table.place(a.entries[i].Index, m.applied) = a.entries[i]
	}
	m.fresh = append(m.fresh, a.entries...)
	m.last += ra.Index(len(a.entries))
}

// store gives new entries to the log and, if we lead, to the peers.
func (m *member) store(r *round) {
	if m.leads() {
		for i, p := range m.peers {
			if i != m.node.id {
				a := appends.Get().(*appendMessage)
				a.prev, a.entries = m.fresh[0].Index-1, append(a.entries, m.fresh...)
				r.out[i] = append(r.out[i], letter{to: p, entries: a, commit: m.commit})
			}
		}
		r.pressing = true
	}
	m.order++
	m.orders = append(m.orders, order{m.order, m.last})
	if err := m.node.Store(m.writer, &wal.Op{Seq: m.order, Entries: m.fresh}); err != nil {
		panic(fmt.Errorf("commitpath: %w", err)) // this host has no flow control but the driver's window
	}
	r.dirty = true
	clear(m.fresh)
	m.fresh = m.fresh[:0]
}

// Written posts that orders up to seq are durable.
func (m *member) Written(seq uint64, ws *actor.Wakeups) {
	m.ref.Lock()
	m.in.any = true
	m.in.written = max(m.in.written, seq)
	m.ref.Unlock(ws)
}

// written: the log is durable up to an order.
func (m *member) written(seq uint64) {
	k := 0
	for k < len(m.orders) && m.orders[k].seq <= seq {
		m.durable[m.node.id] = m.orders[k].last
		k++
	}
	m.orders = append(m.orders[:0], m.orders[k:]...)
}

// decide commits what two of three hold, answers, and lets the followers know.
func (m *member) decide(r *round) {
	a, b, c := m.durable[0], m.durable[1], m.durable[2]
	commit := max(min(a, b), min(max(a, b), c))
	if commit <= m.commit {
		return
	}
	m.commit = commit
	m.apply(r, commit)
	n := copy(m.waiting, m.waiting[m.answered:])
	clear(m.waiting[n:])
	m.waiting, m.answered = m.waiting[:n], 0
	for i, p := range m.peers {
		if i != m.node.id {
			r.out[i] = append(r.out[i], letter{to: p, commit: commit})
		}
	}
}

// apply feeds the machine, and answers on the leader.
func (m *member) apply(r *round, to ra.Index) {
	for m.applied < to {
		m.applied++
		if ahead := m.applied + applyAhead; ahead <= to {
			warm.Slice(m.table.at(ahead).Body, warmBody)
		}
		m.machine.Apply(m.table.at(m.applied).Payload())
		if m.leads() {
			c := m.waiting[m.answered]
			m.answered++
			done := c.done
			c.done = nil
			r.giveBack(c)
			done(nil)
		}
	}
}

// follow applies what is committed and acknowledges what is durable.
func (m *member) follow(r *round, commit ra.Index) {
	m.commit = max(m.commit, commit)
	m.apply(r, min(m.commit, m.last))
	if mine := m.durable[m.node.id]; mine > m.acked {
		m.acked = mine
		r.out[m.leader] = append(r.out[m.leader], letter{to: m.peers[m.leader], from: m.node.id, acked: mine})
		r.pressing = true
	}
}

// shownMachine is the machine as others may look at it while the member runs.
type shownMachine struct{ count, sum atomic.Uint64 }

func (s *shownMachine) store(m driver.Machine) {
	s.count.Store(m.Count)
	s.sum.Store(m.Sum)
}

func (s *shownMachine) load() driver.Machine {
	return driver.Machine{Count: s.count.Load(), Sum: s.sum.Load()}
}
