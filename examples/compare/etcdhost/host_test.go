package etcdhost

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/heliopolis-raft/heliopolis/examples/compare/rivaltest"
)

func TestCommandsInOrder(t *testing.T) {
	for name, o := range map[string]Options{
		"synchronous":  {Buffered: true},
		"asynchronous": {Buffered: true, Async: true},
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			rivaltest.CommandsInOrder(t, New(o), 7, 200)
		})
	}
}
