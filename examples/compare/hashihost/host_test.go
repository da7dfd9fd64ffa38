package hashihost

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/examples/compare/rivaltest"
)

func TestCommandsInOrder(t *testing.T) {
	rivaltest.CommandsInOrder(t, New(), 4, 100)
}
