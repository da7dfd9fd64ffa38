package quorumqueue

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// A stored state is a row of records, each with its length in front and encoded like a command: the header, then as
// many producers, consumers (each followed by what it has not settled), returned messages and messages of the backlog
// as the header says.

// stateFormat is the first number of the header.
const stateFormat = 1

// image is a captured state. Nothing in it is changed any more.
type image struct {
	lastID       uint64
	counters     Counters
	sinceRelease uint64
	producers    []producerImage
	consumers    []consumerImage
	turns        []uint64
	returned     []delivery
	backlog      [][]message
	length       uint64
}

type producerImage struct {
	name              string
	enqueued, settled entries
}

type consumerImage struct {
	subscription uint64
	pid          ra.PID
	credit       uint64
	unsettled    []delivery
}

// Snapshot copies what is small: the books, and what consumers have or gave back. The backlog is shared.
func (q *queue) Snapshot() (machine.Capture, error) {
	i := image{
		lastID: q.lastID, counters: q.counters, sinceRelease: q.sinceRelease,
		producers: make([]producerImage, 0, len(q.producers)), consumers: make([]consumerImage, 0, len(q.consumers)),
		turns: q.turns.list(), returned: append([]delivery(nil), q.returned...),
		backlog: q.backlog.capture(), length: uint64(q.backlog.length),
	}
	for _, p := range q.producers {
		i.producers = append(i.producers, producerImage{p.name, p.enqueued.capture(), p.settled.capture()})
	}
	for _, c := range q.subscribers() {
		i.consumers = append(i.consumers, consumerImage{c.subscription, c.pid, c.credit, c.sorted()})
	}
	return machine.CaptureFunc(i.write), nil
}

// records writes records. The writer keeps the first error until it is flushed.
type records struct {
	w   *bufio.Writer
	buf []byte
}

// put writes one record.
func (r *records) put(b []byte) {
	r.buf = b[:0]
	var size [binary.MaxVarintLen64]byte
	_, _ = r.w.Write(size[:binary.PutUvarint(size[:], uint64(len(b)))])
	_, _ = r.w.Write(b)
}

func (r *records) deliveries(all []delivery) {
	for _, d := range all {
		r.put(d.appendTo(binary.AppendUvarint(r.buf, d.times)))
	}
}

func (i *image) write(w io.Writer) error {
	r := &records{w: bufio.NewWriter(w)}
	r.put(i.appendHeader(r.buf))
	for _, p := range i.producers {
		r.put(p.settled.appendTo(p.enqueued.appendTo(appendText(r.buf, p.name))))
	}
	for _, c := range i.consumers {
		b := appendPID(binary.AppendUvarint(r.buf, c.subscription), c.pid)
		r.put(binary.AppendUvarint(binary.AppendUvarint(b, c.credit), uint64(len(c.unsettled))))
		r.deliveries(c.unsettled)
	}
	r.deliveries(i.returned)
	for _, chunk := range i.backlog {
		for _, m := range chunk {
			r.put(m.appendTo(r.buf))
		}
	}
	return r.w.Flush()
}

func (i *image) appendHeader(b []byte) []byte {
	b = binary.AppendUvarint(b, stateFormat)
	for _, n := range []uint64{
		i.lastID, i.sinceRelease, uint64(len(i.producers)), uint64(len(i.consumers)), uint64(len(i.returned)), i.length,
	} {
		b = binary.AppendUvarint(b, n)
	}
	for _, n := range i.counters.fields() {
		b = binary.AppendUvarint(b, *n)
	}
	return appendIDs(b, i.turns)
}

// fields returns all counters, in the order in which they are stored.
func (c *Counters) fields() []*uint64 {
	return []*uint64{
		&c.Commands, &c.Enqueued, &c.Repeated, &c.Gaps, &c.Delivered, &c.Redelivered,
		&c.Settled, &c.SettledTwice, &c.EnqueuedTwice, &c.Stale, &c.Downs,
	}
}

func (m message) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, m.id), m.seq), m.producer)
	return append(b, m.body...)
}

// Restore replaces the state.
func (q *queue) Restore(r io.Reader) error {
	fresh := newQueue(q.name)
	in := &restorer{q: fresh, r: bufio.NewReader(r)}
	in.run()
	if _, err := in.r.ReadByte(); in.err == nil && !errors.Is(err, io.EOF) {
		in.fail("state goes on after its end")
	}
	if in.err != nil {
		return in.err
	}
	*q = *fresh
	return nil
}

// restorer reads a state into an empty queue. After the first error it does nothing.
type restorer struct {
	q   *queue
	r   *bufio.Reader
	buf bytes.Buffer
	err error
}

func (in *restorer) fail(why string) {
	if in.err == nil {
		in.err = fmt.Errorf("%w state: %s", ErrMalformed, why)
	}
}

// record reads one record with f, which must take all of it.
func (in *restorer) record(f func(*fields)) {
	if in.err != nil {
		return
	}
	n, err := binary.ReadUvarint(in.r)
	if err == nil && n > ra.MaxPayload+1<<20 {
		in.fail("record too long")
		return
	}
	in.buf.Reset()
	if err == nil {
		// The buffer grows with what is there, so a wrong length asks for no memory.
		_, err = io.CopyN(&in.buf, in.r, int64(n))
	}
	if err != nil {
		in.fail(fmt.Sprintf("ends early: %v", err))
		return
	}
	fs := fields{b: in.buf.Bytes()}
	f(&fs)
	if err := fs.end(); err != nil && in.err == nil {
		in.err = err
	}
}

// run reads everything.
func (in *restorer) run() {
	var producers, consumers, returned, length uint64
	var turns []uint64
	in.record(func(f *fields) {
		if f.uint() != stateFormat {
			f.fail("state of another format")
		}
		in.q.lastID, in.q.sinceRelease = f.uint(), f.uint()
		producers, consumers = f.atMost(MaxProducers), f.atMost(MaxConsumers)
		returned, length = f.uint(), f.uint()
		for _, n := range in.q.counters.fields() {
			*n = f.uint()
		}
		turns = f.ids()
	})
	in.times(producers, func() { in.record(in.producer) })
	in.times(consumers, in.consumer)
	in.q.returned = in.deliveries(returned)
	in.times(length, func() { in.record(func(f *fields) { in.q.backlog.push(in.message(f)) }) })
	in.turns(turns)
}

// times calls f up to n times, until there is an error.
func (in *restorer) times(n uint64, f func()) {
	for ; n > 0 && in.err == nil; n-- {
		f()
	}
}

func (in *restorer) producer(f *fields) {
	p := &producer{name: f.text(), enqueued: f.ledger(), settled: f.ledger()}
	if _, taken := in.q.byName[p.name]; taken {
		f.fail("producer twice")
	}
	in.q.byName[p.name] = uint64(len(in.q.producers))
	in.q.producers = append(in.q.producers, p)
}

func (in *restorer) consumer() {
	c := &consumer{unsettled: map[uint64]delivery{}}
	var unsettled uint64
	in.record(func(f *fields) {
		c.subscription, c.pid, c.credit, unsettled = f.uint(), f.pid(), f.uint(), f.uint()
	})
	if _, taken := in.q.consumers[c.subscription]; taken || in.q.byPID[c.pid] != nil {
		in.fail("consumer twice")
	}
	in.q.consumers[c.subscription], in.q.byPID[c.pid] = c, c
	for _, d := range in.deliveries(unsettled) {
		c.unsettled[d.id] = d
	}
}

// deliveries reads n deliveries, which must be in order.
func (in *restorer) deliveries(n uint64) []delivery {
	var all []delivery
	in.times(n, func() {
		in.record(func(f *fields) {
			d := delivery{times: f.uint()}
			d.message = in.message(f)
			if len(all) > 0 && d.id <= all[len(all)-1].id {
				f.fail("messages out of order")
			}
			all = append(all, d)
		})
	})
	return all
}

func (in *restorer) message(f *fields) message {
	m := message{id: f.atMost(in.q.lastID), seq: f.uint(), producer: f.uint()}
	m.body = string(f.rest())
	if m.producer >= uint64(len(in.q.producers)) {
		f.fail("message of an unknown producer")
	}
	return m
}

// turns puts the consumers into their order.
func (in *restorer) turns(list []uint64) {
	for _, subscription := range list {
		c := in.q.consumers[subscription]
		if in.err == nil && (c == nil || c.next != nil) {
			in.fail("turns of consumers that are not there")
		}
		if in.err != nil {
			return
		}
		in.q.turns.add(c)
	}
}
