package machine_test

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// price is a machine whose rules changed: version 1 keeps cents where version 0 kept whole coins.
type price struct{ machine.Stored[int] }

func (p *price) Version() machine.Version { return 1 }

// ForVersion has old entries applied by the old rules, over the same state.
func (p *price) ForVersion(v machine.Version) machine.Machine {
	if v == 0 {
		return (*price0)(p)
	}
	return p
}

// Upgrade comes at the same entry on all members.
func (p *price) Upgrade(_ machine.Meta, change machine.VersionChange, _ *machine.Effects) {
	if change.From == 0 {
		p.State *= 100
	}
}

func (p *price) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	p.State += 100 * len(command)
	return fmt.Sprintf("%d cents", p.State)
}

// price0 is the machine as it was.
type price0 price

func (p *price0) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	p.State += len(command)
	return fmt.Sprintf("%d coins", p.State)
}

func (p *price0) Snapshot() (machine.Capture, error) { return p.Stored.Snapshot() }

func (p *price0) Restore(r io.Reader) error { return p.Stored.Restore(r) }

// Versions let all members change their rules at the same entry, however they were upgraded before.
func ExampleVersioned() {
	b, err := machine.Bind(&price{}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	var fx machine.Effects
	fmt.Println(b.Apply(&machine.Meta{Index: 1}, []byte("xxx"), &fx))
	fmt.Println(b.Upgrade(machine.Meta{Index: 2}, 1, &fx))
	fmt.Println(b.Apply(&machine.Meta{Index: 3}, []byte("x"), &fx))
	fmt.Println(b.Upgrade(machine.Meta{Index: 4}, 2, &fx))
	// Output:
	// 3 coins
	// <nil>
	// 400 cents
	// machine: version is not supported by this code: 2, highest is 1
}

// A query function sees the machine as its user wrote it.
func ExampleAsk() {
	m := newTotals(machine.Init{})
	b, _ := machine.CBOR[Add, int]().Command.Append(nil, Add{"apples", 3})
	var fx machine.Effects
	m.Apply(machine.Meta{Index: 5}, b, &fx)

	apples := machine.QueryFunc(func(ctx machine.QueryContext, state any) (any, error) {
		return fmt.Sprintf("%d at index %d", state.(*totals).State["apples"], ctx.Index), nil
	})
	fmt.Println(machine.Ask(m, machine.QueryContext{Index: 5}, apples))
	fmt.Println(machine.Ask(m, machine.QueryContext{Index: 5}, "no function"))
	// Output:
	// 3 at index 5 <nil>
	// <nil> machine: does not answer such queries (a function must be a QueryFunc)
}

// journal keeps nothing of its commands in memory but where they are, and lets the log go when they were all read.
type journal struct{ machine.Stored[[]ra.Index] }

func (j *journal) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	if string(command) != "print" {
		j.State = append(j.State, meta.Index)
		return nil
	}
	fx.Log(j.State, func(entries []machine.LogEntry, fx *machine.Effects) {
		for _, e := range entries {
			fx.Send(ra.PID{Name: "printer"}, e.Command)
		}
	})
	j.State = nil
	fx.ReleaseCursor() // the state from here on needs nothing of the log before
	return nil
}

// Large values can stay in the log and be read back when they are needed; the release cursor says when they are not.
func ExampleEffects_Log() {
	j := &journal{}
	var fx machine.Effects
	j.Apply(machine.Meta{Index: 4}, []byte("a long page"), &fx)
	j.Apply(machine.Meta{Index: 6}, []byte("another"), &fx)
	j.Apply(machine.Meta{Index: 9}, []byte("print"), &fx)
	fmt.Print(&fx)

	// What the member does with the effect:
	var more machine.Effects
	for e := range fx.All() {
		if e.Kind == machine.EffectLog {
			e.Value.(machine.LogFunc)([]machine.LogEntry{{Index: 4, Command: []byte("a long page")}}, &more)
		}
	}
	fmt.Print(&more)
	// Output:
	// log [4 6]
	// release cursor
	// send printer@#0 "a long page"
}

// index remembers where in the log the newest value of each key stands; the values themselves stay there.
type index struct {
	machine.Stored[map[string]ra.Index]
}

func (x *index) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	key, _, _ := strings.Cut(string(command), "=")
	x.State[key] = meta.Index
	fx.ReleaseCursor()
	return nil
}

// Snapshot captures the state, and with it the entries that it refers to.
func (x *index) Snapshot() (machine.Capture, error) {
	c, err := x.Stored.Snapshot()
	return indexCapture{Capture: c, live: slices.Sorted(maps.Values(x.State))}, err
}

type indexCapture struct {
	machine.Capture
	live []ra.Index
}

func (c indexCapture) LiveIndexes() iter.Seq[ra.Index] { return slices.Values(c.live) }

// A state that refers to entries of the log names them in its captures, so that they outlive the snapshot.
func ExampleLiveIndexer() {
	x := &index{}
	x.State = map[string]ra.Index{}
	var fx machine.Effects
	for i, c := range []string{"a=1", "b=1", "a=2", "c=1", "b=2"} {
		x.Apply(machine.Meta{Index: ra.Index(i + 1)}, []byte(c), &fx)
	}
	c, err := x.Snapshot()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Release()
	for i := range c.(machine.LiveIndexer).LiveIndexes() {
		fmt.Println(i)
	}
	// Output:
	// 3
	// 4
	// 5
}

// history keeps captures of older states, for machines that know only later that the log before may go.
type history struct {
	machine.Stored[int]
	kept map[ra.Index]machine.Capture
}

func (h *history) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	h.State += len(command)
	if state, err := h.Snapshot(); err == nil {
		h.kept[meta.Index] = state
	}
	if before, ok := h.kept[meta.Index-2]; ok {
		delete(h.kept, meta.Index-2)
		fx.ReleaseCursorAt(meta.Index-2, before, machine.Condition{Written: meta.Index})
	}
	return h.State
}

// A snapshot can stand for an earlier index than the one that asks for it.
func ExampleEffects_ReleaseCursorAt() {
	h := &history{kept: map[ra.Index]machine.Capture{}}
	b, err := machine.Bind(h, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	var fx machine.Effects
	for i := range ra.Index(4) {
		b.Apply(&machine.Meta{Index: i + 1}, []byte("x"), &fx)
	}
	fmt.Print(&fx)
	fx.Reset() // releases the captures that nobody took
	// Output:
	// release cursor at 1 when 3 is written
	// release cursor at 2 when 4 is written
}

// watcher is a machine with an aux handler that counts the batches its own member applied.
type watcher struct{ machine.Stored[int] }

func (w *watcher) Apply(machine.Meta, []byte, *machine.Effects) any { w.State++; return w.State }

func (w *watcher) InitAux(machine.Init) machine.AuxHandler { return &batches{} }

type batches struct{ n int }

func (b *batches) HandleAux(view machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
	switch e.Kind {
	case machine.AuxEval:
		b.n++
	case machine.AuxCall:
		return fmt.Sprintf("%d commands in %d batches", view.State().(*watcher).State, b.n)
	}
	return machine.NoReply
}

// view is what a member would give its aux handler.
type view struct{ m machine.Machine }

func (v view) Status() machine.AuxStatus                     { return machine.AuxStatus{} }
func (v view) State() any                                    { return machine.Innermost(v.m) }
func (v view) Command(ra.Index) (e machine.LogEntry, _ bool) { return e, false }

// An aux handler is a member's own companion of the machine: not replicated, not stored, told of every batch.
func ExampleAuxHandler() {
	b, err := machine.Bind(&watcher{}, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	aux := b.InitAux(machine.Init{})
	var fx machine.Effects
	for range 2 {
		for range 3 {
			b.Apply(&machine.Meta{}, nil, &fx)
		}
		aux.HandleAux(view{b.Machine()}, machine.AuxEvent{Kind: machine.AuxEval}, &fx)
	}
	fmt.Println(aux.HandleAux(view{b.Machine()}, machine.AuxEvent{Kind: machine.AuxCall}, &fx))
	// Output:
	// 6 commands in 2 batches
}

// clumsy has a method that is not the callback it was meant for.
type clumsy struct{ watcher }

func (*clumsy) Tick(time.Time) {}

// Vet finds callbacks that would never be called. Put it into a test of the machine.
func ExampleVet() {
	fmt.Println(machine.Vet(&clumsy{}))
	fmt.Println(machine.Vet(newTotals(machine.Init{})))
	// Output:
	// machine: *machine_test.clumsy.Tick is func(*machine_test.clumsy, time.Time), but Ticker needs func(time.Time, *machine.Effects)
	// <nil>
}

// text is a codec by hand: any pair of methods will do.
type text struct{}

func (text) Append(b []byte, v string) ([]byte, error) { return append(b, v...), nil }
func (text) Decode(b []byte) (string, error) {
	if len(b) == 0 {
		return "", io.ErrUnexpectedEOF
	}
	return string(b), nil
}

// words is a typed machine over that codec.
type words struct{ machine.Stored[[]string] }

func (w *words) Apply(_ machine.Meta, word string, _ *machine.Effects) string {
	w.State = append(w.State, word)
	return fmt.Sprint(len(w.State), " words")
}

// A committed command that the codec cannot read has an error as its reply, and the machine does not see it.
func ExampleFrom() {
	m := machine.From(&words{}, machine.Protocol[string, string]{Command: text{}, Reply: text{}})
	var fx machine.Effects
	fmt.Println(m.Apply(machine.Meta{Index: 1}, []byte("sun"), &fx))
	fmt.Println(m.Apply(machine.Meta{Index: 2}, nil, &fx))
	fmt.Println(m.Apply(machine.Meta{Index: 3}, []byte("city"), &fx))
	// Output:
	// 1 words
	// machine: command at index 2 cannot be read and was not applied: unexpected EOF
	// 2 words
}
