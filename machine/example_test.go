package machine_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Add is the command of the machine below.
type Add struct {
	Key string
	N   int
}

// totals is a whole machine: a state that is stored, and what a command does to it.
type totals struct{ machine.Stored[map[string]int] }

func newTotals(machine.Init) machine.Machine {
	t := &totals{}
	t.State = map[string]int{}
	return machine.From(t, machine.CBOR[Add, int]())
}

func (t *totals) Apply(_ machine.Meta, c Add, _ *machine.Effects) int {
	t.State[c.Key] += c.N
	return t.State[c.Key]
}

// A machine of ten lines: a state that can be stored, and one method.
func Example() {
	m := newTotals(machine.Init{})
	commands := machine.CBOR[Add, int]().Command
	var fx machine.Effects
	for _, c := range []Add{{"apples", 3}, {"pears", 1}, {"apples", 4}} {
		b, err := commands.Append(nil, c)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(c.Key, m.Apply(machine.Meta{}, b, &fx))
	}
	// Output:
	// apples 3
	// pears 1
	// apples 7
}

// bell is a machine over raw bytes: it remembers the last command.
type bell struct{ last []byte }

func (b *bell) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	b.last = bytes.Clone(command) // the command belongs to the log
	return len(command)
}

func (b *bell) Snapshot() (machine.Capture, error) { return machine.CaptureBytes(b.last), nil }

func (b *bell) Restore(r io.Reader) (err error) {
	b.last, err = io.ReadAll(r)
	return err
}

// A raw machine has three methods and pays for no codec.
func ExampleMachine() {
	var fx machine.Effects
	first, second := &bell{}, &bell{}
	fmt.Println("reply", first.Apply(machine.Meta{Index: 1}, []byte("ding"), &fx))

	capture, err := first.Snapshot()
	if err != nil {
		fmt.Println(err)
		return
	}
	first.Apply(machine.Meta{Index: 2}, []byte("dong"), &fx) // the capture stays what it was

	var file bytes.Buffer
	if _, err := capture.WriteTo(&file); err != nil {
		fmt.Println(err)
		return
	}
	capture.Release()
	if err := second.Restore(&file); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %s\n", first.last, second.last)
	// Output:
	// reply 4
	// dong ding
}

// A simple machine is a function; its reply is its new state.
func ExampleSimple() {
	longest := machine.Simple(func(command, state string) string {
		if len(command) > len(state) {
			return command
		}
		return state
	}, "")
	m := longest(machine.Init{})
	codec := machine.CBOR[string, string]().Command
	var fx machine.Effects
	for _, word := range []string{"sun", "pharaoh", "city"} {
		b, _ := codec.Append(nil, word)
		fmt.Println(m.Apply(machine.Meta{}, b, &fx))
	}
	// Output:
	// sun
	// pharaoh
	// pharaoh
}

// Acquire asks for a lock.
type Acquire struct {
	Lock   string
	Holder ra.PID
	TTL    time.Duration
}

// Granted is the answer; the zero Token means that somebody else has the lock.
type Granted struct{ Token ra.Index }

// locks grants locks to processes, until they end or the lease runs out.
type locks struct {
	machine.Stored[map[string]Acquire]
}

func newLocks() *locks {
	return &locks{machine.Stored[map[string]Acquire]{State: map[string]Acquire{}}}
}

func (l *locks) Apply(meta machine.Meta, c Acquire, fx *machine.Effects) Granted {
	if held, ok := l.State[c.Lock]; ok && held.Holder != c.Holder {
		return Granted{}
	}
	l.State[c.Lock] = c
	fx.Monitor(c.Holder)
	fx.Timer("lease/"+c.Lock, c.TTL)
	return Granted{Token: meta.Index}
}

// HandleDown frees what a process held.
func (l *locks) HandleDown(_ machine.Meta, down machine.Down, fx *machine.Effects) {
	for _, name := range l.names() {
		if l.State[name].Holder == down.PID {
			l.free(name, fx)
		}
	}
}

// HandleTimeout frees a lock whose lease ran out.
func (l *locks) HandleTimeout(_ machine.Meta, timer string, fx *machine.Effects) {
	name := timer[len("lease/"):]
	fx.Send(l.State[name].Holder, "your lease on "+name+" ran out")
	l.free(name, fx)
}

// EnterState has a new leader watch over what its predecessor did: monitors and timers are the leader's.
func (l *locks) EnterState(role ra.Role, fx *machine.Effects) {
	if role != ra.Leader {
		return
	}
	for _, name := range l.names() {
		fx.Monitor(l.State[name].Holder)
		fx.Timer("lease/"+name, l.State[name].TTL)
	}
}

// names returns the locks in a fixed order: that of the map would differ from member to member.
func (l *locks) names() []string { return slices.Sorted(maps.Keys(l.State)) }

func (l *locks) free(name string, fx *machine.Effects) {
	delete(l.State, name)
	fx.CancelTimer("lease/" + name)
}

// What the world shall notice is asked for by effects. They are values, so a test can read them like a transcript.
func ExampleEffects() {
	alice := ra.PID{Node: "n1", Name: "alice", Spawn: 1}
	bob := ra.PID{Node: "n2", Name: "bob", Spawn: 2}
	l := newLocks()
	var fx machine.Effects

	fmt.Println("alice:", l.Apply(machine.Meta{Index: 7}, Acquire{"printer", alice, time.Minute}, &fx))
	fmt.Println("bob:", l.Apply(machine.Meta{Index: 8}, Acquire{"printer", bob, time.Minute}, &fx))
	l.HandleDown(machine.Meta{Index: 9}, machine.Down{PID: alice}, &fx)
	fmt.Println("bob:", l.Apply(machine.Meta{Index: 10}, Acquire{"printer", bob, time.Second}, &fx))
	l.HandleTimeout(machine.Meta{Index: 11}, "lease/printer", &fx)
	fmt.Print(&fx)
	// Output:
	// alice: {7}
	// bob: {0}
	// bob: {10}
	// monitor alice@n1#1
	// timer "lease/printer" 1m0s
	// cancel timer "lease/printer"
	// monitor bob@n2#2
	// timer "lease/printer" 1s
	// send bob@n2#2 "your lease on printer ran out"
	// cancel timer "lease/printer"
}

// A new leader asks again for all monitors and timers.
func ExampleStateEnterer() {
	l := newLocks()
	alice := ra.PID{Node: "n1", Name: "alice", Spawn: 1}
	l.State["printer"] = Acquire{"printer", alice, time.Minute}
	l.State["oven"] = Acquire{"oven", alice, time.Hour}

	var fx machine.Effects
	for _, role := range []ra.Role{ra.Recover, ra.Recovered, ra.Follower, ra.Leader} {
		l.EnterState(role, &fx)
	}
	fmt.Print(&fx)
	// Output:
	// monitor alice@n1#1
	// timer "lease/oven" 1h0m0s
	// monitor alice@n1#1
	// timer "lease/printer" 1m0s
}

// gate answers all who wait when it is opened.
type gate struct {
	machine.Stored[[]machine.Caller]
}

func (g *gate) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	if string(command) == "wait" {
		g.State = append(g.State, meta.From)
		return machine.NoReply
	}
	for _, who := range g.State {
		fx.Reply(who, "open")
	}
	g.State = nil
	return "done"
}

// A reply can come later: NoReply now, and Effects.Reply to the caller that the machine has remembered.
func ExampleEffects_Reply() {
	g := &gate{}
	var fx machine.Effects
	for i, name := range []string{"alice", "bob"} {
		from := machine.Caller{PID: ra.PID{Node: "n1", Name: name, Spawn: 1}, Correlation: uint64(i)}
		fmt.Println(g.Apply(machine.Meta{From: from}, []byte("wait"), &fx))
	}
	fmt.Println(g.Apply(machine.Meta{}, []byte("open"), &fx))
	fmt.Print(&fx)
	// Output:
	// no reply
	// no reply
	// done
	// reply alice@n1#1/0 "open"
	// reply bob@n1#1/1 "open"
}

// An error of the application is a reply like any other.
func ExampleBound_Apply() {
	errEmpty := errors.New("command is empty")
	m := &checker{err: errEmpty}
	b, err := machine.Bind(m, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	var fx machine.Effects
	fmt.Println(b.Apply(&machine.Meta{Index: 1}, nil, &fx))
	fmt.Println(b.Apply(&machine.Meta{Index: 2}, []byte("x"), &fx))
	// Output:
	// command is empty
	// ok
}

type checker struct {
	machine.Stored[struct{}]
	err error
}

func (c *checker) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	if len(command) == 0 {
		return c.err
	}
	return "ok"
}
