package reference

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
)

// subject is a machine under test, with commands for it.
type subject struct {
	name string
	make machine.Factory
	next func(*rand.Rand) []byte
}

func subjects() []subject {
	return []subject{
		{"counter", NewCounter, func(r *rand.Rand) []byte { return AppendAdd(nil, int64(r.Uint64())) }},
		{"totals", NewTotals, nextAdd},
		{"table", NewTable, nextTableCommand},
	}
}

func nextAdd(r *rand.Rand) []byte {
	b, err := TotalsProtocol().Command.Append(nil, Add{Key: fmt.Sprint("key", r.IntN(50)), N: int64(r.IntN(100) - 50)})
	if err != nil {
		panic(err)
	}
	return b
}

func nextTableCommand(r *rand.Rand) []byte {
	key, value := fmt.Sprint("key", r.IntN(40)), []byte(fmt.Sprint("value", r.IntN(1000)))
	switch r.IntN(5) {
	case 0:
		return AppendDelete(nil, key)
	case 1:
		return AppendReplace(nil, key, value, ra.Index(r.IntN(60)))
	case 2:
		return value // is no command
	}
	return AppendPut(nil, key, value)
}

// feed applies the commands from index from+1 on and returns all that can be seen from outside: replies and effects.
func feed(t *testing.T, m machine.Machine, from int, commands [][]byte) []string {
	t.Helper()
	b, err := machine.Bind(m, 0)
	if err != nil {
		t.Fatal(err)
	}
	var fx machine.Effects
	var seen []string
	for i, c := range commands {
		fx.Reset()
		meta := machine.Meta{Index: ra.Index(from + i + 1), Term: 1, Time: int64(i)}
		seen = append(seen, fmt.Sprintf("%v\n%v", b.Apply(&meta, c, &fx), &fx))
	}
	return seen
}

func (s subject) commands(seed uint64, n int) [][]byte {
	r := rand.New(rand.NewPCG(seed, 0))
	commands := make([][]byte, n)
	for i := range commands {
		commands[i] = s.next(r)
	}
	return commands
}

func capture(t *testing.T, m machine.Machine) machine.Capture {
	t.Helper()
	c, err := m.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func written(t *testing.T, c machine.Capture) []byte {
	t.Helper()
	var b bytes.Buffer
	if n, err := c.WriteTo(&b); err != nil || int(n) != b.Len() {
		t.Fatalf("wrote %d bytes, says %d: %v", b.Len(), n, err)
	}
	return b.Bytes()
}

// MAC-03: two instances that apply the same commands answer alike and have the same bytes in their snapshots.
func TestDeterminism(t *testing.T) {
	for _, s := range subjects() {
		commands := s.commands(1, 10_000)
		a, b := s.make(machine.Init{}), s.make(machine.Init{})
		if !reflect.DeepEqual(feed(t, a, 0, commands), feed(t, b, 0, commands)) {
			t.Errorf("%s: replies or effects differ", s.name)
		}
		if !bytes.Equal(written(t, capture(t, a)), written(t, capture(t, b))) {
			t.Errorf("%s: snapshots differ", s.name)
		}
	}
}

// A machine that was restored at any index goes on exactly as the one that was captured there.
func TestRestoreAtEveryPrefix(t *testing.T) {
	const n = 150
	for _, s := range subjects() {
		commands := s.commands(2, n)
		whole := s.make(machine.Init{})
		seen := feed(t, whole, 0, commands)
		last := written(t, capture(t, whole))
		first := s.make(machine.Init{})
		for i := range n {
			second := s.make(machine.Init{})
			feed(t, second, 0, s.commands(3, 10)) // Restore replaces what was there
			state := written(t, capture(t, first))
			if err := second.Restore(bytes.NewReader(state)); err != nil {
				t.Fatalf("%s: at %d: %v", s.name, i, err)
			}
			if !bytes.Equal(written(t, capture(t, second)), state) {
				t.Fatalf("%s: at %d: restored another state", s.name, i)
			}
			if got := feed(t, second, i, commands[i:]); !reflect.DeepEqual(got, seen[i:]) {
				t.Fatalf("%s: restored at %d it answers otherwise", s.name, i)
			}
			if !bytes.Equal(written(t, capture(t, second)), last) {
				t.Fatalf("%s: restored at %d it ends otherwise", s.name, i)
			}
			feed(t, first, i, commands[i:i+1])
		}
	}
}

// A capture stands for its index while the machine goes on, and can be written meanwhile on another goroutine.
func TestCapturesAreImmutable(t *testing.T) {
	for _, s := range subjects() {
		m := s.make(machine.Init{})
		var wg sync.WaitGroup
		for i, round := 0, s.commands(4, 100); i < 50; i++ {
			feed(t, m, i*len(round), round)
			c := capture(t, m)
			want := written(t, c)
			wg.Go(func() {
				defer c.Release()
				for range 3 {
					var b bytes.Buffer
					if _, err := c.WriteTo(&b); err != nil || !bytes.Equal(b.Bytes(), want) {
						t.Errorf("%s: the capture changed: %v", s.name, err)
					}
				}
			})
		}
		wg.Wait()
	}
}

// States that were cut, or have a byte more, are refused, and leave the machine as it was.
func TestDamagedStatesAreRefused(t *testing.T) {
	for _, s := range subjects() {
		m := s.make(machine.Init{})
		feed(t, m, 0, s.commands(5, 60))
		state := written(t, capture(t, m))
		bad := [][]byte{append(bytes.Clone(state), 0)}
		for n := range state {
			bad = append(bad, state[:n])
		}
		for _, b := range bad {
			if err := m.Restore(bytes.NewReader(b)); !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: state of %d instead of %d bytes: %v", s.name, len(b), len(state), err)
			}
		}
		if !bytes.Equal(written(t, capture(t, m)), state) {
			t.Errorf("%s: a refused state left traces", s.name)
		}
	}
}

// A disk that fails makes WriteTo fail.
func TestWriteErrorsAreTold(t *testing.T) {
	for _, s := range subjects() {
		m := s.make(machine.Init{})
		feed(t, m, 0, s.commands(6, 60))
		if _, err := capture(t, m).WriteTo(failing{}); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", s.name, err)
		}
		if err := m.Restore(failing{}); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", s.name, err)
		}
	}
}

var errDisk = errors.New("disk on fire")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errDisk }
func (failing) Read([]byte) (int, error)  { return 0, errDisk }

func TestMachinesFitTheContract(t *testing.T) {
	for _, s := range subjects() {
		m := s.make(machine.Init{})
		if err := machine.Vet(m); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if o, ok := machine.As[machine.Overviewer](m); !ok || len(o.Overview()) == 0 {
			t.Errorf("%s tells nothing about itself", s.name)
		}
	}
}

// FuzzRestore: no state panics, and what is accepted comes out again as a state that is accepted and the same.
func FuzzRestore(f *testing.F) {
	f.Add([]byte{0, 0})
	f.Add([]byte{1, 1, 1, 'k', 1, 'v', 7})
	f.Add([]byte{2, 1, 'a', 5, 1, 'b', 6})
	f.Fuzz(func(t *testing.T, state []byte) {
		for _, s := range subjects() {
			m, again := s.make(machine.Init{}), s.make(machine.Init{})
			var err error
			fuzztest.Bounded(t, len(state), fuzztest.Slack, func() { err = m.Restore(bytes.NewReader(state)) })
			if err != nil {
				continue
			}
			out := written(t, capture(t, m))
			if err := again.Restore(bytes.NewReader(out)); err != nil {
				t.Fatalf("%s: own state refused: %v", s.name, err)
			}
			if !bytes.Equal(written(t, capture(t, again)), out) {
				t.Fatalf("%s: state changed", s.name)
			}
		}
	})
}

// FuzzCommands: no bytes as a command panic, two machines make the same of them, and the state can be restored.
func FuzzCommands(f *testing.F) {
	f.Add(AppendPut(nil, "key", []byte("value")))
	f.Add(AppendDelete(nil, "key"))
	f.Add(AppendReplace(nil, "key", nil, 1))
	f.Add(AppendAdd(nil, -1))
	f.Add(nextAdd(rand.New(rand.NewPCG(1, 1))))
	f.Fuzz(func(t *testing.T, command []byte) {
		for _, s := range subjects() {
			var a, b machine.Machine
			var fx machine.Effects
			var one any
			fuzztest.Bounded(t, len(command), fuzztest.Slack, func() {
				a, b = s.make(machine.Init{}), s.make(machine.Init{})
				one = a.Apply(machine.Meta{Index: 1}, command, &fx)
			})
			if other := b.Apply(machine.Meta{Index: 1}, bytes.Clone(command), &fx); fmt.Sprint(one) != fmt.Sprint(other) {
				t.Fatalf("%s: %v and %v", s.name, one, other)
			}
			if err := b.Restore(bytes.NewReader(written(t, capture(t, a)))); err != nil {
				t.Fatalf("%s: own state refused: %v", s.name, err)
			}
		}
	})
}
