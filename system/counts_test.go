package system

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// counts returns what a cluster's members have counted, by node.
func (w *world) counts(cluster string) map[ra.NodeID]ra.Counts {
	w.t.Helper()
	synctest.Wait()
	all := make(map[ra.NodeID]ra.Counts)
	for name, n := range w.nodes {
		if m, err := n.Member(ra.ServerID{Name: cluster}).Metrics(w.ctx()); err == nil {
			all[name] = m.Counts
		}
	}
	return all
}

// wantCounts compares some of a member's counters.
func wantCounts(t *testing.T, whose string, got ra.Counts, want map[ra.Counter]uint64) {
	t.Helper()
	for c, n := range want {
		if got[c] != n {
			t.Errorf("%s: %s is %d, want %d", whose, c, got[c], n)
		}
	}
}

// API-15, MET-01: a member counts what it does, each thing where it happens, on through restarts of its process; a new member of
// the name begins from zero.
func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		leader := w.leaderNode(c)
		before := w.counts("a")
		for range 5 {
			w.add(c, 1)
		}
		for range 3 {
			if _, err := c.ConsistentQuery(w.ctx(), nil); err != nil {
				t.Fatal(err)
			}
		}
		other := w.others(leader)[0]
		for range 2 {
			if _, err := w.nodes[other].Member(ra.ServerID{Name: "a"}).LocalQuery(w.ctx(), nil); err != nil {
				t.Fatal(err)
			}
		}
		after := w.counts("a")
		wantCounts(t, "leader", after[leader], map[ra.Counter]uint64{
			ra.CountStarts: 1, ra.CountCommands: 5, ra.CountLocalQueries: 0, ra.CountElections: 1,
			ra.CountConsistentQueries: before[leader][ra.CountConsistentQueries] + 3,
			ra.CountLeaderships:       1, ra.CountTermsAndVotes: 1, ra.CountSends: 0,
		})
		wantCounts(t, "follower", after[other], map[ra.Counter]uint64{
			ra.CountStarts: 1, ra.CountCommands: 0, ra.CountConsistentQueries: 0, ra.CountLocalQueries: 2, ra.CountElections: 0,
			ra.CountLeaderships: 0, ra.CountTermsAndVotes: 1,
		})
		var sent, received uint64
		for name, counts := range after {
			in := counts[ra.CountMessagesReceived] - before[name][ra.CountMessagesReceived]
			if in < 5 {
				t.Errorf("%s received %d messages", name, in)
			}
			sent, received = sent+counts[ra.CountMessagesSent]-before[name][ra.CountMessagesSent], received+in
		}
		if sent < received { // what says nothing urgent waits to be taken in
			t.Errorf("%d messages were sent, and %d received", sent, received)
		}

		if err := c.TransferLeadership(w.ctx(), ra.ServerID{Name: "a", Node: other}); err != nil {
			t.Fatal(err)
		}
		w.add(c, 1)
		wantCounts(t, "new leader", w.counts("a")[other], map[ra.Counter]uint64{ra.CountElections: 1, ra.CountLeaderships: 1, ra.CountCommands: 1})

		m := w.nodes[other].Member(ra.ServerID{Name: "a"})
		if err := m.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, "stopped", w.counts("a")[other], map[ra.Counter]uint64{ra.CountStarts: 1, ra.CountLeaderships: 1})
		if err := m.Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, "restarted", w.counts("a")[other], map[ra.Counter]uint64{ra.CountStarts: 2, ra.CountLeaderships: 1, ra.CountLocalQueries: 2})

		if err := c.Delete(w.ctx()); err != nil {
			t.Fatal(err)
		}
		w.eventually("all members are gone", func() bool { return len(w.counts("a")) == 0 })
		w.cluster("a", "counter", other)
		wantCounts(t, "of the next cluster", w.counts("a")[other], map[ra.Counter]uint64{
			ra.CountStarts: 1, ra.CountCommands: 0, ra.CountLocalQueries: 0, ra.CountElections: 1, ra.CountLeaderships: 1, ra.CountMessagesSent: 0,
		})
	})
}

// Pre-votes of a member that is alone are counted, and no election follows.
func TestCountsOfOneAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		leader := w.leaderNode(c)
		for _, other := range w.others(leader) {
			w.close(other)
		}
		w.eventually("the leader gives up", func() bool {
			m, err := w.nodes[leader].Member(ra.ServerID{Name: "a"}).Metrics(w.ctx())
			return err == nil && m.Role != ra.Leader && m.Counts[ra.CountPreVotes] > 0
		})
		wantCounts(t, "alone", w.counts("a")[leader], map[ra.Counter]uint64{ra.CountElections: 1, ra.CountLeaderships: 1})
	})
}

// Snapshots are counted where they are taken, sent and installed.
func TestCountsOfSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(c *Config) { c.Snapshots.MinInterval, c.Snapshots.MinBytes = 16, 1 })
		w.joinBySnapshot(func(*letter) bool { return true })
		w.eventually("the snapshot is there", func() bool { return w.counts("a")["n2"][ra.CountSnapshotsInstalled] > 0 })
		all := w.counts("a")
		if all["n1"][ra.CountSnapshots] == 0 || all["n1"][ra.CountSnapshotsSent] < all["n2"][ra.CountSnapshotsInstalled] {
			t.Errorf("taken and sent %v, installed %v", all["n1"], all["n2"])
		}
		wantCounts(t, "n1", all["n1"], map[ra.Counter]uint64{ra.CountSnapshotsInstalled: 0})
		wantCounts(t, "n2", all["n2"], map[ra.Counter]uint64{ra.CountSnapshotsSent: 0})
	})
}

// What a machine says to processes is counted, and what nobody hears.
func TestCountsOfSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "mixed", "n1")
		ref, heard := w.spawn("n1", "client")
		pid := ref.PID()
		for i := range 3 {
			if err := c.PipelineCommand([]byte("nothing"), machine.Caller{PID: pid, Correlation: uint64(i)}); err != nil {
				t.Fatal(err)
			}
			<-heard
		}
		wantCounts(t, "with somebody to hear", w.counts("a")["n1"], map[ra.Counter]uint64{ra.CountSends: 3, ra.CountSendsLost: 0})
		ref.Stop(nil)
		synctest.Wait()
		if err := c.PipelineCommand([]byte("nothing"), machine.Caller{PID: pid, Correlation: 4}); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, "with nobody", w.counts("a")["n1"], map[ra.Counter]uint64{ra.CountSends: 4, ra.CountSendsLost: 1})
	})
}

// Each counter has a name of its own.
func TestCounterNames(t *testing.T) {
	names := make(map[string]bool)
	for c := range ra.Counters {
		names[fmt.Sprint(c)] = true
	}
	if names[""] || len(names) != int(ra.Counters) {
		t.Errorf("%v", names)
	}
}
