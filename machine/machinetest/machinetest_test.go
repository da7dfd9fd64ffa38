package machinetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// recorder is a test that fails without ending the one that it is part of.
type recorder struct {
	testing.TB
	errors []string
}

// ended is what a recorder panics with where a test would end.
type ended struct{}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(ended{})
}

// record returns what the test f reports.
func record(t *testing.T, f func(tb testing.TB)) (errors []string) {
	r := &recorder{TB: t}
	defer func() {
		if v := recover(); v != nil && v != any(ended{}) {
			panic(v)
		}
		errors = r.errors
	}()
	f(r)
	return r.errors
}

// register is a machine with switches for what machines do wrong. Its commands are words; it keeps how often each came.
type register struct {
	wrong string
	name  string
	words map[string]int
	all   []string
	last  []byte
	total *int
}

func newRegister(wrong string) machine.Factory {
	shared := &register{}
	return func(i machine.Init) machine.Machine {
		r := &register{}
		if wrong == "one machine" {
			r = shared
		}
		r.wrong, r.name, r.words, r.total = wrong, i.Server.Name, map[string]int{}, new(int)
		if wrong == "signature" {
			return &misspelt{r}
		}
		return r
	}
}

// misspelt has a method that is no machine.Ticker's.
type misspelt struct{ *register }

func (misspelt) Tick() {}

func (r *register) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	word := string(command)
	r.words[word]++
	*r.total++
	switch r.wrong {
	case "keeps the command":
		r.last = command
	case "answers with the command":
		return command
	case "order of a map":
		for w := range r.words {
			fx.Append([]byte(w))
		}
	case "order of a map in the state":
		r.all = slices.Collect(maps.Keys(r.words))
	case "wall clock":
		return time.Now().UnixNano()
	case "own name":
		r.last = []byte(r.name)
	case "answers with its state":
		return r.words
	case "no process":
		fx.Send(ra.PID{}, "lost")
	}
	fx.Timer(word, time.Second)
	return r.words[word]
}

func (r *register) HandleDown(_ machine.Meta, d machine.Down, _ *machine.Effects) {
	r.words["down of "+d.PID.Name]++
}

func (r *register) HandleNode(_ machine.Meta, e machine.NodeEvent, _ *machine.Effects) {
	r.words[fmt.Sprintf("%s is up: %v", e.Node, e.Up)]++
}

func (r *register) HandleTimeout(meta machine.Meta, timer string, fx *machine.Effects) {
	r.words[timer]--
	fx.TimerAt(timer, meta.Now().Add(time.Minute))
}

func (r *register) Version() machine.Version { return 2 }

func (r *register) Upgrade(_ machine.Meta, c machine.VersionChange, _ *machine.Effects) {
	r.words[fmt.Sprintf("from %d to %d", c.From, c.To)]++
}

func (r *register) EnterState(role ra.Role, fx *machine.Effects) {
	if r.wrong == "role changes the state" && role == ra.Leader {
		r.words["leader"]++
	}
	fx.Monitor(Client)
}

func (r *register) Tick(now time.Time, fx *machine.Effects) {
	if r.wrong == "tick changes the state" {
		r.words["tick"]++
	}
	fx.Append([]byte(now.Format("tick 15:04")))
}

func (r *register) Overview() map[string]any {
	o := map[string]any{"words": len(r.words)}
	switch r.wrong {
	case "overview changes the state":
		r.words["looked at"]++
	case "overview that is no JSON":
		o["c"] = make(chan int)
	}
	return o
}

func (r *register) Query(ctx machine.QueryContext, question any) (any, error) {
	return fmt.Sprint(r.words[question.(string)], " at ", ctx.Index, " in ", ctx.Version), nil
}

// registerState is what is in a snapshot.
type registerState struct {
	Words map[string]int
	All   []string
	Last  []byte
	Total int
}

func (r *register) Snapshot() (machine.Capture, error) {
	if r.wrong == "no snapshot" {
		return nil, fmt.Errorf("not today")
	}
	s := registerState{Words: maps.Clone(r.words), All: r.all, Last: r.last, Total: *r.total}
	total := r.total
	once := false
	return machine.CaptureFunc(func(w io.Writer) error {
		switch {
		case r.wrong == "snapshot of later":
			s.Total = *total
		case r.wrong == "written once" && once:
			return nil
		}
		once = true
		return json.NewEncoder(w).Encode(s)
	}), nil
}

func (r *register) Restore(from io.Reader) error {
	var s registerState
	if err := json.NewDecoder(from).Decode(&s); err != nil {
		return err
	}
	switch r.wrong {
	case "restore adds":
		maps.Copy(r.words, s.Words)
	case "restore forgets":
		r.words = s.Words
		return nil
	case "restore fails":
		return io.ErrUnexpectedEOF
	default:
		r.words = s.Words
	}
	r.all, r.last = s.All, s.Last
	*r.total = s.Total
	return nil
}

// exercise gives a machine all there is.
func exercise(d *Driver) {
	d.EnterState(ra.Leader)
	for i := range 30 {
		d.Advance(time.Second)
		d.Apply([]byte(fmt.Sprint("word ", i%7)))
		d.Notify(machine.Caller{PID: Client, Correlation: uint64(i)}, []byte("notify"))
	}
	d.Tick()
	d.Down(Client, machine.DownReason{Code: machine.DownNoConnection})
	d.Node("n1", true)
	d.Timeout("word 3")
	d.Upgrade(2)
	d.Apply([]byte("the end"))
}

func TestCheck(t *testing.T) {
	for wrong, want := range map[string]string{
		"":                            "",
		"keeps the command":           "to another state",
		"answers with the command":    `the reply shares memory with the state or the command`,
		"order of a map":              "another member asks for other effects than the first: number ",
		"order of a map in the state": "to another state",
		"wall clock":                  "another member replies",
		"own name":                    "to another state",
		"answers with its state":      "the reply shares memory with the state or the command",
		"no process":                  "entry 1, command \"word 0\": machine: bad effect",
		"role changes the state":      "without roles and ticks, comes to another state",
		"tick changes the state":      "without roles and ticks, comes to another state",
		"overview changes the state":  "to look at the overview changes the state",
		"overview that is no JSON":    "overview: json: unsupported type",
		"no snapshot":                 "snapshot: not today",
		"snapshot of later":           "changes while later entries are applied",
		"written once":                "changes while later entries are applied",
		"restore adds":                "restored, gives another one",
		"restore forgets":             "restored, gives another one",
		"restore fails":               "cannot be restored: unexpected EOF",
		"one machine":                 "the factory returned the same *machinetest.register twice",
		"signature":                   "Tick is func",
	} {
		if wrong == "snapshot of later" && raceDetector {
			continue // it would find that, and end the test
		}
		got := record(t, func(tb testing.TB) {
			d := New(tb, newRegister(wrong))
			exercise(d)
			d.Check()
		})
		if all := strings.Join(got, "\n"); len(got) > 1 || (want == "") != (all == "") || !strings.Contains(all, want) {
			t.Errorf("%s: %q does not say %q", wrong, all, want)
		}
	}
}

// A machine gets what it would get from a member.
func TestDriver(t *testing.T) {
	d := NewAt(t, newRegister(""), 1)
	exercise(d)
	if got := d.Index(); got != 65 {
		t.Errorf("%d entries", got)
	}
	effects := d.Effects()
	if first := effects[0].String(); first != "monitor "+Client.String() || len(effects) != 1+61+1+1 {
		t.Errorf("%d effects, the first is %s", len(effects), first)
	}
	if more := d.Effects(); len(more) != 0 {
		t.Errorf("once more: %v", more)
	}
	for question, want := range map[string]string{
		"word 3": "3 at 65 in 2", "down of client": "1 at 65 in 2", "n1 is up: true": "1 at 65 in 2", "from 1 to 2": "1 at 65 in 2",
	} {
		if got, err := d.Query(question); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %s", question, got, err, want)
		}
	}
	if now := d.Now(); now.Year() != 1970 || now.Second() != 30 {
		t.Errorf("the clock shows %v", now)
	}
	d.Check()
	d.Apply([]byte("more"))
	d.Check()
}

// waiter answers each command when the next one comes.
type waiter struct {
	machine.Stored[machine.Caller]
}

func (w *waiter) DefersReplies() bool { return true }

func (w *waiter) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	if !w.State.IsZero() {
		fx.Reply(w.State, string(command))
	}
	w.State = meta.From
	return machine.NoReply
}

func TestDeferrer(t *testing.T) {
	d := New(t, func(machine.Init) machine.Machine { return &waiter{} })
	for _, word := range []string{"a", "b", "c"} {
		if got := d.Apply([]byte(word)); got != machine.NoReply {
			t.Errorf("%s: %v", word, got)
		}
	}
	want := machine.Effect{Kind: machine.EffectReply, Index: 2, PID: Client, Correlation: 1, Value: "b"}
	if got := d.Effects(); len(got) != 2 || got[0].Kind != want.Kind || got[0].Correlation != 1 || got[0].PID != Client || got[0].Value != "b" {
		t.Errorf("got %+v", got)
	}
	d.Check()
}

// The library's own machines keep to what Check checks.
func TestReferenceMachines(t *testing.T) {
	counter := New(t, reference.NewCounter)
	table := New(t, reference.NewTable)
	totals := New(t, reference.NewTotals)
	for i := range 100 {
		key := fmt.Sprint("key ", i*i%17)
		counter.Apply(reference.AppendAdd(nil, int64(i)))
		table.Apply(reference.AppendPut(nil, key, []byte(fmt.Sprint(i))))
		table.Apply([]byte("no command"))
		Do(totals, reference.TotalsProtocol(), reference.Add{Key: key, N: int64(i)})
	}
	counter.Check()
	table.Check()
	totals.Check()
	if !bytes.Equal(totals.State(), totals.State()) {
		t.Error("two snapshots differ")
	}
	got := record(t, func(tb testing.TB) {
		Do(New(tb, reference.NewCounter), reference.TotalsProtocol(), reference.Add{Key: "x", N: 1})
	})
	if len(got) != 1 || !strings.Contains(got[0], "the reply to {Key:x N:1} is a") {
		t.Errorf("a command for another machine: %q", got)
	}
}
