package machine

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// scribe notes every call, and has every optional interface.
type scribe struct {
	Stored[int]
	version Version
	calls   []string
}

func (s *scribe) note(format string, args ...any) {
	s.calls = append(s.calls, fmt.Sprintf(format, args...))
}

func (s *scribe) Apply(m Meta, c []byte, _ *Effects) any {
	s.note("apply %s v%d", c, m.Version)
	return string(c)
}
func (s *scribe) HandleDown(m Meta, d Down, fx *Effects) {
	s.note("down %v %v v%d", d.PID, d.Reason, m.Version)
	fx.Demonitor(d.PID)
}
func (s *scribe) HandleNode(_ Meta, e NodeEvent, _ *Effects)     { s.note("node %s %v", e.Node, e.Up) }
func (s *scribe) HandleTimeout(_ Meta, name string, _ *Effects)  { s.note("timeout %s", name) }
func (s *scribe) Version() Version                               { return s.version }
func (s *scribe) Upgrade(m Meta, c VersionChange, _ *Effects)    { s.note("upgrade %v v%d", c, m.Version) }
func (s *scribe) EnterState(r ra.Role, _ *Effects)               { s.note("enter %v", r) }
func (s *scribe) Tick(now time.Time, _ *Effects)                 { s.note("tick %d", now.UnixMilli()) }
func (s *scribe) Overview() map[string]any                       { return map[string]any{"calls": len(s.calls)} }
func (s *scribe) SnapshotInstalled(c SnapshotChange, _ *Effects) { s.note("installed %d", c.New.Index) }
func (s *scribe) InitAux(Init) AuxHandler                        { return scribeAux{} }
func (s *scribe) Query(_ QueryContext, q any) (any, error)       { return q, nil }
func (s *scribe) QueryConcurrently(q any) (any, error)           { return q, nil }

// ForVersion has old versions applied by another type over the same state.
func (s *scribe) ForVersion(v Version) Machine {
	switch v {
	case 0:
		return (*scribe0)(s)
	case 5:
		return nil
	}
	return s
}

// scribe0 is the scribe of version 0: it hears of commands only.
type scribe0 scribe

func (s *scribe0) Apply(m Meta, c []byte, _ *Effects) any {
	(*scribe)(s).note("old apply %s v%d", c, m.Version)
	return "old"
}
func (s *scribe0) Snapshot() (Capture, error) { return s.Stored.Snapshot() }
func (s *scribe0) Restore(r io.Reader) error  { return s.Stored.Restore(r) }

type scribeAux struct{}

func (scribeAux) HandleAux(_ AuxView, e AuxEvent, _ *Effects) any { return e.Kind.String() }

// plain has no optional interface.
type plain struct{ Stored[int] }

func (p *plain) Apply(Meta, []byte, *Effects) any { p.State++; return p.State }

func bind(t *testing.T, m Machine, initial Version) *Bound {
	t.Helper()
	b, err := Bind(m, initial)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// applyAll applies one entry of each kind.
func applyAll(t *testing.T, b *Bound, fx *Effects) (replies []any) {
	t.Helper()
	down, _ := AppendDown(nil, Down{PID: alice, Reason: DownReason{Code: DownNoConnection}})
	node, _ := AppendNode(nil, NodeEvent{Node: "n2", Up: true})
	for kind, payload := range map[ra.Kind][]byte{
		ra.KindNoop: nil, ra.KindConfig: nil, ra.KindDelete: nil,
	} {
		if r, err := b.ApplyEntry(Meta{}, kind, payload, fx); r != nil || err != nil {
			t.Errorf("kind %d reached the machine: %v, %v", kind, r, err)
		}
	}
	for i, e := range []struct {
		kind    ra.Kind
		payload []byte
	}{
		{ra.KindCommand, []byte("cmd")}, {ra.KindDown, down}, {ra.KindNode, node}, {ra.KindTimeout, []byte("lease")},
	} {
		r, err := b.ApplyEntry(Meta{Index: ra.Index(i + 1), Version: 99}, e.kind, e.payload, fx)
		if err != nil {
			t.Fatal(err)
		}
		replies = append(replies, r)
	}
	return replies
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("calls\n%s\nshould be\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// MAC-03, EFF-19, EFF-50, EFF-51: entries reach their handlers, with the version in force (QRK-03).
func TestEntriesReachTheirHandlers(t *testing.T) {
	s := &scribe{version: 3}
	var fx Effects
	replies := applyAll(t, bind(t, s, 2), &fx)
	expect(t, s.calls, "apply cmd v2", "down alice@n1#3 noconnection v2", "node n2 true", "timeout lease")
	if !reflect.DeepEqual(replies, []any{"cmd", nil, nil, nil}) {
		t.Errorf("replies %v", replies)
	}
	if fx.Len() != 1 || fx.list[0].Index != 2 {
		t.Errorf("effects %v", &fx)
	}
}

// MAC-13: what a machine does not implement is passed over.
func TestPlainMachineIsComplete(t *testing.T) {
	b := bind(t, &plain{}, 0)
	var fx Effects
	if replies := applyAll(t, b, &fx); replies[0] != 1 {
		t.Errorf("replies %v", replies)
	}
	b.EnterState(ra.Leader, &fx)
	b.Tick(time.UnixMilli(1), &fx)
	b.SnapshotInstalled(SnapshotChange{}, &fx)
	if b.Ticks() || b.Overview() != nil || b.InitAux(Init{}) != nil || fx.Len() != 0 || b.Local() != 0 {
		t.Error("a plain machine has more than it has")
	}
	if _, err := Ask(b.Machine(), QueryContext{}, "?"); !errors.Is(err, ErrNoQuerier) {
		t.Errorf("query: %v", err)
	}
}

func TestCallbacksOutsideOfEntries(t *testing.T) {
	s := &scribe{version: 1}
	b := bind(t, s, 1)
	var fx Effects
	b.EnterState(ra.Leader, &fx) // MAC-06
	b.Tick(time.UnixMilli(7), &fx)
	b.SnapshotInstalled(SnapshotChange{New: SnapshotMeta{Index: 8}}, &fx)
	expect(t, s.calls, "enter leader", "tick 7", "installed 8")
	if !b.Ticks() || b.Overview()["calls"] != 3 {
		t.Error("tick or overview is missing")
	}
	if r := b.InitAux(Init{}).HandleAux(nil, AuxEvent{Kind: AuxEval}, &fx); r != "eval" {
		t.Errorf("aux replied %v", r)
	}
}

// VER-05, VER-06, VER-07: an upgrade reaches the new code, at its entry, once; VER-09: versions may be skipped.
func TestUpgrade(t *testing.T) {
	s := &scribe{version: 3}
	b := bind(t, s, 0)
	var fx Effects
	b.Apply(&Meta{}, []byte("a"), &fx)
	for _, v := range []Version{0, 3, 3, 2} {
		if err := b.Upgrade(Meta{Index: 5}, v, &fx); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Upgrade(Meta{Index: 6}, 4, &fx); !errors.Is(err, ErrVersion) || b.Version() != 3 {
		t.Errorf("version %d, %v", b.Version(), err)
	}
	b.Apply(&Meta{}, []byte("b"), &fx)
	expect(t, s.calls, "old apply a v0", "upgrade {0 3} v3", "apply b v3")
}

// VER-10: the initial version is capped by the code's; VER-13: a snapshot's version is not upgraded to.
func TestInitialVersionAndJump(t *testing.T) {
	s := &scribe{version: 3}
	if _, err := Bind(s, 4); !errors.Is(err, ErrVersion) {
		t.Errorf("a version that the code cannot do: %v", err)
	}
	b := bind(t, s, 3)
	if b.Version() != 3 || b.Local() != 3 {
		t.Errorf("version %d of %d", b.Version(), b.Local())
	}
	b = bind(t, s, 0)
	if err := b.Jump(2); err != nil || b.Version() != 2 || b.Machine() != Machine(s) {
		t.Errorf("version %d, %v", b.Version(), err)
	}
	if err := b.Jump(4); !errors.Is(err, ErrVersion) || b.Version() != 2 {
		t.Errorf("version %d, %v", b.Version(), err)
	}
	if _, err := Bind(&scribe{version: 5}, 5); !errors.Is(err, ErrVersion) {
		t.Errorf("a version that is not there: %v", err)
	}
	expect(t, s.calls)
}

// VER-08: machines without versions are never asked to upgrade.
func TestUnversioned(t *testing.T) {
	b := bind(t, From(newTotals(), CBOR[add, int]()), 0)
	var fx Effects
	if err := b.Upgrade(Meta{}, 0, &fx); err != nil || b.Version() != 0 {
		t.Errorf("version %d, %v", b.Version(), err)
	}
	if err := b.Upgrade(Meta{}, 1, &fx); !errors.Is(err, ErrVersion) {
		t.Errorf("upgraded: %v", err)
	}
}

// versioned is a typed machine that selects versions.
type versioned struct{ totals }

func (v *versioned) Version() Version { return 1 }
func (v *versioned) ForVersion(n Version) Typed[add, int] {
	if n == 0 {
		return v
	}
	return &doubled{&v.totals}
}

type doubled struct{ *totals }

func (d *doubled) Apply(m Meta, c add, fx *Effects) int { return 2 * d.totals.Apply(m, c, fx) }

// Optional interfaces and versions reach through the typed adapter.
func TestTypedHasTheOptionalInterfaces(t *testing.T) {
	impl := &versioned{*newTotals()}
	p := CBOR[add, int]()
	b := bind(t, From(impl, p), 0)
	var fx Effects
	first := b.Apply(&Meta{}, encode(t, p.Command, add{"a", 2}), &fx)
	if err := b.Upgrade(Meta{}, 1, &fx); err != nil {
		t.Fatal(err)
	}
	second := b.Apply(&Meta{}, encode(t, p.Command, add{"a", 2}), &fx)
	if first != 2 || second != 8 {
		t.Errorf("replies %v, %v", first, second)
	}
	down, _ := AppendDown(nil, Down{PID: alice})
	if _, err := b.ApplyEntry(Meta{}, ra.KindDown, down, &fx); err != nil || len(impl.downs) != 1 {
		t.Errorf("downs %v, %v", impl.downs, err)
	}
	if r, err := Ask(b.Machine(), QueryContext{}, "a"); r != 4 || err != nil {
		t.Errorf("query: %v, %v", r, err)
	}
	if _, ok := Innermost(b.Machine()).(*doubled); !ok {
		t.Errorf("innermost is %T", Innermost(b.Machine()))
	}
}

// Malformed payloads are errors, and the machine does not see them.
func TestMalformedEntries(t *testing.T) {
	s := &scribe{version: 1}
	b := bind(t, s, 1)
	var fx Effects
	for kind, payload := range map[ra.Kind][]byte{
		ra.KindDown: {1}, ra.KindNode: {}, ra.KindTimeout: make([]byte, MaxTimerName+1),
	} {
		if _, err := b.ApplyEntry(Meta{}, kind, payload, &fx); !errors.Is(err, ra.ErrCorrupt) {
			t.Errorf("kind %d: %v", kind, err)
		}
	}
	expect(t, s.calls)
}

// MAC-05, and bug of the original: an error as a reply is a reply like any other.
func TestRepliesAreVerbatim(t *testing.T) {
	m := &replier{}
	b := bind(t, m, 0)
	var fx Effects
	for _, want := range []any{nil, 1, errors.New("no"), []int(nil), NoReply, struct{}{}} {
		m.next = want
		if got := b.Apply(&Meta{}, nil, &fx); !reflect.DeepEqual(got, want) {
			t.Errorf("%v became %v", want, got)
		}
	}
	m.next, m.defers = 1, true
	if got := b.Apply(&Meta{}, nil, &fx); got != NoReply {
		t.Errorf("deferred reply is %v", got)
	}
}

type replier struct {
	Stored[int]
	next   any
	defers bool
}

func (r *replier) Apply(_ Meta, _ []byte, fx *Effects) any {
	if r.defers {
		fx.NoReply()
	}
	return r.next
}

// QRK-04: a query that panics is an error; the machine goes on.
func TestQueries(t *testing.T) {
	m := From(newTotals(), CBOR[add, int]())
	var p *PanicError
	if _, err := Ask(m, QueryContext{}, 1); !errors.As(err, &p) || len(p.Stack) == 0 {
		t.Errorf("a panic became %v", err)
	}
	f := QueryFunc(func(ctx QueryContext, state any) (any, error) {
		return fmt.Sprint(ctx.Index, len(state.(*totals).State)), nil
	})
	if r, err := Ask(m, QueryContext{Index: 4}, f); r != "4 0" || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := Ask(m, QueryContext{}, QueryFunc(nil)); err == nil {
		t.Error("a nil function was called")
	}
	if _, err := AskConcurrently(m, "a"); !errors.Is(err, ErrNoQuerier) {
		t.Errorf("%v", err)
	}
	if r, err := AskConcurrently(&scribe{}, "a"); r != "a" || err != nil {
		t.Errorf("%v, %v", r, err)
	}
}

// misfit has methods that look like optional ones and are not.
type misfit struct{ plain }

func (misfit) HandleDown(Down)      {}
func (misfit) Tick(int64, *Effects) {}
func (misfit) ForVersion(int) int   { return 0 }

// MAC-13: a callback with a wrong signature is told, not silently ignored.
func TestVet(t *testing.T) {
	err := Vet(&misfit{})
	for _, name := range []string{"HandleDown", "Tick", "ForVersion"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not told: %v", name, err)
		}
	}
	good := []any{&plain{}, &scribe{}, From(newTotals(), CBOR[add, int]()), From(&versioned{}, CBOR[add, int]())}
	for _, m := range good {
		if err := Vet(m); err != nil {
			t.Errorf("%T: %v", m, err)
		}
	}
	if Vet(nil) == nil {
		t.Error("nothing is a machine")
	}
	if Vet(From(&mistyped{}, CBOR[add, int]())) == nil {
		t.Error("a typed machine that selects raw ones")
	}
}

type mistyped struct{ totals }

func (*mistyped) ForVersion(Version) Machine { return nil }

// A wrapper that unwraps to itself does not hang the lookup.
type ouroboros struct{ plain }

func (o *ouroboros) Unwrap() any { return o }

func TestAsIsBounded(t *testing.T) {
	if _, ok := As[Ticker](&ouroboros{}); ok {
		t.Error("found a ticker")
	}
	if Innermost(&ouroboros{}) == nil {
		t.Error("lost the machine")
	}
}

func TestMetaNow(t *testing.T) {
	if got := (Meta{Time: 1_700_000_000_123}).Now().String(); got != "2023-11-14 22:13:20.123 +0000 UTC" {
		t.Error(got)
	}
}

func BenchmarkApplyEntry(b *testing.B) {
	m, _ := Bind(&plain{}, 0)
	var fx Effects
	command := []byte("command")
	b.ReportAllocs()
	for b.Loop() {
		fx.Reset()
		if _, err := m.ApplyEntry(Meta{Index: 1}, ra.KindCommand, command, &fx); err != nil {
			b.Fatal(err)
		}
	}
}
