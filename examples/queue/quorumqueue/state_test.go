package quorumqueue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
)

// busy returns a queue with something everywhere.
func busy(t testing.TB) *host {
	h := newHost(t)
	for i := range 500 {
		body := strings.Repeat("x", i%7)
		if i%100 == 99 {
			body = strings.Repeat("long", longBody)
		}
		h.apply(Enqueue{Producer: fmt.Sprint("p", i%3), Seq: uint64(i/3 + 1), Body: []byte(body)})
	}
	for i := range 4 {
		h.apply(Subscribe{Consumer: pid(i + 1), Credit: 10})
	}
	h.apply(Settle{Subscription: 501, IDs: []uint64{3, 5}})
	h.down(pid(3))
	h.apply(Subscribe{Consumer: pid(2), Credit: 5})
	h.apply(Return{Subscription: 502, IDs: []uint64{11, 12}})
	return h
}

// SNAP-08: a capture stands for its moment, while the queue goes on on another goroutine.
func TestCaptureWhileQueueGoesOn(t *testing.T) {
	h := busy(t)
	want := h.snapshot()
	c, err := h.m.Machine().Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	var got []byte
	done.Go(func() {
		got = written(t, c)
		c.Release()
	})
	for i := range uint64(2000) {
		h.apply(Enqueue{Producer: "p0", Seq: h.summary().Find("p0").Enqueued.UpTo + 1, Body: []byte("new")})
		h.apply(Settle{Subscription: 501, IDs: []uint64{i, i + 1, i + 2}})
	}
	h.down(pid(1))
	done.Wait()
	if !bytes.Equal(got, want) {
		t.Error("the capture changed")
	}
}

// A state that was cut or changed gives an error or another state, never a panic, and cut ones never pass.
func TestRestoreOfBadStates(t *testing.T) {
	state := busy(t).snapshot()
	for n := 0; n < len(state); n += 1 + n/50 {
		if err := newQueue("q").Restore(bytes.NewReader(state[:n])); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if err := newQueue("q").Restore(bytes.NewReader(append(state[:len(state):len(state)], 0))); !errors.Is(err, ErrMalformed) {
		t.Errorf("with a byte too many: %v", err)
	}
	for i := 0; i < len(state); i += 1 + i/50 {
		bad := bytes.Clone(state)
		bad[i] ^= 0x41
		if err := newQueue("q").Restore(bytes.NewReader(bad)); err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	h := busy(t)
	before := h.snapshot()
	if err := h.m.Machine().Restore(strings.NewReader("nonsense")); err == nil || !bytes.Equal(h.snapshot(), before) {
		t.Errorf("a refused state left a trace: %v", err)
	}
}

// All commands and replies come back from their encoding.
func TestCodec(t *testing.T) {
	p := Protocol()
	for _, c := range []Command{
		Enqueue{Producer: "p", Seq: 1 << 40, Body: []byte("body")},
		Enqueue{Producer: "", Seq: 0, Body: []byte{}},
		Subscribe{Consumer: ra.PID{Node: "n", Name: "c", Incarnation: 1 << 63, Spawn: 3}, Credit: 8},
		Settle{Subscription: 5, IDs: []uint64{9, 1, 1 << 63, 2}},
		Return{Subscription: 5, IDs: []uint64{}},
		Cancel{Subscription: 12},
	} {
		b, err := p.Command.Append([]byte("front"), c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Command.Decode(b[5:]); err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("%#v came back as %#v, %v", c, got, err)
		}
	}
	for _, r := range []Reply{
		Enqueued{Outcome: Full, Next: 7}, Subscribed{Subscription: 1}, Settled{Done: 300, Gone: true}, Refused{Why: "no"},
	} {
		b, err := p.Reply.Append(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := p.Reply.Decode(b); err != nil || got != r {
			t.Errorf("%#v came back as %#v, %v", r, got, err)
		}
	}
	if _, err := p.Command.Append(nil, nil); err == nil {
		t.Error("no command was encoded")
	}
	if _, err := p.Reply.Append(nil, nil); err == nil {
		t.Error("no reply was encoded")
	}
	long, _ := p.Command.Append(nil, Enqueue{Producer: strings.Repeat("p", ra.MaxNameLen), Seq: 1<<64 - 1})
	if len(long) > MaxOverhead {
		t.Errorf("overhead of %d bytes is above the bound of %d", len(long), MaxOverhead)
	}
}

// What is accepted is encoded the same way again.
func FuzzDecode(f *testing.F) {
	for _, c := range []Command{
		Enqueue{Producer: "p", Seq: 1, Body: []byte("body")}, Subscribe{Consumer: pid(1), Credit: 8},
		Settle{Subscription: 5, IDs: []uint64{9, 1}}, Return{Subscription: 5, IDs: []uint64{1}}, Cancel{Subscription: 2},
	} {
		f.Add(c.appendTo(nil))
	}
	for _, r := range []Reply{Enqueued{Outcome: Gap, Next: 7}, Subscribed{1}, Settled{Done: 3}, Refused{"no"}} {
		f.Add(r.appendTo(nil))
	}
	p := Protocol()
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Command
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { c, err = p.Command.Decode(b) })
		if err == nil {
			if again, _ := p.Command.Append(nil, c); !bytes.Equal(again, b) {
				t.Fatalf("%x is accepted as %#v, which is %x", b, c, again)
			}
		} else if !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		if r, err := p.Reply.Decode(b); err == nil {
			if again, _ := p.Reply.Append(nil, r); !bytes.Equal(again, b) {
				t.Fatalf("%x is accepted as %#v, which is %x", b, r, again)
			}
		}
	})
}

func FuzzRestore(f *testing.F) {
	h := newHost(f)
	for i := range 5 {
		h.apply(Enqueue{Producer: "p", Seq: uint64(i + 1), Body: []byte("body")})
	}
	h.apply(Subscribe{Consumer: pid(1), Credit: 2})
	f.Add(h.snapshot())
	f.Fuzz(func(t *testing.T, state []byte) {
		q := newQueue("q")
		var err error
		fuzztest.Bounded(t, len(state), fuzztest.Slack, func() { err = q.Restore(bytes.NewReader(state)) })
		if err != nil {
			return
		}
		c, err := q.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		again := newQueue("q")
		if err := again.Restore(bytes.NewReader(written(t, c))); err != nil {
			t.Fatalf("a state that was accepted is not accepted again: %v", err)
		}
	})
}

// A ledger counts and sums up, in any order.
func TestLedger(t *testing.T) {
	var l, inOrder ledger
	body := func(seq uint64) []byte { return binary.AppendUvarint(nil, seq*seq) }
	for _, seq := range []uint64{3, 1, 5, 6, 2, 8} {
		if !l.add(seq, body(seq)) {
			t.Errorf("%d was there", seq)
		}
	}
	if l.upTo != 3 || l.count() != 6 {
		t.Errorf("up to %d, %d in all", l.upTo, l.count())
	}
	f := fields{b: func() []byte { e := l.capture(); return e.appendTo(nil) }()}
	if again := f.ledger(); f.end() != nil || !reflect.DeepEqual(again, l) {
		t.Errorf("came back as %+v, %v", again, f.err)
	}
	l.add(4, body(4))
	l.add(7, body(7))
	for seq := range uint64(8) {
		inOrder.add(seq+1, body(seq+1))
	}
	if !reflect.DeepEqual(l.book(), inOrder.book()) {
		t.Errorf("%+v, in order %+v", l.book(), inOrder.book())
	}
	for _, seq := range []uint64{1, 8} {
		if l.add(seq, body(seq)) {
			t.Errorf("%d was not there", seq)
		}
	}
	if l.digest == inOrder.digest || l.count() != 8 {
		t.Error("additions that were repeated do not show")
	}
}

// BenchmarkApply is one message through the queue: enqueued, delivered, settled.
func BenchmarkApply(b *testing.B) {
	h := newHost(b)
	h.apply(Subscribe{Consumer: pid(1), Credit: 16})
	body := bytes.Repeat([]byte("x"), 80)
	var buf []byte
	seq := uint64(0)
	meta := machine.Meta{Term: 1}
	for b.Loop() {
		seq++
		h.fx.Reset()
		buf = Enqueue{Producer: "README.md", Seq: seq, Body: body}.appendTo(buf[:0])
		h.m.Apply(&meta, buf, &h.fx)
		buf = Settle{Subscription: 1, IDs: []uint64{seq}}.appendTo(buf[:0])
		h.m.Apply(&meta, buf, &h.fx)
	}
}

// BenchmarkSnapshot is the capture of a long queue, which must not wait for its length.
func BenchmarkSnapshot(b *testing.B) {
	h := newHost(b)
	for seq := range uint64(100_000) {
		h.apply(Enqueue{Producer: "p", Seq: seq + 1, Body: []byte("body")})
	}
	for b.Loop() {
		if _, err := h.m.Machine().Snapshot(); err != nil {
			b.Fatal(err)
		}
	}
}
