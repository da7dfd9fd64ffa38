package segment

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// empty leaves nothing of a file but its name.
func empty(_ testing.TB, fs *vfs.Mem, name string) { fs.Cut(filePath(name), 0) }

// take removes a file for good.
func take(t testing.TB, fs *vfs.Mem, name string) {
	t.Helper()
	if err := errors.Join(fs.Remove(filePath(name)), fs.SyncDir("seg")); err != nil {
		t.Fatal(err)
	}
}

// put writes a file of the set's directory, in the place of one that may be there.
func put(t testing.TB, fs vfs.FS, name string, content []byte) {
	t.Helper()
	_ = fs.Remove(filePath(name)) // it need not be there
	f, err := fs.Create(filePath(name), vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close(), fs.SyncDir("seg")); err != nil {
		t.Fatal(err)
	}
}

// content returns what is in a file of the set's directory.
func content(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(filePath(name), vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := readWhole(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// called is a set of four files: a and b begin in the first, b goes on in the second, where c is alone with what nobody
// needs any more; in the third a replaces its end; the fourth is d's own.
func called(t testing.TB) *vfs.Mem {
	t.Helper()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 9, term: 1}, part{uid: "b", lo: 1, hi: 5, term: 1})
	mustFlush(t, s, part{uid: "b", lo: 6, hi: 9, term: 1}, part{uid: "c", lo: 1, hi: 3, term: 1})
	mustFlush(t, s, part{uid: "a", lo: 5, hi: 6, term: 2})
	mustFlush(t, s, part{uid: "d", lo: 1, hi: 40, term: 3})
	s.Drop("c", 3)
	clean(t, s)
	return fs
}

// tidy checks that the roster names the files that are there and no others, all of them as there for good.
func tidy(t testing.TB, fs *vfs.Mem) {
	t.Helper()
	r, err := decodeRoster(content(t, fs, rosterName))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range r.files {
		names = append(names, fileName(r.files[i].number))
		if r.files[i].loose {
			t.Errorf("%s is loose", names[i])
		}
	}
	if files := segFiles(t, fs); !slices.Equal(names, files) {
		t.Errorf("the roster names %v, there are %v", names, files)
	}
}

func copied(fs *vfs.Mem) *vfs.Mem { return fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1))) }

// I11: whose a lost file was the roster tells, whether the file cannot be read or is gone: those who needed something there,
// and those to whom something may have come back. The first Clean has made an end of that.
func TestRosterNamesTheConcerned(t *testing.T) {
	for number, want := range map[uint64]struct{ members, revived []ra.UID }{
		1: {members: []ra.UID{"a", "b"}}, 2: {members: []ra.UID{"b"}},
		3: {members: []ra.UID{"a"}, revived: []ra.UID{"a"}}, 4: {members: []ra.UID{"d"}},
	} {
		for how, lose := range map[string]func(testing.TB, *vfs.Mem, string){"emptied": empty, "removed": take} {
			fs := called(t)
			lose(t, fs, fileName(number))
			for again := range 2 {
				_, report, err := Open(Config{FS: fs, Dir: "seg"})
				if err != nil || len(report.Lost) != 1 {
					t.Fatalf("file %d %s: %+v, %v", number, how, report, err)
				}
				l := report.Lost[0]
				if l.Name != fileName(number) || l.Missing != (how == "removed") || !l.Known ||
					!slices.Equal(l.Members, want.members) || !slices.Equal(l.Revived, want.revived) {
					t.Errorf("file %d %s, open %d: %+v", number, how, again, l)
				}
				for _, uid := range []ra.UID{"a", "b", "c", "d"} {
					if report.Touches(uid) != slices.Contains(want.members, uid) || report.Revives(uid) != slices.Contains(want.revived, uid) {
						t.Errorf("file %d %s: touches %s: %v, revives: %v", number, how, uid, report.Touches(uid), report.Revives(uid))
					}
				}
			}
			s, _, err := Open(Config{FS: fs, Dir: "seg"})
			if err != nil {
				t.Fatal(err)
			}
			clean(t, s)
			tidy(t, fs)
			mustOpen(t, fs)
		}
	}
}

// I11: what a flush brings before the first Clean keeps nobody from knowing whose the lost files were.
func TestRosterCarriesTheLost(t *testing.T) {
	fs := called(t)
	empty(t, fs, fileName(1))
	take(t, fs, fileName(3))
	take(t, fs, fileName(4))
	s, _, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil {
		t.Fatal(err)
	}
	mustFlush(t, s, part{uid: "aa", lo: 1, hi: 9, term: 1}) // others have other places then
	_, report, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil || len(report.Lost) != 3 || !slices.Equal(report.Lost[0].Members, []ra.UID{"a", "b"}) ||
		report.Lost[0].Missing || !report.Lost[1].Missing || !slices.Equal(report.Lost[1].Revived, []ra.UID{"a"}) ||
		!report.Lost[2].Missing || !slices.Equal(report.Lost[2].Members, []ra.UID{"d"}) {
		t.Errorf("%+v, %v", report, err)
	}
}

// I11: a file is in the roster, with those who need it, before it counts, whether or not that can be written once more behind it.
func TestRosterKnowsWhatComes(t *testing.T) {
	mem := vfs.NewMem()
	errs := vfs.NewErrs(mem)
	s := mustOpen(t, errs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 9, term: 1})
	errs.Inject(vfs.Fault{Op: vfs.OpRename, After: 2, Times: 1}) // the roster, the file, the roster
	mustFlush(t, s, part{uid: "a", lo: 5, hi: 9, term: 2}, part{uid: "b", lo: 1, hi: 9, term: 1})
	if errs.Struck() != 1 {
		t.Fatal("the fault did not strike")
	}
	left := copied(mem)
	empty(t, left, fileName(2))
	_, report, err := Open(Config{FS: left, Dir: "seg"})
	if err != nil || len(report.Lost) != 1 || !report.Touches("b") || !report.Revives("a") || report.Revives("b") {
		t.Errorf("%+v, %v", report, err)
	}
	clean(t, s)
	tidy(t, mem)
}

// I11: a file whose name may not be durable, since that failed, is not called lost when a crash has taken the name.
func TestRosterOfNamesThatAreNotDurable(t *testing.T) {
	for what, f := range map[string]vfs.Fault{
		"directory": {Op: vfs.OpSyncDir, After: 1, Times: 1}, "second name": {Op: vfs.OpRename, After: 2, Times: 1},
	} {
		for seed := range uint64(40) {
			rng := rand.New(rand.NewPCG(seed, 9))
			mem := vfs.NewMem()
			errs := vfs.NewErrs(mem)
			s, _, err := openSmall(errs)
			if err != nil {
				t.Fatal(err)
			}
			parts := []part{{uid: "a", lo: 1, hi: 50, term: 1, size: 1000}, {uid: "b", lo: 1, hi: 9, term: 1}}
			errs.Inject(f)
			if _, err := s.Flush(ranges(parts...)); !errors.Is(err, vfs.ErrInjected) || len(segFiles(t, mem)) == 0 {
				t.Fatalf("%s: %v, files %v", what, err, segFiles(t, mem))
			}
			errs.Trace(func(vfs.Op, string) { mustOpen(t, mem.Crash(vfs.CrashSubset, rng)) })
			mustFlush(t, s, parts...)
			clean(t, s)
		}
	}
}

// I11: a roster that is missing, damaged, that of another set, or older than a file costs nobody anything by itself, and
// proves nothing: a file that is lost beside it may have been anybody's. The next Clean writes one that does.
func TestRosterOfNoUse(t *testing.T) {
	good := content(t, called(t), rosterName)
	other := vfs.NewMem()
	s := mustOpen(t, other)
	for range 4 {
		mustFlush(t, s, part{uid: "x", lo: 1, hi: 9, term: 1})
	}
	short := vfs.NewMem()
	mustFlush(t, mustOpen(t, short), part{uid: "a", lo: 1, hi: 9, term: 1}, part{uid: "b", lo: 1, hi: 5, term: 1})
	for how, b := range map[string][]byte{
		"missing": nil, "empty": {}, "cut": good[:len(good)-1], "longer": append(slices.Clone(good), 0),
		"garbled": append(slices.Clone(good[:len(good)-3]), 9, 9, 9), "zero": make([]byte, len(good)),
		"another set's": content(t, other, rosterName), "older": content(t, short, rosterName),
	} {
		for _, lose := range []bool{false, true} {
			fs := called(t)
			if take(t, fs, rosterName); b != nil {
				put(t, fs, rosterName, b)
			}
			if lose {
				empty(t, fs, fileName(4))
			}
			s, report, err := Open(Config{FS: fs, Dir: "seg"})
			if err != nil {
				t.Fatalf("%s: %v", how, err)
			}
			if slices.Contains(report.Quarantined, rosterName) != (b != nil) {
				t.Errorf("%s: in quarantine is %v", how, report.Quarantined)
			}
			if len(report.Lost) > 0 != lose || lose && (report.Lost[0].Known || !report.Touches("zz") || !report.Revives("a")) {
				t.Errorf("%s, a file lost: %v: %+v", how, lose, report.Lost)
			}
			expect(t, s, "a", 1, 6, func(i ra.Index) ra.Term { return 1 + ra.Term(i/5) })
			clean(t, s)
			mustOpen(t, fs)
			empty(t, fs, fileName(1))
			if _, report, err := Open(Config{FS: fs, Dir: "seg"}); err != nil || len(report.Lost) != 1 || !report.Lost[0].Known {
				t.Errorf("%s: there is no new roster: %+v, %v", how, report, err)
			}
		}
	}
}

// I11: an older roster that nothing contradicts, since files have only gone, calls these lost. Nothing revives for that.
func TestRosterFromBeforeAFileWent(t *testing.T) {
	fs := called(t)
	old := content(t, fs, rosterName)
	s := mustOpen(t, fs)
	s.Drop("c", 3)
	s.Drop("d", 40)
	clean(t, s)
	put(t, fs, rosterName, old)
	_, report, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil || !slices.Equal(lostNames(report), []string{fileName(4)}) || !report.Touches("d") || report.Touches("a") || report.Revives("d") {
		t.Errorf("%+v, %v", report, err)
	}
}

// I21: a roster of a later format is left alone, and so is everything else.
func TestUnknownRosterVersion(t *testing.T) {
	fs := called(t)
	b := content(t, fs, rosterName)
	b[12]++
	crc := ra.Checksum(b[12:])
	b[8], b[9], b[10], b[11] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	put(t, fs, rosterName, b)
	put(t, fs, "stranger", nil)
	before, _ := fs.List("seg")
	if _, _, err := Open(Config{FS: fs, Dir: "seg"}); !errors.Is(err, ErrVersion) {
		t.Errorf("opened: %v", err)
	}
	if after, _ := fs.List("seg"); !slices.Equal(after, before) {
		t.Errorf("%v became %v", before, after)
	}
}

// I11: what the disk cannot read of a roster is damage like any other. A disk that can read nothing is no damage of a roster.
func TestUnreadableRoster(t *testing.T) {
	fs := called(t)
	for op, pattern := range map[vfs.Op]string{vfs.OpRead: "*" + rosterName, vfs.OpSize: "*" + rosterName} {
		left := copied(fs)
		bad := vfs.NewErrs(left)
		bad.Inject(vfs.Fault{Op: op, Name: pattern})
		_, report, err := Open(Config{FS: bad, Dir: "seg"})
		if err != nil || !slices.Equal(report.Quarantined, []string{rosterName}) {
			t.Errorf("%s: %+v, %v", op, report, err)
		}
	}
	dead := vfs.NewErrs(fs)
	dead.Inject(vfs.Fault{Op: vfs.OpRead})
	if _, _, err := Open(Config{FS: dead, Dir: "seg"}); !errors.Is(err, vfs.ErrInjected) {
		t.Errorf("a disk that reads nothing: %v", err)
	}
	mustOpen(t, fs)
}

// I21: on a full disk files come and go without a roster, and there is one again when there is room.
func TestRosterOnFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	errs := vfs.NewErrs(mem)
	s := mustOpen(t, errs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 9, term: 1})
	mustFlush(t, s, part{uid: "b", lo: 1, hi: 9, term: 1})
	mem.SetCapacity(mem.Used())
	s.Drop("a", 9)
	rng := rand.New(rand.NewPCG(1, 9))
	errs.Trace(func(vfs.Op, string) {
		for range 20 {
			mustOpen(t, mem.Crash(vfs.CrashSubset, rng))
		}
	})
	if n := clean(t, s); n != 1 {
		t.Fatalf("removed %d files", n)
	}
	errs.Trace(nil)
	mustOpen(t, copied(mem))
	mem.SetCapacity(0)
	mustFlush(t, s, part{uid: "c", lo: 1, hi: 9, term: 1})
	take(t, mem, fileName(2))
	_, report, err := Open(Config{FS: mem, Dir: "seg"})
	if err != nil || len(report.Lost) != 1 || !slices.Equal(report.Lost[0].Members, []ra.UID{"b"}) {
		t.Errorf("%+v, %v", report, err)
	}
}

// The roster of many members stays small, and is not written again when nothing has changed.
func TestRosterIsSmall(t *testing.T) {
	mem := vfs.NewMem()
	errs := vfs.NewErrs(mem)
	s := mustOpen(t, errs)
	const members, files = 300, 40
	for k := range ra.Index(files) {
		var parts []part
		for i := range members {
			parts = append(parts, part{uid: ra.UID(fmt.Sprintf("%04d-abcdefgh", i)), lo: 2*k + 1, hi: 2*k + 2, term: 1})
		}
		mustFlush(t, s, parts...)
	}
	if n := len(content(t, mem, rosterName)); n > members*14+files*(rosterRow+members/8+5)+rosterHead {
		t.Errorf("the roster has %d bytes", n)
	}
	errs.Trace(func(op vfs.Op, name string) {
		if op.Changes() {
			t.Errorf("%s %s", op, name)
		}
	})
	clean(t, s)
}

// I9, I11: wherever a crash comes, if a file is lost then it is known whose it was: others have all that is theirs, and those
// whose it was have nothing that is not, unless it is said that something may have come back.
func loseOne(t *testing.T, left *vfs.Mem, st *step, rng *rand.Rand) error {
	files := segFiles(t, left)
	if len(files) == 0 {
		return nil
	}
	name, gone := files[rng.IntN(len(files))], rng.IntN(2) == 0
	if left = copied(left); gone {
		take(t, left, name)
	} else {
		empty(t, left, name)
	}
	s, report, err := openSmall(left)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(report.Lost, func(l LostFile) bool { return !l.Known || l.Name != name }) || len(report.Lost) == 0 && !gone {
		return fmt.Errorf("%s is lost (removed: %v), known is %+v", name, gone, report.Lost)
	}
	for uid, floor := range st.after.floor {
		s.Drop(uid, floor)
	}
	for uid := range st.after.terms {
		if err := spared(s, report, st, uid); err != nil {
			return fmt.Errorf("%s is lost (removed: %v, %+v): %w", name, gone, report.Lost, err)
		}
	}
	return nil
}

// spared compares what a member has with what it may have after the loss of a file.
func spared(s *Set, report *Report, st *step, uid ra.UID) error {
	one := func(w *truth) *truth {
		return &truth{terms: map[ra.UID][]ra.Term{uid: w.terms[uid]}, floor: st.after.floor}
	}
	if !report.Touches(uid) {
		return matches(s, &step{before: one(st.before), after: one(st.after)})
	}
	if report.Revives(uid) {
		return nil
	}
	var errs []error
	for _, w := range []*truth{st.before, st.after} {
		errs = append(errs, only(s.Runs(uid), uid, w.terms[uid]))
	}
	if errs[0] != nil && errs[1] != nil {
		return errors.Join(errs...)
	}
	return nil
}

// only fails if there is anything in runs that is not among terms.
func only(runs []Run, uid ra.UID, terms []ra.Term) error {
	for _, r := range runs {
		for i := r.First; i <= r.Last; i++ {
			if i >= ra.Index(len(terms)) || terms[i] != r.Term {
				return fmt.Errorf("%s: entry %d of term %d is back", uid, i, r.Term)
			}
		}
	}
	return nil
}

// The format does not change unnoticed.
func TestRosterGolden(t *testing.T) {
	golden(t, "roster1", content(t, called(t), rosterName))
}

// FuzzRoster decodes any bytes behind a sound checksum as a roster, and expects what it takes to be what it would write.
func FuzzRoster(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "roster1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	many := roster{files: []rosterFile{{number: 7, size: 1, loose: true}}}
	var some []int
	for i := range 40 {
		many.uids, some = append(many.uids, ra.UID(fmt.Sprint(i+10))), append(some, i)
	}
	many.files[0].needs, many.files[0].holds = appendPlaces(nil, some, 40), appendPlaces(nil, some[39:], 40)
	f.Add(many.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= rosterHead {
			b = slices.Clone(b)
			crc := ra.Checksum(b[12:])
			b[8], b[9], b[10], b[11] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
		}
		var r *roster
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { r, err = decodeRoster(b) })
		if err != nil {
			return
		}
		if !bytes.Equal(r.encode(), b) {
			t.Fatal("took bytes that it would not write")
		}
		for i := range r.files {
			r.named(r.files[i].needs)
			r.named(r.files[i].holds)
		}
	})
}
