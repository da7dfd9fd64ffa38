package segment

import (
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// inspected returns the length of the only file of a set, and where its table and its indexes are.
func inspected(t *testing.T, fs *vfs.Mem) (int64, *super, []tableRow) {
	t.Helper()
	f, err := fs.Open(filePath(fileName(1)), vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b, err := readPart(f, 0, superSize)
	if err != nil {
		t.Fatal(err)
	}
	s, err := decodeSuper(b, 1)
	if err != nil {
		t.Fatal(err)
	}
	found, err := inspect(f, 1)
	if err != nil {
		t.Fatal(err)
	}
	return size, &s, found.rows
}

// I11: what Open finds damaged it says, of exactly the member whose it is; a copy of what stands twice costs nobody
// anything. Either way the file goes to quarantine when nothing of it is needed any more.
func TestReportOfFlips(t *testing.T) {
	size, s, rows := inspected(t, victims(t))
	for what, at := range map[string]int64{
		"nothing": -1, "first superblock": 20, "second superblock": size - superSize + 20,
		"first table": int64(s.tableA) + 20, "second table": int64(s.tableB) + 20, "index": int64(rows[1].index) + 1,
	} {
		fs := victims(t)
		if at >= 0 {
			fs.Flip(filePath(fileName(1)), at, 1)
		}
		set, report, err := Open(Config{FS: fs, Dir: "seg"})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var damaged []DamagedRange
		var degraded, kept []string
		switch {
		case what == "index":
			damaged = []DamagedRange{{UID: rows[1].uid, First: 7, Last: 9, File: 1}}
		case at >= 0:
			degraded = []string{fileName(1)}
		}
		if !slices.Equal(report.Damaged, damaged) || !slices.Equal(report.Degraded, degraded) || len(report.Lost)+len(report.Quarantined) > 0 {
			t.Errorf("%s: %+v", what, report)
		}
		if got := hurt(t, set); len(got) != len(damaged) {
			t.Errorf("%s hurts %v", what, got)
		}
		for uid, x := range victimRanges {
			set.Drop(uid, x[1])
		}
		if clean(t, set) != 1 {
			t.Errorf("%s: the file is still there", what)
		}
		if at >= 0 {
			kept = []string{fileName(1)}
		}
		if got, _ := fs.List("seg/quarantine"); !slices.Equal(got, kept) { // it need not be there
			t.Errorf("%s: in quarantine is %v", what, got)
		}
	}
}

// I11: a file of which nothing can be read is told as lost, and that it goes to quarantine.
func TestReportOfLostFile(t *testing.T) {
	fs := victims(t)
	name := fileName(1)
	fs.Cut(filePath(name), 10)
	set, report, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil || !slices.Equal(lostNames(report), []string{name}) || !slices.Equal(report.Quarantined, []string{name}) {
		t.Fatalf("%+v, %v", report, err)
	}
	if got := set.UIDs(); len(got) > 0 {
		t.Errorf("members %v", got)
	}
}

// I9: files that are written after a start have new numbers, whichever those are that are there.
func TestNumbersGoOn(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	for lo := ra.Index(1); lo <= 21; lo += 10 {
		mustFlush(t, s, part{uid: "a", lo: lo, hi: lo + 9, term: 1})
	}
	for start := range ra.Index(3) {
		s = mustOpen(t, fs)
		lo := 31 + 10*start
		mustFlush(t, s, part{uid: "a", lo: lo, hi: lo + 9, term: 1})
		expect(t, s, "a", 1, lo+9, term(1))
		if got := len(segFiles(t, fs)); got != 4+int(start) {
			t.Fatalf("start %d: %d files", start, got)
		}
	}
	expect(t, mustOpen(t, fs), "a", 1, 60, term(1))
}

// I11: a directory that is none of a set's goes to quarantine as a whole.
func TestStrayDirectory(t *testing.T) {
	fs, err := vfs.OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if err := fs.MkdirAll("seg/copies/old"); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"copies"}, nil} {
		_, report, err := Open(Config{FS: fs, Dir: "seg"})
		if err != nil || !slices.Equal(report.Quarantined, want) {
			t.Errorf("%+v, want %v in quarantine; %v", report, want, err)
		}
	}
	if got, err := fs.List("seg/quarantine/copies"); err != nil || !slices.Equal(got, []string{"old/"}) {
		t.Errorf("%v, %v", got, err)
	}
}
