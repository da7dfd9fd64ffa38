package raftlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// entries returns entries of one term.
func entries(term ra.Term, lo, hi ra.Index) []ra.Entry {
	var out []ra.Entry
	for i := lo; i <= hi; i++ {
		payload := fmt.Appendf(nil, "%d/%d", i, term)
		out = append(out, ra.Seal(ra.NewBody(payload), ra.Header{Index: i, Term: term, Kind: ra.KindCommand}))
	}
	return out
}

func newSet(t testing.TB) *segment.Set {
	t.Helper()
	s, _, err := segment.Open(segment.Config{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// must do without an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// add appends entries, by the given order.
func add(t testing.TB, l *Log, seq uint64, list []ra.Entry) {
	t.Helper()
	must(t, l.Append(list))
	must(t, l.Order(&wal.Op{Seq: seq, Entries: list}))
}

// cutAt truncates, by the given order.
func cutAt(t testing.TB, l *Log, seq uint64, from ra.Index) {
	t.Helper()
	l.Truncate(from)
	must(t, l.Order(&wal.Op{Seq: seq, Truncate: from}))
}

// flush brings what a file had of the member to segments.
func flush(t testing.TB, l *Log, segs *segment.Set, s wal.Span) {
	t.Helper()
	r, err := l.Range(&s)
	must(t, err)
	_, err = segs.Flush(slices.Values([]segment.Range{r}))
	must(t, err)
	l.Flushed(&s)
}

// text returns the log above its base as "index/term ...", read entry by entry.
func text(t testing.TB, l *Log) string {
	t.Helper()
	base, _ := l.Base()
	var out []string
	for i := base + 1; i <= l.Last(); i++ {
		got, err := l.Read(nil, i, i, 0)
		if err != nil || len(got) != 1 || got[0].Index != i {
			t.Fatalf("%v: entry %d: %v, %v", l, i, got, err)
		}
		if want := fmt.Sprintf("%d/%d", i, got[0].Term); string(got[0].Payload()) != want {
			t.Fatalf("%v: entry %d is %q, want %q", l, i, got[0].Payload(), want)
		}
		out = append(out, string(got[0].Payload()))
	}
	return strings.Join(out, " ")
}

func want(t testing.TB, l *Log, text0 string) {
	t.Helper()
	if got := text(t, l); got != text0 {
		t.Fatalf("%v holds %q, want %q", l, got, text0)
	}
}

// TestFlushRacesTruncation: between the moment when the entries of a file are taken and the one when they are in a segment
// their end is overwritten. Segments get the file as it was, the log reads what counts, and the next file puts segments
// right (F23, F24).
func TestFlushRacesTruncation(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 6))
	span := wal.Span{UID: "a", First: 1, Last: 6, Seq: 2}
	r, err := l.Range(&span)
	must(t, err)
	cutAt(t, l, 3, 4)
	add(t, l, 4, entries(2, 4, 5))
	_, err = segs.Flush(slices.Values([]segment.Range{r}))
	must(t, err)
	if first, last := segs.Bounds("a"); first != 1 || last != 6 {
		t.Fatalf("segments hold %d to %d, want the whole file, 1 to 6", first, last)
	}
	want(t, l, "1/1 2/1 3/1 4/2 5/2")
	l.Flushed(&span)
	want(t, l, "1/1 2/1 3/1 4/2 5/2")
	if first := l.table.First(); first != 4 {
		t.Fatalf("the mem table begins at %d, want 4", first)
	}
	if _, last := segs.Bounds("a"); last != 3 {
		t.Fatalf("segments still show %d, which is void", last)
	}
	flush(t, l, segs, wal.Span{UID: "a", First: 4, Last: 5, Truncated: 4, Seq: 4})
	want(t, l, "1/1 2/1 3/1 4/2 5/2")
	if l.table.Len() != 0 || len(l.cuts) != 0 {
		t.Fatalf("%v: is all flushed", l)
	}
}

// TestRangeIsOfItsTime: a file gets what it held at its end, even if that was overwritten since, and even if the same
// entries came back after that. Nothing leaves the mem table that a file in between is going to make void.
func TestRangeIsOfItsTime(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 4)) // first file
	cutAt(t, l, 3, 3)              // second file
	add(t, l, 4, entries(2, 3, 3))
	cutAt(t, l, 5, 3) // third file: the old entries once more
	add(t, l, 6, entries(1, 3, 4))
	for _, file := range []struct {
		span wal.Span
		in   string // segments then
	}{
		{wal.Span{UID: "a", First: 1, Last: 4, Seq: 2}, "1/1 2/1 3/1 4/1"},
		{wal.Span{UID: "a", First: 3, Last: 3, Truncated: 3, Seq: 4}, "1/1 2/1 3/2"},
		{wal.Span{UID: "a", First: 3, Last: 4, Truncated: 3, Seq: 6}, "1/1 2/1 3/1 4/1"},
	} {
		r, err := l.Range(&file.span)
		must(t, err)
		_, err = segs.Flush(slices.Values([]segment.Range{r}))
		must(t, err)
		got, err := segs.Read(nil, "a", 1, 100, 1<<20)
		must(t, err)
		var held []string
		for _, e := range got {
			held = append(held, string(e.Payload()))
		}
		if s := strings.Join(held, " "); s != file.in {
			t.Fatalf("behind order %d segments hold %q, want %q", file.span.Seq, s, file.in)
		}
		want(t, l, "1/1 2/1 3/1 4/1")
		l.Flushed(&file.span)
		want(t, l, "1/1 2/1 3/1 4/1")
	}
	if l.table.Len() != 0 {
		t.Fatalf("%v: want an empty mem table", l)
	}
}

// TestFlushedTwice: a file whose release failed comes again. What it brought must not be made void by that.
func TestFlushedTwice(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 3))
	for range 2 {
		flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 3, Seq: 2})
		want(t, l, "1/1 2/1 3/1")
	}
	flush(t, l, segs, wal.Span{UID: "a", Seq: 7}) // a file with nothing but a vote
	want(t, l, "1/1 2/1 3/1")
}

// TestRelease: a snapshot may be ahead of segments; what it covers is gone at once, and skipped by the flush (LOG-05).
func TestRelease(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 6))
	if l.Bytes() == 0 || l.FirstSegment() != 0 {
		t.Errorf("%d bytes, first segment %d", l.Bytes(), l.FirstSegment())
	}
	l.Release(4)
	if _, err := l.Read(nil, 4, 5, 100); !errors.Is(err, ErrCompacted) {
		t.Errorf("entry 4: %v, want ErrCompacted", err)
	}
	if term, ok := l.Term(4); term != 1 || !ok {
		t.Errorf("the term of the base is %d %v, want 1", term, ok)
	}
	flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 6, Seq: 2})
	if first, last := segs.Bounds("a"); first != 5 || last != 6 || l.FirstSegment() != 5 {
		t.Errorf("segments hold %d to %d (%d), want 5 and 6", first, last, l.FirstSegment())
	}
	before := l.Bytes()
	if l.Release(5); l.Bytes() >= before || l.FirstSegment() != 6 {
		t.Errorf("%d bytes of %d are left, first segment %d", l.Bytes(), before, l.FirstSegment())
	}
	l.Release(3)
	l.Release(100) // as far as the log reaches
	if got := l.Snapshot(); got != (Position{6, 1}) || l.Last() != 6 || l.Bytes() != 0 || l.FirstSegment() != 0 {
		t.Errorf("%v, want one that ends with a snapshot at 6", l)
	}
	add(t, l, 3, entries(2, 7, 7))
	want(t, l, "7/2")
}

// TestReleaseWaitsForCuts: as long as a truncation is not in a flushed file, a crash may bring back what it removed. A
// snapshot behind it must not take away the beginning of that, or the rest would pass for what follows the snapshot.
func TestReleaseWaitsForCuts(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 8))
	flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 8, Seq: 2})
	cutAt(t, l, 3, 3)
	add(t, l, 4, entries(2, 3, 6))
	l.Release(5)
	want(t, l, "6/2")
	writer := recoveredWriter(t, entries(1, 1, 8)) // the crash came before the truncation was durable
	writer.Entries = new(memtable.Table)
	segs.Truncate("a", 100)
	again, err := Recover(writer, reopened(t, segs), Position{5, 2})
	must(t, err)
	if !again.NeedsReset() || again.Last() != 5 {
		t.Fatalf("%v: has taken entries of another history for what follows the snapshot", again)
	}
}

// reopened returns segments as they are after a restart: nothing is hidden.
func reopened(t *testing.T, segs *segment.Set) *segment.Set {
	t.Helper()
	again := newSet(t)
	got, err := segs.Read(nil, "a", 3, 8, 1<<20)
	must(t, err)
	if len(got) == 0 {
		got = entries(1, 3, 8) // hidden by the truncation, and on the disk
	}
	_, err = again.Flush(slices.Values([]segment.Range{{UID: "a", Entries: slices.Values(got)}}))
	must(t, err)
	return again
}

// recoveredWriter returns a member as a write-ahead log finds it that got the entries.
func recoveredWriter(t *testing.T, list []ra.Entry) *wal.Member {
	t.Helper()
	fs := vfs.NewMem()
	for range 2 {
		log, found, err := wal.Open(wal.Config{FS: fs, FileSize: wal.MinFileSize})
		must(t, err)
		if len(found.Members) > 0 {
			return &found.Members[0]
		}
		w, err := log.Writer("a")
		must(t, err)
		b := log.NewBatch()
		must(t, b.Append(w, &wal.Op{Seq: 1, Register: &wal.Registration{Name: "a"}, Entries: list}))
		must(t, log.Commit(b))
		must(t, log.Close())
	}
	t.Fatal("nothing was recovered")
	return nil
}

// TestRecoverDamage: what does not fit together is damage and never taken for a shorter log (I10, I11).
func TestRecoverDamage(t *testing.T) {
	inSegments := func(list ...[]ra.Entry) *segment.Set {
		s := newSet(t)
		for _, part := range list {
			_, err := s.Flush(slices.Values([]segment.Range{{UID: "a", Entries: slices.Values(part)}}))
			must(t, err)
		}
		return s
	}
	table := func(list []ra.Entry) *memtable.Table {
		m := new(memtable.Table)
		must(t, m.Append(list))
		return m
	}
	for name, c := range map[string]struct {
		segs    *segment.Set
		table   *memtable.Table
		ended   ra.Index
		snap    Position
		damaged bool
	}{
		"whole":                  {inSegments(entries(1, 1, 4)), table(entries(1, 5, 8)), 8, Position{}, false},
		"overlapping":            {inSegments(entries(1, 1, 7)), table(entries(1, 5, 8)), 8, Position{}, false},
		"gap before the table":   {inSegments(entries(1, 1, 3)), table(entries(1, 5, 8)), 8, Position{}, true},
		"gap below a snapshot":   {inSegments(entries(1, 1, 3)), table(entries(1, 5, 8)), 8, Position{4, 1}, false},
		"gap in segments":        {inSegments(entries(1, 1, 3), entries(1, 5, 8)), table(nil), 8, Position{}, true},
		"no beginning":           {inSegments(entries(1, 3, 8)), table(nil), 8, Position{}, true},
		"begins at the snapshot": {inSegments(entries(1, 3, 8)), table(nil), 8, Position{2, 1}, false},
		"end is lost":            {inSegments(entries(1, 1, 6)), table(nil), 8, Position{}, true},
		"end above a snapshot":   {inSegments(entries(1, 1, 3)), table(nil), 8, Position{5, 1}, true},
		"void end is back":       {inSegments(entries(1, 1, 8)), table(nil), 6, Position{}, true},
		"all released":           {inSegments(), table(nil), 8, Position{8, 1}, false},
		"the WAL is older":       {inSegments(entries(1, 1, 8)), table(entries(1, 2, 3)), 3, Position{5, 1}, true},
		"all of it released":     {inSegments(entries(1, 1, 8)), table(nil), 3, Position{5, 1}, true},
		"snapshot older":         {inSegments(), table(nil), 8, Position{6, 1}, true},
	} {
		m := recoveredWriter(t, entries(1, 1, c.ended))
		m.Entries = c.table
		l, err := Recover(m, c.segs, c.snap)
		switch {
		case c.damaged && !errors.Is(err, ra.ErrDamaged):
			t.Errorf("%s: %v, %v; want damage", name, l, err)
		case !c.damaged && (err != nil || l.NeedsReset() || l.Last() != 8):
			t.Errorf("%s: %v, %v; want a sound log", name, l, err)
		}
	}
	m := recoveredWriter(t, entries(1, 1, 3))
	m.Mark = wal.Mark{What: wal.DamagedLog, From: 2}
	if _, err := Recover(m, newSet(t), Position{}); !errors.Is(err, ra.ErrDamaged) {
		t.Errorf("marked by the write-ahead log: %v", err)
	}
}

// TestLostSegment: entries that the log has and segments do not are damage for the reader, not an end.
func TestLostSegment(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 6))
	flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 6, Seq: 2})
	segs.Truncate("a", 3)
	_, err := l.Read(nil, 4, 5, 100)
	if d := new(segment.DamageError); !errors.As(err, &d) || !errors.Is(err, ra.ErrDamaged) || d.First != 4 {
		t.Fatalf("entry 4: %v, want damage", err)
	}
	if got, err := l.Read(nil, 5, 4, 100); len(got) != 0 || err != nil {
		t.Fatalf("an empty range: %v, %v", got, err)
	}
}

// TestInstall puts a snapshot in place of a log, and below its end (SNX-04).
func TestInstall(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 6))
	l.Install(Position{4, 1}, true)
	want(t, l, "5/1 6/1")
	l.Install(Position{20, 3}, false)
	if l.Last() != 20 || l.Bytes() != 0 {
		t.Fatalf("%v, want an empty one at 20", l)
	}
	must(t, l.Order(&wal.Op{Seq: 3, Reset: 20}))
	add(t, l, 4, entries(3, 21, 22))
	flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 6, Seq: 2}) // a file from before
	want(t, l, "21/3 22/3")
	flush(t, l, segs, wal.Span{UID: "a", First: 21, Last: 22, Reset: 20, Seq: 4})
	want(t, l, "21/3 22/3")
	if first, _ := segs.Bounds("a"); first != 21 || l.table.Len() != 0 {
		t.Fatalf("%v: segments begin at %d, want 21", l, first)
	}
}

// TestOvertaken: a snapshot of which the log was not told is what it begins with in the next life, below its end or in place
// of all of it, as after Recover (I8).
func TestOvertaken(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	add(t, l, 2, entries(1, 1, 6))
	for _, p := range []Position{{4, 1}, {3, 1}} {
		l.Overtaken(p)
		want(t, l, "5/1 6/1")
		if l.NeedsReset() || l.Snapshot() != (Position{4, 1}) {
			t.Fatalf("%v, after a snapshot at %v", l, p)
		}
	}
	for range 2 { // the life in between did not get as far as to order
		l.Overtaken(Position{20, 3})
		if !l.NeedsReset() || l.Last() != 20 || l.Bytes() != 0 {
			t.Fatalf("%v, want an empty one at 20", l)
		}
	}
	flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 6, Seq: 2}) // a file from before
	must(t, l.Order(&wal.Op{Seq: 3, Reset: 20}))
	if l.NeedsReset() {
		t.Fatal("ordered, and still needed")
	}
	add(t, l, 4, entries(3, 21, 22))
	flush(t, l, segs, wal.Span{UID: "a", First: 21, Last: 22, Reset: 20, Seq: 4})
	want(t, l, "21/3 22/3")
}

// TestLoseBeforeFlush: when the snapshot is lost its log ends, and files that were full before are still to be flushed. They
// bring what the table had kept of them above the snapshot, and the next file takes it away (F23).
func TestLoseBeforeFlush(t *testing.T) {
	for _, at := range []ra.Index{3, 6} { // in the middle of the file, and at its end
		segs := newSet(t)
		l := New("a", segs)
		add(t, l, 2, entries(1, 1, 6))
		l.Release(at)
		l.Lose(1)
		must(t, l.Order(&wal.Op{Seq: 3, Truncate: l.NeedsCut()}))
		add(t, l, 4, entries(2, 1, 2))
		want(t, l, "1/2 2/2")
		flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 6, Seq: 2})
		want(t, l, "1/2 2/2")
		flush(t, l, segs, wal.Span{UID: "a", First: 1, Last: 2, Truncated: 1, Seq: 4})
		want(t, l, "1/2 2/2")
		if l.table.Len() != 0 || len(l.cuts) != 0 {
			t.Fatalf("%v: is all flushed", l)
		}
	}
}

// TestMisuse: the log notices what contradicts itself, and does nothing from then on.
func TestMisuse(t *testing.T) {
	for name, misuse := range map[string]func(*Log) error{
		"gap":                  func(l *Log) error { return l.Append(entries(1, 9, 9)) },
		"again":                func(l *Log) error { return l.Append(entries(1, 4, 4)) },
		"gap inside":           func(l *Log) error { return l.Append(append(entries(1, 5, 5), entries(1, 7, 7)...)) },
		"truncate compacted":   func(l *Log) error { l.Truncate(2); return l.Append(entries(1, 5, 5)) },
		"snapshot of the past": func(l *Log) error { l.Install(Position{1, 1}, false); return l.Append(entries(1, 5, 5)) },
		"keeps another's end":  func(l *Log) error { l.Install(Position{3, 2}, true); return l.Append(entries(1, 5, 5)) },
		"unheard order":        func(l *Log) error { return l.Order(&wal.Op{Seq: 3, Truncate: 4}) },
		"unheard reset":        func(l *Log) error { return l.Order(&wal.Op{Seq: 3, Reset: 4}) },
		"other order": func(l *Log) error {
			l.Truncate(4)
			return l.Order(&wal.Op{Seq: 3, Truncate: 3})
		},
		"order not told": func(l *Log) error {
			_, err := l.Range(&wal.Span{UID: "a", First: 1, Last: 4, Seq: 3})
			return err
		},
		"entries not known": func(l *Log) error {
			_, err := l.Range(&wal.Span{UID: "a", First: 1, Last: 5, Seq: 2})
			return err
		},
		"entries not known, all are lost": func(l *Log) error {
			l.Lose(1)
			_, err := l.Range(&wal.Span{UID: "a", First: 1, Last: 5, Seq: 2})
			return err
		},
	} {
		l := New("a", newSet(t))
		add(t, l, 2, entries(1, 1, 4))
		l.Release(2)
		if err := misuse(l); !errors.Is(err, ErrOutOfStep) {
			t.Errorf("%s: %v, want ErrOutOfStep", name, err)
		}
		_, readErr := l.Read(nil, 3, 3, 0)
		_, rangeErr := l.Range(&wal.Span{UID: "a", First: 1, Last: 4, Seq: 2})
		if err := l.Append(entries(1, 5, 5)); !errors.Is(err, ErrOutOfStep) || readErr == nil || rangeErr == nil {
			t.Errorf("%s: goes on afterwards: %v, %v, %v", name, err, readErr, rangeErr)
		}
	}
}

// TestOrderAgain: an order that found no room comes again, and a cut is numbered once.
func TestOrderAgain(t *testing.T) {
	l := New("a", newSet(t))
	add(t, l, 2, entries(1, 1, 4))
	l.Truncate(3)
	l.Truncate(2) // the orders of both wait for room
	for range 2 {
		must(t, l.Order(&wal.Op{Seq: 3, Truncate: 3}))
	}
	must(t, l.Order(&wal.Op{Seq: 4, Truncate: 2}))
	must(t, l.Order(&wal.Op{Applied: 1}))
	if l.cuts[0].seq != 3 || l.cuts[1].seq != 4 {
		t.Fatalf("cuts are numbered %d and %d, want 3 and 4", l.cuts[0].seq, l.cuts[1].seq)
	}
}

// TestConcurrentUse appends, truncates and reads while another goroutine flushes (for the race detector).
func TestConcurrentUse(t *testing.T) {
	segs := newSet(t)
	l := New("a", segs)
	files := make(chan wal.Span, 64)
	var writer sync.WaitGroup
	writer.Go(func() {
		for s := range files {
			r, err := l.Range(&s)
			if err == nil {
				_, err = segs.Flush(slices.Values([]segment.Range{r}))
			}
			if err != nil {
				t.Errorf("flush of %+v: %v", s, err)
			}
			l.Flushed(&s)
		}
	})
	seq, term := uint64(1), ra.Term(0)
	for round := range ra.Index(60) {
		first := l.Last() + 1
		term++
		span := wal.Span{UID: "a", First: first, Last: first + 7}
		if round%3 == 2 {
			first -= 2
			span = wal.Span{UID: "a", First: first, Last: first + 7, Truncated: first}
			seq++
			cutAt(t, l, seq, first)
		}
		seq++
		add(t, l, seq, entries(term, first, first+7))
		span.Seq = seq
		files <- span
		text(t, l)
		if round%10 == 9 {
			l.Release(first - 4)
		}
	}
	close(files)
	writer.Wait()
	text(t, l)
	if l.table.Len() != 0 || len(l.cuts) != 0 {
		t.Fatalf("%v: is all flushed", l)
	}
}

// TestRuledOut: what is committed keeps its term, and terms never fall along a log; what is not known says nothing.
func TestRuledOut(t *testing.T) {
	terms := []ra.Term{3: 2, 4: 2, 5: 4, 6: 4, 7: 5} // the first two are not kept, 6 is committed, 7 is not
	term := func(i ra.Index) (ra.Term, bool) {
		if i < 3 || i > 7 {
			return 0, false
		}
		return terms[i], true
	}
	for p, want := range map[Position]bool{
		{2, 9}: false, {3, 2}: false, {3, 1}: true, {3, 4}: true, {6, 4}: false, {6, 3}: true, {6, 5}: true,
		{7, 4}: false, {7, 3}: true, {7, 5}: false, {9, 4}: false, {9, 3}: true, {9, 8}: false,
	} {
		if got := RuledOut(p, 6, term); got != want {
			t.Errorf("%+v is ruled out: %v", p, got)
		}
	}
	if RuledOut(Position{9, 1}, 0, term) || RuledOut(Position{9, 1}, 2, term) {
		t.Error("something is ruled out by nothing")
	}
}

// TestFollows: that a log and a snapshot are of one history is shown by the entry at the snapshot's index, by a log that ends
// there or began anew there, and by nothing else.
func TestFollows(t *testing.T) {
	segs := newSet(t)
	_, err := segs.Flush(slices.Values([]segment.Range{{UID: "a", Entries: slices.Values(entries(1, 3, 5))}}))
	must(t, err)
	for name, c := range map[string]struct {
		snap             ra.Index
		reset, truncated ra.Index
		want             bool
	}{
		"no snapshot": {snap: 0, want: true}, "in segments": {snap: 4, want: true}, "in the table": {snap: 7, want: true},
		"the end": {snap: 8, want: true}, "beyond": {snap: 9, want: true}, "missing": {snap: 2}, "between": {snap: 6},
		"truncated": {snap: 4, truncated: 4}, "below what is truncated": {snap: 4, truncated: 5, want: true},
		"began anew": {snap: 6, reset: 6, want: true}, "began anew before": {snap: 5, reset: 4},
	} {
		m := recoveredWriter(t, entries(1, 1, 8))
		m.Entries = new(memtable.Table)
		must(t, m.Entries.Append(entries(1, 7, 8)))
		m.Reset, m.Truncated = c.reset, c.truncated
		if got := Follows(m, segs, Position{c.snap, 1}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
