package etcdhost

import (
	"runtime"
	"sync"

	"go.etcd.io/raft/v3/raftpb"
)

// smallBatch is how many storage messages the loop makes durable itself if the log's goroutine sleeps. For so few, being
// spared two changes of goroutine is worth more than going on meanwhile.
const smallBatch = 4

// batch is what one sync makes durable: records, and the storage messages that they come from.
type batch struct {
	buffer   batchBuffer
	messages []envelope
	entries  int
}

// reset empties b and keeps its memory.
func (b *batch) reset() {
	clear(b.messages)
	b.buffer.b, b.messages, b.entries = b.buffer.b[:0], b.messages[:0], 0
}

// walQueue is where a node's loop collects the next batch while the log's goroutine writes the one before. The file
// belongs to that goroutine, or to the loop while the goroutine sleeps: only the loop wakes it.
type walQueue struct {
	file     *file
	mu       sync.Mutex
	next     batch
	spare    batch // memory for the batch after next
	sleeping bool
	closed   bool
	wake     chan struct{}
}

func newWALQueue(f *file) *walQueue {
	return &walQueue{file: f, wake: make(chan struct{}, 1)}
}

// lock lets the loop add to the next batch.
func (q *walQueue) lock() { q.mu.Lock() }

// unlock ends that, and wakes the goroutine if it has something to do that the loop does not do itself.
func (q *walQueue) unlock() {
	wake := q.sleeping && (len(q.next.messages) > smallBatch || q.closed)
	if wake {
		q.sleeping = false
	}
	q.mu.Unlock()
	if wake {
		q.wake <- struct{}{}
	}
}

// close lets the goroutine end.
func (q *walQueue) close() {
	q.lock()
	q.closed = true
	q.unlock()
}

// swap takes the next batch out of the locked queue.
func (q *walQueue) swap() batch {
	b := q.next
	q.next, q.spare = q.spare, batch{}
	return b
}

// take waits for a batch; false means that the queue is closed. A batch that has been written is given back first.
func (q *walQueue) take(written batch) (batch, bool) {
	written.reset()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = written
	for len(q.next.messages) == 0 && !q.closed {
		q.sleeping = true
		q.mu.Unlock()
		<-q.wake
		runtime.Gosched() // more may come in the same moment
		q.mu.Lock()
	}
	return q.swap(), !q.closed
}

// takeSmall returns a batch for the loop to write, if there is a small one and the goroutine sleeps. storing is how many
// storage messages have not been acknowledged to their members: if some are not in this batch, the goroutine has
// written them and they still wait in the inbox. They come first.
func (q *walQueue) takeSmall(storing int) (batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	waiting := len(q.next.messages)
	if !q.sleeping || waiting == 0 || waiting > smallBatch || waiting != storing {
		return batch{}, false
	}
	return q.swap(), true
}

// giveBack returns the memory of a batch that the loop has written.
func (q *walQueue) giveBack(written batch) {
	written.reset()
	q.mu.Lock()
	q.spare = written
	q.mu.Unlock()
}

// store puts what has to be durable into the log's queue, which is locked. The commit index need not be durable (Raft
// thesis, figure 3.1), so a message about nothing else is answered at once, unless records before it are on their way.
// store returns true if the member itself has got an answer.
func (n *node) store(g *group, m *raftpb.Message) bool {
	b := &n.wal.next
	before := len(b.buffer.b)
	if m.Term != nil && (m.GetTerm() != g.storedTerm || m.GetVote() != g.storedVote) {
		g.storedTerm, g.storedVote = m.GetTerm(), m.GetVote()
		b.buffer.record(g.cluster, m.GetTerm(), m.GetVote(), typeHardState, nil)
	}
	if snap := m.GetSnapshot(); snap != nil {
		meta := snap.GetMetadata()
		b.buffer.record(g.cluster, meta.GetTerm(), meta.GetIndex(), typeSnapshot, snap.GetData())
	}
	b.buffer.entries(g.cluster, m.GetEntries())
	if len(b.buffer.b) == before && g.storing == 0 {
		return n.stored(g, m)
	}
	g.storing++
	n.storing++
	b.entries += len(m.GetEntries())
	b.messages = append(b.messages, envelope{g.cluster, m})
	return false
}

// stored delivers the answers to a storage message that had nothing to store, and returns true if one of them was for
// the member itself.
func (n *node) stored(g *group, m *raftpb.Message) bool {
	own := false
	for _, response := range m.GetResponses() {
		if response.GetTo() == n.id {
			own = g.raw.Step(response) == nil || own
		} else {
			n.post(g, response)
		}
	}
	return own
}

// writeLog makes batches durable until the queue is closed or the log fails. While it writes one, the next builds up.
func (n *node) writeLog() {
	outbox := make([][]envelope, len(n.peers))
	b, ok := n.wal.take(batch{})
	for ok {
		if err := n.persist(&b, outbox); err != nil {
			n.inbox.call(func() { n.abandon(err) })
			return
		}
		n.inbox.wrote(b.messages)
		b, ok = n.wal.take(b)
	}
}

// persistSmall lets the loop make small batches durable itself.
func (n *node) persistSmall() {
	for n.failed == nil {
		b, ok := n.wal.takeSmall(n.storing)
		if !ok {
			return
		}
		if err := n.persist(&b, n.outbox); err != nil {
			n.abandon(err)
			return
		}
		n.stepWritten(b.messages)
		n.wal.giveBack(b)
		n.handleReady()
	}
}

// persist makes a batch durable and sends the answers for peers that waited for it. Those for members here are left to
// the loop.
func (n *node) persist(b *batch, outbox [][]envelope) error {
	if len(b.buffer.b) > 0 {
		if err := n.wal.file.writeSync(b.buffer.b); err != nil {
			return err
		}
		n.syncs.Add(1)
		n.entries.Add(int64(b.entries))
	}
	for _, m := range b.messages {
		for _, response := range m.message.GetResponses() {
			if to := response.GetTo(); to != n.id {
				outbox[to-1] = append(outbox[to-1], envelope{m.cluster, response})
			}
		}
	}
	n.deliver(outbox)
	return nil
}

// abandon answers all commands that wait for a log that has failed, and refuses those to come.
func (n *node) abandon(err error) {
	n.failed = err
	for _, g := range n.groups {
		for _, done := range g.waiting {
			done(err)
		}
		g.waiting = nil
	}
}
