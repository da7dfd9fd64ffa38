package main

import (
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// The ways of consumers.
const (
	// credit is how many messages a consumer may have at a time that it has not settled. Its queues share it.
	credit    = 2048
	minCredit = 16
	maxCredit = 256
	// answerTicks is how many ticks of its node a consumer waits for an answer before it asks again, quietTicks how many
	// it waits for anything from a queue before it makes sure that it is subscribed. A tick is a second.
	answerTicks = 2
	quietTicks  = 5
	// retryAfter is the time before a command that was not taken is sent again.
	retryAfter = 20 * time.Millisecond
)

// tally counts what consumers see. It is for progress; what is true is for the queues to say.
type tally struct {
	// delivered messages came, some twice; acknowledged ones the queues have settled.
	delivered, acknowledged atomic.Uint64
	// withheld messages came to the consumer that acknowledges nothing.
	withheld atomic.Uint64
}

// consumer is a process that takes messages of some queues and acknowledges them, many at a time. To each queue one
// command is under way at most; what comes meanwhile is acknowledged by the next one. All commands may be repeated
// without harm, so one that is not answered is just sent again.
type consumer struct {
	links  []*link
	byName map[string]*link
	tally  *tally
	// credit is what each queue is given.
	credit uint64
	// withholds makes it a bad one, which acknowledges nothing.
	withholds bool

	ticks  uint64
	ticker actor.Ticker
	// retry fires when the links that are paused go on.
	retry  actor.Timer
	paused []*link
	// active are the links that may have something to say when the batch ends.
	active []*link
	buf    []byte
}

// link is what a consumer knows of one queue.
type link struct {
	cluster cluster
	number  uint64

	// subscription is 0 as long as the consumer knows of none; ask has it subscribe, perhaps once more.
	subscription uint64
	ask          bool
	// received messages are to be settled; batch is those in the command that is under way.
	received, batch []uint64
	// busy says that a command is under way, sent at a tick, and command is its number.
	busy    bool
	since   uint64
	command uint32
	// paused links wait for consumer.retry.
	paused bool
	// active says that the link is in consumer.active.
	active bool
	// heard is the tick at which something came last.
	heard uint64
}

// newConsumer returns the factory of a consumer of some queues.
func newConsumer(queues []int, clusters []cluster, t *tally, withholds bool) actor.Factory {
	return func() actor.Actor {
		c := &consumer{tally: t, credit: creditFor(len(queues)), withholds: withholds, byName: map[string]*link{}}
		for i, q := range queues {
			l := &link{cluster: clusters[q], number: uint64(i), ask: true}
			c.links = append(c.links, l)
			c.byName[queueName(q)] = l
		}
		return c
	}
}

// creditFor returns the credit that a consumer gives to each of its queues.
func creditFor(queues int) uint64 { return uint64(share(credit, queues, minCredit, maxCredit)) }

// lane returns how many messages may wait for a consumer of so many queues: what they may send on credit, as often as
// it may be sent again meanwhile, and the answers.
func lane(queues int) int { return max(1, queues) * (4*int(creditFor(queues)) + 8) }

// Start subscribes.
func (c *consumer) Start(ctx *actor.Context) error {
	ctx.Subscribe(&c.ticker)
	for _, l := range c.links {
		c.activate(l)
	}
	c.act(ctx)
	return nil
}

// Receive takes what came, and then acts on all of it.
func (c *consumer) Receive(ctx *actor.Context) {
	for m := ctx.Next(); m != nil; m = ctx.Next() {
		if e, ok := m.(ra.Event); ok {
			c.event(ctx, e)
		}
	}
	for t := ctx.NextTimer(); t != nil; t = ctx.NextTimer() {
		for _, l := range c.paused {
			l.paused = false
			c.activate(l)
		}
		c.paused = c.paused[:0]
	}
	if ctx.Ticked() {
		c.tick(ctx)
	}
	c.act(ctx)
}

func (c *consumer) event(ctx *actor.Context, e ra.Event) {
	switch body := e.Body.(type) {
	case quorumqueue.Delivery:
		if l := c.byName[body.Queue]; l != nil {
			c.deliver(l, body)
		}
	case ra.Applied:
		for _, a := range body {
			if l := c.answered(a.Correlation); l != nil {
				c.applied(l, a.Reply)
			}
		}
	case ra.Rejected:
		if l := c.answered(body.Correlation); l != nil {
			c.pause(ctx, l)
		}
	}
}

// deliver takes messages.
func (c *consumer) deliver(l *link, d quorumqueue.Delivery) {
	if d.Subscription < l.subscription {
		return // The subscription has ended, and its messages come again.
	}
	l.subscription, l.heard = d.Subscription, c.ticks
	c.tally.delivered.Add(uint64(len(d.Messages)))
	if c.withholds {
		c.tally.withheld.Add(uint64(len(d.Messages)))
		return
	}
	for _, m := range d.Messages {
		l.received = append(l.received, m.ID)
	}
	c.activate(l)
}

// answered ends the command of that correlation, and returns its link, nil if nobody waits for it any more.
func (c *consumer) answered(correlation uint64) *link {
	number := correlation >> 32
	if number >= uint64(len(c.links)) {
		return nil
	}
	l := c.links[number]
	if !l.busy || l.command != uint32(correlation) {
		return nil
	}
	l.busy, l.heard = false, c.ticks
	c.activate(l)
	return l
}

// applied takes a queue's answer.
func (c *consumer) applied(l *link, reply any) {
	switch r := reply.(type) {
	case quorumqueue.Subscribed:
		l.subscription, l.ask = r.Subscription, false
	case quorumqueue.Settled:
		c.tally.acknowledged.Add(r.Done)
		l.batch = l.batch[:0]
		if r.Gone {
			l.subscription, l.ask, l.received = 0, true, l.received[:0]
		}
	}
}

// unsent takes back what is in the command of a link.
func (l *link) unsent() {
	l.busy = false
	l.received = append(l.received, l.batch...)
	l.batch = l.batch[:0]
}

// pause has a link wait before it sends its command again.
func (c *consumer) pause(ctx *actor.Context, l *link) {
	l.unsent()
	if l.paused {
		return
	}
	l.paused = true
	if len(c.paused) == 0 {
		ctx.Arm(&c.retry, retryAfter)
	}
	c.paused = append(c.paused, l)
}

// tick looks after links from which nothing comes.
func (c *consumer) tick(ctx *actor.Context) {
	c.ticks++
	for _, l := range c.links {
		switch {
		case l.busy && c.ticks-l.since >= answerTicks:
			c.pause(ctx, l)
		case !l.busy && c.ticks-l.heard >= quietTicks:
			l.ask, l.heard = true, c.ticks
			c.activate(l)
		}
	}
}

// activate has act look at a link.
func (c *consumer) activate(l *link) {
	if !l.active {
		l.active = true
		c.active = append(c.active, l)
	}
}

// act sends the next command of each link that has something to say.
func (c *consumer) act(ctx *actor.Context) {
	for _, l := range c.active {
		l.active = false
		if l.busy || l.paused {
			continue
		}
		switch {
		case l.ask:
			c.send(ctx, l, quorumqueue.Subscribe{Consumer: ctx.Self(), Credit: c.credit})
		case len(l.received) > 0 && l.subscription != 0:
			l.received, l.batch = l.batch[:0], l.received
			c.send(ctx, l, quorumqueue.Settle{Subscription: l.subscription, IDs: l.batch})
		}
	}
	c.active = c.active[:0]
}

// send sends a command, whose answer comes as an event.
func (c *consumer) send(ctx *actor.Context, l *link, command quorumqueue.Command) {
	l.command++
	l.busy, l.since = true, c.ticks
	from := machine.Caller{PID: ctx.Self(), Correlation: l.number<<32 | uint64(l.command)}
	c.buf = quorumqueue.AppendCommand(c.buf[:0], command)
	if err := l.cluster.PipelineCommand(c.buf, from); err != nil {
		c.pause(ctx, l)
	}
}
