package quorumqueue

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/machinetest"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// host runs a machine as a member would.
type host struct {
	t     testing.TB
	m     *machine.Bound
	index ra.Index
	fx    machine.Effects
}

func newHost(t testing.TB) *host {
	m, err := machine.Bind(New(machine.Init{Cluster: "q"}), 0)
	if err != nil {
		t.Fatal(err)
	}
	return &host{t: t, m: m}
}

// apply applies a command, and returns the reply and the effects as text.
func (h *host) apply(c Command) (any, string) {
	b, err := Protocol().Command.Append(nil, c)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.raw(b)
}

func (h *host) raw(command []byte) (any, string) {
	h.begin()
	reply := h.m.Apply(&machine.Meta{Index: h.index, Term: 1}, command, &h.fx)
	return reply, h.effects()
}

func (h *host) begin() {
	h.index++
	h.fx.Reset()
	h.fx.BeginEntry(h.index)
}

func (h *host) effects() string {
	if err := h.fx.Err(); err != nil {
		h.t.Fatal(err)
	}
	return h.fx.String()
}

func (h *host) down(pid ra.PID) string {
	h.begin()
	payload, err := machine.AppendDown(nil, machine.Down{PID: pid, Reason: machine.DownReason{Code: machine.DownNoProcess}})
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.m.ApplyEntry(machine.Meta{Index: h.index}, ra.KindDown, payload, &h.fx); err != nil {
		h.t.Fatal(err)
	}
	return h.effects()
}

func (h *host) summary() Summary {
	answer, err := machine.Ask(h.m.Machine(), machine.QueryContext{}, Describe{})
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.(Summary)
}

func (h *host) snapshot() []byte {
	c, err := h.m.Machine().Snapshot()
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Release()
	return written(h.t, c)
}

func written(t testing.TB, c io.WriterTo) []byte {
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// restored returns a host with a machine that got the state of this one.
func (h *host) restored() *host {
	other := newHost(h.t)
	other.index = h.index
	if err := other.m.Machine().Restore(bytes.NewReader(h.snapshot())); err != nil {
		h.t.Fatal(err)
	}
	return other
}

func pid(n int) ra.PID {
	return ra.PID{Node: "n1", Name: fmt.Sprintf("c%d", n), Incarnation: 7, Spawn: uint64(n)}
}

// Every member comes to the same state, whether by the log or by a snapshot.
func TestEveryMember(t *testing.T) {
	d := machinetest.New(t, New)
	do := func(c Command) Reply { return machinetest.Do(d, Protocol(), c) }
	for i := range uint64(60) {
		do(Enqueue{Producer: fmt.Sprint("p", i%3), Seq: i/3 + 1, Body: fmt.Append(nil, "message ", i)})
		if i%5 == 1 {
			s, _ := do(Subscribe{Consumer: pid(int(i % 7)), Credit: 4}).(Subscribed)
			do(Settle{Subscription: s.Subscription, IDs: []uint64{i / 2, i - 1, i}})
		}
		if i%10 == 4 {
			d.Down(pid(int(i%7)), machine.DownReason{})
		}
	}
	d.EnterState(ra.Leader)
	d.Check()
	if s, err := d.Query(Describe{}); err != nil || s.(Summary).Settled == 0 || s.(Summary).Unsettled == 0 {
		t.Errorf("it has been at ease: %+v, %v", s, err)
	}
}

// A script and what becomes of it. EFF-01: effects stand in the order in which they were asked for.
func TestTranscript(t *testing.T) {
	h := newHost(t)
	var out strings.Builder
	step := func(name string, reply any, effects string) {
		fmt.Fprintf(&out, "%s: %+v\n%s", name, reply, effects)
	}
	apply := func(name string, c Command) {
		reply, effects := h.apply(c)
		step(name, reply, effects)
	}
	apply("enqueue 1", Enqueue{Producer: "p", Seq: 1, Body: []byte("one")})
	apply("enqueue 3", Enqueue{Producer: "p", Seq: 3, Body: []byte("three")})
	apply("enqueue 1", Enqueue{Producer: "p", Seq: 1, Body: []byte("one")})
	apply("enqueue 2", Enqueue{Producer: "p", Seq: 2, Body: nil})
	apply("subscribe c1", Subscribe{Consumer: pid(1), Credit: 1})
	apply("subscribe c2", Subscribe{Consumer: pid(2), Credit: 2})
	apply("enqueue 3", Enqueue{Producer: "p", Seq: 3, Body: []byte("three")})
	apply("enqueue 4", Enqueue{Producer: "p", Seq: 4, Body: []byte("four")})
	apply("settle 2", Settle{Subscription: 6, IDs: []uint64{2, 9}})
	step("down c1", nil, h.down(pid(1)))
	step("down c1", nil, h.down(pid(1)))
	apply("subscribe c3", Subscribe{Consumer: pid(3), Credit: 5})
	apply("return 3", Return{Subscription: 6, IDs: []uint64{3}})
	apply("settle gone", Settle{Subscription: 5, IDs: []uint64{1}})
	apply("subscribe c3", Subscribe{Consumer: pid(3), Credit: 1})
	apply("cancel c2", Cancel{Subscription: 6})
	if got := out.String(); got != transcript {
		t.Errorf("got\n%s", got)
	}
}

// EFF-52: a new leader asks again for the monitors, and sends what may have been lost; others ask for nothing.
func TestNewLeader(t *testing.T) {
	h := newHost(t)
	h.apply(Subscribe{Consumer: pid(1), Credit: 2})
	h.apply(Subscribe{Consumer: pid(2), Credit: 2})
	for seq := range uint64(5) {
		h.apply(Enqueue{Producer: "p", Seq: seq + 1, Body: []byte{'a' + byte(seq)}})
	}
	before := h.snapshot()
	for _, role := range []ra.Role{ra.Recover, ra.Recovered, ra.Follower, ra.PreVote, ra.Candidate, ra.EOL} {
		h.fx.Reset()
		if h.m.EnterState(role, &h.fx); h.fx.Len() != 0 {
			t.Errorf("%v: %v", role, h.effects())
		}
	}
	h.fx.Reset()
	h.m.EnterState(ra.Leader, &h.fx)
	if got := h.effects(); got != newLeader {
		t.Errorf("got\n%s", got)
	}
	if !bytes.Equal(h.snapshot(), before) {
		t.Error("MAC-06: entering a role changed the state")
	}
}

// What came back stands in front, in the old order, whoever gives back first.
func TestOrderOfReturned(t *testing.T) {
	h := newHost(t)
	for seq := range uint64(6) {
		h.apply(Enqueue{Producer: "p", Seq: seq + 1})
	}
	h.apply(Subscribe{Consumer: pid(1), Credit: 2}) // 1 2
	h.apply(Subscribe{Consumer: pid(2), Credit: 2}) // 3 4
	h.down(pid(2))
	h.down(pid(1))
	_, effects := h.apply(Subscribe{Consumer: pid(3), Credit: 9})
	var order []string
	for _, part := range strings.Split(effects, "{ID:")[1:] {
		order = append(order, part[:1]+"/"+part[strings.Index(part, "}")-1:strings.Index(part, "}")])
	}
	if got := strings.Join(order, " "); got != "1/1 2/1 3/1 4/1 5/0 6/0" {
		t.Errorf("order %s\n%s", got, effects)
	}
}

func TestRefusals(t *testing.T) {
	h := newHost(t)
	for _, c := range []Command{
		Enqueue{Seq: 1},
		Enqueue{Producer: strings.Repeat("p", ra.MaxNameLen+1), Seq: 1},
		Subscribe{},
		Subscribe{Consumer: ra.PID{Node: "n1", Name: "c"}, Credit: 1},
		Subscribe{Consumer: ra.PID{Node: "n1", Name: "a/b", Spawn: 1}, Credit: 1},
		Subscribe{Consumer: ra.PID{Name: "c", Spawn: 1}, Credit: 1},
	} {
		if reply, effects := h.apply(c); effects != "" {
			t.Errorf("%+v: %v", c, effects)
		} else if _, refused := reply.(Refused); !refused {
			t.Errorf("%+v: %+v", c, reply)
		}
	}
	if reply, _ := h.raw([]byte("nonsense")); !strings.Contains(fmt.Sprint(reply), "cannot be read") {
		t.Errorf("nonsense: %v", reply)
	}
	if s := h.summary(); s.Enqueued != 0 || s.Consumers != 0 || len(s.Producers) != 0 {
		t.Errorf("refused commands left %+v", s)
	}
}

// A queue that is full takes nothing, and goes on when there is room.
func TestFull(t *testing.T) {
	q := newQueue("q")
	q.counters.Enqueued = MaxMessages
	if r := q.enqueue(Enqueue{Producer: "p", Seq: 1}); r != (Enqueued{Outcome: Full, Next: 1}) {
		t.Errorf("%+v", r)
	}
	q.counters.Settled = 1
	if r := q.enqueue(Enqueue{Producer: "p", Seq: 1}); r != (Enqueued{Outcome: Accepted, Next: 2}) {
		t.Errorf("%+v", r)
	}
	q.backlog.bytes = MaxBytes
	q.counters.Settled = 10
	if r := q.enqueue(Enqueue{Producer: "p", Seq: 2, Body: []byte("x")}); r != (Enqueued{Outcome: Full, Next: 2}) {
		t.Errorf("%+v", r)
	}
	if r := q.enqueue(Enqueue{Producer: "p", Seq: 1}); r != (Enqueued{Outcome: Repeated, Next: 2}) {
		t.Errorf("a repeated message in a full queue: %+v", r)
	}
}

// SNAP-01: hints come when the queue is empty, and after many commands if it never is.
func TestReleaseCursor(t *testing.T) {
	for _, empty := range []bool{true, false} {
		h := newHost(t)
		h.apply(Subscribe{Consumer: pid(1), Credit: 1 << 20})
		if !empty {
			h.apply(Enqueue{Producer: "never settled", Seq: 1})
		}
		var hints []ra.Index
		for id := h.summary().Enqueued + 1; h.index < 2*releaseEvery; id++ {
			if h.index%101 == 0 {
				h = h.restored() // The state says when the next hint is due.
			}
			h.apply(Enqueue{Producer: "p", Seq: h.summary().Find("p").Enqueued.UpTo + 1})
			if _, effects := h.apply(Settle{Subscription: 1, IDs: []uint64{id}}); strings.Contains(effects, "release") {
				hints = append(hints, h.index)
			}
		}
		want := 2 * releaseEvery / releaseEmpty
		if !empty {
			want = 2
		}
		if len(hints) < want-2 || len(hints) > want {
			t.Errorf("empty %v: hints at %v, want about %d", empty, hints, want)
		}
	}
}

const transcript = `enqueue 1: {Outcome:accepted Next:2}
enqueue 3: {Outcome:gap Next:2}
enqueue 1: {Outcome:repeated Next:2}
enqueue 2: {Outcome:accepted Next:3}
subscribe c1: {Subscription:5}
monitor c1@n1#1
send c1@n1#1 {Queue:q Subscription:5 Messages:[{ID:1 Producer:p Seq:1 Body:one Redelivered:0}]} event
subscribe c2: {Subscription:6}
monitor c2@n1#2
send c2@n1#2 {Queue:q Subscription:6 Messages:[{ID:2 Producer:p Seq:2 Body: Redelivered:0}]} event
enqueue 3: {Outcome:accepted Next:4}
send c2@n1#2 {Queue:q Subscription:6 Messages:[{ID:3 Producer:p Seq:3 Body:three Redelivered:0}]} event
enqueue 4: {Outcome:accepted Next:5}
settle 2: {Done:1 Gone:false}
send c2@n1#2 {Queue:q Subscription:6 Messages:[{ID:4 Producer:p Seq:4 Body:four Redelivered:0}]} event
down c1: <nil>
down c1: <nil>
subscribe c3: {Subscription:12}
monitor c3@n1#3
send c3@n1#3 {Queue:q Subscription:12 Messages:[{ID:1 Producer:p Seq:1 Body:one Redelivered:1}]} event
return 3: {Done:1 Gone:false}
send c3@n1#3 {Queue:q Subscription:12 Messages:[{ID:3 Producer:p Seq:3 Body:three Redelivered:1}]} event
settle gone: {Done:0 Gone:true}
subscribe c3: {Subscription:12}
monitor c3@n1#3
send c3@n1#3 {Queue:q Subscription:12 Messages:[{ID:1 Producer:p Seq:1 Body:one Redelivered:1} {ID:3 Producer:p Seq:3 Body:three Redelivered:1}]} event
cancel c2: {Done:1 Gone:false}
demonitor c2@n1#2
`

const newLeader = `monitor c1@n1#1
send c1@n1#1 {Queue:q Subscription:1 Messages:[{ID:1 Producer:p Seq:1 Body:a Redelivered:0} {ID:3 Producer:p Seq:3 Body:c Redelivered:0}]} event
monitor c2@n1#2
send c2@n1#2 {Queue:q Subscription:2 Messages:[{ID:2 Producer:p Seq:2 Body:b Redelivered:0} {ID:4 Producer:p Seq:4 Body:d Redelivered:0}]} event
`
