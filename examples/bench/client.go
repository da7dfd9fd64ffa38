package main

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// submitter hands a command to a cluster and returns at once. done is called exactly once, from any goroutine; it does
// not block. The command may be changed as soon as submitter has returned.
type submitter func(cluster int, command []byte, done func(ra.Result, error))

// slot is one command in flight. It belongs to its client, except between submit and done.
type slot struct {
	cluster int
	start   time.Time
	err     error
	next    *slot
	done    func(ra.Result, error)
	// measured says that all of it is in the measurement, its syncs, too.
	measured bool
}

// client is one goroutine that keeps its slots in flight. Answers push their slots onto a list without a lock; the
// client takes the whole list at once and submits the next commands, so a burst of answers costs one wake-up, and
// hundreds of commands in flight need no goroutines of their own.
type client struct {
	load     *load
	command  []byte
	sequence uint64

	finished atomic.Pointer[slot]
	wake     chan struct{}

	inFlight int
	hist     hist
	failed   float64
	lastErr  error
	pause    bool
}

// newClient returns the client of that number, which makes its commands unlike those of the others.
func newClient(l *load, number int) *client {
	return &client{
		load:     l,
		command:  make([]byte, max(l.payload, stampLen)),
		sequence: uint64(number) << 40,
		wake:     make(chan struct{}, 1),
	}
}

// complete returns a function that takes the answer for s.
func (c *client) complete(s *slot) func(ra.Result, error) {
	return func(_ ra.Result, err error) {
		s.err = err
		for {
			head := c.finished.Load()
			s.next = head
			if !c.finished.CompareAndSwap(head, s) {
				continue
			}
			if head == nil { // whoever takes the list is to be woken once
				c.wake <- struct{}{}
			}
			return
		}
	}
}

// run keeps inflight commands of each of its clusters in flight until the drain phase or until their budgets are used
// up. It returns when no command is in flight, or when quit is closed.
func (c *client) run(clusters []int, quit <-chan struct{}) {
	now := time.Now()
	for range c.load.inflight {
		for _, cluster := range clusters {
			s := &slot{cluster: cluster}
			s.done = c.complete(s)
			c.inFlight++
			c.submit(s, now)
		}
	}
	for c.inFlight > 0 {
		select {
		case <-c.wake:
		case <-quit:
			return
		}
		c.turn(reverse(c.finished.Swap(nil)))
	}
}

// turn records a list of finished slots and submits their next commands. All of them are seen at one time, which is
// also when the next commands start.
func (c *client) turn(finished *slot) {
	now := time.Now()
	for s := finished; s != nil; {
		next := s.next
		c.record(s, now)
		c.submit(s, now)
		s = next
	}
	if c.pause {
		time.Sleep(time.Millisecond)
		c.pause = false
	}
}

// record counts the answer to one command. Failures make the client pause, so that a cluster without a leader is not
// drowned in retries.
func (c *client) record(s *slot, now time.Time) {
	measuring := c.load.phase.Load() == phaseMeasure
	c.load.account(s.cluster, s.err)
	if s.err == nil {
		if measuring {
			if c.hist.add(now.Sub(s.start)); s.measured {
				c.load.first.note()
			}
		}
		return
	}
	c.lastErr = s.err
	c.pause = true
	if measuring {
		c.failed++
	}
}

// submit starts the next command of a slot, or retires the slot.
func (c *client) submit(s *slot, now time.Time) {
	if !c.load.take(s.cluster) {
		c.inFlight--
		return
	}
	c.sequence++
	binary.LittleEndian.PutUint64(c.command, c.sequence)
	s.start, s.err, s.next, s.measured = now, nil, nil, c.load.phase.Load() == phaseMeasure
	c.load.submit(s.cluster, c.command[:c.load.payload], s.done)
}

// reverse turns a list round: slots are pushed in front, and are to be seen in the order in which they finished.
func reverse(s *slot) *slot {
	var reversed *slot
	for s != nil {
		next := s.next
		s.next = reversed
		reversed, s = s, next
	}
	return reversed
}
