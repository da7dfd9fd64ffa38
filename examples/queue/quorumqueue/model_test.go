package quorumqueue

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"pgregory.net/rapid"
)

// model is a queue in its simplest form: one list of all messages in order, searched from the front.
type model struct {
	messages  []*modelMessage
	consumers []*modelConsumer
	// turns are the consumers that may have more.
	turns   []*modelConsumer
	next    map[string]uint64
	settled map[string][]uint64
	lastID  uint64
}

type modelMessage struct {
	id, seq  uint64
	producer string
	body     string
	holder   *modelConsumer
	times    uint64
}

type modelConsumer struct {
	subscription uint64
	pid          ra.PID
	credit       int
}

func (m *model) held(c *modelConsumer) []*modelMessage {
	var held []*modelMessage
	for _, msg := range m.messages {
		if msg.holder == c {
			held = append(held, msg)
		}
	}
	return held
}

func (m *model) enqueue(c Enqueue) Reply {
	next := m.next[c.Producer] + 1
	switch {
	case c.Seq < next:
		return Enqueued{Outcome: Repeated, Next: next}
	case c.Seq > next:
		return Enqueued{Outcome: Gap, Next: next}
	}
	m.next[c.Producer] = next
	m.lastID++
	m.messages = append(m.messages, &modelMessage{id: m.lastID, seq: c.Seq, producer: c.Producer, body: string(c.Body)})
	return Enqueued{Outcome: Accepted, Next: next + 1}
}

func (m *model) find(match func(*modelConsumer) bool) *modelConsumer {
	if i := slices.IndexFunc(m.consumers, match); i >= 0 {
		return m.consumers[i]
	}
	return nil
}

func (m *model) admit(c *modelConsumer) {
	in, may := slices.Contains(m.turns, c), len(m.held(c)) < c.credit
	if may && !in {
		m.turns = append(m.turns, c)
	}
	if !may && in {
		m.remove(c)
	}
}

func (m *model) remove(c *modelConsumer) {
	m.turns = slices.DeleteFunc(m.turns, func(o *modelConsumer) bool { return o == c })
}

func (m *model) forget(c *modelConsumer) uint64 {
	held := m.held(c)
	for _, msg := range held {
		msg.holder = nil
	}
	m.remove(c)
	m.consumers = slices.DeleteFunc(m.consumers, func(o *modelConsumer) bool { return o == c })
	return uint64(len(held))
}

// take settles or gives back messages of a consumer.
func (m *model) take(c *modelConsumer, ids []uint64, settle bool) (done uint64) {
	for _, id := range ids {
		i := slices.IndexFunc(m.messages, func(msg *modelMessage) bool { return msg.id == id && msg.holder == c })
		if i < 0 {
			continue
		}
		done++
		msg := m.messages[i]
		msg.holder = nil
		if settle {
			m.settled[msg.producer] = append(m.settled[msg.producer], msg.seq)
			m.messages = slices.Delete(m.messages, i, i+1)
		}
	}
	m.admit(c)
	return done
}

// serve hands out what can be handed out and returns the deliveries, one for each consumer.
func (m *model) serve() []Delivery {
	var out []Delivery
	for len(m.turns) > 0 {
		i := slices.IndexFunc(m.messages, func(msg *modelMessage) bool { return msg.holder == nil })
		if i < 0 {
			break
		}
		c, msg := m.turns[0], m.messages[i]
		msg.holder = c
		msg.times++
		m.turns = append(m.turns[1:], c)
		m.admit(c)
		at := slices.IndexFunc(out, func(d Delivery) bool { return d.Subscription == c.subscription })
		if at < 0 {
			at, out = len(out), append(out, Delivery{Queue: "q", Subscription: c.subscription})
		}
		out[at].Messages = append(out[at].Messages, msg.message())
	}
	return out
}

func (msg *modelMessage) message() Message {
	return Message{ID: msg.id, Producer: msg.producer, Seq: msg.seq, Body: msg.body, Redelivered: msg.times - 1}
}

// apply does what a queue should do, and returns the reply and the deliveries.
func (m *model) apply(index uint64, c Command) (Reply, []Delivery) {
	var reply Reply
	var again []Delivery
	switch c := c.(type) {
	case Enqueue:
		reply = m.enqueue(c)
	case Subscribe:
		to := m.find(func(o *modelConsumer) bool { return o.pid == c.Consumer })
		if to == nil {
			to = &modelConsumer{subscription: index, pid: c.Consumer}
			m.consumers = append(m.consumers, to)
		}
		to.credit = int(c.Credit)
		if held := m.held(to); len(held) > 0 {
			d := Delivery{Queue: "q", Subscription: to.subscription}
			for _, msg := range held {
				d.Messages = append(d.Messages, msg.message())
			}
			again = append(again, d)
		}
		m.admit(to)
		reply = Subscribed{Subscription: to.subscription}
	case Settle:
		reply = m.with(c.Subscription, func(to *modelConsumer) uint64 { return m.take(to, c.IDs, true) })
	case Return:
		reply = m.with(c.Subscription, func(to *modelConsumer) uint64 { return m.take(to, c.IDs, false) })
	case Cancel:
		reply = m.with(c.Subscription, m.forget)
	}
	return reply, append(again, m.serve()...)
}

func (m *model) with(subscription uint64, f func(*modelConsumer) uint64) Reply {
	c := m.find(func(o *modelConsumer) bool { return o.subscription == subscription })
	if c == nil {
		return Settled{Gone: true}
	}
	return Settled{Done: f(c)}
}

// deliveries returns what the machine's effects send.
func deliveries(t *rapid.T, fx *machine.Effects) []Delivery {
	var out []Delivery
	for e := range fx.All() {
		if e.Kind != machine.EffectSend {
			continue
		}
		if e.Options != machine.AsEvent {
			t.Fatalf("sent %v", e)
		}
		out = append(out, e.Value.(Delivery))
	}
	return out
}

// drawCommand makes a command that often, but not always, makes sense.
func drawCommand(t *rapid.T, m *model) Command {
	subscription := func() uint64 {
		if len(m.consumers) == 0 {
			return 1
		}
		return rapid.SampledFrom(m.consumers).Draw(t, "consumer").subscription
	}
	ids := func() []uint64 {
		return rapid.SliceOfN(rapid.Uint64Range(1, m.lastID+2), 0, 6).Draw(t, "ids")
	}
	switch rapid.IntRange(0, 9).Draw(t, "command") {
	case 0, 1, 2, 3:
		p := rapid.SampledFrom([]string{"p", "r"}).Draw(t, "producer")
		seq := m.next[p] + uint64(rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 0, 2}).Draw(t, "step"))
		return Enqueue{Producer: p, Seq: seq, Body: rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "body")}
	case 4:
		return Subscribe{
			Consumer: pid(rapid.IntRange(1, 4).Draw(t, "pid")), Credit: rapid.Uint64Range(0, 4).Draw(t, "credit"),
		}
	case 5:
		return Return{Subscription: subscription(), IDs: ids()}
	case 6:
		return Cancel{Subscription: subscription()}
	}
	return Settle{Subscription: subscription(), IDs: ids()}
}

// The queue does what the model does. A second queue gets a snapshot now and then, and must go on exactly alike.
func TestQueueAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{next: map[string]uint64{}, settled: map[string][]uint64{}}
		a, b := newHost(t), newHost(t)
		for range rapid.IntRange(1, 150).Draw(rt, "steps") {
			switch rapid.IntRange(0, 19).Draw(rt, "step") {
			case 0:
				b = a.restored()
			case 1:
				who := pid(rapid.IntRange(1, 4).Draw(rt, "down"))
				effects := a.down(who)
				if got := b.down(who); got != effects {
					rt.Fatalf("down: %s, restored: %s", effects, got)
				}
				if c := m.find(func(o *modelConsumer) bool { return o.pid == who }); c != nil {
					m.forget(c)
				}
				compare(rt, "down", deliveries(rt, &a.fx), m.serve())
			default:
				c := drawCommand(rt, m)
				reply, effects := a.apply(c)
				if again, got := b.apply(c); got != effects || again != reply {
					rt.Fatalf("%+v: %v %s, restored: %v %s", c, reply, effects, again, got)
				}
				want, sent := m.apply(uint64(a.index), c)
				compare(rt, fmt.Sprintf("%+v", c), reply, any(want))
				compare(rt, fmt.Sprintf("%+v", c), deliveries(rt, &a.fx), sent)
			}
		}
		checkBooks(rt, a.summary(), m)
		if !bytes.Equal(a.snapshot(), b.snapshot()) || !bytes.Equal(a.snapshot(), a.restored().snapshot()) {
			rt.Fatal("equal states give different snapshots")
		}
	})
}

func compare(t *rapid.T, what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %+v, want %+v", what, got, want)
	}
}

// checkBooks compares what the queue says of itself with the model.
func checkBooks(t *rapid.T, s Summary, m *model) {
	compare(t, "messages", s.Backlog+s.Returned+s.Unsettled, uint64(len(m.messages)))
	compare(t, "enqueued", s.Enqueued, m.lastID)
	compare(t, "settled", s.Settled, m.lastID-uint64(len(m.messages)))
	compare(t, "twice", s.SettledTwice+s.EnqueuedTwice, uint64(0))
	for name, next := range m.next {
		p, settled := s.Find(name), m.settled[name]
		slices.Sort(settled)
		upTo := uint64(0)
		for upTo < uint64(len(settled)) && settled[upTo] == upTo+1 {
			upTo++
		}
		compare(t, "enqueued of "+name, p.Enqueued.UpTo, next)
		compare(t, "settled of "+name, [2]uint64{p.Settled.Count, p.Settled.UpTo}, [2]uint64{uint64(len(settled)), upTo})
	}
}
