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
type callers struct{ node *Node }

// Receive hands replies out.
func (c *callers) Receive(ctx *actor.Context) {
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		e, ok := m.(ra.Event)
		if !ok {
			c.node.counts.foreign.Add(1)
			continue
		}
		c.event(e)
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
	if err := n.pending.add(c); err != nil {
		return machine.Caller{}, err
	}
	return machine.Caller{PID: n.callers.PID(), Correlation: c.id}, nil
}
