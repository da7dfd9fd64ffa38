package snapshot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// I12: whoever accepts a loss begins an era. What was there before and is put back, as from a backup, is not taken for the
// member's, though its index is higher: not beside what the member has, in a file or in a pack, nor as a checkpoint.
func TestEra(t *testing.T) {
	for _, packed := range []bool{false, true} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		mustPack(t, s, 5, "b")
		if packed {
			mustPack(t, s, 5, "a")
		} else if err := take(s, "a", 5, 100); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(takeCheckpoint(s, "a", 6), takeCheckpoint(s, "a", 9)); err != nil {
			t.Fatal(err)
		}
		// What is given up, as a backup has it.
		other := vfs.NewMem()
		if err := take(mustOpen(t, other), "a", 8, 100); err != nil {
			t.Fatal(err)
		}
		given := map[string][]byte{of("a", 8, 1).String(): content(t, other, of("a", 8, 1).String())}
		for _, name := range names(t, fs, "snap") {
			if n, ok := parseName(name); ok && n.index != 6 {
				given[name] = content(t, fs, name)
			}
		}
		if with, err := s.AcceptLoss("a", 7); with.Era != 1 || with.Index != 5 || err != nil {
			t.Fatal(with, err)
		}
		for name, b := range given {
			put(t, fs, name, b)
		}
		for range 2 {
			s, _, err := Open(Config{FS: fs, Dir: "snap"})
			if err != nil {
				t.Fatal(err)
			}
			s.SetEra("a", 1)
			if info, _ := s.Newest("a"); info.Index != 5 || info.Era != 1 || verifyAt(s, "a", 5, 100) != nil {
				t.Errorf("packed: %v, in force is %+v", packed, info)
			}
			if got := checkpointIndexes(s, "a"); !slices.Equal(got, []ra.Index{6}) {
				t.Errorf("packed: %v, checkpoints at %v", packed, got)
			}
			if info, _ := s.Newest("b"); info.Index != 5 || info.Era != 0 {
				t.Errorf("packed: %v, in force of b is %+v", packed, info)
			}
		}
		for name := range given {
			if !slices.Contains(names(t, fs, "snap/quarantine"), name) {
				t.Errorf("packed: %v, %s is not in quarantine: %v", packed, name, names(t, fs, "snap/quarantine"))
			}
		}
	}
}

// I12: what a member was writing or receiving when the loss was accepted, or repaired, does not come into force.
func TestEraEndsWhatIsUnderWay(t *testing.T) {
	endsWhatIsUnderWay(t, func(s *Store) (Info, error) { return s.AcceptLoss("a", 5) })
	endsWhatIsUnderWay(t, func(s *Store) (Info, error) { return s.BeginEra("a"), nil })
}

func endsWhatIsUnderWay(t *testing.T, begin func(*Store) (Info, error)) {
	s := mustOpen(t, vfs.NewMem())
	disk := vfs.NewMem()
	if err := errors.Join(take(s, "a", 5, 100), take(mustOpen(t, disk), "a", 9, 100)); err != nil {
		t.Fatal(err)
	}
	write, err1 := s.Create("a", metaAt(10))
	check, err2 := s.CreateCheckpoint("a", metaAt(10))
	receive, err3 := s.Receive("a", 9, 1)
	if err := errors.Join(err1, err2, err3, receive.Add(1, content(t, disk, of("a", 9, 1).String()))); err != nil {
		t.Fatal(err)
	}
	pack := s.NewPack()
	if err := add(pack, "a", 11, 100); err != nil {
		t.Fatal(err)
	}
	if with, err := begin(s); err != nil || with.Era != 1 || with.Index != 5 {
		t.Fatal(with, err)
	}
	_, err1 = write.Commit()
	_, err2 = check.Commit()
	_, _, err3 = receive.Finish()
	if in, err := pack.Commit(); len(in) > 0 || err != nil {
		t.Errorf("in force is %+v, %v", in, err)
	}
	if !errors.Is(err1, ErrStale) || !errors.Is(err2, ErrStale) || !errors.Is(err3, ErrStale) {
		t.Errorf("%v; %v; %v", err1, err2, err3)
	}
	if info, _ := s.Newest("a"); info.Index != 5 || len(s.Checkpoints("a")) > 0 {
		t.Errorf("in force is %+v", info)
	}
	if err := take(s, "a", 8, 100); err != nil {
		t.Error(err)
	}
	if info, _ := s.Newest("a"); info.Index != 8 || info.Era != 1 {
		t.Errorf("in force is %+v", info)
	}
}

// I12: wherever a crash comes, or an error, while a loss is accepted, what is in force stays, and it may be accepted again.
func TestEraBeginsAtOnce(t *testing.T) {
	for _, packed := range []bool{false, true} {
		for at, done := 0, false; !done; at++ {
			fs := vfs.NewMem()
			faulty := vfs.NewErrs(fs)
			s := mustOpen(t, faulty)
			mustPack(t, s, 5, "a", "b")
			if !packed {
				if err := take(s, "a", 6, 100); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(takeCheckpoint(s, "a", 7), takeCheckpoint(s, "a", 9)); err != nil {
				t.Fatal(err)
			}
			was, _ := s.Newest("a")
			faulty.Inject(vfs.Fault{After: at, Times: 1})
			_, err := s.AcceptLoss("a", 8)
			done = err == nil
			for model := range vfs.CrashModels {
				what := fmt.Sprintf("packed: %v, failed: %d, crash (%s)", packed, at, model)
				after, report, err := Open(Config{FS: fs.Crash(model, rand.New(rand.NewPCG(uint64(at), 1))), Dir: "snap"})
				if err != nil || len(report.Damaged)+len(report.Lost) > 0 {
					t.Fatalf("%s: %+v, %v", what, report, err)
				}
				if info, _ := after.Newest("a"); info.Index != was.Index || done && info.Era != 1 {
					t.Errorf("%s: in force is %+v", what, info)
				}
			}
			faulty.Heal()
			if _, err := s.AcceptLoss("a", 8); err != nil {
				t.Errorf("packed: %v, failed: %d, again: %v", packed, at, err)
			}
			if info, _ := s.Newest("a"); info.Index != was.Index || info.Era == 0 || verifyAt(s, "a", was.Index, 100) != nil {
				t.Errorf("packed: %v, failed: %d: in force is %+v", packed, at, info)
			}
			if at > 100 {
				t.Fatal("no end")
			}
		}
	}
}

// I12: an era may begin at any moment while a snapshot takes its place. It is in force, and the era's, or gone.
func TestEraBeginsMeanwhile(t *testing.T) {
	for what, step := range map[string]func(*Store) error{
		"written":    func(s *Store) error { return take(s, "a", 20, 500) },
		"received":   func(s *Store) error { return receive(s, "a", 20, 500) },
		"packed":     func(s *Store) error { return takePacked(s, "a", 20, 500) },
		"promoted":   func(s *Store) error { _, _, err := s.Promote("a", 20); return err },
		"checkpoint": func(s *Store) error { return takeCheckpoint(s, "a", 20) },
	} {
		for at, done := 0, false; !done; at++ {
			fs := vfs.NewMem()
			errs := vfs.NewErrs(fs)
			s := mustOpen(t, errs)
			if err := errors.Join(take(s, "a", 10, 500), takeCheckpoint(s, "a", 15)); err != nil {
				t.Fatal(err)
			}
			var with Info
			k := 0
			errs.Trace(func(vfs.Op, string) {
				if !s.mu.TryLock() {
					return // nobody else could begin one
				}
				s.mu.Unlock()
				if k == at {
					with = s.BeginEra("a")
				}
				k++
			})
			err := step(s)
			errs.Trace(nil)
			if done = k <= at; done {
				break
			}
			if err != nil && !errors.Is(err, ErrStale) {
				t.Fatalf("%s, operation %d: %v", what, at, err)
			}
			if what == "packed" { // it goes with the next pack
				if err := s.Sweep(); err != nil {
					t.Fatal(err)
				}
			}
			if now, _ := s.Newest("a"); now.Era < 1 && now.Index != with.Index {
				t.Errorf("%s, operation %d: in force is %+v, the era began with %+v", what, at, now, with)
			}
			after, _ := reopen(t, fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1))))
			after.SetEra("a", 1)
			if now, _ := after.Newest("a"); now.Era < 1 && now.Index != with.Index {
				t.Errorf("%s, operation %d, next start: in force is %+v, the era began with %+v", what, at, now, with)
			}
			for _, info := range append(s.Checkpoints("a"), after.Checkpoints("a")...) {
				if info.Era < 1 {
					t.Errorf("%s, operation %d: checkpoint %+v", what, at, info)
				}
			}
		}
	}
}
