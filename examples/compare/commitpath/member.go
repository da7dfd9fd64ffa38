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

// inbox is a member's internal lane, which others fill under the mailbox's lock: numbers that coalesce, and a list of
// appends, which the window of the driver bounds.
type inbox struct {
	orders     []order            // given to the log, and not durable yet
	durable    [replicas]ra.Index // of the leader: what each log is known to have
	decided    ra.Index           // of the leader: what of that it has been told
	commit     ra.Index           // of a follower: what the leader has said
	head, tail *appendMessage
	any        bool
}

// order remembers what an order given to the log makes durable.
type order struct {
	seq  uint64
	last ra.Index
}

// written returns what is durable with the orders up to seq, and forgets these.
func (in *inbox) written(seq uint64) (last ra.Index) {
	k := 0
	for k < len(in.orders) && in.orders[k].seq <= seq {
		last = in.orders[k].last
		k++
	}
	in.orders = append(in.orders[:0], in.orders[k:]...)
	return last
}

// has takes note of what a log has, and reports whether that commits something new: else the leader need not be woken.
func (in *inbox) has(id int, last ra.Index) bool {
	in.durable[id] = max(in.durable[id], last)
	return in.quorum() > in.decided
}

// quorum returns what two of three logs have.
func (in *inbox) quorum() ra.Index {
	a, b, c := in.durable[0], in.durable[1], in.durable[2]
	return max(min(a, b), min(max(a, b), c))
}

// member is one member of a group. It does what a Raft member does on the path of a commit, and nothing else.
type member struct {
	ref *actor.Ref
	in  inbox

	node   *node
	writer *wal.Writer
	peers  [replicas]*member
	leader int

	appends *appendMessage // of this batch
	target  ra.Index       // may be applied
	table   table          // the last entries
	fresh   []ra.Entry
	last    ra.Index
	order   uint64   // the last order given to the log; order 1 was the registration
	applied ra.Index // between batches all that is known to be committed
	machine driver.Machine
	shown   shownMachine

	untold bool // the followers do not know yet what is committed

	waiting  []*command // for applied+1 and so on
	answered int        // of them, in this batch

	soon *appendMessage // being warmed
}

// Empty and Take make a member's inbox its mailbox's internal lane.
func (m *member) Empty() bool { return !m.in.any }

// Take moves what waits aside, for Receive.
func (m *member) Take() {
	in := &m.in
	if m.leads() {
		in.decided = in.quorum()
		m.target = in.decided
	} else {
		m.target = in.commit
	}
	m.appends, in.head, in.tail, in.any = in.head, nil, nil, false
}

// Receive is one activation: everything that waited, then one order for the log and one message to each peer.
func (m *member) Receive(ctx *actor.Context) {
	r := ctx.Round().(*round)
	for a := m.appends; a != nil; {
		m.take(a)
		next := a.next
		a.free()
		a = next
	}
	m.appends = nil
	for c := ctx.Next(); c != nil; c = ctx.Next() {
		m.accept(c.(*command))
	}
	if len(m.fresh) > 0 {
		m.store(r)
	}
	if to := min(m.target, m.last); to > m.applied {
		m.decide(r, to)
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
				r.out[i] = append(r.out[i], letter{to: p, entries: a, commit: m.applied})
			}
		}
		m.untold = false
	}
	m.order++
	m.ref.Lock() // before the log can say that it is durable
	m.in.orders = append(m.in.orders, order{m.order, m.last})
	m.ref.Release()
	if err := m.node.Store(m.writer, &wal.Op{Seq: m.order, Entries: m.fresh}); err != nil {
		panic(fmt.Errorf("commitpath: %w", err)) // this host has no flow control but the driver's window
	}
	r.dirty = true
	clear(m.fresh)
	m.fresh = m.fresh[:0]
}

// Written takes in that orders up to seq are durable. A follower has promised to acknowledge what is, so that this goes to the
// leader without another activation.
func (m *member) Written(seq uint64, ws *actor.Wakeups) {
	m.ref.Lock()
	last := m.in.written(seq)
	if m.leads() {
		m.unlock(m.in.has(m.leader, last), ws)
		return
	}
	m.ref.Release()
	if last == 0 { // it was the registration
		return
	}
	l := letter{to: m.peers[m.leader], from: m.node.id, acked: last}
	l.deliver(ws)
}

// unlock ends a post, which wakes the member or waits for one that does.
func (m *member) unlock(wake bool, ws *actor.Wakeups) {
	m.in.any = true
	if wake {
		m.ref.Unlock(ws)
	} else {
		m.ref.Release()
	}
}

// decide applies what is committed, and if we lead answers, and lets the followers know.
func (m *member) decide(r *round, to ra.Index) {
	m.apply(r, to)
	if !m.leads() {
		return
	}
	n := copy(m.waiting, m.waiting[m.answered:])
	clear(m.waiting[n:])
	m.waiting, m.answered = m.waiting[:n], 0
	if !m.untold {
		m.untold = true
		r.words = append(r.words, m)
	}
}

// tell lets the followers know what is committed, if no append has in the meantime.
func (m *member) tell(r *round) {
	if !m.untold {
		return
	}
	m.untold = false
	for i, p := range m.peers {
		if i != m.node.id {
			r.out[i] = append(r.out[i], letter{to: p, commit: m.applied})
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

// shownMachine is the machine as others may look at it while the member runs.
type shownMachine struct{ count, sum atomic.Uint64 }

func (s *shownMachine) store(m driver.Machine) {
	s.count.Store(m.Count)
	s.sum.Store(m.Sum)
}

func (s *shownMachine) load() driver.Machine {
	return driver.Machine{Count: s.count.Load(), Sum: s.sum.Load()}
}
