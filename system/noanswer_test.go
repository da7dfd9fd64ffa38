package system

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// wantNoAnswer checks an error of a call whose time was over: it is both what happened and why, and names whom it was about.
func wantNoAnswer(t *testing.T, what string, err error, said string) {
	t.Helper()
	if !errors.Is(err, ra.ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), said) {
		t.Errorf("%s: %v", what, err)
	}
}

// ErrNoAnswer: without a quorum calls end with their time, and say who has not answered. Of commands they say, too, that they
// may have been applied.
func TestNoQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		lead := w.leaderNode(c)
		w.isolate(lead)
		on := w.on(lead, "a")
		_, query := on.ConsistentQuery(w.short(), nil)
		_, process := on.Process(w.short(), reference.AppendAdd(nil, 1))
		silent := ra.ServerID{Name: "a", Node: w.others(lead)[0]}
		_, overview := w.nodes[lead].Member(silent).Overview(w.short())
		for what, err := range map[string]error{
			"query": query, "process": process, "new member": on.AddMember(w.short(), ra.ServerID{Name: "b"}, ra.Voter),
		} {
			wantNoAnswer(t, what, err, "cluster a")
			if ra.MayHaveBeenApplied(err) != (what == "process") {
				t.Errorf("%s: may have been applied: %v", what, err)
			}
		}
		wantNoAnswer(t, "overview", overview, "member "+silent.String())
		wantNoAnswer(t, "stop", w.nodes[lead].Member(silent).Stop(w.short()), "node "+string(silent.Node))
	})
}

// WaitLeader ends with its time, too, and says what it waited for.
func TestWaitLeaderInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		c := w.cluster("a", "counter", "n1", "n2")
		lead := w.leaderNode(c)
		left := w.others(lead)[0]
		on := w.on(left, "a")
		w.fabric.Disconnect(lead, left)
		time.Sleep(time.Minute)
		_, err := on.WaitLeader(w.short())
		wantNoAnswer(t, "wait", err, "cluster a has no leader")
	})
}

// FAIL-07, ErrDiskFull: a node whose disk is full says so where it keeps a cluster from starting.
func TestStartOnFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		full := w.cluster("full", "table", "n1")
		w.disks["n1"].SetCapacity(1)
		fillDisks(w, full)
		_, err := w.n(1).StartCluster(w.short(), ClusterConfig{Name: "a", Machine: "counter"})
		wantNoAnswer(t, "start", err, `"a"`)
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrDiskFull) })
		w.disks["n1"].SetCapacity(0)
		c, err := w.n(1).StartOrRestartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter"}) // the member may be there
		if err != nil {
			t.Fatal(err)
		}
		w.add(c, 1)
	})
}
