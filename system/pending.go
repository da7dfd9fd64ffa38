package system

import (
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// pendingShards is how many parts the table of pending calls has, so that clients seldom meet at one lock.
const pendingShards = 16

// pending is the calls of a node that are answered from elsewhere: by another node, or by a machine that answers later
// (MAC-05). They are known by numbers that are never used twice.
type pending struct {
	last   atomic.Uint64
	shards [pendingShards]pendingShard
}

type pendingShard struct {
	mu     sync.Mutex
	calls  map[uint64]*call
	closed error
}

// begin has the numbers of one opening of the node lie far from those of all others: an answer to a call of an earlier one
// may still come, and must find nobody.
func (t *pending) begin(incarnation uint64) { t.last.Store(incarnation &^ (1<<32 - 1)) }

func (t *pending) shard(id uint64) *pendingShard { return &t.shards[id%pendingShards] }

// add puts a call into the table under a number, which it returns: that of the call if it has one. peer is the node that
// is to answer, if it is not this one. From then on the call belongs to whoever takes it out, and may be another one soon.
// It fails when the node was closed; a call that was in the table before has been answered then.
func (t *pending) add(c *call, peer ra.NodeID) (uint64, error) {
	id := c.id
	if id == 0 {
		id = t.last.Add(1)
	}
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return 0, s.closed
	}
	if s.calls == nil {
		s.calls = make(map[uint64]*call)
	}
	c.id, c.peer = id, peer
	s.calls[id] = c
	return id, nil
}

// remove takes a call out. It reports whether it was there: then nobody else answers it.
func (t *pending) remove(c *call) bool {
	s := t.shard(c.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[c.id] != c {
		return false
	}
	delete(s.calls, c.id)
	return true
}

// take takes out the call of that number; nil if there is none.
func (t *pending) take(id uint64) *call {
	s := t.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.calls[id]
	delete(s.calls, id)
	return c
}

// failNode ends all calls that a node was to answer. Whether they were applied there, nobody knows.
func (t *pending) failNode(node ra.NodeID, cause error) {
	t.fail(func(c *call) bool { return c.peer == node }, cause, nil)
}

// close ends all calls, and every later one.
func (t *pending) close(cause error) {
	t.fail(func(*call) bool { return true }, cause, cause)
}

// maxAge is how many ticks a call without a context waits for another node.
const maxAge = 60

// age makes calls without a context that another node is to answer one tick older, and ends those that are too old. It
// reports whether there are such calls.
func (t *pending) age() (any bool) {
	t.fail(func(c *call) bool {
		if c.peer == "" || c.done == nil {
			return false
		}
		any = true
		c.age++
		return c.age > maxAge
	}, ra.ErrNodeDown, nil)
	return any
}

func (t *pending) fail(which func(*call) bool, cause, closed error) {
	for i := range t.shards {
		s := &t.shards[i]
		var ended []*call
		s.mu.Lock()
		for id, c := range s.calls {
			if which(c) {
				ended = append(ended, c)
				delete(s.calls, id)
			}
		}
		if closed != nil {
			s.closed = closed
		}
		s.mu.Unlock()
		for _, c := range ended {
			err := cause
			if c.changes() {
				err = &ra.UncertainError{Cause: cause}
			}
			c.finish(ra.Result{}, err)
		}
	}
}
