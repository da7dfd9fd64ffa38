package etcdhost

import (
	"encoding/binary"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

func TestCommandsInOrder(t *testing.T) {
	t.Run("synchronous", func(t *testing.T) { commandsInOrder(t, Options{Buffered: true}) })
	t.Run("asynchronous", func(t *testing.T) { commandsInOrder(t, Options{Buffered: true, Async: true}) })
}

func commandsInOrder(t *testing.T, o Options) {
	defer goleak.VerifyNone(t)
	h := New(o)
	if err := h.Start(3, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const clusters, commands = 7, 200
	if err := h.StartClusters(clusters); err != nil {
		t.Fatal(err)
	}
	var want driver.Machine
	answers := make(chan error, clusters*commands)
	payload := make([]byte, 32)
	for i := range commands {
		binary.LittleEndian.PutUint64(payload, uint64(i))
		want.Apply(payload)
		for c := range clusters {
			h.Propose(c, payload, func(err error) { answers <- err })
		}
	}
	for range clusters * commands {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	for c := range clusters {
		for n := range 3 {
			deadline := time.Now().Add(10 * time.Second)
			for h.State(n, c) != want && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond)
			}
			if got := h.State(n, c); got != want {
				t.Errorf("cluster %d on node %d is %+v, should be %+v", c, n, got, want)
			}
		}
	}
	if s := h.Stats(); s.Entries < 3*clusters*commands*2/3 || s.Syncs == 0 {
		t.Errorf("stats are %+v", s)
	}
}
