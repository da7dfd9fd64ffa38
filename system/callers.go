package system

import (
	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// maxCallersLane bounds the deferred replies that wait to be handed out.
const maxCallersLane = 1 << 20

// callers is the process that stands for all callers of a node to machines that answer later (MAC-05): such machines
// keep the caller in their state, and whoever leads when the answer is due sends it there.
type callers struct {
	node   *Node
	ticker actor.Ticker
}

// sweep asks callers to look after calls that could wait for ever.
type sweep struct{}

// Receive hands replies out. While it ticks, it looks after calls to other nodes of which nobody waits with a context.
func (c *callers) Receive(ctx *actor.Context) {
	if ctx.Ticked() && !c.node.pending.age() {
		c.node.sweeping.Store(false)
		ctx.Unsubscribe(&c.ticker)
		if c.node.pending.age() { // one came in between
			c.node.watchOver()
		}
	}
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		switch m := m.(type) {
		case ra.Event:
			c.event(m)
		case sweep:
			ctx.Subscribe(&c.ticker)
		default:
			c.node.counts.foreign.Add(1)
		}
	}
}

func (c *callers) event(e ra.Event) {
	switch b := e.Body.(type) {
	case ra.Applied:
		for i := range b {
			c.node.answered(&answer{id: b[i].Correlation, result: b[i].Result})
		}
	case ra.Rejected:
		c.node.answered(&answer{id: b.Correlation, err: &ra.NotLeaderError{Member: e.From, Leader: b.Leader}})
	}
}

// caller returns who a deferred reply to the call is sent to. The call is in the table from then on.
func (n *Node) caller(c *call) (machine.Caller, error) {
	c.shared = true
	id, err := n.pending.add(c, "")
	if err != nil {
		return machine.Caller{}, err
	}
	return machine.Caller{PID: n.callers.PID(), Correlation: id}, nil
}

// watchOver has calls looked after that another node is to answer and that have no context: an answer can be lost
// without anybody noticing, and they must end all the same.
func (n *Node) watchOver() {
	if n.sweeping.CompareAndSwap(false, true) && n.callers.Send(sweep{}) != nil {
		n.sweeping.Store(false) // its lane is full, long as it is: the next call tries again
	}
}
