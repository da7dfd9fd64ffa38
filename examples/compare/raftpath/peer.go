package raftpath

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
)

// command is a client's command. Commands are pooled.
type command struct {
	actor.Item
	proposal ra.Entry
	done     func(error)
}

var commands = sync.Pool{New: func() any { return new(command) }}

// Refuse is called if the member ended before it took the command.
func (c *command) Refuse(err error) { c.Done(member.Result{Err: err}) }

// Done answers the client.
func (c *command) Done(r member.Result) {
	done := c.done
	c.proposal, c.done = ra.Entry{}, nil
	commands.Put(c)
	done(r.Err)
}

// letter is a message on its way, and in the inbox of its receiver.
type letter struct {
	raft.Message
	next *letter
}

var letters = sync.Pool{New: func() any { return new(letter) }}

func (l *letter) free() {
	clear(l.Entries)
	*l = letter{Message: raft.Message{Entries: l.Entries[:0]}}
	letters.Put(l)
}

// inbox is a member's internal lane.
type inbox struct {
	written    uint64
	head, tail *letter
	calls      []func()
	any        bool
}

func (in *inbox) push(l *letter) {
	if in.tail == nil {
		in.head = l
	} else {
		in.tail.next = l
	}
	in.tail = l
}

// peer is one member as an actor: the shell's log, store, network, timer and machine.
type peer struct {
	in, batch inbox

	node   *node
	ref    *actor.Ref
	server *member.Server
	writer *wal.Writer

	members []ra.Member
	peers   [replicas]*peer

	ctx      *actor.Context // during Receive
	round    *round         // during Receive
	sending  *letter
	election actor.Timer
	ticker   actor.Ticker

	table   memtable.Table
	keep    ra.Index
	machine driver.Machine
	shown   shownMachine
}

func startPeer(n *node, members []ra.Member, keep ra.Index) (*peer, error) {
	p := &peer{node: n, keep: keep, members: members}
	uid := members[n.id].UID
	var err error
	if p.ref, err = n.Actors.Spawn(string(uid), func() actor.Actor { return p }); err != nil {
		return nil, err
	}
	p.writer, err = n.Register(uid, p)
	return p, err
}

// Start makes the member, on its worker: all members there share one set of orders, which stays in the processor's
// cache.
func (p *peer) Start(ctx *actor.Context) error {
	var err error
	p.server, err = member.New(member.Config{
		Raft:     raft.Config{Self: p.members[p.node.id].UID, Scratch: &ctx.Round().(*round).orders},
		Restored: raft.Restored{Configurations: []raft.Configuration{{Members: p.members}}},
		Log:      p, Store: p, Net: p, Timer: p, Machine: p,
	})
	if err != nil {
		return err
	}
	p.ctx, p.round = ctx, ctx.Round().(*round)
	p.server.Flush()
	return nil
}

// Empty reports whether nothing waits in the internal lane.
func (p *peer) Empty() bool { return !p.in.any }

// Take moves what waits aside, for Receive.
func (p *peer) Take() { p.batch, p.in = p.in, inbox{} }

// post lets f run in the member's next batch.
func (p *peer) post(f func()) {
	p.ref.Lock()
	p.in.any = true
	p.in.calls = append(p.in.calls, f)
	p.ref.Unlock(nil)
}

// Written posts that orders up to seq are durable.
func (p *peer) Written(seq uint64, ws *actor.Wakeups) {
	p.ref.Lock()
	p.in.any = true
	p.in.written = max(p.in.written, seq)
	p.ref.Unlock(ws)
}

// Receive is one activation: everything that waits goes into the core, and its orders are carried out.
func (p *peer) Receive(ctx *actor.Context) {
	p.ctx, p.round = ctx, ctx.Round().(*round)
	b := p.batch
	p.batch = inbox{}
	for _, f := range b.calls {
		f()
	}
	if b.written > 1 { // order 1 was the registration
		p.server.Step(&raft.Message{Kind: raft.Written, Seq: b.written - 1})
	}
	for l := b.head; l != nil; l = l.next {
		p.server.Step(&l.Message)
	}
	if ctx.NextTimer() != nil {
		p.server.Step(&raft.Message{Kind: raft.ElectionTimeout})
	}
	if ctx.Ticked() {
		p.server.Step(&raft.Message{Kind: raft.Tick})
	}
	for c := ctx.Next(); c != nil; c = ctx.Next() {
		cmd := c.(*command)
		p.server.Command(member.Command{Proposal: cmd.proposal, Caller: cmd})
	}
	p.server.Flush()
	for l := b.head; l != nil; {
		next := l.next
		l.free()
		l = next
	}
	p.forget()
	p.shown.store(p.machine)
	p.ctx, p.round = nil, nil
	if err := p.server.Failed(); err != nil {
		ctx.Stop(err)
	}
}

// forget drops old entries, as a snapshot of the machine would let it.
func (p *peer) forget() {
	st := p.server.Status()
	if p.table.Len() < int(2*p.keep) || st.Applied <= p.table.First()+p.keep {
		return
	}
	to := st.Applied - p.keep
	term, _ := p.table.Term(to)
	p.server.Step(&raft.Message{Kind: raft.SnapshotTaken, Index: to, LogTerm: term})
	p.server.Step(&raft.Message{Kind: raft.LogTruncated, Index: to})
	p.server.Flush()
	p.table.Drop(to)
}

// Append adds entries to the log in memory.
func (p *peer) Append(entries []ra.Entry) {
	if err := p.table.Append(entries); err != nil {
		panic(fmt.Errorf("raftpath: %w", err))
	}
}

// Truncate removes entries from the log in memory.
func (p *peer) Truncate(from ra.Index) { p.table.Truncate(from) }

// Read reads entries.
func (p *peer) Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error) {
	got := p.table.Read(into, lo, hi, maxBytes)
	if len(got) == len(into) {
		return into, member.ErrCompacted
	}
	return got, nil
}

// Store puts an order into the node's log.
func (p *peer) Store(op *wal.Op) error {
	op.Seq++ // order 1 was the registration
	p.round.dirty = true
	return p.node.Store(p.writer, op)
}

// NewMessage returns a message to be filled and sent.
func (p *peer) NewMessage() *raft.Message {
	if p.sending == nil {
		p.sending = letters.Get().(*letter)
	}
	return &p.sending.Message
}

// Send puts the message into the round's outbox.
func (p *peer) Send(m *raft.Message) {
	l := p.sending
	p.sending = nil
	to := int(m.To[len(m.To)-1] - '0')
	p.round.out[to] = append(p.round.out[to], parcel{p.peers[to], l})
}

// Arm sets the election timer (TIM-01).
func (p *peer) Arm(class raft.TimerClass) {
	const b, poll = 100 * time.Millisecond, time.Second
	low, high := time.Millisecond, b
	switch class {
	case raft.Short:
		low, high = b, 5*b
	case raft.Medium:
		low, high = b, poll
	case raft.Long:
		low, high = poll, poll+10*b
	}
	p.ctx.Arm(&p.election, low+rand.N(high-low))
}

// Cancel cancels the election timer.
func (p *peer) Cancel() { p.ctx.Disarm(&p.election) }

// Tick turns the tick on or off.
func (p *peer) Tick(on bool) {
	if on {
		p.ctx.Subscribe(&p.ticker)
	} else {
		p.ctx.Unsubscribe(&p.ticker)
	}
}

// Now is the wall clock.
func (p *peer) Now() int64 { return time.Now().UnixMilli() }

// Apply feeds the machine.
func (p *peer) Apply(e *ra.Entry) any {
	if len(e.Payload()) > 0 {
		p.machine.Apply(e.Payload())
	}
	return nil
}

// Query answers nothing: the driver does not ask.
func (p *peer) Query(any) any { return nil }

// shownMachine is the machine as others may look at it while the member runs.
type shownMachine struct{ count, sum atomic.Uint64 }

func (s *shownMachine) store(m driver.Machine) {
	s.count.Store(m.Count)
	s.sum.Store(m.Sum)
}

func (s *shownMachine) load() driver.Machine {
	return driver.Machine{Count: s.count.Load(), Sum: s.sum.Load()}
}
