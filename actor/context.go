package actor

import (
	pa "github.com/asynkron/protoactor-go/actor"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/warm"
)

// Context is what an actor is given when it is called: the batch, and what it may do. It belongs to the worker and is
// valid until the callback returns.
type Context struct {
	ref    *Ref
	worker *worker

	sys     []any // what protoactor wants that was not handled yet
	lane    lane  // the client messages that waited when the batch began
	left    int   // how many of them the batch may still hold
	taken   int
	special bool // the first message is one that protoactor wants handled alone
	ticked  bool
	sender  *pa.PID // of the message that Next returned last
}

// reset makes the context forget the batch.
func (c *Context) reset() {
	c.ref, c.sys, c.lane, c.left, c.taken = nil, nil, lane{}, 0, 0
	c.special, c.ticked, c.sender = false, false, nil
}

// Self returns the actor's own identity.
func (c *Context) Self() ra.PID { return c.ref.PID() }

// Ref returns the actor's own handle.
func (c *Context) Ref() *Ref { return c.ref }

// Node returns the node that the actor lives on.
func (c *Context) Node() *Node { return c.worker.node }

// Round returns what Config.NewRound made for the actor's worker; nil without it, and for actors with their own worker.
func (c *Context) Round() Round { return c.worker.round }

// Next returns the next client message of the batch, or nil when there is none: what was sent, as it was sent, and
// *Down and *NodeEvent.
func (c *Context) Next() any {
	for c.left > 0 && c.lane.head != nil {
		p, ok := c.lane.head.(*parcel)
		if ok && p.raw != nil && !c.special { // it opens the next batch
			return nil
		}
		c.left--
		c.taken++
		m := c.lane.pop()
		if c.lane.head != nil {
			warm.Pointee(c.lane.head, warmMessage)
		}
		c.sender = nil
		if ok {
			c.sender = p.sender
			return p.value
		}
		if v, ok := c.wanted(m); ok {
			return v
		}
	}
	return nil
}

// More lets the batch hold further client messages that have come since it began, as many as a batch may: for an actor whose
// batch takes long and that has a good moment for them. Next returns them.
func (c *Context) More() {
	if c.special {
		return
	}
	r := c.ref
	r.mu.Lock()
	r.client.putBack(c.lane)
	c.lane, r.client = r.client, lane{}
	c.left = int(r.batch)
	r.mu.Unlock()
}

// wanted returns what the actor is to see of m; ok is false if it does not want it any more.
func (c *Context) wanted(m Message) (v any, ok bool) {
	switch m := m.(type) {
	case *Down:
		return m, c.Node().monitors.received(m)
	case *NodeEvent:
		return c.Node().peers.received(m)
	}
	return m, true
}

// Stop ends the actor when the callback has returned; nil is a normal end.
func (c *Context) Stop(reason error) { c.ref.Stop(reason) }
