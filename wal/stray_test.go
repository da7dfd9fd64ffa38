package wal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// strayLog makes a log with one member and one entry, and closes it.
func strayLog(t *testing.T, cfg Config) {
	t.Helper()
	l, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, err := l.Writer("a")
	if err != nil {
		t.Fatal(err)
	}
	b := l.NewBatch()
	e := ra.Seal(ra.NewBody([]byte("x")), ra.Header{Index: 1, Term: 1, Kind: ra.KindCommand})
	op := Op{Seq: 1, Register: &Registration{Name: "a"}, Entries: []ra.Entry{e}, State: &ra.HardState{Term: 1}}
	if err := b.Append(w, &op); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(b); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// strays puts files without content into the directory, and returns what the next two starts find.
func strays(t *testing.T, names ...string) (first, second *Recovery) {
	t.Helper()
	mem := vfs.NewMem()
	cfg := Config{FS: mem, Dir: "wal", FileSize: MinFileSize}
	strayLog(t, cfg)
	for _, name := range names {
		if _, err := mem.Create("wal/"+name, vfs.Buffered); err != nil {
			t.Fatal(err)
		}
	}
	found := make([]*Recovery, 2)
	for i := range found {
		l, r, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		found[i] = r
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return found[0], found[1]
}

// A number that no log reaches is none of ours: such a file goes to quarantine, and means nothing (I11).
func TestStrayNumberBeyondAll(t *testing.T) {
	names := []string{
		"18446744073709551615.wal", "9999999999999999.wal", "18446744073709551615.state", "18446744073709551615.spare",
	}
	first, second := strays(t, names...)
	slices.Sort(names)
	if got := slices.Sorted(slices.Values(first.Quarantined)); !slices.Equal(got, names) {
		t.Errorf("quarantined are %v", got)
	}
	if len(second.Quarantined) > 0 {
		t.Errorf("by the second start %v are quarantined", second.Quarantined)
	}
	for i, r := range []*Recovery{first, second} {
		if len(r.Losses) > 0 || len(r.Members) != 1 || r.Members[0].Mark.What != 0 || r.Members[0].Entries.Last() != 1 {
			t.Errorf("start %d: %+v", i+1, r)
		}
	}
}

// A number just below those that no log reaches has the log go on with such numbers. It knows its own files by what they say
// then, and loses nothing more (I9, I11).
func TestStrayNumberBelowTheLast(t *testing.T) {
	for name, harmless := range map[string]bool{
		"0999999999999998.wal": false, "0999999999999999.wal": false, "0999999999999999.state": true,
	} {
		m, disk := reference(t, 3, true)
		put(t, disk, "wal/"+name, nil)
		m.cfg.FS = disk
		if out := m.open(); m.err != nil || harmless != (len(out.Losses) == 0) {
			t.Fatalf("%s: %+v, %v", name, out, m.err)
		}
		m.register("late")
		for i := range 3 {
			m.vote("late", ra.Term(i+1), "late")
			m.commit()
			m.release()
			m.try(func() error { return m.log.Close() })
			out := m.open()
			if m.err != nil || len(out.Quarantined) > 0 || out.HighWater != nil || len(out.Members) != 4 {
				t.Fatalf("%s, start %d: %+v, %v", name, i+2, out, m.err)
			}
			for j := range out.Members {
				r := &out.Members[j]
				late := r.Writer.UID() == "late"
				if sound := late || harmless; sound != (r.Mark.What == 0) || late && r.State != m.members["late"].now().state {
					t.Errorf("%s, start %d: %s has %+v, mark %+v", name, i+2, r.Writer.UID(), r.State, r.Mark)
				}
			}
			m.resume(out)
		}
	}
}

// A directory in the log's is none of ours either, and goes to quarantine as a whole (I11).
func TestStrayDirectory(t *testing.T) {
	fs := osFS(t)
	cfg := Config{FS: fs, Dir: "wal", FileSize: MinFileSize}
	strayLog(t, cfg)
	if err := fs.MkdirAll("wal/copies/old"); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{{"copies"}, nil} {
		l, r, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Quarantined, want) || len(r.Losses) > 0 {
			t.Errorf("%+v, want %v in quarantine", r, want)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := fs.List("wal/quarantine/copies"); err != nil || !slices.Equal(names, []string{"old/"}) {
		t.Errorf("in quarantine is %v, %v", names, err)
	}
}

// A file far ahead of all others opens a gap, which is one loss however long it is (I20): nobody counts through it.
func TestStrayNumberFarAhead(t *testing.T) {
	first, second := strays(t, "0900000000000000.wal")
	if n := len(first.Losses); n == 0 || n > 2 {
		t.Errorf("%d losses", n)
	}
	for i, r := range []*Recovery{first, second} {
		if len(r.Members) != 1 || r.Members[0].Mark.What&(DamagedLog|DamagedState) != DamagedLog|DamagedState {
			t.Errorf("start %d: %+v", i+1, r)
		}
	}
}

// farReads is a file system that notes how far into its files somebody reads.
type farReads struct {
	vfs.FS
	end int64
}

func (f *farReads) Open(name string, how vfs.Mode) (vfs.File, error) {
	file, err := f.FS.Open(name, how)
	return &farFile{file, f}, err
}

type farFile struct {
	vfs.File
	fs *farReads
}

func (f *farFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.end = max(f.fs.end, off+int64(len(b)))
	return f.File.ReadAt(b, off)
}

// What stands behind the length that a file's header tells is not of the log, and is not read: a file may look as if it
// were a million times as long (I11, I20).
func TestFileLongerThanItsHeaderSays(t *testing.T) {
	mem := vfs.NewMem()
	cfg := Config{FS: mem, Dir: "wal", FileSize: MinFileSize}
	strayLog(t, cfg)
	f, err := mem.Open("wal/0000000000000001.wal", vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("not of the log"), 256*MinFileSize); err != nil {
		t.Fatal(err)
	}
	far := &farReads{FS: mem}
	cfg.FS = far
	l, r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if len(r.Losses) > 0 || len(r.Members) != 1 || r.Members[0].Mark.What != 0 || r.Members[0].Entries.Last() != 1 {
		t.Errorf("%+v", r)
	}
	if far.end > readStep {
		t.Errorf("a file of %d bytes is read up to %d", MinFileSize, far.end)
	}
}

// TestStrayCopy puts a copy of one of the log's own files, or of another log's, under a higher number: its header says that it
// is none of that number, and the mark that there was none. So nothing is lost, and the next file may have the number. If there
// was one of the number it is missing. Without a mark nobody knows (I11; F10).
func TestStrayCopy(t *testing.T) {
	_, other := strangerLog(t)
	m, disk := reference(t, 3, true)
	files := walFiles(t, disk)
	for _, from := range []struct {
		disk *vfs.Mem
		name string
	}{{disk, files[0]}, {disk, files[2]}, {other, files[0]}} {
		for number, lost := range map[uint64]bool{2: true, 3: true, 4: false, 5: false, 900000: false} {
			if from.disk == disk && from.name == "wal/"+fileName(number) {
				continue
			}
			for _, mark := range []string{"HIGHWATER", ""} {
				what := fmt.Sprintf("%s as file %d, mark %q", from.name, number, mark)
				hurt := disk.Crash(vfs.CrashKept, m.rng)
				stray := whole(t, from.disk, from.name)
				put(t, hurt, "wal/"+fileName(number), stray)
				before := hurt.Crash(vfs.CrashKept, m.rng)
				m.cfg.HighWater = mark
				if got, want := m.reopen(hurt, what, false), lost || mark == ""; got.lost != want || want != (got.marked > 0) {
					t.Errorf("%s: %+v", what, got)
				}
				if !bytes.Equal(whole(t, hurt, "wal/quarantine/"+fileName(number)), stray) {
					t.Errorf("%s: another file is in quarantine", what)
				}
				if lost || mark == "" {
					continue
				}
				m.expect(what, before, fileName(number))
				m.expect(what+", next start", before)
			}
		}
	}
}

// TestStrayCopyOverTheNewest: the file before says that there was one of the number, also if the mark does not: as right after a
// roll-over (I11).
func TestStrayCopyOverTheNewest(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.vote("a", 1, "a")
	m.try(func() error { return m.log.Commit(m.batch) })
	if m.err != nil {
		t.Fatal(m.err)
	}
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	put(t, hurt, "wal/"+fileName(2), whole(t, hurt, "wal/"+fileName(1)))
	if got := m.reopen(hurt, "a copy over the newest file", false); !got.lost || got.votes != 1 {
		t.Errorf("%+v", got)
	}
}

// TestFileOfACloneBehindAGap puts a file into the log which a copy of it wrote when it had come further. Orders in it seem to
// follow on those before the gap. Nobody knows the file, so it clears nobody (I11; F10).
func TestFileOfACloneBehindAGap(t *testing.T) {
	f, other := futureOf(t, 21, 1, false, 0), futureOf(t, 22, 3, true, 0)
	name := "wal/" + fileName(5)
	hurt := f.disk.Crash(vfs.CrashKept, f.m.rng)
	put(t, hurt, name, whole(t, other.disk, name))
	if got := f.m.reopen(hurt, "a clone's file", false); !got.lost || got.marked != 3 || got.votes != 3 {
		t.Errorf("%+v", got)
	}
}
