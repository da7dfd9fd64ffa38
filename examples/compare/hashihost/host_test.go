package hashihost

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

func TestCommandsInOrder(t *testing.T) {
	h := New()
	if err := h.Start(3, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	const clusters, commands = 4, 100
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
