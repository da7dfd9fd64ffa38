package commitpath

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/heliopolis-raft/heliopolis/examples/compare/rivaltest"
)

func TestCommandsInOrder(t *testing.T) {
	defer goleak.VerifyNone(t)
	rivaltest.CommandsInOrder(t, new(Host), 7, 200)
}

func TestIdle(t *testing.T) {
	defer goleak.VerifyNone(t)
	r, err := Idle(300)
	if err != nil || r.Members != 300 {
		t.Fatalf("%+v, %v", r, err)
	}
}
