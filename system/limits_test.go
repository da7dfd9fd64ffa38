package system

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// CFG-16, CFG-17: a leader sends as many entries as the node's limits allow and no more, in one message and in all that
// are not confirmed.
func TestLimitsOfAppends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(c *Config) { c.Limits = Limits{InflightEntries: 8, EntriesPerAppend: 3} })
		c := w.cluster("a", "counter", "n1", "n2")
		w.healed("a", w.add(c, 1))
		leader, _ := c.Leader()
		follower := w.others(leader.Node)[0]
		most := 0
		w.watch(follower, func(l *letter) bool {
			most = max(most, len(l.Entries))
			return true
		})
		w.fabric.Cut(leader.Node, follower)
		answers := make(chan error, 20)
		for range cap(answers) {
			w.on(leader.Node, "a").Go(reference.AppendAdd(nil, 1), func(_ ra.Result, err error) { answers <- err })
		}
		synctest.Wait()
		if p := w.overview(c).Core.Peers; len(p) != 1 || p[0].Next-p[0].Match-1 != 8 {
			t.Errorf("under way to a peer that does not answer: %+v", p)
		}
		w.fabric.Heal(leader.Node, follower)
		for range cap(answers) {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		w.healed("a", 21)
		if most != 3 {
			t.Errorf("a message had %d entries", most)
		}
	})
}

// joinBySnapshot adds a member on n2 to a cluster on n1 whose snapshot has some kilobytes. f sees n2's letters.
func (w *world) joinBySnapshot(f func(*letter) bool) *Cluster {
	w.t.Helper()
	c := w.cluster("a", "table", "n1")
	value := make([]byte, 1000)
	rng := rand.NewChaCha8([32]byte{})
	for i := range 100 {
		_, _ = rng.Read(value)
		if _, err := c.Process(w.ctx(), reference.AppendPut(nil, fmt.Sprint("key", i%10), value)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.eventually("a snapshot with all keys", func() bool {
		w.last2(c)
		return w.overview(c).Core.Snapshot.Index > 20
	})
	w.watch("n2", f)
	if err := c.AddMember(w.ctx(), ra.ServerID{Name: "a", Node: "n2"}, ra.NonVoter); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// CFG-14: a snapshot is sent in pieces of the node's size.
func TestLimitOfChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(c *Config) {
			c.Snapshots.MinInterval, c.Snapshots.MinBytes, c.Limits.ChunkBytes = 16, 1, minChunk
		})
		most, pieces := 0, 0
		w.joinBySnapshot(func(l *letter) bool {
			if l.Kind == raft.InstallSnapshot {
				most, pieces = max(most, len(l.Data)), pieces+1
			}
			return true
		})
		w.eventually("the new member has it", func() bool {
			m, err := w.n(2).Member(ra.ServerID{Name: "a"}).Metrics(w.ctx())
			return err == nil && m.Snapshot > 0
		})
		synctest.Wait()
		if most != minChunk || pieces < 10 {
			t.Errorf("%d pieces of up to %d bytes", pieces, most)
		}
	})
}

// CFG-15: a transfer that stands still is given up when the node's patience is over.
func TestLimitOfPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(c *Config) {
			c.Snapshots.MinInterval, c.Snapshots.MinBytes = 16, 1
			c.Limits.SnapshotPatience = minPatience + time.Nanosecond
		})
		var begun time.Time
		var which ra.Index
		c := w.joinBySnapshot(func(l *letter) bool {
			if l.Kind == raft.InstallSnapshot && l.Index != which { // a newer one may take the place of the first
				begun, which = time.Now(), l.Index
			}
			return l.Kind != raft.InstallSnapshot
		})
		w.eventually("the leader makes a pause", func() bool {
			p := w.overview(c).Core.Peers
			return len(p) == 1 && p[0].Status == "snapshot_backoff"
		})
		if waited := time.Since(begun); waited < 10*time.Second || waited > 11*time.Second+10*time.Millisecond {
			t.Errorf("after %v", waited)
		}
	})
}
