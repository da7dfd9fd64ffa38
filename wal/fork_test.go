package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// future is a log that was copied and went on in its own way: what both copies share are two files.
type future struct {
	m     *model
	disk  *vfs.Mem
	stale []byte // the mark before the newest file was begun
}

// futureOf makes a future with so many files of its own. One that is late has no orders in the first of two. Both order as much
// from there on, so that orders of the one seem to follow on those of the other. If released is not 0 a file is released, and thus
// a state file written, in that one of its own files.
func futureOf(t *testing.T, seed uint64, files int, late bool, released int, more ...func(*model)) *future {
	t.Helper()
	disk := vfs.NewMem()
	m := newModel(t, disk, 3) // the same ids in both futures
	m.open()
	members := []ra.UID{"a", "b", "c"}
	for _, uid := range members {
		m.register(uid)
	}
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.vote("a", 1, "a")
	m.commit()
	m.try(func() error { return m.log.Close() })
	f := &future{m: m, disk: disk, stale: whole(t, disk, "HIGHWATER")}
	m.cfg.Random = &seeded{rand.New(rand.NewPCG(seed, 8))}
	m.resume(m.open())
	for i := range files {
		if i > 0 {
			f.stale = whole(t, disk, "HIGHWATER")
			m.try(func() error { return m.log.roll(block) })
		}
		for _, uid := range members {
			if late && i == 0 && files > 1 && uid != "c" {
				continue
			}
			m.vote(uid, ra.Term(10*seed)+ra.Term(i), uid)
			m.add(uid, ra.Term(10*seed), 0, 1, 100)
		}
		if i == files-1 {
			for _, do := range more {
				do(m)
			}
		}
		m.commit()
		if released == i+1 {
			m.release()
		}
	}
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
	return f
}

// The parts of a log that may be exchanged for those of its other future.
const (
	newestPart = 1 << iota
	markPart
	statePart

	allParts = newestPart | markPart | statePart
)

// exchange puts parts of the other future into a copy of this one. It returns nil if that changes nothing.
func (f *future) exchange(t *testing.T, other *future, parts int, stale bool) *vfs.Mem {
	t.Helper()
	hurt := f.disk.Crash(vfs.CrashKept, f.m.rng)
	names := map[int]string{markPart: "HIGHWATER", statePart: "wal/" + stateName(1)}
	files := walFiles(t, f.disk)
	names[newestPart] = files[len(files)-1]
	if stale {
		put(t, hurt, "HIGHWATER", f.stale)
	}
	for part, name := range names {
		if parts&part == 0 {
			continue
		}
		if _, err := other.disk.Open(name, vfs.Buffered); errors.Is(err, vfs.ErrNotExist) {
			return nil
		}
		b := whole(t, other.disk, name)
		if part == markPart && stale {
			b = other.stale
		}
		if bytes.Equal(b, whole(t, hurt, name)) {
			return nil
		}
		put(t, hurt, name, b)
	}
	return hurt
}

// describe names parts.
func describe(parts int) string {
	var out []string
	for i, name := range []string{"newest file", "mark", "state file"} {
		if parts&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return strings.Join(out, " and ")
}

// forks calls try for each way in which parts of a log are exchanged for those of its other future, if there is something left
// to show that.
func forks(t *testing.T, try func(f *future, hurt *vfs.Mem, what string)) {
	t.Helper()
	count := 0
	for shape := range 96 {
		ours, theirs := 1+shape&1, 1+shape>>1&1
		late, ahead, stale, released := shape>>2&1 == 1, shape>>3&1 == 1, shape>>4&1 == 1, shape>>5
		if stale && (ours == 1 || theirs == 1) {
			continue // who is about to begin the first file after the copy has acknowledged nothing in it
		}
		if released > min(ours, theirs) {
			continue
		}
		f, other := futureOf(t, 21, ours, ahead, released), futureOf(t, 22, theirs, late, released)
		for parts := 1; parts <= allParts; parts++ {
			all := newestPart | markPart
			if released > 0 {
				all |= statePart
			}
			if ours == 1 && theirs == 1 && parts&all == all {
				continue // nothing is left of the one future but what both share
			}
			if hurt := f.exchange(t, other, parts, stale); hurt != nil {
				what := fmt.Sprintf("%d files of ours (late %v), %d of theirs (late %v), released in file %d of them, marks stale %v: their %s",
					ours, ahead, theirs, late, released, stale, describe(parts))
				try(f, hurt, what)
				count++
			}
		}
	}
	if count < 100 {
		t.Errorf("only %d exchanges", count)
	}
}

// TestTwoFutures copies a log, has both copies go on, and puts the newest file, the mark and the state file of the one into the
// other: each of them, and all together as long as anything is left to show it. Nothing is believed then that only one of the
// two vouches for: all members are marked, votes too, and stay so (I2, I9, I11, I12; F10).
func TestTwoFutures(t *testing.T) {
	forks(t, func(f *future, hurt *vfs.Mem, what string) {
		if got := f.m.reopen(hurt, what, false); !got.lost || got.marked != 3 || got.votes != 3 {
			t.Errorf("%s: %+v", what, got)
		}
		if len(f.m.log.Closed()) == 0 {
			t.Errorf("%s: of what both share nothing is left", what)
		}
	})
}

// TestTwoFuturesCrashing cuts the recovery of such a log short at each of its operations: what tells of the loss is there until
// the loss itself is durable (I10, I11; F3).
func TestTwoFuturesCrashing(t *testing.T) {
	count := 0
	forks(t, func(f *future, hurt *vfs.Mem, what string) {
		if count++; count%9 == 0 {
			f.openCrashing(t, hurt, what)
		}
	})
}

// openCrashing opens the log anew for each operation before which it crashes, and then once more: all three members are marked.
func (f *future) openCrashing(t *testing.T, hurt *vfs.Mem, what string) {
	t.Helper()
	for op, done := 0, false; !done; op++ {
		disk := hurt.Crash(vfs.CrashKept, f.m.rng)
		faulty := vfs.NewErrs(disk)
		faulty.Inject(vfs.Fault{After: op, Err: errCrash})
		f.m.cfg.FS, f.m.err = faulty, nil
		f.m.open()
		done = f.m.err == nil
		f.m.cfg.FS, f.m.err = disk.Crash([]vfs.CrashModel{vfs.CrashKept, vfs.CrashLost}[op%2], f.m.rng), nil
		out := f.m.open()
		if f.m.err != nil || len(out.Members) != 3 || len(out.Deleted) > 0 {
			t.Fatalf("%s, crash at operation %d: %+v, %v", what, op, out, f.m.err)
		}
		for i := range out.Members {
			if r := &out.Members[i]; r.Mark.What != anyDamage {
				t.Errorf("%s, crash at operation %d: %s is marked %+v", what, op, r.Writer.UID(), r.Mark)
			}
		}
	}
}

// TestMarksOfTwo: of the two marks in the file one is that of the other future, or of another log. The one contradicts our newest
// file, whichever of the two comes first; the other says nothing here (I11; F10).
func TestMarksOfTwo(t *testing.T) {
	f, other := futureOf(t, 21, 1, false, 0), futureOf(t, 22, 1, false, 0)
	_, stranger := strangerLog(t)
	for what, c := range map[string]struct {
		disk *vfs.Mem
		lost bool
	}{"another future": {other.disk, true}, "another log": {stranger, false}} {
		for _, at := range []int{0, block} {
			hurt := f.disk.Crash(vfs.CrashKept, f.m.rng)
			marks := whole(t, hurt, "HIGHWATER")
			copy(marks[at:at+block], whole(t, c.disk, "HIGHWATER"))
			put(t, hurt, "HIGHWATER", marks)
			if got := f.m.reopen(hurt, what, false); got.lost != c.lost || c.lost != (got.marked == 3) {
				t.Errorf("%s at %d: %+v", what, at, got)
			}
		}
	}
}

// TestBadHeaderCrashing: nothing but the file itself tells of a newest file that recovery began, if there is no mark. That it
// cannot be read any more is told until it is durable (I10, I11; F3, F9).
func TestBadHeaderCrashing(t *testing.T) {
	f := futureOf(t, 21, 1, false, 0)
	f.m.cfg.HighWater = ""
	overwrite(t, f.disk, "wal/"+fileName(3), 0, headerSize, true, f.m.rng)
	f.openCrashing(t, f.disk, "without a header")
}

// TestOtherFutureIsKept: what is doubted goes to quarantine as it is, and the log goes on behind it, once (I11).
func TestOtherFutureIsKept(t *testing.T) {
	f, other := futureOf(t, 21, 2, false, 2), futureOf(t, 22, 2, false, 2)
	hurt := f.exchange(t, other, newestPart|statePart, false)
	names := []string{stateName(1), fileName(4)}
	f.m.cfg.FS = hurt
	out := f.m.open()
	if f.m.err != nil || !slices.Equal(out.Quarantined, names) || !slices.Equal(out.Losses, []Loss{{File: 4}}) {
		t.Fatalf("%+v, %v", out, f.m.err)
	}
	for _, name := range names {
		if !bytes.Equal(whole(t, hurt, "wal/quarantine/"+name), whole(t, other.disk, "wal/"+name)) {
			t.Errorf("%s: another file is in quarantine", name)
		}
	}
	f.m.try(func() error { return f.m.log.Close() })
	for range 2 {
		out = f.m.open()
		if f.m.err != nil || len(out.Losses)+len(out.Quarantined) > 0 || len(out.Members) != 3 {
			t.Fatalf("next start: %+v, %v", out, f.m.err)
		}
		for i := range out.Members {
			if out.Members[i].Mark.What != anyDamage {
				t.Errorf("next start: %+v", out.Members[i].Mark)
			}
		}
		f.m.try(func() error { return f.m.log.Close() })
	}
}

// TestFileBroughtBack puts a file back that was found missing, when the log has gone on: its loss is known, and so it stays lost
// and costs nobody anything who came later (I11, I12).
func TestFileBroughtBack(t *testing.T) {
	m, disk := reference(t, 3, true)
	newest := walFiles(t, disk)[2]
	was := whole(t, disk, newest)
	if err := disk.Remove(newest); err != nil {
		t.Fatal(err)
	}
	m.cfg.FS = disk
	if out := m.open(); m.err != nil || len(out.Losses) != 1 {
		t.Fatalf("%+v, %v", out, m.err)
	}
	m.register("late")
	m.commit()
	m.try(func() error { return m.log.Close() })
	put(t, disk, newest, was)
	out := m.open()
	if m.err != nil || len(out.Losses) > 0 || !slices.Equal(out.Quarantined, []string{path.Base(newest)}) || len(out.Members) != 4 {
		t.Fatalf("%+v, %v", out, m.err)
	}
	for i := range out.Members {
		r := &out.Members[i]
		if late := r.Writer.UID() == "late"; late != (r.Mark.What == 0) {
			t.Errorf("%s: %+v", r.Writer.UID(), r.Mark)
		}
	}
}

// TestDeletedInTheOtherFuture: a member whom only the other future has deleted is not deleted, though the state file says so, and
// the newest file perhaps too; nor is it when the recovery is cut short (I12; F3).
func TestDeletedInTheOtherFuture(t *testing.T) {
	f, other := futureOf(t, 21, 1, false, 1), futureOf(t, 22, 1, false, 1, func(m *model) {
		m.commit()
		m.delete("b")
	})
	for _, parts := range []int{statePart, statePart | newestPart, statePart | markPart} {
		f.openCrashing(t, f.exchange(t, other, parts, false), describe(parts))
	}
	f.m.cfg.HighWater = ""
	f.openCrashing(t, f.exchange(t, other, statePart, false), "state file, no mark")
}

// TestFork looks at headers alone. Each file is named by its number and its id, and says the id of the one before.
func TestFork(t *testing.T) {
	type file struct{ seq, id, prev uint64 }
	for what, c := range map[string]struct {
		files    []file
		words    []word
		released uint64
		want     []uint64 // the files that count
	}{
		"nothing is wrong":                     {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 12}}, []word{{1, 11}, {3, 13}}, 0, []uint64{1, 2, 3}},
		"the newest is another":                {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 12}}, []word{{3, 99}}, 0, []uint64{1, 2}},
		"one in the middle is another":         {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 12}}, []word{{2, 99}}, 0, []uint64{1}},
		"two contradict each other":            {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 12}}, []word{{3, 13}, {3, 99}}, 0, []uint64{1, 2}},
		"a break":                              {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 92}, {4, 14, 13}}, nil, 0, []uint64{1}},
		"a break behind a file that is known":  {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 92}}, []word{{2, 12}}, 0, []uint64{1, 2}},
		"a break before a file that is known":  {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 92}}, []word{{3, 13}}, 0, []uint64{1}},
		"a break behind what is released":      {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 92}}, nil, 2, []uint64{1}},
		"behind a gap, and known":              {[]file{{1, 11, 0}, {3, 13, 12}, {4, 14, 13}}, []word{{4, 14}}, 0, []uint64{1, 3, 4}},
		"behind a gap, and unknown":            {[]file{{1, 11, 0}, {3, 13, 12}, {4, 14, 13}}, []word{{1, 11}}, 0, []uint64{1}},
		"behind a gap, and another is known":   {[]file{{1, 11, 0}, {3, 13, 12}, {4, 14, 93}}, []word{{4, 14}}, 0, []uint64{1}},
		"behind a gap, and a later one is":     {[]file{{1, 11, 0}, {3, 13, 12}, {4, 14, 13}, {5, 15, 94}}, []word{{5, 15}}, 0, []uint64{1}},
		"behind a second gap, and known":       {[]file{{1, 11, 0}, {3, 13, 12}, {5, 15, 14}, {6, 16, 15}}, []word{{6, 16}}, 0, []uint64{1, 5, 6}},
		"before a second gap, and known":       {[]file{{1, 11, 0}, {3, 13, 12}, {4, 14, 13}, {6, 16, 15}}, []word{{4, 14}}, 0, []uint64{1, 3, 4}},
		"behind a second gap and another file": {[]file{{1, 11, 0}, {2, 12, 11}, {4, 14, 13}, {6, 16, 15}}, []word{{2, 99}, {6, 16}}, 0, []uint64{1}},
		"behind a gap after what was released": {[]file{{4, 14, 13}}, nil, 2, nil},
		"behind what was released":             {[]file{{3, 13, 12}, {4, 14, 13}}, nil, 2, []uint64{3, 4}},
		"of which the beginning is gone":       {[]file{{3, 13, 12}, {4, 14, 13}}, nil, 0, []uint64{3, 4}},
		"behind a file that is gone":           {[]file{{1, 11, 0}, {3, 13, 92}}, []word{{2, 12}}, 0, []uint64{1}},
		"behind a gap in another future":       {[]file{{1, 11, 0}, {2, 12, 11}, {4, 14, 13}}, []word{{2, 99}}, 0, []uint64{1}},
		"begun anew":                           {[]file{{1, 11, 0}, {2, 12, 11}, {4, 14, 0}, {5, 15, 14}}, []word{{2, 99}}, 0, []uint64{1, 4, 5}},
		"begun anew, and that is another":      {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 0}}, []word{{3, 99}}, 0, []uint64{1, 2}},
		"begun anew without one that is there": {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 0}}, []word{{2, 12}}, 0, []uint64{1, 3}},
		"a released one is another":            {[]file{{1, 11, 0}, {2, 12, 11}, {3, 13, 12}}, []word{{1, 99}}, 2, []uint64{1, 2, 3}},
	} {
		l := new(Log)
		l.states.released = c.released
		r := &recovery{l: l, replay: newReplay(nil), words: c.words, headers: make(map[uint64]*fileHeader), bad: make(map[uint64]error)}
		if c.released > 0 {
			r.replay = newReplay(new(stateFile))
		}
		for _, f := range c.files {
			r.inv.files = append(r.inv.files, f.seq)
			r.headers[f.seq] = &fileHeader{seq: f.seq, id: f.id, prevSeq: f.seq - 1, prevID: f.prev}
		}
		r.fork()
		var got []uint64
		for _, f := range c.files {
			if r.own(f.seq) != nil {
				got = append(got, f.seq)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: files %v count, want %v", what, got, c.want)
		}
	}
	one, two := &fileHeader{seq: 1, id: 11}, &fileHeader{seq: 2, prevSeq: 1, prevID: 11}
	if !two.follows(one) || (&fileHeader{seq: 2, prevSeq: 7, prevID: 11}).follows(one) {
		t.Error("a file goes on from the one whose number and id it names")
	}
}
