package main

import (
	"fmt"

	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
)

// verdict is what the queues' books say, compared with the text.
type verdict struct {
	published, delivered, acknowledged, redelivered uint64
	commands                                        uint64
	// lost lines were never acknowledged; duplicates were published twice, or never were in the text.
	lost, duplicates uint64
	// strange tells of what fits neither: contents that are not those of the text, or acknowledged twice.
	strange []string
}

// audit compares what all queues say with what the text needs. All figures come from the queues' replicated state:
// its counters, its books of which numbers were put in and which were settled, and the digests of what these messages
// were.
func audit(streams []*stream, state []quorumqueue.Summary) *verdict {
	v := &verdict{}
	foreign := make([]uint64, len(state))
	for q, s := range state {
		v.published += s.Enqueued
		v.delivered += s.Delivered
		v.redelivered += s.Redelivered
		v.acknowledged += s.Settled
		v.commands += s.Commands
		// What is beyond the expected lines is taken off below.
		foreign[q] = s.Enqueued
		if s.SettledTwice > 0 {
			v.note("%s: %d messages were acknowledged twice", queueName(q), s.SettledTwice)
		}
	}
	for _, s := range streams {
		p := state[s.queue].Find(s.source.name)
		foreign[s.queue] -= min(foreign[s.queue], min(p.Enqueued.Count, s.total))
		v.compare(s, p)
	}
	for _, n := range foreign {
		v.duplicates += n
	}
	return v
}

// compare compares the books of a producer in one queue with the lines that it had for it.
func (v *verdict) compare(s *stream, p quorumqueue.Producer) {
	v.lost += s.total - min(s.total, p.Settled.Count)
	want := s.expect()
	if p.Enqueued.Count == want.Count && p.Enqueued != want {
		v.note("%s: the lines of %s that it took are not those of the text", queueName(s.queue), s.source.name)
	}
	if p.Settled.Count == want.Count && p.Settled != want {
		v.note("%s: the lines of %s that were acknowledged are not those of the text", queueName(s.queue), s.source.name)
	}
}

func (v *verdict) note(format string, args ...any) {
	v.strange = append(v.strange, fmt.Sprintf(format, args...))
}

// good reports whether each line was published once and acknowledged.
func (v *verdict) good() bool { return v.lost == 0 && v.duplicates == 0 && len(v.strange) == 0 }

// unfinished returns the queues that have lines of the text to take or to get acknowledged.
func unfinished(streams []*stream, state []quorumqueue.Summary) []int {
	var list []int
	open := make([]bool, len(state))
	for _, s := range streams {
		if !open[s.queue] && state[s.queue].Find(s.source.name).Settled.Count < s.total {
			open[s.queue] = true
			list = append(list, s.queue)
		}
	}
	return list
}
