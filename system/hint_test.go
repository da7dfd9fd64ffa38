package system

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
)

// CMD-02: whichever node a command comes from, the answer names the leader.
func TestAnswerNamesTheLeader(t *testing.T) {
	w := newWorld(t, 3, nil)
	c := w.cluster("a", "counter", "n1", "n2", "n3")
	leader, err := c.WaitLeader(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r, err := w.on(w.n(i+1).Name(), "a").Process(w.ctx(), reference.AppendAdd(nil, 1))
		if err != nil || r.Leader != leader {
			t.Errorf("node %d: %+v, %v, %s leads", i+1, r, err, leader)
		}
	}
}
