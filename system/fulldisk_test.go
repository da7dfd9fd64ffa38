package system

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
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
		fillDisks(w, c)
		for name := range w.nodes {
			if err := finds(w, w.on(name, "c"), "key", 4000); err != nil {
				t.Errorf("by %s: %v", name, err)
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

// FSM-04, FAIL-07: when the disk of the leader's node is full, and no other, another member leads after a while, and calls by the
// full node find it.
func TestFullDiskOfTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *Config) { c.WALFileSize = wal.MinFileSize })
		c := w.cluster("c", "table", "n1", "n2", "n3")
		lead := w.leaderNode(c)
		w.disks[lead].SetCapacity(1)
		fillDisks(w, w.on(lead, "c"))
		time.Sleep(time.Minute)
		if _, err := w.on(lead, "c").Process(w.ctx(), reference.AppendPut(nil, "another", nil)); err != nil {
			t.Errorf("by the full node: %v", err)
		}
		if err := finds(w, w.on(lead, "c"), "another", 0); err != nil {
			t.Errorf("by the full node: %v", err)
		}
		w.disks[lead].SetCapacity(0)
	})
}

// FSM-04, FAIL-07: when all disks are full the leader stays, since nobody could do more, and queries go on.
func TestQueriesGoOnWhenAllDisksAreFull(t *testing.T) {
	for name, members := range map[string][]ra.NodeID{"three members": {"n1", "n2", "n3"}, "one member": {"n1"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3, func(c *Config) { c.WALFileSize = wal.MinFileSize })
				c := w.cluster("c", "table", members...)
				lead := w.leaderNode(c)
				for _, name := range w.others(lead) { // they find out first, so that none of them takes over and then cannot begin
					w.disks[name].SetCapacity(1)
				}
				if len(members) > 1 {
					fillDisks(w, c)
				}
				w.disks[lead].SetCapacity(1)
				for err := error(nil); !errors.Is(err, ra.ErrDiskFull); {
					_, err = c.Process(w.short(), reference.AppendPut(nil, "key", make([]byte, 4000)))
				}
				for range 5 {
					time.Sleep(time.Minute)
					if err := finds(w, c, "key", 4000); err != nil {
						t.Error(err)
					}
				}
				for _, d := range w.disks {
					d.SetCapacity(0)
				}
				time.Sleep(5 * time.Second) // the log tries again now and then
				if _, err := c.Process(w.ctx(), reference.AppendDelete(nil, "key")); err != nil {
					t.Errorf("with room again: %v", err)
				}
			})
		})
	}
}

// fillDisks has commands stored until there is no room for them.
func fillDisks(w *world, c *Cluster) {
	var err error
	for err == nil {
		_, err = c.Process(w.short(), reference.AppendPut(nil, "key", make([]byte, 4000)))
	}
}

// finds asks the table for a row whose value has that length.
func finds(w *world, c *Cluster, key string, length int) error {
	r, err := c.ConsistentQuery(w.ctx(), reference.Get{Key: key})
	if found, ok := r.Reply.(reference.Found); err == nil && (!ok || !found.OK || len(found.Row.Value) != length) {
		return fmt.Errorf("found %+v", r.Reply)
	}
	return err
}
