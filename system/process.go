package system

import (
	"errors"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// process is one life of a member: the actor around its Server. Another life is another process, made from disk.
//
// A batch takes in everything that waits, flushes the Server once, and leaves what it has to say in the worker's round.
type process struct {
	node   *Node
	rec    *record
	entry  *entry // of its cluster
	server *member.Server
	ref    *actor.Ref
	spawn  uint64
	// begun is closed when the process can be reached.
	begun chan struct{}

	// in is guarded by the mailbox's lock, like gone: nothing is taken in any more.
	in       inbox
	gone     bool
	patience raft.Patience // of the Server since its last batch
	promise  promise       // of the Server since its last batch

	// What follows belongs to the worker's goroutine.
	batch inbox
	ctx   *actor.Context // during a call by the worker, else nil
	round *round         // of the worker

	peers    peers
	soon     *letter // being warmed, the first of soonLeft that wait; nil if none is
	soonLeft int
	sending  *letter // NewMessage gave it out
	leader   ra.UID  // who was last held for the leader
	watching actor.MonitorRef
	watched  ra.PID // the process of the leader that was last monitored
	monitors monitorTable
	election actor.Timer
	ticker   actor.Ticker
	coreTick bool // the core wants ticks
	ticking  bool // subscribed
	deleted  bool // by consensus
	herald   herald
	told     member.Status

	shown shown
}

// monitorTable is the monitors of a member's machine and aux handler.
type monitorTable map[ra.PID]actor.MonitorRef

// Start makes the process reachable and lets the Server carry out its first orders.
func (p *process) Start(ctx *actor.Context) error {
	p.ref = ctx.Ref()
	p.spawn = p.ref.PID().Spawn
	p.enter(ctx)
	defer p.leave()
	p.learnMembers()
	p.shown.update(p.server) // before anybody can look
	p.rec.proc.Store(p)
	close(p.begun)
	p.server.Flush()
	return p.conclude()
}

// enter and leave are the brackets around every use of the Server by the worker.
func (p *process) enter(ctx *actor.Context) { p.ctx, p.round = ctx, ctx.Round().(*round) }

func (p *process) leave() { p.ctx = nil }

// guard is deferred around a batch. After a panic in the core, which ends this member, the scratch that the members of
// the worker share must be clean for the next one.
func (p *process) guard(calm *bool) {
	if !*calm {
		p.round.orders, p.round.scratch = raft.Orders{}, member.Scratch{}
	}
	p.leave()
}

// Receive is one batch.
func (p *process) Receive(ctx *actor.Context) {
	calm := false
	p.enter(ctx)
	defer p.guard(&calm)
	p.soon = nil
	p.withdraw()
	b := p.batch
	p.batch = inbox{}
	p.takeNews(&b)
	p.takeLetters(b.head)
	p.takeTime()
	for _, c := range b.controls {
		p.takeCall(c)
	}
	p.takeClients()
	p.server.Flush()
	freeLetters(b.head)
	if b.asked != nil {
		b.asked.answer(p)
	}
	if err := p.conclude(); err != nil {
		ctx.Stop(endOf(err))
	}
	calm = true
}

// withdraw takes back what was promised, before anything of a batch is decided. Take has done that, unless nothing came by
// the internal lane; what was said by the promise since then comes first, too.
func (p *process) withdraw() {
	if !p.promise.Given() { // only this goroutine changes it
		return
	}
	p.ref.Lock()
	p.Take()
	p.ref.Release()
}

// Stop ends the life: whoever waits is told, and the log gets what it had no room for.
func (p *process) Stop(ctx *actor.Context, reason error) {
	p.enter(ctx)
	defer p.leave()
	if p.deleted {
		p.node.goings.begin(p.rec.uid)
	}
	p.rec.proc.CompareAndSwap(p, nil)
	p.ref.Lock()
	rest := p.in
	p.in, p.gone, p.promise = inbox{}, true, promise{}
	p.ref.Release()
	freeLetters(rest.head)
	if rest.asked != nil {
		rest.asked.answer(nil)
	}
	defer p.node.ended(p) // also if the Server panics once more
	cause := p.node.whyEnded(reason)
	for _, c := range rest.controls {
		c.Refuse(cause)
	}
	p.ctx.Disarm(&p.election)
	p.sayFarewell(reason)
	p.server.Stop(cause)
	if op := p.server.Mark(); op != nil && !p.deleted {
		_ = p.Store(op) // a hint, which may be lost
	}
	p.rec.leave(p.server.Backlog())
}

// takeNews tells the Server what happened on the node.
func (p *process) takeNews(b *inbox) {
	if b.failed != nil {
		p.server.Stop(b.failed)
	}
	for _, done := range b.done {
		done()
	}
	if b.told > 0 {
		p.server.Acknowledged(b.told)
	}
	if b.written > b.told {
		p.server.Written(b.written)
	}
	if b.resume {
		p.server.Resume()
	}
	for _, n := range b.nodes {
		p.nodeNews(n)
	}
}

// nodeNews tells the Server that the nodes of peers are up or down (TIM-05). When the leader's node is back its process is
// monitored again: the Server counts on hearing if that has ended meanwhile (TIM-06).
func (p *process) nodeNews(n nodeState) {
	kind := raft.NodeDown
	if n.up {
		kind = raft.NodeUp
	}
	for i := range p.peers.list {
		if peer := &p.peers.list[i]; peer.id.Node == n.node && peer.uid != p.rec.uid {
			p.server.Step(&raft.Message{Kind: kind, From: peer.uid})
			if n.up {
				p.lives(peer.uid)
			}
		}
	}
}

// lives has the leader's process monitored again if it was said to have ended.
func (p *process) lives(uid ra.UID) {
	if p.watching == 0 && uid == p.leader {
		p.watched = ra.PID{}
	}
}

// takeLetters hands the letters to the Server.
func (p *process) takeLetters(l *letter) {
	for ; l != nil; l = l.next {
		p.peers.learn(p.round, l)
		p.lives(l.From)
		p.rec.tally.Add(ra.CountMessagesReceived, 1)
		p.server.Step(&l.Message)
	}
}

func freeLetters(l *letter) {
	for l != nil {
		next := l.next
		l.free()
		l = next
	}
}

// takeTime tells the Server of timers that fired and of the node's tick.
func (p *process) takeTime() {
	for t := p.ctx.NextTimer(); t != nil; t = p.ctx.NextTimer() {
		if t == &p.election {
			p.server.Step(&raft.Message{Kind: raft.ElectionTimeout})
		} else {
			p.server.Timeout(t.Name())
		}
	}
	if !p.ctx.Ticked() {
		return
	}
	if p.coreTick {
		p.server.Step(&raft.Message{Kind: raft.Tick})
	}
	if p.server.WantsTick() {
		p.server.MachineTick()
	}
}

// takeClients takes in the client lane.
func (p *process) takeClients() {
	for m := p.ctx.Next(); m != nil; m = p.ctx.Next() {
		switch m := m.(type) {
		case *call:
			p.takeCall(m)
		case *actor.Down:
			p.down(m)
		case *actor.NodeEvent:
			p.server.NodeEvent(machine.NodeEvent{Node: m.Node, Up: m.Up})
		default:
			p.node.counts.foreign.Add(1)
		}
	}
}

// More takes in what clients have sent since the batch began.
func (p *process) More() {
	p.ctx.More()
	p.takeClients()
}

// down tells the Server that a process has ended: its leader's, or one that machine or aux handler watch.
func (p *process) down(d *actor.Down) {
	if d.Ref == p.watching {
		p.watching = 0
		kind := raft.LeaderDown
		if errors.Is(d.Reason, ra.ErrNodeDown) {
			kind = raft.LeaderLost
		}
		p.server.Step(&raft.Message{Kind: kind, From: p.leader})
		return
	}
	if p.monitors[d.PID] == d.Ref {
		delete(p.monitors, d.PID)
		p.server.Down(machine.Down{PID: d.PID, Reason: machine.ReasonOf(d.Reason)})
	}
}

// conclude brings what depends on the Server's state up to date after a batch. It returns why the process ends, if it
// does.
func (p *process) conclude() error {
	if err := p.server.Failed(); err != nil {
		return err
	}
	if want := p.coreTick || p.server.WantsTick(); want != p.ticking {
		p.ticking = want
		if want {
			p.ctx.Subscribe(&p.ticker)
		} else {
			p.ctx.Unsubscribe(&p.ticker)
		}
	}
	p.learnMembers()
	if s := p.server.Status(); s != p.told {
		p.changed(s)
	}
	p.watchLeader()
	p.rest()
	return nil
}

// rest lets those who post know what the Server need not hear of at once, and what they can say for it.
func (p *process) rest() {
	patience := p.server.Patience()
	var promised promise
	if p.server.Promise(&promised.Promise); promised.Given() {
		if to := p.peers.find(promised.Leader()); to != nil {
			promised.to = address{node: to.id.Node, slot: to.slot}
		} else {
			promised = promise{}
		}
	}
	// Only this goroutine changes them, or takes the promise back.
	if patience == p.patience && !promised.Given() {
		return
	}
	p.ref.Lock()
	p.patience, p.promise = patience, promised
	p.ref.Release()
}

// promise is a raft.Promise with the way to the leader that it is made to.
type promise struct {
	raft.Promise
	to address
}

// address is where letters to a member go.
type address struct {
	node ra.NodeID
	slot uint32
}

// changed tells the board and those who look at the member from outside.
func (p *process) changed(s member.Status) {
	if s.Leader != p.told.Leader || s.Term != p.told.Term || s.Role != p.told.Role {
		p.entry.follows(p, s)
		p.entry.defers.Store(p.server.DefersReplies())
	}
	if s.Applied > p.told.Applied {
		p.shown.latency.Store(uint64(max(0, p.round.now()-p.server.AppliedTime())))
	}
	p.told = s
	p.shown.update(p.server)
}

// watchLeader monitors the process of the leader that the Server follows (TIM-06). Which process that is, is known from
// its letters; a leader that has started anew is another process.
func (p *process) watchLeader() {
	leader := p.told.Leader
	var pid ra.PID
	if leader != "" && leader != p.rec.uid {
		if peer := p.peers.find(leader); peer != nil && peer.spawn != 0 && peer.id.Name != "" {
			pid = peer.pid()
		}
	}
	if leader == p.leader && pid == p.watched {
		return
	}
	if p.watching != 0 {
		p.ctx.Demonitor(p.watching)
	}
	p.leader, p.watching, p.watched = leader, 0, pid
	if !pid.IsZero() {
		p.watching = p.ctx.Monitor(pid)
	}
}

// serverID returns the address of a member, as far as this one knows it.
func (p *process) serverID(uid ra.UID) ra.ServerID {
	if uid == p.rec.uid {
		return p.rec.id
	}
	if peer := p.peers.find(uid); peer != nil && !peer.stranger {
		return peer.id
	}
	return ra.ServerID{}
}

// endOf returns the reason with which the process ends: nil, a normal end that is not followed by a restart, if the
// member is not needed any more.
func endOf(err error) error {
	if errors.Is(err, member.ErrRemoved) || errors.Is(err, member.ErrDeleted) || errors.Is(err, ra.ErrStorageFailed) {
		return nil
	}
	return err
}

// problem notes what does not stop the member.
func (p *process) problem(err error) {
	p.node.counts.problems.Add(1)
	p.node.logger.Warn("member has a problem", zap.String("member", p.rec.id.Name), zap.Error(err))
}
