package segment

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// SEG-01: small ranges share a file, a large one has its own; all is there after a restart.
func TestFlushSharesFiles(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	refs := mustFlush(t, s,
		part{uid: "a", lo: 1, hi: 3, term: 1}, part{uid: "b", lo: 1, hi: 200, term: 2, size: 1000}, part{uid: "c", lo: 5, hi: 9, term: 3})
	if len(refs) != 3 || len(segFiles(t, fs)) != 2 {
		t.Fatalf("%d refs, files %v", len(refs), segFiles(t, fs))
	}
	for range 2 {
		expect(t, s, "a", 1, 3, term(1))
		expect(t, s, "b", 1, 200, term(2))
		expect(t, s, "c", 5, 9, term(3))
		if got := s.UIDs(); !slices.Equal(got, []ra.UID{"a", "b", "c"}) {
			t.Fatalf("members %v", got)
		}
		s = mustOpen(t, fs)
	}
}

// A number of large ranges beyond MaxOwn goes into the shared file.
func TestFlushBoundsOwnFiles(t *testing.T) {
	fs := vfs.NewMem()
	s, _, err := Open(Config{FS: fs, Dir: "seg", OwnFile: 1000, MaxOwn: 3})
	if err != nil {
		t.Fatal(err)
	}
	var parts []part
	for i := range 10 {
		parts = append(parts, part{uid: ra.UID(fmt.Sprint("u", i)), lo: 1, hi: 50, term: 1, size: 100})
	}
	mustFlush(t, s, parts...)
	if n := len(segFiles(t, fs)); n != 4 {
		t.Fatalf("%d files, want 3 and a shared one", n)
	}
	for _, p := range parts {
		expect(t, s, p.uid, 1, 50, term(1))
	}
}

// Long ranges are cut into blocks, each of one term.
func TestFlushCutsBlocks(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	termOf := func(i ra.Index) ra.Term { return ra.Term(1 + i/1000) }
	r := Range{UID: "a", Entries: func(yield func(ra.Entry) bool) {
		for i := ra.Index(1); i <= maxBlockEntries+10_000; i++ {
			if !yield(entry("a", i, termOf(i), 0)) {
				return
			}
		}
	}}
	if _, err := s.Flush(func(yield func(Range) bool) { yield(r) }); err != nil {
		t.Fatal(err)
	}
	expect(t, s, "a", 1, maxBlockEntries+10_000, termOf)
	runs := s.Runs("a")
	if len(runs) != (maxBlockEntries+10_000)/1000+1 || runs[1] != (Run{First: 1000, Last: 1999, Term: 2}) {
		t.Fatalf("%d runs, second is %+v", len(runs), runs[1])
	}
}

func TestFlushRefusesDisorder(t *testing.T) {
	gap := Range{UID: "a", Entries: slices.Values([]ra.Entry{entry("a", 1, 1, 0), entry("a", 3, 1, 0)})}
	bare := Range{UID: "a", Entries: slices.Values([]ra.Entry{{Index: 1, Term: 1}})}
	low := Range{UID: "a", Cut: 5, Entries: slices.Values([]ra.Entry{entry("a", 4, 1, 0)})}
	for name, rs := range map[string][]Range{
		"gap": {gap}, "no body": {bare}, "below cut": {low}, "no uid": {{}}, "uids": {{UID: "b", Cut: 1}, {UID: "a", Cut: 1}},
		"same uid": {{UID: "b", Cut: 1}, {UID: "b", Cut: 1}},
	} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		if _, err := s.Flush(slices.Values(rs)); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", name, err)
		}
		if names, _ := fs.List("seg"); len(names) != 0 {
			t.Errorf("%s: left %v", name, names)
		}
	}
}

// SEG-02, SEG-06: what is appended at an index replaces all from there on, also in older files.
func TestLaterFlushWins(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 100, term: 1})
	mustFlush(t, s, part{uid: "a", lo: 50, hi: 60, term: 2})
	termOf := func(i ra.Index) ra.Term {
		if i < 50 {
			return 1
		}
		return 2
	}
	for range 2 {
		expect(t, s, "a", 1, 60, termOf)
		if _, ok := s.Term("a", 61); ok {
			t.Fatal("entry 61 came back")
		}
		s = mustOpen(t, fs)
	}
}

// A truncation hides at once, is forgotten by a restart, and lasts once it is noted.
func TestTruncate(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 100, term: 1})
	s.Truncate("a", 50)
	expect(t, s, "a", 1, 49, term(1))
	expect(t, mustOpen(t, fs), "a", 1, 100, term(1))
	mustFlush(t, s, part{uid: "a", cut: 50})
	expect(t, s, "a", 1, 49, term(1))
	mustFlush(t, s, part{uid: "a", lo: 50, hi: 55, term: 1})
	expect(t, s, "a", 1, 55, term(1))
	expect(t, mustOpen(t, fs), "a", 1, 55, term(1))
}

// Nothing is removed for a truncation that no file notes: the order may be lost in a crash, and the entries are needed then.
func TestTruncateRemovesNothing(t *testing.T) { // I9
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 50, term: 1})
	mustFlush(t, s, part{uid: "a", lo: 51, hi: 100, term: 1})
	s.Truncate("a", 1)
	if n := clean(t, s); n != 0 {
		t.Fatalf("removed %d files", n)
	}
	expect(t, mustOpen(t, fs), "a", 1, 100, term(1))
}

// A flush that begins above a truncation because a snapshot covers what is between shows again.
func TestTruncateBelowFloor(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 100, term: 1})
	s.Truncate("a", 50)
	s.Drop("a", 55)
	mustFlush(t, s, part{uid: "a", lo: 56, hi: 60, term: 2})
	expect(t, s, "a", 56, 60, term(2))
}

// COMP-01, SEG-01: a shared file goes when nothing in it is needed, entries below the snapshot are not flushed.
func TestDropAndClean(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 10, term: 1}, part{uid: "b", lo: 1, hi: 10, term: 1})
	s.Drop("a", 10)
	if n := clean(t, s); n != 0 {
		t.Fatalf("removed %d files that b needs", n)
	}
	if got, err := s.Read(nil, "a", 1, 10, 1000); len(got) != 0 || err != nil {
		t.Fatalf("dropped entries: %d, %v", len(got), err)
	}
	expect(t, s, "b", 1, 10, term(1))
	s.Drop("b", 5)
	expect(t, s, "b", 6, 10, term(1))
	mustFlush(t, s, part{uid: "b", lo: 4, hi: 8, term: 2})
	expect(t, s, "b", 6, 8, term(2))
	if n := clean(t, s); n != 1 || len(segFiles(t, fs)) != 1 {
		t.Fatalf("removed %d, left %v", n, segFiles(t, fs))
	}
	expect(t, mustOpen(t, fs), "b", 6, 8, term(2))
}

// A file that holds others down goes after them: otherwise their entries would come back.
func TestCleanOrder(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 100, term: 1}, part{uid: "z", lo: 1, hi: 1, term: 1})
	mustFlush(t, s, part{uid: "a", lo: 50, hi: 60, term: 2})
	s.Drop("a", 80)
	if n := clean(t, s); n != 0 {
		t.Fatalf("removed %d files; the second makes void what z keeps alive in the first", n)
	}
	s.Forget("z")
	if n := clean(t, s); n != 2 || len(segFiles(t, fs)) != 0 {
		t.Fatalf("removed %d, left %v", n, segFiles(t, fs))
	}
	if st := s.Stats(); st.Members != 0 || st.Files != 0 {
		t.Fatalf("remembers %+v", st)
	}
}

// I12: a deletion that is noted holds after a restart, as long as there is anything to hold down.
func TestForgetIsNoted(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 10, term: 1}, part{uid: "b", lo: 1, hi: 10, term: 1})
	s.Forget("a")
	mustFlush(t, s, part{uid: "a", cut: 1})
	clean(t, s)
	s = mustOpen(t, fs)
	if got := s.UIDs(); !slices.Equal(got, []ra.UID{"b"}) {
		t.Fatalf("members %v", got)
	}
	s.Forget("a")
	s.Drop("b", 10)
	clean(t, s)
	if left := segFiles(t, fs); len(left) != 0 {
		t.Fatalf("left %v", left)
	}
}

// COMP-03: sparse files become one; terms, overwritten tails and later removals stay right.
func TestCompact(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	const size = 300
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 100, term: 1, size: size}, part{uid: "b", lo: 1, hi: 5, term: 1, size: size})
	mustFlush(t, s, part{uid: "a", lo: 50, hi: 150, term: 2, size: size}, part{uid: "b", lo: 6, hi: 9, term: 2, size: size})
	mustFlush(t, s, part{uid: "a", lo: 151, hi: 200, term: 3, size: size})
	s.Drop("a", 140)
	termOf := func(i ra.Index) ra.Term {
		if i <= 150 {
			return 2
		}
		return 3
	}
	did, err := s.Compact()
	if err != nil || !did {
		t.Fatal(did, err)
	}
	if left := segFiles(t, fs); len(left) != 2 {
		t.Fatalf("files %v", left)
	}
	for range 2 {
		s.Drop("a", 140)
		expect(t, s, "a", 141, 200, termOf)
		expect(t, s, "b", 1, 9, func(i ra.Index) ra.Term { return 1 + ra.Term(i/6) })
		if did, err := s.Compact(); did || err != nil {
			t.Fatalf("compacts again: %v %v", did, err)
		}
		s = mustOpen(t, fs)
	}
}

func TestReadBounds(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 2000, term: 1, size: 100})
	body := len(entry("a", 5, 1, 100).Body)
	first := 0 // the bodies of the first 1,500
	for i := ra.Index(1); i <= 1500; i++ {
		first += len(entry("a", i, 1, 100).Body)
	}
	for _, c := range []struct{ lo, hi, bytes, want int }{
		{5, 10, 1 << 20, 6}, {5, 10, 0, 1}, {5, 10, body * 3, 3}, {5, 10, body*3 - 1, 2}, {1990, 3000, 1 << 20, 11},
		{2001, 2005, 100, 0}, {7, 6, 100, 0}, {1, 2000, 1 << 30, 2000}, {1, 2000, first, 1500}, {1, 2000, first - 1, 1499}, {0, 5, 100, 0},
	} {
		got, err := s.Read(nil, "a", ra.Index(c.lo), ra.Index(c.hi), c.bytes)
		if err != nil || len(got) != c.want {
			t.Errorf("read %+v: %d entries, %v", c, len(got), err)
		}
	}
	if got, err := s.Read(nil, "nobody", 1, 10, 100); len(got) != 0 || err != nil {
		t.Errorf("unknown member: %d, %v", len(got), err)
	}
}

// Entries larger than what is read at once are read all the same, bounded by what is asked for.
func TestReadLargeEntries(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 4, term: 1, size: 3 << 20})
	body := len(entry("a", 1, 1, 3<<20).Body)
	for _, c := range []struct{ bytes, want int }{{0, 1}, {body, 1}, {2*body - 1, 1}, {2 * body, 2}, {1 << 30, 4}} {
		got, err := s.Read(nil, "a", 1, 4, c.bytes)
		if err != nil || len(got) != c.want {
			t.Errorf("read of %d bytes: %d entries, %v", c.bytes, len(got), err)
		}
	}
}

// Open files are bounded.
func TestOpenFilesAreBounded(t *testing.T) {
	s, _, err := Open(Config{FS: vfs.NewMem(), Dir: "seg", MaxOpen: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		mustFlush(t, s, part{uid: "a", lo: ra.Index(i*10 + 1), hi: ra.Index(i*10 + 10), term: 1})
	}
	expect(t, s, "a", 1, 100, term(1))
	if n := s.Stats().Open; n != 2 {
		t.Fatalf("%d files open", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Open; n != 0 {
		t.Fatalf("%d files open after Close", n)
	}
}

// Unknown names go to quarantine, half-made files go away.
func TestOpenTidies(t *testing.T) {
	fs := vfs.NewMem()
	mustOpen(t, fs)
	for _, name := range []string{"0000000000000007.seg.tmp", "17.seg", "x", "0000000000000003.seg.tmp.tmp"} {
		if _, err := fs.Create(filePath(name), vfs.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	_, report, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Quarantined) != 3 || len(report.Lost) != 0 {
		t.Fatalf("%+v", report)
	}
	names, _ := fs.List("seg/quarantine")
	if len(names) != 3 {
		t.Fatalf("quarantine has %v", names)
	}
	mustOpen(t, fs)
}

func TestConfigIsChecked(t *testing.T) {
	for _, c := range []Config{{}, {FS: vfs.NewMem(), MaxOpen: -1}, {FS: vfs.NewMem(), OwnFile: -1}, {FS: vfs.NewMem(), MaxOwn: -1}} {
		if _, _, err := Open(c); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}

// TestBytes measures what members have here: whole blocks exactly, parts of blocks by their share.
func TestBytes(t *testing.T) {
	s := mustOpen(t, vfs.NewMem())
	mustFlush(t, s, part{uid: "a", lo: 1, hi: 10, term: 1, size: 100}, part{uid: "b", lo: 1, hi: 4, term: 1, size: 50})
	mustFlush(t, s, part{uid: "a", lo: 11, hi: 20, term: 2, size: 200})
	per := func(size int) int64 { return int64(size + ra.MinHeaderLen) }
	check := func(what string, lo, hi ra.Index, want int64) {
		t.Helper()
		if got := s.Bytes("a", lo, hi); got != want {
			t.Errorf("%s: entries %d to %d have %d bytes, want %d", what, lo, hi, got, want)
		}
	}
	check("all", 1, 100, 10*per(100)+10*per(200))
	check("second block", 11, 20, 10*per(200))
	check("parts", 6, 15, 5*per(100)+5*per(200))
	check("nothing", 21, 30, 0)
	check("no range", 5, 4, 0)
	s.Drop("a", 5)
	check("dropped", 1, 10, 5*per(100))
	s.Truncate("a", 11)
	check("truncated", 1, 100, 5*per(100))
	if got := s.Bytes("c", 1, 10); got != 0 {
		t.Errorf("a stranger has %d bytes", got)
	}
}
