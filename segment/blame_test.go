package segment

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// sick returns a set with one file, of which an entry of a is damaged, and the name of the file. Nobody has read it yet.
func sick(t *testing.T) (*vfs.Mem, *Set, string) {
	t.Helper()
	fs := vfs.NewMem()
	mustFlush(t, mustOpen(t, fs), part{uid: "a", lo: 1, hi: 5, term: 1}, part{uid: "b", lo: 1, hi: 90, term: 1, size: 500})
	name := segFiles(t, fs)[0]
	fs.Flip(filePath(name), superSize+40, 1)
	return fs, mustOpen(t, fs), name
}

// quarantined returns what is in quarantine.
func quarantined(t *testing.T, fs vfs.FS) []string {
	t.Helper()
	if names, err := fs.List("seg"); err != nil || !slices.Contains(names, vfs.Quarantine+"/") {
		return nil
	}
	names, err := fs.List("seg/" + vfs.Quarantine)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// isNoted reports whether there is a note about a file.
func isNoted(t *testing.T, fs vfs.FS, name string) bool {
	t.Helper()
	names, err := fs.List("seg")
	if err != nil {
		t.Fatal(err)
	}
	number, _ := parseName(name)
	return slices.Contains(names, noteName(number))
}

// restarted opens what a crash has left of a set that is not flushed any more.
func restarted(t *testing.T, fs *vfs.Mem) (*vfs.Mem, *Set) {
	t.Helper()
	left := fs.Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1)))
	return left, mustOpen(t, left)
}

// A file with an entry that somebody could not read goes to quarantine when nothing in it is needed any more, whoever it
// was and whyever it is not, also after restarts, at which nobody reads that entry again (I11).
func TestDamageIsRemembered(t *testing.T) {
	for found, find := range map[string]func(s *Set) error{
		"read":    func(s *Set) error { _, err := s.Read(nil, "a", 2, 5, 1000); return err },
		"copied":  func(s *Set) error { s.Drop("b", 90); _, err := s.Compact(); return err },
		"nowhere": func(s *Set) error { return nil },
	} {
		for given, up := range map[string]func(s *Set){
			"replaced":  func(s *Set) { mustFlush(t, s, part{uid: "a", lo: 1, hi: 9, term: 2}) },
			"released":  func(s *Set) { s.Drop("a", 5) },
			"deleted":   func(s *Set) { s.Forget("a") },
			"began new": func(s *Set) { mustFlush(t, s, part{uid: "a", cut: 1}) },
		} {
			fs, s, name := sick(t)
			want := isDamage(find(s))
			if want == (found == "nowhere") {
				t.Fatalf("%s: damage %v", found, want)
			}
			for range 2 {
				fs, s = restarted(t, fs)
			}
			if isNoted(t, fs, name) != want {
				t.Errorf("%s: noted %v", found, !want)
			}
			up(s)
			s.Drop("b", 90)
			clean(t, s)
			if got := quarantined(t, fs); slices.Equal(got, []string{name}) != want || !want && len(got) > 0 {
				t.Errorf("%s, %s: quarantine %v", found, given, got)
			}
			if slices.Contains(segFiles(t, fs), name) || isNoted(t, fs, name) {
				t.Errorf("%s, %s: the file or its note is still there", found, given)
			}
			mustOpen(t, fs)
		}
	}
}

// What is known to be damaged is left alone by compaction also after a restart, when the damaged entry is void.
func TestDamagedFileIsNotCompacted(t *testing.T) {
	fs, s, name := sick(t)
	if _, err := s.Read(nil, "a", 2, 5, 1000); !isDamage(err) {
		t.Fatal(err)
	}
	fs, s = restarted(t, fs)
	s.Drop("a", 5)
	s.Drop("b", 80)
	if did, err := s.Compact(); did || err != nil || !slices.Contains(segFiles(t, fs), name) {
		t.Fatalf("compacted %v, %v, left %v", did, err, segFiles(t, fs))
	}
	expect(t, s, "b", 81, 90, term(1))
}

// A note that cannot be made is made when the damage is met again, or by the next cleaning (F6).
func TestNoteIsTriedAgain(t *testing.T) {
	read := func(s *Set) { _, _ = s.Read(nil, "a", 2, 5, 1000) }
	for name, again := range map[string]func(s *Set){
		"read":  read,
		"clean": func(s *Set) { clean(t, s) },
	} {
		for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpSyncDir} {
			fs, _, file := sick(t)
			bad := vfs.NewErrs(fs)
			s := mustOpen(t, bad)
			bad.Inject(vfs.Fault{Op: op})
			read(s)
			bad.Heal()
			if left, _ := restarted(t, fs); isNoted(t, left, file) {
				t.Fatalf("%s, %s: noted all the same", name, op)
			}
			again(s)
			if left, _ := restarted(t, fs); !isNoted(t, left, file) {
				t.Errorf("%s, %s: not noted", name, op)
			}
		}
	}
}

// A note whose file is gone says nothing of a later file with that number; one whose file cannot be read at all stays with it.
func TestNoteWithoutFile(t *testing.T) {
	fs, s, name := sick(t)
	if _, err := s.Read(nil, "a", 2, 5, 1000); !isDamage(err) {
		t.Fatal(err)
	}
	bad := vfs.NewErrs(fs)
	bad.Inject(vfs.Fault{Op: vfs.OpRead, Name: name, Err: ra.ErrCorrupt})
	if _, report, err := Open(Config{FS: bad, Dir: "seg"}); err != nil || len(report.Lost) != 1 || !isNoted(t, fs, name) {
		t.Fatalf("%v, lost %v, noted %v", err, report.Lost, isNoted(t, fs, name))
	}
	if err := errors.Join(fs.Remove(filePath(name)), fs.Remove(filePath(rosterName)), fs.SyncDir("seg")); err != nil {
		t.Fatal(err)
	}
	fs, s = restarted(t, fs)
	if isNoted(t, fs, name) {
		t.Fatal("the note is still there")
	}
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 5, term: 1})
	s.Drop("a", 5)
	clean(t, s)
	if got := quarantined(t, fs); len(got) > 0 || len(segFiles(t, fs)) > 0 {
		t.Errorf("quarantine %v, files %v", got, segFiles(t, fs))
	}
}
