package segment

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// I12: a file that holds another one down is removed only when the removal of that one is durable: else a crash could
// bring back only what was void.
func TestCleanIsDurableInOrder(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 5))
		mem := vfs.NewMem()
		errs := vfs.NewErrs(mem)
		s, _, err := Open(Config{FS: errs, Dir: "seg"})
		if err != nil {
			t.Fatal(err)
		}
		mustFlush(t, s, part{uid: "a", lo: 1, hi: 100, term: 1})
		mustFlush(t, s, part{uid: "a", lo: 50, hi: 60, term: 2})
		s.Drop("a", 80)
		nothingComesBack := func() {
			left := mustOpen(t, mem.Crash(vfs.CrashSubset, rng))
			left.Drop("a", 80)
			if first, last := left.Bounds("a"); last != 0 {
				t.Fatalf("seed %d: entries %d to %d came back", seed, first, last)
			}
		}
		errs.Trace(func(vfs.Op, string) { nothingComesBack() })
		if n := clean(t, s); n != 2 {
			t.Fatalf("removed %d", n)
		}
		nothingComesBack()
	}
}

// I9: a file whose name was not durable yet when its process died is durable, or gone, from the next Open on.
func TestOpenedIsDurable(t *testing.T) {
	mem := vfs.NewMem()
	errs := vfs.NewErrs(mem)
	s := mustOpen(t, errs)
	errs.Inject(vfs.Fault{Op: vfs.OpSyncDir, After: 1, Times: 1}) // before there is the roster's
	if _, err := s.Flush(ranges(part{uid: "a", lo: 1, hi: 100, term: 1})); err == nil {
		t.Fatal("a flush whose names are not durable succeeds")
	}
	rng := rand.New(rand.NewPCG(1, 5))
	left := mem.Crash(vfs.CrashKept, rng)
	expect(t, mustOpen(t, left), "a", 1, 100, term(1))
	expect(t, mustOpen(t, left.Crash(vfs.CrashLost, rng)), "a", 1, 100, term(1))
}

// A compaction keeps the cut of a row whose entries are all dead, as long as it holds something down, and no longer.
func TestCompactKeepsCuts(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 100, term: 1}, part{uid: "z", lo: 1, hi: 50, term: 1, size: 1000})
	mustFlush(t, s, part{uid: "a", lo: 50, hi: 60, term: 2, size: 1000})
	s.Drop("a", 80)
	for _, want := range []bool{true, false} {
		if did, err := s.Compact(); err != nil || did != want {
			t.Fatal(did, err)
		}
		s = mustOpen(t, fs)
		s.Drop("a", 80)
		if _, last := s.Bounds("a"); last != 0 {
			t.Fatalf("entries up to %d came back", last)
		}
		expect(t, s, "z", 1, 50, term(1))
	}
	if st := s.Stats(); st.Bytes > 70_000 || st.Files != 2 {
		t.Fatalf("%+v", st)
	}
	s.Drop("z", 50)
	if clean(t, s); len(segFiles(t, fs)) != 0 {
		t.Fatalf("left %v", segFiles(t, fs))
	}
}

// Reads go on while files are written, rewritten and removed.
func TestReadWhileFilesChange(t *testing.T) {
	s, _, err := Open(Config{FS: vfs.NewMem(), Dir: "seg", MaxOpen: 1})
	if err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 50, term: 1, size: 500}, part{uid: "b", lo: 1, hi: 9, term: 1})
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := s.Read(nil, "b", 1, 9, 1<<20)
				if err != nil || len(got) != 9 {
					t.Errorf("read %d entries, %v", len(got), err)
					return
				}
				if _, err := s.Read(nil, "a", 1, maxIndex, 1<<20); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for k := range ra.Index(30) {
		mustFlush(t, s, part{uid: "a", lo: 51 + 50*k, hi: 100 + 50*k, term: 2, size: 500})
		s.Drop("a", 45+50*k)
		if _, err := s.Compact(); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}

// The same on a real disk.
func TestOnDisk(t *testing.T) {
	fs, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 300, term: 1, size: 500}, part{uid: "b", lo: 1, hi: 9, term: 1, size: 5000})
	s.Drop("a", 290)
	if did, err := s.Compact(); err != nil || !did {
		t.Fatal(did, err)
	}
	for range 2 {
		expect(t, s, "b", 1, 9, term(1))
		expect(t, s, "a", 291, 300, term(1))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, fs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// I9: a file that makes entries void is needed as long as an older one has such an entry at the floor or above: at a start
// the snapshot is compared with the entry at its own index.
func TestNeededAtTheFloor(t *testing.T) {
	for floor, want := range map[ra.Index]bool{0: true, 7: true, 8: true, 9: true, 10: false} {
		m := &member{rows: []row{
			{file: 1, gen: 1, cut: 6, first: 8, term: 3, count: 2},
			{file: 2, gen: 2, cut: 8},
		}, floor: floor}
		m.settle()
		if got := m.needed(); got[1] != want {
			t.Errorf("floor %d: needed are %v", floor, got)
		}
	}
}
