package machinetest_test

import (
	"encoding/json"
	"io"
	"maps"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/machinetest"
)

// votes counts votes, by candidate.
type votes struct{ of map[string]int }

func newVotes(machine.Init) machine.Machine { return &votes{of: map[string]int{}} }

func (v *votes) Apply(_ machine.Meta, candidate []byte, _ *machine.Effects) any {
	v.of[string(candidate)]++
	return v.of[string(candidate)]
}

func (v *votes) Snapshot() (machine.Capture, error) {
	of := maps.Clone(v.of) // the snapshot is written while more votes come in
	return machine.CaptureFunc(func(w io.Writer) error { return json.NewEncoder(w).Encode(of) }), nil
}

func (v *votes) Restore(r io.Reader) error {
	v.of = map[string]int{} // what was there before is not to be seen any more
	return json.NewDecoder(r).Decode(&v.of)
}

// The test that the package comment shows.
func TestVotes(t *testing.T) {
	d := machinetest.New(t, newVotes)
	d.Apply([]byte("anna"))
	d.Apply([]byte("bert"))
	if reply := d.Apply([]byte("anna")); reply != 2 {
		t.Errorf("anna has %v votes", reply)
	}
	d.Check()
}
