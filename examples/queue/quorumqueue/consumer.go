package quorumqueue

import (
	"cmp"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// consumer is a process that takes messages.
type consumer struct {
	// subscription is the index of the command that made it.
	subscription uint64
	pid          ra.PID
	// credit bounds unsettled, the messages that it has, by number. After the credit was lowered there may be more.
	credit    uint64
	unsettled map[uint64]delivery
	// next and prev are its neighbours in queue.turns, nil if it has no turn.
	next, prev *consumer
	// sending is what the present command gives it.
	sending []Message
}

// ring is a circular list of consumers; first is whose turn it is.
type ring struct{ first *consumer }

// add puts a consumer to the end.
func (r *ring) add(c *consumer) {
	if r.first == nil {
		r.first, c.next, c.prev = c, c, c
		return
	}
	last := r.first.prev
	c.next, c.prev = r.first, last
	last.next, r.first.prev = c, c
}

// remove takes one out that is in it.
func (r *ring) remove(c *consumer) {
	switch {
	case c.next == c:
		r.first = nil
	default:
		c.prev.next, c.next.prev = c.next, c.prev
		if r.first == c {
			r.first = c.next
		}
	}
	c.next, c.prev = nil, nil
}

// list returns the subscriptions in order.
func (r *ring) list() []uint64 {
	var list []uint64
	for c := r.first; c != nil; c = c.next {
		list = append(list, c.subscription)
		if c.next == r.first {
			break
		}
	}
	return list
}

// subscribe makes a process a consumer, or has everything sent again to one.
func (q *queue) subscribe(index uint64, s Subscribe, fx *machine.Effects) Reply {
	c := q.byPID[s.Consumer]
	switch {
	case c != nil:
	case s.Consumer.Spawn == 0:
		return Refused{Why: "the consumer is no process"}
	case !validPID(s.Consumer):
		return Refused{Why: "the consumer has an impossible name"}
	case len(q.consumers) == MaxConsumers:
		return Refused{Why: "too many consumers"}
	default:
		c = &consumer{subscription: index, pid: s.Consumer, unsettled: map[uint64]delivery{}}
		q.consumers[index], q.byPID[s.Consumer] = c, c
	}
	c.credit = s.Credit
	fx.Monitor(c.pid)
	q.resend(c, fx)
	q.admit(c)
	return Subscribed{Subscription: c.subscription}
}

// validPID reports whether a PID can be one of a process of this library.
func validPID(p ra.PID) bool {
	return ra.CheckName(string(p.Node)) == nil && ra.CheckName(p.Name) == nil
}

// withConsumer calls f with the consumer that has a subscription.
func (q *queue) withConsumer(subscription uint64, f func(*consumer) uint64) Reply {
	c, ok := q.consumers[subscription]
	if !ok {
		return Settled{Gone: true}
	}
	return Settled{Done: f(c)}
}

// admit gives a consumer a turn if it may have more, and takes it away if not.
func (q *queue) admit(c *consumer) {
	switch may := uint64(len(c.unsettled)) < c.credit; {
	case may && c.next == nil:
		q.turns.add(c)
	case !may && c.next != nil:
		q.turns.remove(c)
	}
}

// serve gives messages to those whose turn it is, as long as there are both.
func (q *queue) serve(fx *machine.Effects) {
	for q.turns.first != nil && len(q.returned)+q.backlog.length > 0 {
		c := q.turns.first
		q.give(c, q.pop())
		// Whoever may have more is now the last in the ring.
		q.turns.first = c.next
		q.admit(c)
	}
	for i, c := range q.served {
		fx.Send(c.pid, Delivery{Queue: q.name, Subscription: c.subscription, Messages: c.sending}, machine.AsEvent)
		q.served[i], c.sending = nil, nil
	}
	q.served = q.served[:0]
}

// pop takes out the first message.
func (q *queue) pop() delivery {
	if len(q.returned) == 0 {
		return delivery{message: q.backlog.pop()}
	}
	d := q.returned[0]
	q.returned[0] = delivery{}
	q.returned = q.returned[1:]
	return d
}

// give notes that a consumer gets a message.
func (q *queue) give(c *consumer, d delivery) {
	q.counters.Delivered++
	if d.times > 0 {
		q.counters.Redelivered++
	}
	d.times++
	c.unsettled[d.id] = d
	if len(c.sending) == 0 {
		q.served = append(q.served, c)
	}
	c.sending = append(c.sending, q.message(d))
}

func (q *queue) message(d delivery) Message {
	return Message{
		ID: d.id, Producer: q.producers[d.producer].name, Seq: d.seq, Body: d.body, Redelivered: d.times - 1,
	}
}

// resend sends a consumer everything that it has not settled. It changes nothing.
func (q *queue) resend(c *consumer, fx *machine.Effects) {
	if len(c.unsettled) == 0 {
		return
	}
	var again []Message
	for _, d := range c.sorted() {
		again = append(again, q.message(d))
	}
	fx.Send(c.pid, Delivery{Queue: q.name, Subscription: c.subscription, Messages: again}, machine.AsEvent)
}

// sorted returns what a consumer has not settled in the order of the queue.
func (c *consumer) sorted() []delivery {
	all := make([]delivery, 0, len(c.unsettled))
	for _, d := range c.unsettled {
		all = append(all, d)
	}
	slices.SortFunc(all, byID)
	return all
}

func byID(a, b delivery) int { return cmp.Compare(a.id, b.id) }

// giveBack puts back what a consumer does not want.
func (q *queue) giveBack(c *consumer, ids []uint64) uint64 {
	var back []delivery
	for _, id := range ids {
		d, held := c.unsettled[id]
		if !held {
			q.counters.Stale++
			continue
		}
		delete(c.unsettled, id)
		back = append(back, d)
	}
	slices.SortFunc(back, byID)
	q.requeue(back)
	q.admit(c)
	return uint64(len(back))
}

// forget ends a subscription. What was not settled goes back.
func (q *queue) forget(c *consumer) uint64 {
	delete(q.consumers, c.subscription)
	delete(q.byPID, c.pid)
	if c.next != nil {
		q.turns.remove(c)
	}
	back := c.sorted()
	q.requeue(back)
	return uint64(len(back))
}

// requeue merges messages, which are in order, into those that came back before. There are never more than consumers
// have credit for.
func (q *queue) requeue(back []delivery) {
	if len(back) == 0 {
		return
	}
	all := make([]delivery, 0, len(q.returned)+len(back))
	for a, b := q.returned, back; len(a)+len(b) > 0; {
		if len(b) == 0 || len(a) > 0 && a[0].id < b[0].id {
			all, a = append(all, a[0]), a[1:]
		} else {
			all, b = append(all, b[0]), b[1:]
		}
	}
	q.returned = all
}

// HandleDown forgets a consumer whose process has ended (EFF-50). One that was told twice is gone already.
func (q *queue) HandleDown(_ machine.Meta, down machine.Down, fx *machine.Effects) {
	c := q.byPID[down.PID]
	if c == nil {
		return
	}
	q.counters.Downs++
	q.forget(c)
	q.serve(fx)
}

// EnterState asks anew for what was void with the old leader: the monitors (EFF-52), and deliveries that it may not
// have sent any more (EFF-03).
func (q *queue) EnterState(role ra.Role, fx *machine.Effects) {
	if role != ra.Leader {
		return
	}
	for _, c := range q.subscribers() {
		fx.Monitor(c.pid)
		q.resend(c, fx)
	}
}

// subscribers returns the consumers in the order in which they came.
func (q *queue) subscribers() []*consumer {
	list := make([]*consumer, 0, len(q.consumers))
	for _, c := range q.consumers {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *consumer) int { return cmp.Compare(a.subscription, b.subscription) })
	return list
}
