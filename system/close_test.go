package system

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestCloseWaits: Close gives up when its time is over, the directory stays locked, and a second call finishes.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		errs := vfs.NewErrs(mem)
		n := openStorageNode(t, storageConfig(errs))
		l := newLife(t, n, "m")
		letGo := holdLog(errs)
		entries := l.entries(3, 10)
		if err := errors.Join(l.r.log.Append(entries), n.store(l.r, &wal.Op{Seq: 1, Entries: entries})); err != nil {
			t.Fatal(err)
		}
		n.wakeWAL()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := n.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Close: %v", err)
		}
		if _, err := n.register(t.Context(), registrationOf("late")); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("register: %v", err)
		}
		var locked *LockedError
		if _, err := Open(t.Context(), storageConfig(mem)); !errors.As(err, &locked) {
			t.Errorf("Open: %v", err)
		}
		letGo()
		mustClose(t, n)
		mustClose(t, n)
		if err := n.store(l.r, &wal.Op{Seq: 2, State: &ra.HardState{Term: 1}}); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("store: %v", err)
		}
		n = openStorageNode(t, storageConfig(mem))
		if r := n.registry.byUID(l.r.uid); r == nil || r.log.Last() != 3 {
			t.Errorf("what was ordered before Close is missing: %+v", r)
		}
	})
}

// TestCloseMarks: a member that is closed in good order leaves behind how far it had applied (LOG-07), and the log is
// sealed.
func TestCloseMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := storageConfig(vfs.NewMem())
		cfg.NoAutoStart = false
		n := openStorageNode(t, cfg)
		c, err := n.StartCluster(t.Context(), ClusterConfig{Name: "c", Machine: "counter"})
		if err != nil {
			t.Fatal(err)
		}
		var last ra.Index
		for range 10 {
			r, err := c.Process(t.Context(), reference.AppendAdd(nil, 1))
			if err != nil {
				t.Fatal(err)
			}
			last = r.Index
		}
		mustClose(t, n)
		if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("a call after Close: %v", err)
		}
		cfg.NoAutoStart = true
		n = openStorageNode(t, cfg)
		if r := n.registry.byName("c"); r.accepted.applied != last {
			t.Errorf("applied to %d, want %d", r.accepted.applied, last)
		}
		if n.Report().Torn || len(n.Report().Losses) > 0 {
			t.Errorf("report: %+v", n.Report())
		}
	})
}
