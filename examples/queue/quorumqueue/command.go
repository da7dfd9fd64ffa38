package quorumqueue

import "github.com/heliopolis-raft/heliopolis/ra"

// Command is a command to a queue: an Enqueue, Subscribe, Settle, Return or Cancel.
type Command interface {
	// appendTo appends the command's encoding.
	appendTo(b []byte) []byte
}

// Enqueue puts a message at the end of the queue. The answer is an Enqueued.
type Enqueue struct {
	// Producer is a name of 1 to ra.MaxNameLen bytes. Its messages are numbered by Seq: 1, 2, 3, … in each queue. The
	// queue takes the next number only, so that one sent twice is there once and one that got lost on the way is missed.
	Producer string
	Seq      uint64
	// Body is any bytes. A decoded one shares the command.
	Body []byte
}

// Subscribe makes a process a consumer of the queue, which then monitors it. For one that is a consumer already it
// changes the credit, and has everything sent again that the consumer has not settled: that is how a consumer makes
// sure of a queue from which it has heard nothing for long. The answer is a Subscribed.
type Subscribe struct {
	Consumer ra.PID
	// Credit is how many messages the consumer may have that it has not settled; with 0 it gets no more.
	Credit uint64
}

// Settle says that messages are dealt with. The queue forgets them, and the consumer may get as many others. The answer
// is a Settled.
type Settle struct {
	// Subscription is the number that the queue gave to the consumer.
	Subscription uint64
	IDs          []uint64
}

// Return puts messages back to where they were in the queue, for whoever comes next. The answer is a Settled.
type Return struct {
	Subscription uint64
	IDs          []uint64
}

// Cancel ends a subscription; what was not settled is returned. The answer is a Settled.
type Cancel struct{ Subscription uint64 }

// Reply is a queue's answer to a command: an Enqueued, Subscribed, Settled or Refused.
type Reply interface {
	appendTo(b []byte) []byte
}

// Enqueued answers an Enqueue.
type Enqueued struct {
	Outcome Outcome
	// Next is the number of the producer's next message.
	Next uint64
}

// Outcome says what became of a message.
type Outcome uint8

// The outcomes.
const (
	// Accepted: the message is in the queue.
	Accepted Outcome = iota
	// Repeated: it was there before and is not taken again.
	Repeated
	// Gap: the one before it is not there, so it was not taken.
	Gap
	// Full: there is no room; try again later.
	Full
)

// String returns the outcome in words.
func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return "unknown outcome"
}

var outcomes = [...]string{"accepted", "repeated", "gap", "full"}

// Subscribed answers a Subscribe.
type Subscribed struct {
	// Subscription names the subscription in this queue. It never comes again.
	Subscription uint64
}

// Settled answers a Settle, Return or Cancel.
type Settled struct {
	// Done is how many messages the command concerned; others had been settled or taken away before.
	Done uint64
	// Gone says that there is no such subscription (any more): subscribe again.
	Gone bool
}

// Refused answers a command that makes no sense.
type Refused struct{ Why string }

// Error makes it an error for those who want one.
func (r Refused) Error() string { return "quorumqueue: refused: " + r.Why }

// Delivery is what a queue sends to a consumer, as the body of a ra.Event. Messages may come twice, around changes of
// leaders and by Subscribe, and after they were settled.
type Delivery struct {
	// Queue is the name of the queue's cluster.
	Queue        string
	Subscription uint64
	Messages     []Message
}

// Message is one message of a Delivery.
type Message struct {
	// ID names the message in its queue; IDs grow in the order of the queue.
	ID       uint64
	Producer string
	Seq      uint64
	Body     string
	// Redelivered is how often it was given to somebody before.
	Redelivered uint64
}
