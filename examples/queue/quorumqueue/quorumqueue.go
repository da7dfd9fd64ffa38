// Package quorumqueue is the state machine of a replicated queue as RabbitMQ has it: producers whose repeated messages
// are not taken twice, consumers with credit that are monitored, settlement, and redelivery.
//
// A message is in one of three places. New ones wait in the backlog. One that was given to a consumer stays with it
// until the consumer settles it. Those that a consumer gave back, or held when it ended, wait in front of the backlog,
// in their old order. Consumers that may have more take turns.
//
// Sending is an effect, so a delivery can be lost or come twice. What counts is the state: a new leader sends
// everything that is not settled once more, and so does the queue when a consumer subscribes again. A consumer gets each
// message at least once for that reason.
//
// Beside that the queue keeps books: for each producer which messages were put in and which were settled, with a digest
// of their bodies. They decide nothing. Whoever knows what was published can prove by them that all of it went through
// the queue exactly once.
package quorumqueue

import (
	"fmt"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Limits of one queue. Commands beyond them are refused, or answered with Full.
const (
	MaxProducers = 1 << 16
	MaxConsumers = 1 << 12
	MaxMessages  = 1 << 22
	MaxBytes     = 1 << 30
)

// releaseEvery is how many commands lie between two hints that a snapshot would be worth it; releaseEmpty is the number
// for an empty queue, whose snapshot costs least.
const (
	releaseEvery = 4096
	releaseEmpty = 256
)

// queue is the state. All members have the same after the same commands.
type queue struct {
	name string

	producers []*producer
	byName    map[string]uint64
	consumers map[uint64]*consumer
	byPID     map[ra.PID]*consumer

	backlog backlog
	// returned holds what came back, in the order of the queue. All of it is older than the backlog.
	returned []delivery
	// turns are the consumers that may have more, in the order in which they get it.
	turns ring

	lastID   uint64
	counters Counters
	// sinceRelease counts commands since the last hint.
	sinceRelease uint64

	// served are the consumers to which the present command gives something.
	served []*consumer
}

// producer is the books of one producer.
type producer struct {
	name              string
	enqueued, settled ledger
}

// Counters count what happened in a queue since it was made.
type Counters struct {
	// Commands were applied, of any kind.
	Commands uint64
	// Enqueued messages were taken; Repeated ones were there before, Gaps came before their turn, and neither were taken.
	Enqueued, Repeated, Gaps uint64
	// Delivered counts messages given to consumers, and Redelivered those of them that were not the first time.
	Delivered, Redelivered uint64
	// Settled messages are dealt with. SettledTwice counts those of them that the books say had been settled before,
	// EnqueuedTwice is the same for taken ones. Both are 0 unless the queue is broken.
	Settled, SettledTwice, EnqueuedTwice uint64
	// Stale counts settled and returned numbers that meant nothing any more.
	Stale uint64
	// Downs counts consumers whose process ended.
	Downs uint64
}

// New makes an empty queue; it is a machine.Factory. Its commands and replies are those of Protocol.
func New(init machine.Init) machine.Machine {
	return machine.From(newQueue(init.Cluster), Protocol())
}

func newQueue(name string) *queue {
	return &queue{
		name:      name,
		byName:    map[string]uint64{},
		consumers: map[uint64]*consumer{},
		byPID:     map[ra.PID]*consumer{},
	}
}

// Apply carries out a command.
func (q *queue) Apply(meta machine.Meta, c Command, fx *machine.Effects) Reply {
	q.counters.Commands++
	reply := q.change(meta, c, fx)
	q.serve(fx)
	q.hint(fx)
	return reply
}

func (q *queue) change(meta machine.Meta, c Command, fx *machine.Effects) Reply {
	switch c := c.(type) {
	case Enqueue:
		return q.enqueue(c)
	case Subscribe:
		return q.subscribe(uint64(meta.Index), c, fx)
	case Settle:
		return q.withConsumer(c.Subscription, func(to *consumer) uint64 { return q.settle(to, c.IDs) })
	case Return:
		return q.withConsumer(c.Subscription, func(to *consumer) uint64 { return q.giveBack(to, c.IDs) })
	case Cancel:
		return q.withConsumer(c.Subscription, func(to *consumer) uint64 {
			fx.Demonitor(to.pid)
			return q.forget(to)
		})
	}
	return Refused{Why: fmt.Sprintf("command of type %T", c)}
}

// hint says from time to time that a snapshot would be worth it.
func (q *queue) hint(fx *machine.Effects) {
	q.sinceRelease++
	if q.sinceRelease >= releaseEvery || q.sinceRelease >= releaseEmpty && q.length() == 0 {
		q.sinceRelease = 0
		fx.ReleaseCursor()
	}
}

// length returns how many messages are in the queue and not settled.
func (q *queue) length() uint64 { return q.counters.Enqueued - q.counters.Settled }

// enqueue takes a message if it is its producer's next.
func (q *queue) enqueue(c Enqueue) Reply {
	index, known := q.byName[c.Producer]
	var p *producer
	switch {
	case known:
		p = q.producers[index]
	case c.Producer == "" || len(c.Producer) > ra.MaxNameLen:
		return Refused{Why: fmt.Sprintf("producer's name of %d bytes", len(c.Producer))}
	case len(q.producers) == MaxProducers:
		return Refused{Why: "too many producers"}
	default:
		// It is kept only if the message is taken.
		index, p = uint64(len(q.producers)), &producer{name: c.Producer}
	}
	next := p.enqueued.upTo + 1
	switch {
	case c.Seq < next:
		q.counters.Repeated++
		return Enqueued{Outcome: Repeated, Next: next}
	case c.Seq > next:
		q.counters.Gaps++
		return Enqueued{Outcome: Gap, Next: next}
	case q.length() >= MaxMessages || q.backlog.bytes+len(c.Body) > MaxBytes:
		return Enqueued{Outcome: Full, Next: next}
	}
	if !known {
		q.producers, q.byName[p.name] = append(q.producers, p), index
	}
	if !p.enqueued.add(c.Seq, c.Body) {
		q.counters.EnqueuedTwice++
	}
	q.lastID++
	q.counters.Enqueued++
	// The command belongs to the log, so the body is copied.
	q.backlog.push(message{id: q.lastID, seq: c.Seq, producer: index, body: string(c.Body)})
	return Enqueued{Outcome: Accepted, Next: next + 1}
}

// settle forgets messages that a consumer has dealt with.
func (q *queue) settle(c *consumer, ids []uint64) (done uint64) {
	for _, id := range ids {
		d, held := c.unsettled[id]
		if !held {
			q.counters.Stale++
			continue
		}
		delete(c.unsettled, id)
		done++
		q.counters.Settled++
		if !q.producers[d.producer].settled.add(d.seq, []byte(d.body)) {
			q.counters.SettledTwice++
		}
	}
	q.admit(c)
	return done
}
