package machinetest

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Driver gives one machine its entries, and remembers them for Check. Its methods belong to the test's goroutine, and end the test
// where a member would end: if a snapshot cannot be restored, or the machine has asked for an effect that nobody could carry out.
type Driver struct {
	tb      testing.TB
	factory machine.Factory
	initial machine.Version
	// first is the machine in m; members counts those that were made in all.
	first   machine.Machine
	members int
	m       *machine.Bound
	fx      machine.Effects
	// shown counts the effects that Effects has returned.
	shown   int
	meta    machine.Meta
	history []*step
	// scribbles counts payloads that were made unusable.
	scribbles int
}

// Client is who sends the commands of Driver.Apply.
var Client = ra.PID{Node: "client", Name: "client", Incarnation: 1, Spawn: 1}

// New makes a machine with version 0 in force. Its clock stands at the beginning of 1970 until Advance moves it.
func New(tb testing.TB, f machine.Factory) *Driver {
	tb.Helper()
	return NewAt(tb, f, 0)
}

// NewAt is New with another initial version (VER-10).
func NewAt(tb testing.TB, f machine.Factory, initial machine.Version) *Driver {
	tb.Helper()
	d := &Driver{tb: tb, factory: f, initial: initial}
	d.meta.Term = 1
	d.m = d.make()
	tb.Cleanup(d.fx.Reset)
	return d
}

// make makes a further member's machine.
func (d *Driver) make() *machine.Bound {
	d.tb.Helper()
	d.members++
	name := fmt.Sprint("member-", d.members)
	m := d.factory(machine.Init{
		Cluster: "cluster", Server: ra.ServerID{Name: name, Node: ra.NodeID("node-of-" + name)}, Version: d.initial,
	})
	b, err := machine.Bind(m, d.initial)
	if err != nil {
		d.tb.Fatalf("machinetest: %v", err)
	}
	switch {
	case d.first == nil:
		d.first = m
	case samePointer(m, d.first):
		d.tb.Fatalf("machinetest: the factory returned the same %T twice", m)
	}
	return b
}

// samePointer reports whether two machines are one.
func samePointer(a, b machine.Machine) bool {
	x, y := reflect.ValueOf(machine.Innermost(a)), reflect.ValueOf(machine.Innermost(b))
	return x.Kind() == reflect.Pointer && y.Kind() == reflect.Pointer && x.Type().Elem().Size() > 0 && x.Pointer() == y.Pointer()
}

// Apply applies a command whose sender waits for the reply, and returns what the machine replies, perhaps machine.NoReply. A
// machine.Deferrer sees Client as the sender, with the entry's index as its correlation.
func (d *Driver) Apply(command []byte) any {
	d.tb.Helper()
	var from machine.Caller
	if d.m.DefersReplies() {
		from = machine.Caller{PID: Client, Correlation: uint64(d.meta.Index + 1)}
	}
	return d.apply(machine.ModeConsensus, from, command)
}

// Notify applies a command whose sender wants the reply as an event.
func (d *Driver) Notify(from machine.Caller, command []byte) any {
	d.tb.Helper()
	return d.apply(machine.ModeNotify, from, command)
}

func (d *Driver) apply(mode machine.ReplyMode, from machine.Caller, command []byte) any {
	d.tb.Helper()
	d.meta.Mode, d.meta.From = mode, from
	defer func() { d.meta.Mode, d.meta.From = machine.ModeNone, machine.Caller{} }()
	return d.entry(&step{what: fmt.Sprintf("command %.60q", command), kind: ra.KindCommand, payload: bytes.Clone(command)})
}

// Do is Driver.Apply for a machine that was made by machine.From. It ends the test if the reply is none of type R: the machine
// cannot read the command, or answers later.
func Do[C, R any](d *Driver, protocol machine.Protocol[C, R], command C) R {
	d.tb.Helper()
	encoded, err := protocol.Command.Append(nil, command)
	if err != nil {
		d.tb.Fatalf("machinetest: %v", err)
	}
	answer := d.Apply(encoded)
	reply, ok := answer.(R)
	if !ok {
		d.tb.Fatalf("machinetest: the reply to %+v is a %T: %v", command, answer, answer)
	}
	return reply
}

// Down tells the machine that a process has ended.
func (d *Driver) Down(pid ra.PID, reason machine.DownReason) {
	d.tb.Helper()
	payload, err := machine.AppendDown(nil, machine.Down{PID: pid, Reason: reason})
	d.builtin(fmt.Sprintf("down of %v", pid), ra.KindDown, payload, err)
}

// Node tells the machine that a node is up, or down.
func (d *Driver) Node(node ra.NodeID, up bool) {
	d.tb.Helper()
	payload, err := machine.AppendNode(nil, machine.NodeEvent{Node: node, Up: up})
	d.builtin(fmt.Sprintf("node %s, up: %v", node, up), ra.KindNode, payload, err)
}

// Timeout tells the machine that a timer has run out. It does not matter whether there is such a timer, nor does it move the clock.
func (d *Driver) Timeout(timer string) {
	d.tb.Helper()
	payload, err := machine.AppendTimeout(nil, timer)
	d.builtin(fmt.Sprintf("timeout %q", timer), ra.KindTimeout, payload, err)
}

// builtin applies an entry of the library's own.
func (d *Driver) builtin(what string, kind ra.Kind, payload []byte, err error) {
	d.tb.Helper()
	if err != nil {
		d.tb.Fatalf("machinetest: %s: %v", what, err)
	}
	d.entry(&step{what: what, kind: kind, payload: payload})
}

// Upgrade raises the version that is in force (VER-05).
func (d *Driver) Upgrade(to machine.Version) {
	d.tb.Helper()
	d.entry(&step{what: fmt.Sprintf("upgrade to version %d", to), kind: ra.KindNoop, upgrade: to})
}

// EnterState gives the machine's member another role; as leader it begins a new term. It is no entry: other members are not told.
func (d *Driver) EnterState(role ra.Role) {
	d.tb.Helper()
	if role == ra.Leader {
		d.meta.Term++
	}
	d.alone(fmt.Sprintf("enter state %v", role), func(m *machine.Bound, fx *machine.Effects) { m.EnterState(role, fx) })
}

// Tick gives the machine a leader's tick. It is no entry: other members are not told.
func (d *Driver) Tick() {
	d.tb.Helper()
	now := d.Now()
	d.alone("tick", func(m *machine.Bound, fx *machine.Effects) { m.Tick(now, fx) })
}

// alone calls the machine of this member outside of any entry.
func (d *Driver) alone(what string, do func(*machine.Bound, *machine.Effects)) {
	d.tb.Helper()
	do(d.m, &d.fx)
	d.refuse(what)
}

// Now returns the machine's clock: Meta.Time of the next entry.
func (d *Driver) Now() time.Time { return d.meta.Now() }

// Advance moves the machine's clock. Timers do not run out by it: see Timeout.
func (d *Driver) Advance(by time.Duration) { d.meta.Time += max(by, 0).Milliseconds() }

// Index returns the index of the last entry.
func (d *Driver) Index() ra.Index { return d.meta.Index }

// Effects returns what the machine has asked for since the last call, in order. Captures among them are released when the test
// ends.
func (d *Driver) Effects() []machine.Effect {
	fresh := make([]machine.Effect, 0, d.fx.Len()-d.shown)
	for ; d.shown < d.fx.Len(); d.shown++ {
		fresh = append(fresh, *d.fx.At(d.shown))
	}
	return fresh
}

// Query puts a question to the machine.
func (d *Driver) Query(question any) (any, error) {
	return machine.Ask(d.m.Machine(), machine.QueryContext{Index: d.meta.Index, Term: d.meta.Term, Version: d.m.Version()}, question)
}

// State returns the bytes of a snapshot.
func (d *Driver) State() []byte {
	d.tb.Helper()
	return d.stateOf(d.m)
}

func (d *Driver) stateOf(m *machine.Bound) []byte {
	d.tb.Helper()
	c, err := m.Machine().Snapshot()
	if err != nil {
		d.tb.Fatalf("machinetest: snapshot: %v", err)
	}
	defer c.Release()
	b, err := written(c)
	if err != nil {
		d.tb.Fatalf("machinetest: snapshot: %v", err)
	}
	return b
}

// written returns what a capture writes. It may run on any goroutine.
func written(w io.WriterTo) ([]byte, error) {
	var b bytes.Buffer
	_, err := w.WriteTo(&b)
	return b.Bytes(), err
}

// entry applies an entry and remembers it.
func (d *Driver) entry(s *step) any {
	d.tb.Helper()
	d.meta.Index++
	s.what = fmt.Sprintf("entry %d, %s", d.meta.Index, s.what)
	s.meta, s.before = d.meta, d.m.Version()
	s.outcome = d.take(s, d.m, &d.fx)
	d.history = append(d.history, s)
	if s.err != nil {
		d.tb.Fatalf("machinetest: %s: %v", s.what, s.err)
	}
	d.refuse(s.what)
	return s.reply
}

// refuse ends the test if the machine has asked for an effect that nobody could carry out.
func (d *Driver) refuse(what string) {
	d.tb.Helper()
	if err := d.fx.Err(); err != nil {
		d.tb.Fatalf("machinetest: %s: %v", what, err)
	}
}
