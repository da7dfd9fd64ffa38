package snapshot

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var errSector = errors.New("the disk cannot read this sector")

// badSector is a file system that cannot read one block of one file, for a number of times; without a name, of all files.
type badSector struct {
	vfs.FS
	name  string
	block int64
	times int
}

func (b *badSector) Open(name string, mode vfs.Mode) (vfs.File, error) {
	f, err := b.FS.Open(name, mode)
	if err != nil || b.name != "" && name != b.name {
		return f, err
	}
	return &badFile{f, b}, nil
}

type badFile struct {
	vfs.File
	on *badSector
}

func (f *badFile) ReadAt(b []byte, off int64) (int, error) {
	lo := f.on.block * vfs.BlockSize
	if f.on.times > 0 && (f.on.name == "" || off < lo+vfs.BlockSize && off+int64(len(b)) > lo) {
		f.on.times--
		return 0, errSector
	}
	return f.File.ReadAt(b, off)
}

func mustTake(t *testing.T, s *Store, uid ra.UID, index ra.Index, size int) {
	t.Helper()
	if err := take(s, uid, index, size); err != nil {
		t.Fatal(err)
	}
}

// I11, I21: a block of a snapshot that the disk cannot read is damage of that member; others do not notice. One that is
// read at the second try is sound, and a disk that reads nothing is no damage.
func TestUnreadableBlock(t *testing.T) {
	const always = 1 << 30
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
			bad := &badSector{FS: fs, block: test.block, times: test.times}
			if test.one {
				bad.name = "snap/" + info.id().String()
			}
			s, report, err := Open(Config{FS: bad, Dir: "snap"})
			if !test.one {
				if !errors.Is(err, errSector) {
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
	bad := &badSector{FS: fs, name: "snap/" + info.id().String()}
	s, _, err := Open(Config{FS: bad, Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check("a"); err != nil {
		t.Fatal(err)
	}
	bad.times = 1 << 30
	if err := s.Check("a"); !errors.Is(err, ra.ErrCorrupt) || !errors.Is(err, errSector) {
		t.Errorf("check: %v", err)
	}
	if err := s.Check("b"); err != nil {
		t.Errorf("the other one: %v", err)
	}
	bad.times = 1
	if err := s.Check("a"); err != nil {
		t.Errorf("once: %v", err)
	}
}
