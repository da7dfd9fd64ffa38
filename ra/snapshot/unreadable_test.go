package snapshot

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

func mustTake(t *testing.T, s *Store, uid ra.UID, index ra.Index, size int) {
	t.Helper()
	if err := take(s, uid, index, size); err != nil {
		t.Fatal(err)
	}
}

// I11, I21: a block of a snapshot that the disk cannot read is damage of that member; others do not notice. One that is
// read at the second try is sound, and a disk that reads nothing is no damage.
func TestUnreadableBlock(t *testing.T) {
	const always = 0
	for _, size := range []int{10, 60_000} {
		for _, test := range []struct {
			block int64
			times int
			one   bool
			lost  bool
		}{{0, always, true, true}, {0, 1, true, false}, {0, always, false, false}, {4, always, true, size > 10}} {
			fs := vfs.NewMem()
			s := mustOpen(t, fs)
			mustTake(t, s, "a", 5, size)
			mustTake(t, s, "b", 7, size)
			info, _ := s.Newest("a")
			bad, fault := vfs.NewErrs(fs), vfs.Fault{Op: vfs.OpRead, Times: test.times}
			if test.one {
				fault.Name, fault.From, fault.To = info.id().String(), test.block*vfs.BlockSize, (test.block+1)*vfs.BlockSize
			}
			bad.Inject(fault)
			s, report, err := Open(Config{FS: bad, Dir: "snap"})
			if !test.one {
				if !errors.Is(err, vfs.ErrInjected) {
					t.Errorf("a disk that reads nothing: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%+v: %v", test, err)
			}
			_, ok := s.Newest("a")
			if ok == test.lost || len(report.Damaged) > 0 != test.lost {
				t.Errorf("%d bytes, %+v: there %v, damaged %v", size, test, ok, report.Damaged)
			}
			if _, ok := s.Newest("b"); !ok {
				t.Errorf("%+v: the other one is gone", test)
			}
		}
	}
}

// I11: what rests on a sector that is lost is found by a check, as decay is.
func TestCheckOfUnreadableBlock(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustTake(t, s, "a", 5, 10)
	mustTake(t, s, "b", 7, 10)
	info, _ := s.Newest("a")
	bad := vfs.NewErrs(fs)
	s, _, err := Open(Config{FS: bad, Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check("a"); err != nil {
		t.Fatal(err)
	}
	sector := vfs.Fault{Op: vfs.OpRead, Name: info.id().String(), To: vfs.BlockSize}
	bad.Inject(sector)
	if err := s.Check("a"); !errors.Is(err, ra.ErrCorrupt) || !errors.Is(err, vfs.ErrInjected) {
		t.Errorf("check: %v", err)
	}
	if err := s.Check("b"); err != nil {
		t.Errorf("the other one: %v", err)
	}
	bad.Heal()
	sector.Times = 1
	bad.Inject(sector)
	if err := s.Check("a"); err != nil {
		t.Errorf("once: %v", err)
	}
}
