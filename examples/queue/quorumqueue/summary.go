package quorumqueue

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
)

// Describe is the question for a Summary.
type Describe struct{}

// Summary is what a queue says of itself.
type Summary struct {
	Counters
	// Backlog is the number of messages that nobody got yet, Returned of those that came back, and Unsettled of those
	// that consumers have.
	Backlog, Returned, Unsettled uint64
	Consumers                    int
	// Producers are in the order of their names.
	Producers []Producer
}

// Producer is the books of one producer.
type Producer struct {
	Name              string
	Enqueued, Settled Book
}

// Book says which of a producer's messages something happened to.
type Book struct {
	// Count is how many different ones there are. All numbers from 1 to UpTo are among them.
	Count, UpTo uint64
	// Digest is that of all of them, repeated ones twice.
	Digest Digest
}

// Find returns the books of a producer; they are empty for one that the queue does not know.
func (s Summary) Find(name string) Producer {
	i, ok := slices.BinarySearchFunc(s.Producers, name, func(p Producer, n string) int { return cmp.Compare(p.Name, n) })
	if !ok {
		return Producer{Name: name}
	}
	return s.Producers[i]
}

// SameMessages reports whether the same messages went through two queues, as far as their books can tell.
func (s Summary) SameMessages(o *Summary) bool {
	return s.Enqueued == o.Enqueued && s.Settled == o.Settled && slices.Equal(s.Producers, o.Producers)
}

// Query answers Describe with a Summary.
func (q *queue) Query(_ machine.QueryContext, question any) (any, error) {
	if _, ok := question.(Describe); !ok {
		return nil, fmt.Errorf("quorumqueue: question of type %T", question)
	}
	return q.summary(), nil
}

func (q *queue) summary() Summary {
	s := Summary{
		Counters:  q.counters,
		Backlog:   uint64(q.backlog.length),
		Returned:  uint64(len(q.returned)),
		Consumers: len(q.consumers),
	}
	for _, c := range q.consumers {
		s.Unsettled += uint64(len(c.unsettled))
	}
	for _, p := range q.producers {
		s.Producers = append(s.Producers, Producer{Name: p.name, Enqueued: p.enqueued.book(), Settled: p.settled.book()})
	}
	slices.SortFunc(s.Producers, func(a, b Producer) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (l *ledger) book() Book { return Book{Count: l.count(), UpTo: l.upTo, Digest: l.digest} }

// Overview tells people about the queue.
func (q *queue) Overview() map[string]any {
	return map[string]any{
		"backlog":   q.backlog.length,
		"returned":  len(q.returned),
		"messages":  q.length(),
		"consumers": len(q.consumers),
		"producers": len(q.producers),
		"commands":  q.counters.Commands,
	}
}
