package machine

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
)

// add is the command of the totals used in these tests.
type add struct {
	Key string
	N   int
}

// totals is a typed machine with some of the optional interfaces.
type totals struct {
	Stored[map[string]int]
	downs []Down
}

func newTotals() *totals { return &totals{Stored: Stored[map[string]int]{State: map[string]int{}}} }

func (t *totals) Apply(_ Meta, c add, fx *Effects) int {
	if c.Key == "later" {
		fx.NoReply()
	}
	t.State[c.Key] += c.N
	return t.State[c.Key]
}

func (t *totals) HandleDown(_ Meta, d Down, _ *Effects) { t.downs = append(t.downs, d) }

func (t *totals) Query(_ QueryContext, question any) (any, error) {
	return t.State[question.(string)], nil
}

func encode[T any](t *testing.T, c Codec[T], v T) []byte {
	t.Helper()
	b, err := c.Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func snapshotOf(t *testing.T, m Machine) []byte {
	t.Helper()
	c, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	var b bytes.Buffer
	if n, err := c.WriteTo(&b); err != nil || int(n) != b.Len() {
		t.Fatalf("wrote %d of %d: %v", b.Len(), n, err)
	}
	return b.Bytes()
}

// MAC-03: typed commands in, typed replies out, verbatim.
func TestTyped(t *testing.T) {
	for name, p := range map[string]Protocol[add, int]{"cbor": CBOR[add, int](), "json": JSON[add, int]()} {
		impl := newTotals()
		m := From(impl, p)
		var fx Effects
		m.Apply(Meta{Index: 1}, encode(t, p.Command, add{"a", 2}), &fx)
		reply := m.Apply(Meta{Index: 2}, encode(t, p.Command, add{"a", 3}), &fx)
		if reply != 5 {
			t.Errorf("%s: reply %v", name, reply)
		}
		other := newTotals()
		if err := From(other, p).Restore(bytes.NewReader(snapshotOf(t, m))); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(other.State, impl.State) {
			t.Errorf("%s: restored %v", name, other.State)
		}
	}
}

// A committed command that cannot be read is answered alike everywhere, and the machine never sees it.
func TestCommandThatCannotBeRead(t *testing.T) {
	p := CBOR[add, int]()
	good := encode(t, p.Command, add{"a", 1})
	for name, command := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0), "other type": {0x01},
		"duplicate key":     []byte("\xa2\x63Key\x61a\x63Key\x61b"),
		"indefinite length": []byte("\xbf\x63Key\x61a\xff"),
		"huge array":        {0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"deep":              bytes.Repeat([]byte{0x81}, 10_000),
	} {
		var replies [2]any
		for i := range replies {
			impl := newTotals()
			var fx Effects
			replies[i] = From(impl, p).Apply(Meta{Index: 9}, command, &fx)
			var bad *CommandError
			if err, ok := replies[i].(error); !ok || !errors.As(err, &bad) || bad.Index != 9 {
				t.Errorf("%s: reply %v", name, replies[i])
			}
			if len(impl.State) != 0 || fx.Len() != 0 {
				t.Errorf("%s: the machine saw it", name)
			}
		}
		if !reflect.DeepEqual(replies[0], replies[1]) {
			t.Errorf("%s: replies differ", name)
		}
	}
}

// MAC-05: a typed machine can leave its caller waiting.
func TestTypedNoReply(t *testing.T) {
	p := CBOR[add, int]()
	m := From(newTotals(), p)
	var fx Effects
	if reply := m.Apply(Meta{}, encode(t, p.Command, add{"later", 1}), &fx); reply != NoReply {
		t.Errorf("reply %v", reply)
	}
	if reply := m.Apply(Meta{}, encode(t, p.Command, add{"a", 1}), &fx); reply != 1 {
		t.Errorf("the next reply is %v", reply)
	}
}

// Replies that cross to another process come out as they went in, errors of commands included.
func TestReplyCodec(t *testing.T) {
	rc := From(newTotals(), CBOR[add, int]()).(ReplyCodec)
	for _, reply := range []any{0, -7, 1 << 30, &CommandError{Index: 3, Reason: "bad"}} {
		b, err := rc.AppendReply([]byte("front"), reply)
		if err != nil {
			t.Fatal(err)
		}
		got, err := rc.DecodeReply(b[len("front"):])
		if err != nil || !reflect.DeepEqual(got, reply) {
			t.Errorf("%v became %v, %v", reply, got, err)
		}
	}
	if b, err := rc.AppendReply([]byte("front"), "text"); !errors.Is(err, ErrReplyType) || string(b) != "front" {
		t.Errorf("a reply of another type: %q, %v", b, err)
	}
	for _, b := range []string{"", "\x02", "\x01short"} {
		if _, err := rc.DecodeReply([]byte(b)); !errors.Is(err, ra.ErrCorrupt) {
			t.Errorf("%q: %v", b, err)
		}
	}
	if r, err := rc.DecodeReply([]byte("\x00\xff")); err == nil || r != nil {
		t.Errorf("nonsense became %v", r)
	}
}

// echo answers with the command itself, which may be nil.
type echo struct{ Stored[int] }

func (*echo) Apply(_ Meta, c any, _ *Effects) any { return c }

func TestReplyCodecOfInterfaces(t *testing.T) {
	p := CBOR[any, any]()
	m := From(&echo{}, p)
	var fx Effects
	for _, v := range []any{nil, "x", uint64(3)} {
		reply := m.Apply(Meta{}, encode(t, p.Command, v), &fx)
		b, err := m.(ReplyCodec).AppendReply(nil, reply)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.(ReplyCodec).DecodeReply(b); err != nil || got != v {
			t.Errorf("%v became %v, %v", v, got, err)
		}
	}
}

// Encoding is deterministic, and times survive to the nanosecond.
func TestCBORIsDeterministic(t *testing.T) {
	type value struct {
		M map[string]int
		T time.Time
		F float64
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("here", 3600))
	make100 := func() value {
		v := value{M: map[string]int{}, T: at, F: 0.1}
		for i := range 100 {
			v.M[strings.Repeat("k", i)] = i
		}
		return v
	}
	c := CBORCodec[value]{}
	first := encode(t, c, make100())
	for range 10 {
		if !bytes.Equal(encode(t, c, make100()), first) {
			t.Fatal("equal values have different bytes")
		}
	}
	got, err := c.Decode(first)
	if err != nil || !got.T.Equal(at) || got.T.Location() != time.UTC || got.F != 0.1 || len(got.M) != 100 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCodecsFailCleanly(t *testing.T) {
	front := []byte("front")
	if b, err := (CBORCodec[chan int]{}).Append(front, nil); err == nil || string(b) != "front" {
		t.Errorf("cbor: %q, %v", b, err)
	}
	if b, err := (JSONCodec[chan int]{}).Append(front, nil); err == nil || string(b) != "front" {
		t.Errorf("json: %q, %v", b, err)
	}
	if v, err := (JSONCodec[add]{}).Decode([]byte(`{"Key":"a"} `)); err != nil || v.Key != "a" {
		t.Errorf("json: %v, %v", v, err)
	}
	if v, err := (JSONCodec[add]{}).Decode([]byte(`{"Key":"a"}x`)); err == nil || v.Key != "" {
		t.Errorf("json: %v, %v", v, err)
	}
	b, _ := Raw{}.Append(front, []byte("!"))
	if v, err := (Raw{}).Decode(b); err != nil || string(v) != "front!" {
		t.Errorf("raw: %q, %v", v, err)
	}
}

// FuzzCBOR: no bytes panic, and what can be decoded has one encoding from then on.
func FuzzCBOR(f *testing.F) {
	b, _ := CBORCodec[add]{}.Append(nil, add{"key", 5})
	f.Add(b)
	f.Add([]byte("\xa0"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v add
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { v, err = CBORCodec[add]{}.Decode(b) })
		if err != nil {
			return
		}
		once := encode(t, CBORCodec[add]{}, v)
		again, err := CBORCodec[add]{}.Decode(once)
		if err != nil || again != v {
			t.Fatalf("%+v became %+v, %v", v, again, err)
		}
	})
}

// shelf is a type with everything that a codec may have to make room for.
type shelf struct {
	Names  []string
	Totals map[string]int64
	Inner  []shelf
	Raw    []byte
	Any    any
}

// FuzzNested: no bytes take more memory than they deserve, in either codec, and what is accepted is encoded and accepted
// again.
func FuzzNested(f *testing.F) {
	full := shelf{Names: []string{"a"}, Totals: map[string]int64{"b": 1}, Inner: []shelf{{Raw: []byte("c")}}, Any: "d"}
	for _, c := range []Codec[shelf]{CBORCodec[shelf]{}, JSONCodec[shelf]{}} {
		b, err := c.Append(nil, full)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("\xa1eNames\x9a\x00\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range []Codec[shelf]{CBORCodec[shelf]{}, JSONCodec[shelf]{}} {
			var v shelf
			var err error
			fuzztest.Bounded(t, len(b), 2*fuzztest.Slack, func() { v, err = c.Decode(b) })
			if err != nil {
				continue
			}
			again, err := c.Append(nil, v)
			if err != nil {
				continue // a value of Any that the codec decodes and does not encode
			}
			if _, err := c.Decode(again); err != nil {
				t.Fatalf("%T: own encoding %x refused: %v", c, again, err)
			}
		}
	})
}

// MAC-01: the reply of a simple machine is its new state.
func TestSimple(t *testing.T) {
	factory := Simple(func(n int, sum int) int { return sum + n }, 100)
	a, b := factory(Init{}), factory(Init{})
	var fx Effects
	command := encode(t, CBOR[int, int]().Command, 5)
	if r := a.Apply(Meta{}, command, &fx); r != 105 {
		t.Errorf("reply %v", r)
	}
	if r := a.Apply(Meta{}, command, &fx); r != 110 {
		t.Errorf("reply %v", r)
	}
	if r := b.Apply(Meta{}, command, &fx); r != 105 {
		t.Errorf("the other instance replied %v", r)
	}
	if err := b.Restore(bytes.NewReader(snapshotOf(t, a))); err != nil {
		t.Fatal(err)
	}
	if r := b.Apply(Meta{}, command, &fx); r != 115 {
		t.Errorf("after restoring: %v", r)
	}
	if err := b.Restore(strings.NewReader("\xff")); err == nil {
		t.Error("nonsense was restored")
	}
}

func BenchmarkTypedApply(b *testing.B) {
	p := CBOR[add, int]()
	m := From(newTotals(), p)
	command, _ := p.Command.Append(nil, add{"key", 1})
	var fx Effects
	b.ReportAllocs()
	for b.Loop() {
		m.Apply(Meta{Index: 1}, command, &fx)
	}
}
