package driver

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// stampLen is how many bytes at the start of each command differ from command to command.
const stampLen = 8

// slot is one command in flight. It belongs to the client, except between Propose and done, when it belongs to the
// rival.
type slot struct {
	cluster int
	start   time.Time
	err     error
	next    *slot
	done    func(error)
}

// client is one goroutine that keeps its slots in flight. Rivals push finished slots onto a list without a lock; the
// client takes the whole list at once and proposes the next commands, so a burst of answers costs one wake-up.
type client struct {
	rival    Rival
	payload  []byte
	sequence uint64

	finished atomic.Pointer[slot]
	wake     chan struct{}

	phase    *atomic.Int32
	inFlight int
	hist     Hist
	failed   int64
	acked    int64 // over all phases, for the check at the end
	lastErr  error
	sleep    time.Duration
}

// The phases of a measurement, as the driver sets them and the clients see them.
const (
	phaseWarmUp int32 = iota
	phaseMeasure
	phaseDrain
)

// newClient returns a client whose commands are payloadLen bytes long. Its number makes its commands unlike those of
// other clients.
func newClient(number int, rival Rival, payloadLen int, phase *atomic.Int32) *client {
	return &client{
		rival:    rival,
		payload:  make([]byte, payloadLen),
		sequence: uint64(number) << 56,
		wake:     make(chan struct{}, 1),
		phase:    phase,
	}
}

// complete returns a function that takes the answer for s. It runs on the rival's goroutines and does not block.
func (c *client) complete(s *slot) func(error) {
	return func(err error) {
		s.err = err
		for {
			head := c.finished.Load()
			s.next = head
			if !c.finished.CompareAndSwap(head, s) {
				continue
			}
			if head == nil {
				select {
				case c.wake <- struct{}{}:
				default:
				}
			}
			return
		}
	}
}

// run proposes a command for each slot of each of its clusters and goes on until the drain phase, then returns when no
// command is in flight or when quit is closed.
func (c *client) run(clusters []int, perCluster int, quit <-chan struct{}) {
	now := time.Now()
	for i := 0; i < perCluster; i++ {
		for _, cluster := range clusters {
			s := &slot{cluster: cluster}
			s.done = c.complete(s)
			c.propose(s, now)
			c.inFlight++
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

// turn records a list of finished slots and proposes their next commands. All of them are seen at one time, which is
// also when the next commands start.
func (c *client) turn(finished *slot) {
	now := time.Now()
	phase := c.phase.Load()
	for s := finished; s != nil; {
		next := s.next
		c.record(s, now, phase)
		if phase == phaseDrain {
			c.inFlight--
		} else {
			c.propose(s, now)
		}
		s = next
	}
	if c.sleep > 0 {
		time.Sleep(c.sleep)
		c.sleep = 0
	}
}

// record counts the answer to one command. Failures make the client pause, so that a rival without a leader is not
// drowned in retries.
func (c *client) record(s *slot, now time.Time, phase int32) {
	if s.err == nil {
		c.acked++
		if phase == phaseMeasure {
			c.hist.Add(now.Sub(s.start))
		}
		return
	}
	c.lastErr = s.err
	c.sleep = time.Millisecond
	if phase == phaseMeasure {
		c.failed++
	}
}

// propose starts the next command of a slot.
func (c *client) propose(s *slot, now time.Time) {
	c.sequence++
	if len(c.payload) >= stampLen {
		binary.LittleEndian.PutUint64(c.payload, c.sequence)
	}
	s.start, s.err, s.next = now, nil, nil
	c.rival.Propose(s.cluster, c.payload, s.done)
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
