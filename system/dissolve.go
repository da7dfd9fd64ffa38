package system

import (
	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// When a cluster is deleted by consensus one of its members, the herald, stays until the nodes of all others have said
// that nothing is left there (see package ra/member). That is said here, since there is no member any more that could.

// herald is who waits for the data of a member to be gone. Its uid is empty if nobody does.
type herald struct {
	uid  ra.UID
	node ra.NodeID
	slot uint32
}

// dissolve takes note that the member is not needed any more because its cluster is deleted.
func (p *process) dissolve() {
	p.deleted = true
	if peer := p.peers.find(p.server.DismissedBy()); peer != nil {
		p.herald = herald{uid: peer.uid, node: peer.id.Node, slot: peer.slot}
	}
}

// notHere answers a letter to a member that this node does not have, if it is a herald's. A uid that is not registered
// never is again (ID-04), and deletions are durable before they are forgotten: so there is nothing here, for good.
func (n *Node) notHere(l *letter) {
	if l.Kind == raft.Dismissal {
		n.sayGone(l.To, &herald{uid: l.From, node: l.fromNode, slot: l.fromSlot})
	}
}

// sayGone tells a herald that nothing is left of a member. If that is lost the herald asks again.
func (n *Node) sayGone(uid ra.UID, to *herald) {
	if to.uid == "" {
		return
	}
	l := newLetter()
	l.Kind, l.From, l.To, l.slot = raft.Departure, uid, to.uid, to.slot
	if to.node == n.Name() {
		var ws actor.Wakeups
		l.fromNode, l.fromLife = n.Name(), n.actors.Incarnation()
		n.handOut(l, &ws)
		ws.Wake()
		return
	}
	f := &frame{from: n.Name(), life: n.actors.Incarnation(), letters: []*letter{l}}
	if link := n.linkTo(to.node); link == nil || link.Send(f) != nil {
		f.lose()
	}
}
