// Package rivaltest checks that a rival is a replicated log at all.
package rivaltest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// Rival is what can be checked.
type Rival interface {
	driver.Rival
	driver.StateReader
}

// settleLimit bounds the wait for followers to apply what the leader has applied.
const settleLimit = 10 * time.Second

// CommandsInOrder starts clusters on r, proposes the same commands to each, and demands that all members of all of them
// have applied these commands in this order, that syncs were counted, and that Close ends without an error.
func CommandsInOrder(t *testing.T, r Rival, clusters, commands int) {
	t.Helper()
	if err := r.Start(driver.Nodes, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := r.StartClusters(clusters); err != nil {
		t.Fatal(err)
	}
	want := propose(t, r, clusters, commands)
	for c := range clusters {
		for n := range driver.Nodes {
			deadline := time.Now().Add(settleLimit)
			for r.State(n, c) != want && time.Now().Before(deadline) {
				time.Sleep(time.Millisecond) // rivals offer no way to wait for followers
			}
			if got := r.State(n, c); got != want {
				t.Errorf("cluster %d on node %d is %+v, should be %+v", c, n, got, want)
			}
		}
	}
	if s := r.Stats(); s.Entries < int64(clusters*commands*2) || s.Syncs == 0 {
		t.Errorf("stats are %+v", s)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// propose returns the machine that the commands make.
func propose(t *testing.T, r Rival, clusters, commands int) driver.Machine {
	t.Helper()
	var want driver.Machine
	answers := make(chan error, clusters*commands)
	payload := make([]byte, 32)
	for i := range commands {
		binary.LittleEndian.PutUint64(payload, uint64(i))
		want.Apply(payload)
		for c := range clusters {
			r.Propose(c, payload, func(err error) { answers <- err })
		}
	}
	for range clusters * commands {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	return want
}
