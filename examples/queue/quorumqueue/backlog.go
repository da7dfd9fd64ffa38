package quorumqueue

import "slices"

// message is one message in the queue. It is never changed.
type message struct {
	id, seq uint64
	// producer is an index into queue.producers.
	producer uint64
	body     string
}

// delivery is a message that was given to somebody, times times.
type delivery struct {
	message
	times uint64
}

// backlog holds the messages that were never given to anybody, in order. They stand in chunks. Each slot of a chunk is
// written once, so that a capture needs to copy the list of chunks only and may be read while the backlog goes on.
type backlog struct {
	chunks [][]message
	length int
	// bytes is the length of all bodies.
	bytes int
}

// Chunks grow up to maxChunk messages. A taken message is kept until its chunk is used up, so long ones stand alone.
const (
	minChunk = 4
	maxChunk = 64
	longBody = 16 << 10
)

func (b *backlog) push(m message) {
	b.length++
	b.bytes += len(m.body)
	last := len(b.chunks) - 1
	switch {
	case len(m.body) > longBody:
		b.chunks = append(b.chunks, []message{m})
	case last >= 0 && len(b.chunks[last]) < cap(b.chunks[last]):
		b.chunks[last] = append(b.chunks[last], m)
	default:
		size := minChunk
		if last >= 0 {
			size = min(maxChunk, max(minChunk, 2*cap(b.chunks[last])))
		}
		b.chunks = append(b.chunks, append(make([]message, 0, size), m))
	}
}

// pop takes the first message out; there must be one.
func (b *backlog) pop() message {
	// The first chunk is empty if all of it is taken but more fits in.
	if len(b.chunks[0]) == 0 {
		b.dropChunk()
	}
	m := b.chunks[0][0]
	b.chunks[0] = b.chunks[0][1:]
	b.length--
	b.bytes -= len(m.body)
	if cap(b.chunks[0]) == 0 {
		b.dropChunk()
	}
	return m
}

func (b *backlog) dropChunk() {
	b.chunks[0] = nil
	b.chunks = b.chunks[1:]
}

// capture returns the messages as they are now.
func (b *backlog) capture() [][]message { return slices.Clone(b.chunks) }
