package segment

import (
	"bytes"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden returns the content of a file in testdata, which must be what is written today.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("what is written differs from %s", path)
	}
	return want
}

// victims is a file of three members; the middle one has two terms.
func victims(t testing.TB) *vfs.Mem {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 5, term: 1}, part{uid: "b", lo: 7, hi: 9, term: 2}, part{uid: "c", lo: 1, hi: 2, term: 4})
	return fs
}

var victimRanges = map[ra.UID][2]ra.Index{"a": {1, 5}, "b": {7, 9}, "c": {1, 2}}
var victimTerms = map[ra.UID]ra.Term{"a": 1, "b": 2, "c": 4}

// hurt returns the members of which not all can be read, and fails if anything wrong is read.
func hurt(t *testing.T, s *Set) []ra.UID {
	t.Helper()
	var out []ra.UID
	for uid, x := range victimRanges {
		got, err := s.Read(nil, uid, x[0], x[1], 1<<20)
		for k := range got {
			if err := isEntry(uid, x[0]+ra.Index(k), victimTerms[uid], &got[k]); err != nil {
				t.Fatal(err)
			}
		}
		if err != nil && (!isDamage(err) || !errors.Is(err, ra.ErrDamaged) || !errors.Is(err, ra.ErrCorrupt)) {
			t.Fatalf("%s: %v", uid, err)
		}
		if len(got) != int(x[1]-x[0]+1) {
			out = append(out, uid)
		}
	}
	slices.Sort(out)
	return out
}

// I11: a flipped bit anywhere is detected or harmless, and hurts at most the member whose bytes it is in.
func TestEveryFlip(t *testing.T) {
	fs := victims(t)
	name := filePath(segFiles(t, fs)[0])
	for off := int64(0); fs.Flip(name, off, 0); off++ {
		left := fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
		left.Flip(name, off, 1<<(off%8))
		s, report, err := Open(Config{FS: left, Dir: "seg"})
		if err != nil {
			t.Fatalf("flip at %d: %v", off, err)
		}
		if len(report.Lost) > 0 {
			t.Fatalf("flip at %d loses the file", off)
		}
		victims := hurt(t, s)
		if len(victims) > 1 {
			t.Fatalf("flip at %d hurts %v", off, victims)
		}
		for _, d := range report.Damaged {
			if !slices.Contains(victims, d.UID) {
				t.Fatalf("flip at %d: %s reported, %v hurt", off, d.UID, victims)
			}
		}
	}
}

// A file that was cut is damaged for the members that lost something, wherever it was cut; nothing wrong is read.
func TestEveryCut(t *testing.T) {
	fs := victims(t)
	name := segFiles(t, fs)[0]
	f, _ := fs.Open(filePath(name), vfs.Buffered)
	size, _ := f.Size()
	for n := range size {
		left := fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
		left.Cut(filePath(name), n)
		s, report, err := Open(Config{FS: left, Dir: "seg"})
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		lost := hurt(t, s)
		if len(report.Lost) == 0 && len(report.Damaged) == 0 && len(lost) > 0 || len(report.Lost)+len(report.Degraded) == 0 {
			t.Fatalf("cut at %d: %v lost something, reported %+v", n, lost, report)
		}
		if names, _ := left.List("seg/quarantine"); len(names) > 0 {
			t.Fatalf("cut at %d: %v is moved before anybody could note it", n, names)
		}
		if _, err := s.Clean(); err != nil {
			t.Fatal(err)
		}
		if names, _ := left.List("seg/quarantine"); !slices.Equal(lostNames(report), names) && len(report.Lost) > 0 {
			t.Fatalf("cut at %d: lost %v, quarantine %v", n, report.Lost, names)
		}
	}
}

// A damaged file is kept in quarantine when nothing in it is needed, and left alone by Compact until then.
func TestDamagedFileIsKept(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 5, term: 1}, part{uid: "b", lo: 1, hi: 90, term: 1, size: 500})
	name := segFiles(t, fs)[0]
	fs.Flip(filePath(name), superSize+40, 1)
	s = mustOpen(t, fs)
	s.Drop("b", 90)
	if _, err := s.Compact(); !isDamage(err) {
		t.Fatalf("compaction of damaged entries: %v", err)
	}
	if did, err := s.Compact(); did || err != nil {
		t.Fatal(did, err)
	}
	if _, err := s.Read(nil, "a", 2, 5, 1000); !isDamage(err) {
		t.Fatal(err)
	}
	s.Drop("a", 5)
	clean(t, s)
	names, _ := fs.List("seg/quarantine")
	if !slices.Equal(names, []string{name}) || len(segFiles(t, fs)) != 0 {
		t.Fatalf("quarantine %v", names)
	}
	mustOpen(t, fs)
}

// A later format is left alone.
func TestLaterFormat(t *testing.T) {
	fs := victims(t)
	name := segFiles(t, fs)[0]
	f, _ := fs.Open(filePath(name), vfs.Buffered)
	b, _ := readPart(f, 0, superSize)
	b[12] = formatVersion + 1
	crc := ra.Checksum(b[12:])
	b[8], b[9], b[10], b[11] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(Config{FS: fs, Dir: "seg"}); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
}

// An error of the disk while a set is opened is no damage, whether the set opens nevertheless or not.
func TestOpenErrors(t *testing.T) {
	for n := 0; ; n++ {
		mem := victims(t)
		errs := vfs.NewErrs(mem)
		errs.Inject(vfs.Fault{After: n, Times: 1})
		s, report, err := Open(Config{FS: errs, Dir: "seg"})
		errs.Heal()
		if err == nil {
			if got := hurt(t, s); len(got) > 0 || len(report.Quarantined) > 0 {
				t.Fatalf("operation %d hurts %v, in quarantine is %v", n, got, report.Quarantined)
			}
			if errs.Struck() == 0 {
				if n < 8 {
					t.Fatalf("only %d operations", n)
				}
				return
			}
			continue
		}
		if !errors.Is(err, vfs.ErrInjected) || len(segFiles(t, mem)) != 1 {
			t.Fatalf("operation %d: %v", n, err)
		}
	}
}

// The format does not change unnoticed.
func TestGolden(t *testing.T) {
	fs := victims(t)
	f, err := fs.Open(filePath(fileName(1)), vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := f.Size()
	got, err := readPart(f, 0, int(size))
	if err != nil {
		t.Fatal(err)
	}
	want := golden(t, "format2.seg", got)
	s := mustOpen(t, memWith(t, want))
	if v := hurt(t, s); len(v) > 0 {
		t.Fatalf("cannot read %v of testdata/format2.seg", v)
	}
}

func memWith(t testing.TB, content []byte) *vfs.Mem {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("seg"); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(filePath(fileName(1)), vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return fs
}
