package hashihost

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Bounds of what may wait at one cluster: before it is handed to raft, and after that for an answer.
const (
	maxWaiting  = 1 << 18
	maxUnproven = 1 << 13
)

// The errors of commands that never reached raft.
var (
	errOverloaded = errors.New("hashihost: too many proposals wait")
	errClosed     = errors.New("hashihost: closed")
)

// command is a proposal, first on its way to raft and then waiting for raft's answer.
type command struct {
	payload []byte
	future  raft.ApplyFuture
	done    func(error)
}

// cluster feeds one cluster's leader. raft.Apply blocks while the leader is busy and its answers are futures, so that
// there are two goroutines: one hands the waiting commands to raft, one waits for the futures, which are answered in
// order. That is far fewer than the usual goroutine for each command, and lets bursts of both pass at one wake-up.
type cluster struct {
	members  []*member
	leader   atomic.Int32
	mu       sync.Mutex
	waiting  []command
	closed   bool
	wake     chan struct{}
	unproven chan command
	running  sync.WaitGroup
}

func newCluster(members []*member, leader int) *cluster {
	c := &cluster{members: members, wake: make(chan struct{}, 1), unproven: make(chan command, maxUnproven)}
	c.leader.Store(int32(leader))
	return c
}

// start begins to serve proposals.
func (c *cluster) start() {
	c.running.Go(c.feed)
	c.running.Go(c.collect)
}

// propose queues a copy of payload.
func (c *cluster) propose(payload []byte, done func(error)) {
	own := append([]byte(nil), payload...)
	c.mu.Lock()
	var err error
	switch {
	case c.closed:
		err = errClosed
	case len(c.waiting) >= maxWaiting:
		err = errOverloaded
	default:
		c.waiting = append(c.waiting, command{payload: own, done: done})
	}
	c.mu.Unlock()
	if err != nil {
		done(err)
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// feed hands waiting commands to the leader, in order, until the cluster is closed.
func (c *cluster) feed() {
	defer close(c.unproven)
	var taken []command
	for range c.wake {
		c.mu.Lock()
		taken, c.waiting = c.waiting, taken[:0]
		closed := c.closed
		c.mu.Unlock()
		for i := range taken {
			taken[i].future = c.members[c.leader.Load()].raft.Apply(taken[i].payload, 0)
			c.unproven <- taken[i]
		}
		clear(taken)
		if closed {
			return
		}
	}
}

// collect passes raft's answers on.
func (c *cluster) collect() {
	for cmd := range c.unproven {
		err := cmd.future.Error()
		if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipLost) {
			c.findLeader()
		}
		cmd.done(err)
	}
}

// findLeader notes which member leads now, if any does.
func (c *cluster) findLeader() {
	for i, m := range c.members {
		if m.raft.State() == raft.Leader {
			c.leader.Store(int32(i))
			return
		}
	}
}

// stop lets the goroutines end once raft, which has to be shut down first, has answered everything.
func (c *cluster) stop() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	c.running.Wait()
}
