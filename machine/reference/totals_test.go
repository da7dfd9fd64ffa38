package reference

import (
	"bytes"
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
)

func TestTotals(t *testing.T) {
	m := NewTotals(machine.Init{})
	var fx machine.Effects
	var last any
	for _, n := range []int64{5, -7} {
		c, err := TotalsProtocol().Command.Append(nil, Add{Key: "a", N: n})
		if err != nil {
			t.Fatal(err)
		}
		last = m.Apply(machine.Meta{Index: 1}, c, &fx)
	}
	if last != int64(-2) {
		t.Errorf("total %v", last)
	}
	for question, want := range map[any]any{"a": int64(-2), "b": int64(0)} {
		if got, err := machine.Ask(m, machine.QueryContext{}, question); got != want || err != nil {
			t.Errorf("%v is %v, %v", question, got, err)
		}
	}
	if _, err := machine.Ask(m, machine.QueryContext{}, 1); !errors.Is(err, ErrMalformed) {
		t.Errorf("another question: %v", err)
	}
	if err := m.Restore(bytes.NewReader([]byte{2, 1, 'b', 1, 1, 'a', 1})); !errors.Is(err, ErrMalformed) {
		t.Errorf("keys out of order: %v", err)
	}
}

func TestCounter(t *testing.T) {
	m := NewCounter(machine.Init{})
	var fx machine.Effects
	m.Apply(machine.Meta{}, AppendAdd(nil, 5), &fx)
	if r := m.Apply(machine.Meta{}, AppendAdd(nil, -7), &fx); r != int64(-2) {
		t.Errorf("reply %v", r)
	}
	if err, ok := m.Apply(machine.Meta{}, []byte("add"), &fx).(error); !ok || !errors.Is(err, ErrMalformed) {
		t.Error("a malformed command was applied")
	}
	if v, err := machine.Ask(m, machine.QueryContext{}, nil); v != int64(-2) || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}
