package system

import (
	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// What travels between nodes beside the letters and answers of a frame. Everything is sent by value.
type (
	// ask is a call to a member of another node. The answer comes with its number; 0: nobody waits.
	ask struct {
		id       uint64
		to       string
		kind     callKind
		op       raft.ChangeOp
		entry    ra.Entry
		question any
		when     member.Condition
		member   ra.Member
	}
	// answer is the end of an ask or an errand.
	answer struct {
		id     uint64
		result ra.Result
		err    error
	}
	// named is a message to whoever has a name.
	named struct {
		name    string
		message any
	}
)

// arrivedFrame takes in what another node sent, on its goroutine.
func (n *Node) arrivedFrame(from ra.NodeID, f actor.Frame) {
	switch f := f.(type) {
	case *frame:
		n.arrived(from, f)
	case *ask:
		n.asked(from, f)
	case *errand:
		n.sentFor(from, f)
	case *named:
		n.sendHere(f.name, f.message)
	}
}

// arrived hands out the letters and answers of a frame.
func (n *Node) arrived(from ra.NodeID, f *frame) {
	for i, l := range f.letters {
		n.warmReceivers(f.letters, i)
		l.fromNode, l.fromLife = from, f.life
		n.handOut(l, &f.wake)
	}
	f.wake.Wake()
	for i := range f.answers {
		n.answered(&f.answers[i])
	}
}

// handOut gives a letter to its receiver, or back if there is none.
func (n *Node) handOut(l *letter, ws *actor.Wakeups) {
	r := n.registry.at(l.slot)
	if r == nil || r.uid != l.To {
		if r = n.registry.byUID(l.To); r == nil {
			n.notHere(l)
			l.free()
			return
		}
	}
	if p := r.proc.Load(); p != nil {
		p.deliver(l, ws)
	} else {
		l.free()
	}
}

// answered ends the call that an answer is for, if somebody still waits for it.
func (n *Node) answered(a *answer) {
	if c := n.pending.take(a.id); c != nil {
		c.finish(a.result, a.err)
	}
}

// asked takes in a call from another node.
func (n *Node) asked(from ra.NodeID, a *ask) {
	c := n.newCall(a.kind)
	c.op, c.entry, c.question, c.when, c.member = a.op, a.entry, a.question, a.when, a.member
	c.backNode, c.backID = from, a.id
	if a.kind == callSeek {
		c.answer(ra.Result{Reply: n.whereabouts(a.to)}, nil)
		return
	}
	r := n.registry.byName(a.to)
	if err := n.submitHere(r, c); err != nil {
		c.Refuse(err)
	}
}

// sendAnswer sends one answer on its own. If the node cannot be reached it finds out by itself.
func (n *Node) sendAnswer(to ra.NodeID, a answer) {
	if to == n.Name() {
		n.answered(&a)
		return
	}
	if link := n.linkTo(to); link != nil {
		_ = link.Send(&frame{life: n.actors.Incarnation(), answers: []answer{a}})
	}
}

// nodeChanged tells the members with peers on a node that it came up or went down (TIM-05). Calls that the node was to
// answer end: what became of them, nobody knows.
func (n *Node) nodeChanged(peer ra.NodeID, up bool) {
	if up {
		n.links.Store(peer, n.actors.Link(peer))
	} else {
		n.pending.failNode(peer, ra.ErrNodeDown)
	}
	var ws actor.Wakeups
	for _, r := range n.registry.all() {
		if p := r.proc.Load(); p != nil && p.entry.hasMemberOn(peer) {
			p.nodeChanged(peer, up, &ws)
		}
	}
	ws.Wake()
}

// hasMemberOn reports whether the cluster has a member on a node, as far as is known.
func (e *entry) hasMemberOn(node ra.NodeID) bool {
	for _, r := range e.standing.Load().members {
		if r.id.Node == node {
			return true
		}
	}
	return false
}

// sendByName sends a message to whoever has the name, once.
func (n *Node) sendByName(to ra.PID, message any) error {
	if to.Node == n.Name() {
		return n.sendHere(to.Name, message)
	}
	link := n.linkTo(to.Node)
	if link == nil {
		return ra.ErrNodeDown
	}
	return link.Send(&named{to.Name, message})
}

func (n *Node) sendHere(name string, message any) error {
	r, ok := n.actors.Lookup(name)
	if !ok {
		return ra.ErrNoProcess
	}
	return r.Send(message)
}

// submit hands a call to a member anywhere. If it fails the call is still the caller's.
func (n *Node) submit(to ra.ServerID, c *call) error {
	if to.Node == n.Name() || to.Node == "" {
		return n.submitHere(n.registry.byName(to.Name), c)
	}
	return n.submitThere(to, c)
}

// submitTo is submit by a route.
func (n *Node) submitTo(r *route, c *call) error {
	if r.rec != nil {
		return n.submitHere(r.rec, c)
	}
	return n.submit(r.id, c)
}

// submitHere hands a call to a member of this node; nil is one that is not registered.
func (n *Node) submitHere(r *record, c *call) error {
	if r == nil {
		return n.notRunning(nil)
	}
	if c.kind == callMetrics {
		c.answer(ra.Result{Reply: r.metrics()}, nil)
		return nil
	}
	p := r.proc.Load()
	if p == nil {
		return n.notRunning(r)
	}
	if c.kind.isControl() {
		return p.control(c)
	}
	return p.ref.Send(c)
}

// submitThere sends a call to another node and puts it into the table.
func (n *Node) submitThere(to ra.ServerID, c *call) error {
	if n.isClosing() {
		return ra.ErrClosed
	}
	link := n.linkTo(to.Node)
	if link == nil {
		return ra.ErrNodeDown
	}
	a := &ask{to: to.Name, kind: c.kind, op: c.op, entry: c.entry, question: c.question, when: c.when, member: c.member}
	if c.kind == callForward || c.kind == callAuxCast {
		err := link.Send(a)
		if err == nil {
			c.free()
		}
		return err
	}
	untimed := c.done != nil
	id, err := n.pending.add(c, to.Node)
	if err != nil {
		return err
	}
	a.id = id // from here on c may be somebody else's
	if untimed {
		n.watchOver()
	}
	if err := link.Send(a); err != nil && n.pending.take(id) != nil {
		c.id = 0
		return err
	}
	return nil
}

// linkTo returns the link to a node that is connected, or nil. Links are made only to nodes that were up once, so that
// wrong names leave nothing behind.
func (n *Node) linkTo(node ra.NodeID) *actor.Link {
	l, ok := n.links.Load(node)
	if !ok || !l.(*actor.Link).Up() {
		return nil
	}
	return l.(*actor.Link)
}
