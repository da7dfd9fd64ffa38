package snapshot

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

func takeCheckpoint(s *Store, uid ra.UID, index ra.Index) error {
	return write(s.CreateCheckpoint, uid, index, 3000)
}

// recoveryIndex returns the index of what a restart would begin from, after reading all of it.
func recoveryIndex(t *testing.T, s *Store, uid ra.UID) ra.Index {
	t.Helper()
	open := s.OpenReader
	if all := s.Checkpoints(uid); len(all) > 0 {
		open = func(ra.UID) (*Reader, error) { return s.OpenCheckpoint(all[len(all)-1]) }
	}
	r, err := open(uid)
	if errors.Is(err, ErrNone) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return r.Meta().Index
}

func checkpointIndexes(s *Store, uid ra.UID) []ra.Index {
	var out []ra.Index
	for _, info := range s.Checkpoints(uid) {
		out = append(out, info.Index)
	}
	return out
}

// CKPT-01, CKPT-02: checkpoints cost no sync; a restart begins from the newest of them and the snapshot; SNAP-05: a
// snapshot removes those up to it.
func TestCheckpoints(t *testing.T) {
	fs := vfs.NewMem()
	errs := vfs.NewErrs(fs)
	s := mustOpen(t, errs)
	if err := take(s, "a", 10, 100); err != nil {
		t.Fatal(err)
	}
	errs.Trace(func(op vfs.Op, name string) {
		if op == vfs.OpSync || op == vfs.OpSyncDir {
			t.Errorf("%s %s for a checkpoint", op, name)
		}
	})
	if err := errors.Join(takeCheckpoint(s, "a", 20), takeCheckpoint(s, "a", 30)); err != nil {
		t.Fatal(err)
	}
	errs.Trace(nil)
	if err := takeCheckpoint(s, "a", 9); !errors.Is(err, ErrStale) {
		t.Fatal(err)
	}
	for range 2 {
		if got := recoveryIndex(t, s, "a"); got != 30 {
			t.Fatalf("recovery from %d", got)
		}
		if info, _ := s.Newest("a"); info.Index != 10 {
			t.Fatalf("snapshot %d", info.Index)
		}
		s = mustOpen(t, fs)
	}
	if err := take(s, "a", 25, 100); err != nil {
		t.Fatal(err)
	}
	if got := checkpointIndexes(s, "a"); len(got) != 1 || got[0] != 30 || len(names(t, fs, "snap")) != 2 {
		t.Fatalf("checkpoints %v, files %v", got, names(t, fs, "snap"))
	}
	if err := s.Remove("a"); err != nil || len(names(t, fs, "snap")) != 0 {
		t.Fatal(err, names(t, fs, "snap"))
	}
}

// CKPT-05, CKPT-06: the newest checkpoint that is not too new becomes the snapshot, newer ones stay.
func TestPromote(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	for _, index := range []ra.Index{10, 20, 30, 40} {
		if err := takeCheckpoint(s, "a", index); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := s.Promote("a", 9); ok || err != nil {
		t.Fatal(ok, err)
	}
	decayed := of("a", 30, metaAt(30).Term)
	decayed.checkpoint = true
	if !fs.Flip("snap/"+decayed.String(), 200, 1) {
		t.Fatal("no such file")
	}
	info, ok, err := s.Promote("a", 35)
	if err != nil || !ok || info.Index != 20 {
		t.Fatal(info, ok, err)
	}
	after := mustOpen(t, fs.Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1))))
	for _, x := range []*Store{s, after} {
		if err := verifyAt(x, "a", 20, 3000); err != nil {
			t.Fatal(err)
		}
	}
	if got := checkpointIndexes(s, "a"); len(got) != 1 || got[0] != 40 {
		t.Fatal(got)
	}
}

// A sync that failed once is not believed the second time.
func TestPromoteAfterFailedSync(t *testing.T) {
	errs := vfs.NewErrs(vfs.NewMem())
	s := mustOpen(t, errs)
	if err := errors.Join(takeCheckpoint(s, "a", 10), takeCheckpoint(s, "a", 20)); err != nil {
		t.Fatal(err)
	}
	errs.Inject(vfs.Fault{Op: vfs.OpSync, Times: 1})
	if _, _, err := s.Promote("a", 20); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if info, ok, err := s.Promote("a", 20); err != nil || !ok || info.Index != 10 {
		t.Fatal(info, ok, err)
	}
}

// Whatever a crash leaves of checkpoints and of a promotion: the store opens, and never falls behind the snapshot.
func TestCheckpointCrashes(t *testing.T) {
	for seed := range uint64(20) {
		var least ra.Index
		s := openCrashing(t, seed, func(left vfs.FS) error {
			if got := recoveryIndex(t, mustOpen(t, left), "a"); got < least {
				return fmt.Errorf("recovery from %d, not %d", got, least)
			}
			return nil
		})
		for index := ra.Index(10); index <= 60; index += 10 {
			if err := takeCheckpoint(s, "a", index); err != nil {
				t.Fatal(err)
			}
			if index%20 == 0 {
				info, ok, err := s.Promote("a", index-5)
				if err != nil || !ok {
					t.Fatal(ok, err)
				}
				least = info.Index
			}
		}
	}
}

// CKPT-03: of three that lie close together the middle one goes, one at a time.
func TestThin(t *testing.T) {
	at := func(step ra.Index, n int) []Info {
		var out []Info
		for i := range n {
			out = append(out, Info{Index: step * ra.Index(i+1)})
		}
		return out
	}
	for _, c := range []struct {
		all  []Info
		want int
	}{
		{at(10, 10), -1}, {at(10, 11), 1}, {at(32768, 11), -1}, {at(32767, 11), 1}, {at(65535, 20), 1}, {at(65536, 20), -1},
		{append([]Info{{Index: 1}}, at(100_000, 12)...), -1},
	} {
		if got := thin(c.all, 10); got != c.want {
			t.Errorf("thin of %d from %d on: %d, want %d", len(c.all), c.all[0].Index, got, c.want)
		}
	}
	s := mustOpen(t, vfs.NewMem())
	for i := range ra.Index(15) {
		if err := takeCheckpoint(s, "a", i+1); err != nil {
			t.Fatal(err)
		}
	}
	if got := checkpointIndexes(s, "a"); len(got) != 10 || got[0] != 1 || got[9] != 15 {
		t.Fatal(got)
	}
	for _, c := range []struct {
		s     State
		index ra.Index
		want  bool
	}{{State{}, 16384, false}, {State{}, 16385, true}, {State{LastCheckpoint: 10}, 16394, false}, {State{Pending: true}, 1 << 20, false}} {
		if got := (Policy{}).AcceptsCheckpoint(&c.s, c.index); got != c.want {
			t.Errorf("%+v at %d: %v", c.s, c.index, got)
		}
	}
}
