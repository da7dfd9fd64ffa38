package etcdhost

import (
	"errors"
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// Bounds of what proposals may wait at one node.
const (
	maxWaiting      = 1 << 18
	maxWaitingBytes = 64 << 20
)

// errOverloaded answers proposals beyond these bounds, and errClosed those after Close.
var (
	errOverloaded = errors.New("etcdhost: too many proposals wait")
	errClosed     = errors.New("etcdhost: closed")
)

// envelope is a raft message and the cluster that it belongs to.
type envelope struct {
	cluster uint32
	message *raftpb.Message
}

// proposal is a command that waits for the loop; its bytes lie in the data of its input, up to end.
type proposal struct {
	cluster uint32
	end     uint32
	done    func(error)
}

// input is all that waits for a node's loop. Messages are bounded by raft's flow control, written batches and calls by
// the few that make them.
type input struct {
	messages  []envelope
	proposals []proposal
	data      []byte
	written   []envelope
	calls     []func()
	tick      bool
	close     bool
}

func (in *input) empty() bool {
	return len(in.messages) == 0 && len(in.proposals) == 0 && len(in.written) == 0 && len(in.calls) == 0 &&
		!in.tick && !in.close
}

// reset empties in and keeps its memory.
func (in *input) reset() {
	clear(in.messages)
	clear(in.proposals)
	clear(in.written)
	clear(in.calls)
	*in = input{
		messages: in.messages[:0], proposals: in.proposals[:0], data: in.data[:0], written: in.written[:0],
		calls: in.calls[:0],
	}
}

// inbox is where others leave work for a node's loop. The loop takes all of it at once, and is woken only when it
// sleeps.
type inbox struct {
	mu       sync.Mutex
	waiting  *input
	sleeping bool
	refuse   error // answers proposals, once it is set
	wake     chan struct{}
}

func newInbox() *inbox {
	return &inbox{waiting: &input{}, wake: make(chan struct{}, 1)}
}

// unlock releases the mutex after something was put in, and wakes the loop if it sleeps.
func (b *inbox) unlock() {
	wake := b.sleeping
	b.sleeping = false
	b.mu.Unlock()
	if wake {
		b.wake <- struct{}{}
	}
}

// take waits until there is input and returns it in exchange for spare, which must be empty.
func (b *inbox) take(spare *input) *input {
	b.mu.Lock()
	for b.waiting.empty() {
		b.sleeping = true
		b.mu.Unlock()
		<-b.wake
		b.mu.Lock()
	}
	in := b.waiting
	b.waiting = spare
	b.mu.Unlock()
	return in
}

// propose puts in a copy of payload.
func (b *inbox) propose(cluster uint32, payload []byte, done func(error)) {
	b.mu.Lock()
	in := b.waiting
	var err error
	switch {
	case b.refuse != nil:
		err = b.refuse
	case len(in.proposals) >= maxWaiting || len(in.data)+len(payload) > maxWaitingBytes:
		err = errOverloaded
	}
	if err != nil {
		b.mu.Unlock()
		done(err)
		return
	}
	in.data = append(in.data, payload...)
	in.proposals = append(in.proposals, proposal{cluster: cluster, end: uint32(len(in.data)), done: done})
	b.unlock()
}

// send puts in messages from another node, or from this node's log.
func (b *inbox) send(messages []envelope) {
	if len(messages) == 0 {
		return
	}
	b.mu.Lock()
	b.waiting.messages = append(b.waiting.messages, messages...)
	b.unlock()
}

// call puts in a function that the loop is to run. It must not be used once the inbox is closed.
func (b *inbox) call(f func()) {
	b.mu.Lock()
	b.waiting.calls = append(b.waiting.calls, f)
	b.unlock()
}

func (b *inbox) tick() {
	b.mu.Lock()
	b.waiting.tick = true
	b.unlock()
}

// wrote puts in storage messages whose contents are durable now.
func (b *inbox) wrote(batch []envelope) {
	b.mu.Lock()
	b.waiting.written = append(b.waiting.written, batch...)
	b.unlock()
}

// close lets the loop end after all that waits now.
func (b *inbox) close() {
	b.mu.Lock()
	b.refuse = errClosed
	b.waiting.close = true
	b.unlock()
}
