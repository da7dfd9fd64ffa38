package rafttest

import (
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
)

// peer is one member on its node: the shipping Server, between a log, a network, a timer and a machine that belong to
// the simulator. It reports to the truth what passes by.
type peer struct {
	sim     *sim
	node    *node
	cluster *cluster
	uid     ra.UID
	initial []ra.Member

	server  *member.Server
	writer  *wal.Writer
	table   *memtable.Table
	applied applied
	base    uint64 // the log's Seq before the first order of this life

	timer   uint64 // number of the armed timer; older ones do nothing
	ticks   uint64
	ticking bool
	open    bool // a batch is gathering
	leading ra.Term
	term    ra.Term  // of the newest order; it may not be durable yet
	maybe   *durable // after a crash: what was durable and what was just being made so
}

// step takes a message in. Some batches end at once, others gather for a moment.
func (p *peer) step(m *raft.Message) {
	p.server.Step(m)
	p.end()
}

// end ends the batch now or soon.
func (p *peer) end() {
	if p.open {
		return
	}
	if p.sim.dice.oneIn(3) {
		p.open = true
		p.sim.plan(p.sim.dice.between(0, 200*time.Microsecond), event{kind: evFlush, peer: p, life: p.node.life})
		return
	}
	p.flush()
}

func (p *peer) flush() {
	p.open = false
	p.server.Flush()
	p.look()
}

// look compares what the member has become with the truth.
func (p *peer) look() {
	if err := p.server.Failed(); err != nil {
		p.cluster.truth.breach("panic", "%s stopped: %v", p.uid, err)
	}
	if st := p.server.Status(); st.Applied > st.Commit {
		p.cluster.truth.breach("I7", "%s applied %d with commit index %d", p.uid, st.Applied, st.Commit)
	}
}

// changed hears of roles. It is called before the member does anything else in its new one.
func (p *peer) changed(st member.Status) {
	if st.Role == ra.Leader && st.Term != p.leading {
		p.leading = st.Term
		p.sim.elections++
		p.cluster.truth.leads(p.uid, st.Term, p.termAt)
	}
}

// termAt returns the term of an entry of the member's log.
func (p *peer) termAt(i ra.Index) (ra.Term, bool) {
	if i < 1 || i > p.table.Last() {
		return 0, true
	}
	return p.table.Term(i)
}

// committed hears of a commit index that moves, before anything is applied.
func (p *peer) committed(from, to ra.Index) {
	st := p.server.Status()
	for i := from + 1; i <= to; i++ {
		e, ok := p.table.Entry(i)
		if !ok {
			p.cluster.truth.breach("I6", "%s commits index %d, which it does not have", p.uid, i)
			return
		}
		p.cluster.truth.commits(p.uid, &e, st.Role == ra.Leader || st.Role == ra.AwaitCondition, to, st.Term)
	}
}

// Append adds entries to the log.
func (p *peer) Append(entries []ra.Entry) error {
	for i := range entries {
		e := &entries[i]
		prev, _ := p.termAt(e.Index - 1)
		if e.Index != p.table.Last()+1 {
			p.cluster.truth.breach("I3", "%s appends index %d behind %d", p.uid, e.Index, p.table.Last())
		}
		p.cluster.truth.appended(p.uid, e, prev)
		if err := p.table.Append(entries[i : i+1]); err != nil {
			p.cluster.truth.breach("I3", "%s: %v", p.uid, err)
		}
	}
	return nil
}

// Truncate removes entries from the log.
func (p *peer) Truncate(from ra.Index) {
	if commit := p.server.Status().Commit; from <= commit {
		p.cluster.truth.breach("I4", "%s removes index %d, committed up to %d", p.uid, from, commit)
	}
	p.table.Truncate(from)
}

// Read reads entries of the log.
func (p *peer) Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error) {
	got := p.table.Read(into, lo, hi, maxBytes)
	if len(got) == len(into) {
		return into, fmt.Errorf("no entry %d in a log up to %d", lo, p.table.Last())
	}
	return got, nil
}

// Store puts an order of the member into the batch of the node's log.
func (p *peer) Store(op *wal.Op) error {
	numbered := *op
	numbered.Seq += p.base
	if op.State != nil {
		p.term = op.State.Term
	}
	if op.Truncate != 0 {
		p.cluster.truth.removes(p.uid, p.term, op.Truncate)
	}
	return p.node.store(p, &numbered)
}

// NewMessage and Send are the network. Every message is a new one: what a member keeps of it by mistake shows.
func (p *peer) NewMessage() *raft.Message { return new(raft.Message) }

// Send sends a message through the weather.
func (p *peer) Send(m *raft.Message) {
	t := p.cluster.truth
	switch {
	case m.Kind == raft.VoteReply && !m.Reject:
		t.promised(p.uid, m.To, m.Term)
	case m.Kind == raft.VoteRequest:
		t.promised(p.uid, p.uid, m.Term)
	case m.Kind == raft.AppendReply && !m.Reject:
		term, _ := p.termAt(m.Index)
		t.acknowledged(p.uid, m.Term, raft.Position{Index: m.Index, Term: term})
	}
	p.sim.send(p, m)
}

// Arm sets the election timer.
func (p *peer) Arm(class raft.TimerClass) {
	const b, poll = 100 * time.Millisecond, time.Second
	var d time.Duration
	switch class {
	case raft.ReallyShort:
		d = p.sim.dice.between(time.Millisecond, b)
	case raft.Short:
		d = p.sim.dice.between(b, 5*b)
	case raft.Medium:
		d = p.sim.dice.between(b, poll)
	default:
		d = p.sim.dice.between(poll, 10*b+poll)
	}
	p.timer++
	p.sim.plan(d, event{kind: evTimer, peer: p, life: p.node.life, gen: p.timer})
}

// Cancel cancels the election timer.
func (p *peer) Cancel() { p.timer++ }

// Tick starts or stops the tick.
func (p *peer) Tick(on bool) {
	p.ticking = on
	p.ticks++
	if on {
		p.planTick()
	}
}

func (p *peer) planTick() {
	p.sim.plan(time.Second, event{kind: evTick, peer: p, life: p.node.life, gen: p.ticks})
}

func (p *peer) tick(gen uint64) {
	if gen == p.ticks && p.ticking {
		p.planTick()
		p.step(&raft.Message{Kind: raft.Tick})
	}
}

// Now is the wall clock.
func (p *peer) Now() int64 { return 1_700_000_000_000 + p.sim.now.Milliseconds() }

// send lets a message travel: it may be lost, doubled, or late. Between two nodes messages keep their order, as on a
// connection, but for those that the profile lets go astray.
func (s *sim) send(from *peer, m *raft.Message) {
	var to *peer
	for _, q := range from.cluster.members {
		if q.uid == m.To {
			to = q
		}
	}
	if to == nil || s.cut[from.node.id][to.node.id] || s.dice.oneIn(s.profile.LoseOneIn) {
		return
	}
	copies := 1
	if s.dice.oneIn(s.profile.TwiceOneIn) {
		copies = 2
	}
	for i := range copies {
		at := s.now + s.dice.skewed(s.profile.Delay)
		switch {
		case i > 0 && s.dice.oneIn(2):
			at += s.dice.between(0, s.profile.LieDown) // comes back from the past
		case !s.dice.oneIn(s.profile.ReorderOneIn):
			at = max(at, s.arrivals[from.node.id][to.node.id])
			s.arrivals[from.node.id][to.node.id] = at
		}
		s.plan(at-s.now, event{kind: evDeliver, peer: to, message: m})
	}
}
