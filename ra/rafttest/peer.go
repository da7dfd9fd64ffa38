package rafttest

import (
	"errors"
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// peer is one member on its node: the shipping Server with the shipping log, between a network, a timer and a machine
// that belong to the simulator. It reports to the truth what passes by.
type peer struct {
	sim     *sim
	node    *node
	cluster *cluster
	uid     ra.UID
	initial []ra.Member

	server  *member.Server
	writer  *wal.Writer
	log     *raftlog.Log
	machine *replica // in force
	base    uint64   // the log's Seq before the first order of this life
	hint    ra.Index // known to be committed, as the log will say when it has stored what it has taken
	back    recovery // what the disk had
	durable uint64   // the newest order that is
	late    []wal.Op // what a life that ended had not stored yet
	last    *member.RecoveryCheckpoint
	fresh   bool // the member waits for its registration
	gone    bool // removed from the cluster, and stopped for good
	deleted bool // and its data are, too, or about to be
	// condemned: its data are to be deleted, by force. dissolved: they are because its cluster is deleted; herald waits for
	// it.
	condemned, dissolved bool
	herald               ra.UID
	code                 machine.Version // the highest version of the machine that the process can do

	suspect  bool // it has lost entries, and is not repaired yet
	unmarked bool // which is not durable

	timer       uint64 // number of the armed timer; older ones do nothing
	ticks       uint64
	ticking     bool
	machineTick bool // a tick of the machine is planned
	open        bool // a batch is gathering
	leading     ra.Term
	term        ra.Term // of the newest order; it may not be durable yet
	promise     promised
	patient     patient
	maybe       *durable // after a crash: what was durable and what was just being made so

	// flinches is who hands over to the member, whose node will be stopped then; see flinch.
	flinches *peer

	// wishes are questions that wait.
	wishes []*wish

	// ghosts are acknowledgements of the past, see haunt; notices what others said of their damage, see recall.
	ghosts, notices map[ra.UID]*raft.Message

	lost     ra.UID                    // the leader whose process was said to have ended, until it is heard of again
	heard    map[ra.UID]*member.Server // the process of each other member that the last message came from
	progress progress
	sent     ra.Index // the entry for which the machine last sent something in this leadership
	known    ra.Index // known to be applied when this life began
}

// id returns the member's address.
func (p *peer) id() ra.ServerID {
	return ra.ServerID{Name: p.cluster.name, Node: ra.NodeID(fmt.Sprint("n", p.node.id))}
}

// alive reports whether the member runs.
func (p *peer) alive() bool { return p.node.up && !p.gone && p.server != nil }

// step takes a message in. Some batches end at once, others gather for a moment.
func (p *peer) step(m *raft.Message) {
	canWait := p.canWait(m)
	p.hear()
	p.wonder()
	p.nonsense(m)
	p.server.Step(m)
	p.patient.alone = canWait
	p.end()
}

// end ends the batch now or soon.
func (p *peer) end() {
	if p.open || !p.alive() {
		return
	}
	if p.sim.dice.oneIn(3) {
		p.open = true
		p.sim.plan(p.sim.dice.between(0, 200*time.Microsecond), event{kind: evFlush, peer: p, life: p.node.life, server: p.server})
		return
	}
	p.flush()
}

func (p *peer) flush() {
	p.open = false
	quiet := p.patient.alone
	if p.promise.expect == nil {
		p.hear()
	}
	p.patient.quiet = quiet
	p.server.Flush()
	p.patient = patient{}
	if p.alive() {
		p.server.Promise(&p.promise.Promise)
		p.patient.Patience = p.server.Patience()
	}
	p.look()
}

// look compares what the member has become with the truth.
func (p *peer) look() {
	t := p.cluster.truth
	switch err := p.server.Failed(); {
	case err == nil:
	case errors.Is(err, member.ErrDeleted):
		p.dissolve()
		return
	case errors.Is(err, member.ErrRemoved):
		p.leave()
		return
	case deliberate(err):
		p.node.giveUp() // its disk cannot be read
		return
	default:
		t.breach("panic", "%s stopped: %v", p.uid, err)
		return
	}
	st := p.server.Status()
	// A checkpoint that it came back with may be ahead of the member's commit index, and of its log.
	if int(max(st.Commit, st.Applied)) > len(t.committed) {
		t.breach("I6", "%s has commit index %d and applied %d, committed is %d", p.uid, st.Commit, st.Applied, len(t.committed))
	}
	if want, _ := t.stateAt(st.Applied); p.machine.state != want {
		t.breach("I5", "%s has applied %d with state %+v, must be %+v", p.uid, st.Applied, p.machine.state, want)
	}
	if base, _ := p.log.Base(); base > st.Applied {
		t.breach("I9", "%s has let go of its log up to %d, applied is %d", p.uid, base, st.Applied)
	}
	if p.server.WantsTick() && !p.machineTick {
		p.machineTick = true
		p.sim.plan(time.Second, event{kind: evMachine, peer: p, life: p.node.life, server: p.server})
	}
	p.advanced(st)
	p.fulfilled(st.Applied)
	t.relies(p.uid, p.server.Durable(), p.log.Term)
	if len(t.configs) > 0 {
		t.changedBy(p.uid, p.initial)
		t.configured(p.uid, p.log, p.initial, p.server.Configuration())
	}
}

// changed hears of roles. It is called before the member does anything else in its new one.
func (p *peer) changed(st member.Status) {
	if (st.Role == ra.Leader || st.Role == ra.TerminatingLeader) && st.Term != p.leading {
		p.leading, p.sent = st.Term, 0
		p.sim.done.Elections++
		p.cluster.truth.leads(p.uid, st.Term, p.termAt)
		p.haunt(st.Term)
	}
	if st.Role == ra.Candidate && p.flinches != nil {
		p.flinched()
	}
	p.watch(st.Leader)
}

// watch watches the process of uid that the last message came from, if any. Whoever starts to watch a process that has
// ended hears of it at once.
func (p *peer) watch(uid ra.UID) {
	q := p.cluster.peer(uid)
	if q == nil || q == p || q.alive() && (p.heard[uid] == nil || p.heard[uid] == q.server) {
		return
	}
	p.sim.plan(p.sim.dice.between(0, time.Second), event{
		kind: evLearn, peer: p, life: p.node.life, gen: 1, message: &raft.Message{Kind: raft.LeaderDown, From: uid},
	})
}

// unwatch takes note that the leader's process is not watched any more, because it was said to have ended.
func (p *peer) unwatch(m *raft.Message) {
	if (m.Kind == raft.LeaderLost || m.Kind == raft.LeaderDown) && m.From == p.server.Status().Leader {
		p.lost = m.From
	}
}

// watchAgain watches the leader again, who was said to have ended and is heard of, or whose node is back, all the same
// (TIM-06).
func (p *peer) watchAgain(from ra.UID) {
	if p.lost == from && from != "" {
		p.lost = ""
		p.watch(from)
	}
}

// haunt brings back the acknowledgements of former terms to a new leader, if messages may come twice at all: of each
// member the one that promised most. Later than all others is when they could do the most harm.
func (p *peer) haunt(term ra.Term) {
	for _, q := range p.cluster.members {
		if m := p.ghosts[q.uid]; m != nil && m.Term < term && p.sim.profile.TwiceOneIn > 0 {
			again := *m
			p.sim.plan(p.sim.profile.Delay, event{kind: evDeliver, peer: p, message: &again})
		}
	}
}

// recall brings back to all members what one of them said of its damage before it was repaired, if messages may come twice
// at all.
func (p *peer) recall() {
	for _, q := range p.cluster.members {
		if m := q.notices[p.uid]; m != nil && p.sim.profile.TwiceOneIn > 0 {
			again := *m
			p.sim.plan(p.sim.dice.between(0, p.sim.profile.LieDown), event{kind: evDeliver, peer: q, message: &again})
		}
	}
}

// remember keeps an acknowledgement on its way to the member for haunt, and news of damage for recall.
func (p *peer) remember(m *raft.Message) {
	if m.Kind == raft.SuspectNotice {
		if p.notices == nil {
			p.notices = map[ra.UID]*raft.Message{}
		}
		kept := *m
		p.notices[m.From] = &kept
	}
	if m.Kind != raft.AppendReply || m.Reject {
		return
	}
	if old := p.ghosts[m.From]; old == nil || old.Index <= m.Index {
		if p.ghosts == nil {
			p.ghosts = map[ra.UID]*raft.Message{}
		}
		kept := *m
		p.ghosts[m.From] = &kept
	}
}

// committed hears of a commit index that moves, before anything is applied.
func (p *peer) committed(from, to ra.Index) {
	st := p.server.Status()
	c := commit{
		uid: p.uid, leads: p.leading == st.Term, last: to, term: st.Term,
	}
	c.configs = p.recentConfigs()
	for i := from + 1; i <= to; i++ {
		term, ok := p.log.Term(i)
		if !ok {
			p.cluster.truth.breach("I6", "%s commits index %d, which it does not have", p.uid, i)
			return
		}
		c.at = position{i, term}
		p.cluster.truth.commits(&c)
	}
}

// recentConfigs returns the configuration in force and the one before it: a batch may have changed it after it moved
// the commit index.
func (p *peer) recentConfigs() [][]ra.Member {
	now := p.server.Configuration()
	out := [][]ra.Member{now.Members}
	before := p.initial
	base, _ := p.log.Base()
	at := ra.Index(0)
	for i := range p.cluster.truth.configs {
		c := &p.cluster.truth.configs[i]
		if c.at.index >= now.Index || c.at.index < at {
			continue
		}
		term, ok := p.log.Term(c.at.index)
		if ok && term == c.at.term || c.at.index <= base && p.cluster.truth.committed[c.at.index-1] == c.at {
			before, at = c.members, c.at.index
		}
	}
	if now.Index > 0 {
		out = append(out, before)
	}
	return out
}

// Store puts an order of the member into the batch of the node's log.
func (p *peer) Store(op *wal.Op) error {
	p.acts(op)
	numbered := *op
	numbered.Seq += p.base
	if op.State != nil {
		p.term = op.State.Term
	}
	if op.Truncate != 0 {
		p.cluster.truth.removes(p.uid, p.term, op.Truncate)
	}
	if err := p.log.Order(&numbered); err != nil {
		return err
	}
	if err := p.node.store(p, &numbered); err != nil {
		return err
	}
	if op.Truncate != 0 {
		p.hint = min(p.hint, op.Truncate-1)
	}
	p.hint = max(p.hint, op.Applied)
	return nil
}

// NewMessage and Send are the network. Every message is a new one: what a member keeps of it by mistake shows.
func (p *peer) NewMessage() *raft.Message { return new(raft.Message) }

// Send sends a message through the weather.
func (p *peer) Send(m *raft.Message) {
	p.acts(m)
	p.keeps(m)
	t := p.cluster.truth
	switch {
	case m.Kind == raft.VoteReply && !m.Reject:
		t.promised(p.uid, m.To, m.Term)
	case m.Kind == raft.VoteRequest:
		t.promised(p.uid, p.uid, m.Term)
	case m.Kind == raft.AppendReply && !m.Reject:
		term, _ := p.termAt(m.Index)
		t.acknowledged(p.uid, m.Term, raft.Position{Index: m.Index, Term: term})
		p.admits(m)
	}
	p.sim.send(p, m)
}

// Leave does nothing: what is sent and stored here is on its way.
func (p *peer) Leave() {}

// More has clients ask for more in the middle of a batch.
func (p *peer) More() { p.sim.more(p) }

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
	to := from.cluster.peer(m.To)
	if to != nil && to.gone && s.dice.oneIn(2) {
		if other := to.namesake(); other != nil {
			to = other // I12: it must see that it is not meant
		}
	}
	if to == nil || s.cut[from.node.id][to.node.id] || s.dice.oneIn(s.profile.LoseOneIn) {
		return
	}
	to.remember(m)
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
		s.plan(at-s.now, event{kind: evDeliver, peer: to, message: m, sender: from.server})
	}
}
