package system

import (
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// FAIL-07, FSM-04: while the disks of a majority are full nothing is committed, but consistent queries are answered, from
// every node: that a leader leads can be confirmed without a disk.
func TestConsistentQueriesOnFullDisks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *Config) { c.WALFileSize = wal.MinFileSize })
		c := w.cluster("c", "table", "n1", "n2", "n3")
		lead := w.leaderNode(c)
		for _, name := range w.others(lead) {
			w.disks[name].SetCapacity(1)
		}
		var err error
		for err == nil {
			_, err = c.Process(w.short(), reference.AppendPut(nil, "key", make([]byte, 4000)))
		}
		for name := range w.nodes {
			r, err := w.on(name, "c").ConsistentQuery(w.ctx(), reference.Get{Key: "key"})
			if found, ok := r.Reply.(reference.Found); err != nil || !ok || len(found.Row.Value) != 4000 {
				t.Errorf("by %s: %+v, %v", name, r.Reply, err)
			}
		}
		for _, name := range w.others(lead) {
			w.disks[name].SetCapacity(0)
		}
		if _, err := c.Process(w.ctx(), reference.AppendDelete(nil, "key")); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}
