package rafttest

import (
	"math/rand/v2"
	"time"
)

// queue is the future: what will happen, by virtual time. What happens at the same time happens in the order in which
// it was planned, so that a seed fixes the whole run. It is a binary heap of values; nothing is allocated per event in
// the steady state.
type queue struct {
	heap []planned
	seq  uint64
}

// planned is one thing that will happen. An event carries what it needs in a few plain fields rather than in a
// closure, so that it can be printed and costs no memory of its own.
type planned struct {
	at  time.Duration
	seq uint64
	do  event
}

func (p *planned) before(q *planned) bool {
	if p.at != q.at {
		return p.at < q.at
	}
	return p.seq < q.seq
}

func (q *queue) len() int { return len(q.heap) }

// plan adds an event at a time, which is never in the past of an event that was taken.
func (q *queue) plan(at time.Duration, ev event) {
	q.seq++
	q.heap = append(q.heap, planned{at, q.seq, ev})
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.heap[i].before(&q.heap[up]) {
			break
		}
		q.heap[i], q.heap[up] = q.heap[up], q.heap[i]
		i = up
	}
}

// take removes and returns the earliest event. The queue must not be empty.
func (q *queue) take() planned {
	first := q.heap[0]
	last := len(q.heap) - 1
	q.heap[0] = q.heap[last]
	q.heap[last] = planned{}
	q.heap = q.heap[:last]
	q.sink(0)
	return first
}

func (q *queue) sink(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(q.heap); c++ {
			if q.heap[c].before(&q.heap[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
}

// dice is the only source of chance in a run.
type dice struct{ *rand.Rand }

func newDice(seed uint64) dice { return dice{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))} }

// oneIn is true once in n times on average; never if n is 0.
func (d dice) oneIn(n int) bool { return n > 0 && d.IntN(n) == 0 }

// between returns a duration from lo to hi, both included.
func (d dice) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(d.Int64N(int64(hi-lo)+1))
}

// skewed returns a duration of about typical that is a hundred times longer now and then: the long tail is where
// messages overtake each other.
func (d dice) skewed(typical time.Duration) time.Duration {
	t := d.between(typical/4, typical*2)
	if d.oneIn(50) {
		t *= time.Duration(10 + d.IntN(90))
	}
	return t
}

// pick returns one of the choices.
func pick[T any](d dice, choices ...T) T { return choices[d.IntN(len(choices))] }
