package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

func takeRecovery(s *Store, uid ra.UID, index ra.Index) error {
	return write(s.CreateRecovery, uid, index, 3000)
}

// recoveries returns the indexes of a member's recovery checkpoints.
func recoveries(s *Store, uid ra.UID) []ra.Index {
	var out []ra.Index
	for _, info := range s.Checkpoints(uid) {
		if info.Recovery {
			out = append(out, info.Index)
		}
	}
	return out
}

// CKPT-10: a recovery checkpoint costs no sync, there is one at a time, and it is still one when the store is opened again. It
// does not become a snapshot. A snapshot above it removes it.
func TestRecoveryCheckpoints(t *testing.T) {
	fs := vfs.NewMem()
	errs := vfs.NewErrs(fs)
	s := mustOpen(t, errs)
	if err := errors.Join(take(s, "a", 10, 100), takeCheckpoint(s, "a", 20)); err != nil {
		t.Fatal(err)
	}
	errs.Trace(func(op vfs.Op, name string) {
		if op == vfs.OpSync || op == vfs.OpSyncDir {
			t.Errorf("%s %s for a recovery checkpoint", op, name)
		}
	})
	for index := ra.Index(30); index <= 50; index += 10 {
		if err := takeRecovery(s, "a", index); err != nil {
			t.Fatal(err)
		}
	}
	errs.Trace(nil)
	if err := takeRecovery(s, "a", 9); !errors.Is(err, ErrStale) {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	if got := recoveries(s, "a"); !slices.Equal(got, []ra.Index{50}) || len(names(t, fs, "snap")) != 3 {
		t.Fatalf("recovery checkpoints %v, files %v", got, names(t, fs, "snap"))
	}
	if got := recoveryIndex(t, s, "a"); got != 50 {
		t.Fatalf("recovery from %d", got)
	}
	if info, ok, err := s.Promote("a", 60); err != nil || !ok || info.Index != 20 {
		t.Fatal(info, ok, err)
	}
	if got := checkpointIndexes(s, "a"); !slices.Equal(got, []ra.Index{50}) {
		t.Fatal(got)
	}
	if err := take(s, "a", 60, 100); err != nil || len(names(t, fs, "snap")) != 1 {
		t.Fatal(err, names(t, fs, "snap"))
	}
}

// CKPT-03, CKPT-10: neither kind of checkpoint makes room for the other.
func TestRecoveryCheckpointsAreNotThinned(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	for i := range ra.Index(15) {
		if err := errors.Join(takeCheckpoint(s, "a", 10*i+1), takeRecovery(s, "a", 10*i+2)); err != nil {
			t.Fatal(err)
		}
	}
	all := checkpointIndexes(s, "a")
	if got := recoveries(s, "a"); !slices.Equal(got, []ra.Index{142}) || len(all) != maxCheckpoints+1 {
		t.Fatalf("recovery checkpoints %v of %v", got, all)
	}
	if err := takeCheckpoint(s, "a", 142); err != nil || len(recoveries(s, "a")) != 0 {
		t.Errorf("%v; the machine's own checkpoint of the same index is in the place of %v", err, recoveries(s, "a"))
	}
	for _, c := range []struct {
		least ra.Index
		s     State
		index ra.Index
		want  bool
	}{
		{0, State{}, 1 << 20, false}, {1, State{}, 0, false}, {1, State{}, 1, true}, {10, State{Last: 5}, 14, false},
		{10, State{Last: 5}, 15, true}, {10, State{Last: 5, LastCheckpoint: 7}, 15, false}, {10, State{LastRecovery: 8}, 15, false},
		{10, State{LastRecovery: 8, Pending: true}, 18, true}, {10, State{LastCheckpoint: 20}, 15, false},
	} {
		if got := (Policy{MinRecovery: c.least}).AcceptsRecovery(&c.s, c.index); got != c.want {
			t.Errorf("%d entries at least, %+v at %d: %v", c.least, c.s, c.index, got)
		}
	}
}

// CKPT-10, I11: at whatever operation of the disk a crash comes while recovery checkpoints are written, the store opens
// without damage, with what can be read in every byte and is not below the snapshot.
func TestCrashOfRecoveryCheckpoints(t *testing.T) {
	for seed := range uint64(20) {
		var least, now ra.Index
		s := openCrashing(t, seed, func(left vfs.FS) error {
			if got := recoveryIndex(t, mustOpen(t, left), "a"); got < least || got > now {
				return fmt.Errorf("recovery from %d, not from %d to %d", got, least, now)
			}
			return nil
		})
		for now = 10; now <= 60; now += 10 {
			if err := takeRecovery(s, "a", now); err != nil {
				t.Fatal(err)
			}
			if now%30 == 0 {
				now++
				if err := take(s, "a", now, 100); err != nil {
					t.Fatal(err)
				}
				least = now
				now--
			}
		}
	}
}

// CKPT-10: a checkpoint that has decayed is moved out of the way, and nothing is lost with it.
func TestCondemnCheckpoint(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if err := errors.Join(takeCheckpoint(s, "a", 10), takeRecovery(s, "a", 20)); err != nil {
		t.Fatal(err)
	}
	if err := s.CondemnCheckpoint(s.Checkpoints("a")[1]); err != nil {
		t.Fatal(err)
	}
	if got := checkpointIndexes(s, "a"); !slices.Equal(got, []ra.Index{10}) || len(names(t, fs, "snap/quarantine")) != 1 {
		t.Errorf("checkpoints %v, in quarantine %v", got, names(t, fs, "snap/quarantine"))
	}
	_, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil || len(report.Lost) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
}
