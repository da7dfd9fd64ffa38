package reference

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// checkTree returns the height of a tree whose invariants hold.
func checkTree(t *testing.T, n *node) int {
	if n == nil {
		return 0
	}
	l, r := checkTree(t, n.left), checkTree(t, n.right)
	if n.height != 1+max(l, r) || l-r > 1 || r-l > 1 || n.size != 1+size(n.left)+size(n.right) {
		t.Fatalf("node %q: height %d over %d and %d, size %d", n.row.Key, n.height, l, r, n.size)
	}
	return n.height
}

func rowsOf(n *node) []Row {
	var rows []Row
	ascend(n, "", func(r Row) bool { rows = append(rows, r); return true })
	return rows
}

// The tree holds what a map holds, in order, stays balanced, and no change shows in an older root.
func TestTreeAgainstMap(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	model := map[string]Row{}
	var root *node
	for i := range 5000 {
		before, rows := root, []Row(nil)
		if i%100 == 0 {
			rows = rowsOf(before)
		}
		row := Row{Key: fmt.Sprint(r.IntN(300)), Revision: ra.Index(i)}
		if _, ok := model[row.Key]; ok && r.IntN(2) == 0 {
			root = remove(root, row.Key)
			delete(model, row.Key)
		} else {
			root = put(root, row)
			model[row.Key] = row
		}
		if i%7 == 0 {
			checkTree(t, root)
		}
		if i%100 == 0 && !reflect.DeepEqual(rowsOf(before), rows) {
			t.Fatal("an older root changed")
		}
	}
	rows := rowsOf(root)
	if !slices.IsSortedFunc(rows, func(a, b Row) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) }) {
		t.Error("rows are out of order")
	}
	if len(rows) != len(model) || size(root) != len(model) {
		t.Errorf("%d rows, should be %d", len(rows), len(model))
	}
	for _, row := range rows {
		if got, ok := get(root, row.Key); !ok || !reflect.DeepEqual(got, model[row.Key]) {
			t.Errorf("row %q is %v", row.Key, got)
		}
	}
	if limit := 1.4405*math.Log2(float64(len(rows)+2)) + 1; float64(root.height) > limit {
		t.Errorf("height %d over %d rows", root.height, len(rows))
	}
	checkTree(t, build(rows))
}

func apply(t *testing.T, m machine.Machine, index ra.Index, command []byte) Result {
	t.Helper()
	var fx machine.Effects
	r, ok := m.Apply(machine.Meta{Index: index}, command, &fx).(Result)
	if !ok {
		t.Fatalf("no result for %q", command)
	}
	return r
}

func TestTableCommands(t *testing.T) {
	m := NewTable(machine.Init{})
	command := AppendPut(nil, "a", []byte("one"))
	if r := apply(t, m, 1, command); !r.Done || r.Found {
		t.Errorf("first put: %+v", r)
	}
	clear(command) // the command is the log's, not the table's
	if r := apply(t, m, 2, AppendReplace(nil, "a", []byte("two"), 9)); r.Done || string(r.Old.Value) != "one" {
		t.Errorf("replace of another revision: %+v", r)
	}
	if r := apply(t, m, 3, AppendReplace(nil, "a", []byte("two"), 1)); !r.Done || r.Old.Revision != 1 {
		t.Errorf("replace: %+v", r)
	}
	if r := apply(t, m, 4, AppendReplace(nil, "b", nil, 0)); !r.Done || r.Found {
		t.Errorf("replace of no row: %+v", r)
	}
	if r := apply(t, m, 5, AppendDelete(nil, "a")); !r.Done || string(r.Old.Value) != "two" || r.Old.Revision != 3 {
		t.Errorf("delete: %+v", r)
	}
	if r := apply(t, m, 6, AppendDelete(nil, "a")); r.Done || r.Found {
		t.Errorf("second delete: %+v", r)
	}
	if got := m.(*Table).Overview()["rows"]; got != 1 {
		t.Errorf("%v rows", got)
	}
}

// Commands that are none are answered with an error and change nothing.
func TestMalformedTableCommands(t *testing.T) {
	m := NewTable(machine.Init{})
	good := AppendReplace(nil, "key", nil, 5)
	bad := [][]byte{{'x'}, append(AppendDelete(nil, "k"), 0), {'p', 255, 255, 255, 255, 'k'}}
	for n := range good {
		bad = append(bad, good[:n])
	}
	for _, c := range bad {
		var fx machine.Effects
		if err, ok := m.Apply(machine.Meta{Index: 1}, c, &fx).(error); !ok || !errors.Is(err, ErrMalformed) {
			t.Errorf("%q was applied", c)
		}
	}
	if !bytes.Equal(written(t, capture(t, m)), []byte{0, 0}) {
		t.Error("something changed")
	}
}

func TestTableQueries(t *testing.T) {
	m := NewTable(machine.Init{})
	for i, key := range []string{"d", "a", "c", "b"} {
		apply(t, m, ra.Index(i+1), AppendPut(nil, key, []byte("of "+key)))
	}
	for _, c := range []struct {
		scan Scan
		want string
	}{
		{Scan{}, "abcd"}, {Scan{From: "b"}, "bcd"}, {Scan{To: "c"}, "ab"}, {Scan{From: "aa", To: "d"}, "bc"},
		{Scan{Limit: 2}, "ab"}, {Scan{From: "x"}, ""}, {Scan{Limit: -1, From: "c"}, "cd"}, {Scan{From: "c", To: "b"}, ""},
	} {
		answer, err := machine.Ask(m, machine.QueryContext{}, c.scan)
		got := ""
		for _, row := range answer.([]Row) {
			got += row.Key
		}
		if err != nil || got != c.want {
			t.Errorf("%+v gives %q, %v", c.scan, got, err)
		}
	}
	answer, err := machine.AskConcurrently(m, Get{"c"})
	if f := answer.(Found); err != nil || !f.OK || string(f.Row.Value) != "of c" || f.Row.Revision != 3 {
		t.Errorf("get: %v, %v", answer, err)
	}
	if answer, err := machine.AskConcurrently(m, Get{"x"}); err != nil || answer.(Found).OK {
		t.Errorf("get of nothing: %v, %v", answer, err)
	}
	if _, err := machine.AskConcurrently(m, "what?"); !errors.Is(err, ErrMalformed) {
		t.Errorf("another question: %v", err)
	}
}

func TestScanIsBounded(t *testing.T) {
	m := NewTable(machine.Init{})
	for i := range maxScan + 10 {
		apply(t, m, ra.Index(i+1), AppendPut(nil, fmt.Sprint(i), nil))
	}
	if got := len(scan(m.(*Table).root.Load(), Scan{Limit: 1 << 30})); got != maxScan {
		t.Errorf("%d rows", got)
	}
}

// QRY-02: local reads run while commands are applied, and each sees the rows of one moment: here two rows that are
// always written one after the other never differ by more than one.
func TestConcurrentReads(t *testing.T) {
	m := NewTable(machine.Init{})
	const n = 3000
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for last := ra.Index(0); last < 2*n; {
				answer, err := machine.AskConcurrently(m, Scan{})
				rows := answer.([]Row)
				if err != nil || len(rows) > 2 {
					t.Errorf("%v, %v", rows, err)
					return
				}
				if len(rows) < 2 {
					continue
				}
				x, y := rows[0].Revision, rows[1].Revision
				if x+1 != y && y+1 != x || max(x, y) < last {
					t.Errorf("revisions %d and %d after %d", x, y, last)
					return
				}
				last = max(x, y)
			}
		})
	}
	for i := range n {
		apply(t, m, ra.Index(2*i+1), AppendPut(nil, "x", nil))
		apply(t, m, ra.Index(2*i+2), AppendPut(nil, "y", nil))
	}
	wg.Wait()
}

// EFF-24: the hint for a snapshot comes at the same command whether or not the member was restored meanwhile.
func TestReleaseCursorIsPartOfTheState(t *testing.T) {
	s := subject{next: nextTableCommand}
	m := NewTable(machine.Init{})
	feed(t, m, 0, s.commands(8, 5000))
	b := NewTable(machine.Init{})
	if err := b.Restore(bytes.NewReader(written(t, capture(t, m)))); err != nil {
		t.Fatal(err)
	}
	commands := s.commands(9, 6000)
	first, second := feed(t, m, 5000, commands), feed(t, b, 5000, commands)
	if !reflect.DeepEqual(first, second) {
		t.Error("hints differ")
	}
	hints := 0
	for _, line := range first {
		if bytes.HasSuffix([]byte(line), []byte("\nrelease cursor\n")) {
			hints++
		}
	}
	if hints != 1 && hints != 2 {
		t.Errorf("%d hints in 6000 commands", hints)
	}
}

func BenchmarkTablePut(b *testing.B) {
	m := NewTable(machine.Init{})
	var fx machine.Effects
	commands := make([][]byte, 1<<14)
	for i := range commands {
		commands[i] = AppendPut(nil, fmt.Sprint(i*7919%len(commands)), []byte("sixteen bytes ok"))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		fx.Reset()
		i++
		m.Apply(machine.Meta{Index: ra.Index(i)}, commands[i%len(commands)], &fx)
	}
}

func BenchmarkCounter(b *testing.B) {
	m := NewCounter(machine.Init{})
	var fx machine.Effects
	command := AppendAdd(nil, 1)
	b.ReportAllocs()
	for b.Loop() {
		m.Apply(machine.Meta{Index: 1}, command, &fx)
	}
}
