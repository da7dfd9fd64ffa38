package actor

import pa "github.com/asynkron/protoactor-go/actor"

// Message is a client message that carries its own link, so that queueing it allocates nothing: any type that embeds
// Item is one. It may wait in one lane at a time, and belongs to its receiver until that has taken it out.
type Message interface {
	link() *Item
}

// Item is embedded by message types. The zero value is ready for use, and is again when the message was taken out.
type Item struct {
	next Message
}

func (i *Item) link() *Item { return i }

// Refuser is implemented by messages whose sender waits for an answer. Refuse is called, on an arbitrary goroutine
// and at most once, if the actor ends before it took the message out; err wraps ra.ErrNoProcess. It must not block.
type Refuser interface {
	Refuse(err error)
}

// lane is a list of messages in order of arrival. An empty one owns no memory.
type lane struct {
	head, tail Message
}

func (l *lane) push(m Message) {
	if l.head == nil {
		l.head = m
	} else {
		l.tail.link().next = m
	}
	l.tail = m
}

// pop takes the first message out; the lane must not be empty.
func (l *lane) pop() Message {
	m := l.head
	i := m.link()
	l.head = i.next
	i.next = nil
	if l.head == nil {
		l.tail = nil
	}
	return m
}

// putBack puts all of front before what is in l.
func (l *lane) putBack(front lane) {
	if front.head == nil {
		return
	}
	if l.head == nil {
		*l = front
		return
	}
	front.tail.link().next = l.head
	l.head = front.head
}

// parcel carries a message that is no Message itself.
type parcel struct {
	Item
	value any
	// raw is what protoactor must be given instead, alone, because it treats such messages in its own way
	// (PoisonPill, AutoRespond); nil for all others.
	raw any
	// sender is whom a foreign protoactor actor gave as sender, or nil.
	sender *pa.PID
}
