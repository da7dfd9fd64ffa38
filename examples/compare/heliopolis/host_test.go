package heliopolis

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/heliopolis-raft/heliopolis/examples/compare/rivaltest"
)

func TestCommandsInOrder(t *testing.T) {
	defer goleak.VerifyNone(t)
	rivaltest.CommandsInOrder(t, new(Host), 7, 200)
}
