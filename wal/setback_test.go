package wal

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// put writes a file durably, in the place of one that may be there.
func put(t *testing.T, disk vfs.FS, name string, b []byte) {
	t.Helper()
	_ = disk.Remove(name) // it need not be there
	f, err := disk.Create(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), disk.SyncDir(path.Dir(name))); err != nil {
		t.Fatal(err)
	}
}

// setBackAll makes the log's directory what it is on an older disk.
func setBackAll(t *testing.T, disk, older *vfs.Mem) {
	t.Helper()
	for _, d := range []*vfs.Mem{disk, older} {
		names, err := d.List("wal")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if d == older {
				put(t, disk, "wal/"+name, whole(t, older, "wal/"+name))
			} else if err := disk.Remove("wal/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// moment is what a disk held at a time.
type moment struct {
	disk  *vfs.Mem
	batch uint64 // all with lower numbers were durable then
	file  uint64
}

// momentsOf drives a log of two members over several files, and returns what was on the disk after each batch.
func momentsOf(t *testing.T) (*model, []moment) {
	t.Helper()
	disk := vfs.NewMem()
	m := newModel(t, disk, 5)
	m.open()
	var all []moment
	look := func() {
		m.try(func() error {
			all = append(all, moment{disk.Crash(vfs.CrashKept, m.rng), m.log.settled, m.log.cur.header.seq})
			return nil
		})
	}
	m.register("a")
	m.register("b")
	m.commit()
	for i := range 8 {
		look()
		m.add("a", 1, 0, 2, 500)
		if i%3 == 0 {
			m.vote("b", ra.Term(i+1), "a")
		}
		m.commit()
		if i == 3 || i == 4 {
			m.try(func() error { return m.log.roll(block) })
			look()
		}
	}
	look()
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
	last := all[len(all)-1]
	return m, append(all, moment{disk, last.batch, last.file})
}

// TestSetBack sets the newest WAL file, or all of the log's directory, back to each earlier moment of its life. Whoever may
// have lost something by that is marked, vote included, and stays so; who was set back by nothing is not (I7, I9, I11;
// F10). Without the mark beside the log nothing tells.
func TestSetBack(t *testing.T) {
	m, all := momentsOf(t)
	now := all[len(all)-1]
	for _, old := range all {
		for _, everything := range []bool{false, true} {
			if !everything && old.file != now.file {
				continue
			}
			what := fmt.Sprintf("set back to batch %d of %d, everything %v", old.batch, now.batch, everything)
			hurt := now.disk.Crash(vfs.CrashKept, m.rng)
			if everything {
				setBackAll(t, hurt, old.disk)
			} else {
				name := "wal/" + fileName(now.file)
				put(t, hurt, name, whole(t, old.disk, name))
			}
			blind := hurt.Crash(vfs.CrashKept, m.rng)
			set := old.batch < now.batch || old.file < now.file
			if got := m.reopen(hurt, what, false); got.lost != set || set && (got.marked != 2 || got.votes != 2) || got.torn {
				t.Fatalf("%s: %+v", what, got)
			}
			m.cfg.FS, m.cfg.HighWater = blind, ""
			if out := m.open(); len(out.Losses) > 0 {
				t.Fatalf("%s: without the mark: %+v", what, out.Losses)
			}
			m.cfg.HighWater = "HIGHWATER"
		}
	}
}

// TestSetBackBehindTheStateFile: a state file that is newer than the newest WAL file tells of its loss without a mark (I11).
func TestSetBackBehindTheStateFile(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.cfg.HighWater = ""
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	older := whole(t, disk, "wal/"+fileName(2))
	m.add("a", 1, 0, 2, 500)
	m.commit()
	m.release()
	m.vote("b", 9, "b") // behind the state file
	m.commit()
	m.try(func() error { return m.log.Close() })
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	put(t, hurt, "wal/"+fileName(2), older)
	if got := m.reopen(hurt, "set back", false); !got.lost || got.marked != 2 || got.votes != 2 {
		t.Fatalf("%+v", got)
	}
}

// TestLostSeal takes the seal away, of which the mark does not speak: nothing that anybody ordered is gone.
func TestLostSeal(t *testing.T) {
	m, disk := reference(t, 1, true)
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	name := walFiles(t, disk)[0]
	overwrite(t, hurt, name, int64(len(content(t, disk, name)))-block, block, false, m.rng)
	if got := m.reopen(hurt, "without its seal", false); got != (outcome{}) {
		t.Fatalf("%+v", got)
	}
}

// strangerLog makes a log that has come further than the others, and is none of them.
func strangerLog(t *testing.T) (*model, *vfs.Mem) {
	t.Helper()
	disk := vfs.NewMem()
	m := newModel(t, disk, 99)
	m.open()
	m.register("stranger")
	for range 50 {
		m.add("stranger", 1, 0, 1, 10)
		m.commit()
	}
	for range 5 {
		m.try(func() error { return m.log.roll(block) })
		m.add("stranger", 1, 0, 1, 10)
		m.commit()
	}
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m, disk
}

// TestForeignFile puts a WAL file of another log in the place of the newest: what it says is none of this log's, which has
// lost one. The files before it are not doubted (I11, I12).
func TestForeignFile(t *testing.T) {
	_, other := strangerLog(t)
	m, disk := reference(t, 3, true)
	newest := walFiles(t, disk)[2]
	for _, mark := range []string{"", "HIGHWATER"} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		put(t, hurt, newest, whole(t, other, newest))
		m.cfg.FS, m.cfg.HighWater = hurt.Crash(vfs.CrashKept, m.rng), mark
		if out := m.open(); m.err != nil || !slices.Equal(out.Quarantined, []string{path.Base(newest)}) || len(out.Members) != 3 {
			t.Fatalf("mark %q: %+v, %v", mark, out, m.err)
		}
		if got := m.reopen(hurt, "with a foreign file", false); !got.lost || got.marked != 3 {
			t.Fatalf("mark %q: %+v", mark, got)
		}
	}
}

// TestLogIsGone takes everything away but the mark: that there was a log is known, and who was in it is not.
func TestLogIsGone(t *testing.T) {
	m, disk := reference(t, 2, true)
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	setBackAll(t, hurt, func() *vfs.Mem {
		empty := vfs.NewMem()
		if err := empty.MkdirAll("wal"); err != nil {
			t.Fatal(err)
		}
		return empty
	}())
	m.cfg.FS = hurt
	for range 2 {
		out := m.open()
		if m.err != nil || len(out.Losses) == 0 || len(out.Members) != 0 || out.HighWater != nil {
			t.Fatalf("%+v, %v", out, m.err)
		}
		m.try(func() error { return m.log.Close() })
	}
}

// I9, I11: a state file of another node is sound, and newer than one's own by its number. It counts for nothing: whoever it
// does not know is not deleted, and what it does not need is not released. Nor is a WAL file of another node that has the name
// of one that is released just thrown away: it may be all that is left of what it holds.
func TestForeignStateFile(t *testing.T) {
	stranger, other := strangerLog(t)
	m, disk := goldenLog(t)
	theirs, ours := "wal/"+stateName(9), "wal/"+stateName(1)
	for name, add := range map[string]func(t *testing.T, d *vfs.Mem) string{
		"newer": func(t *testing.T, d *vfs.Mem) string {
			s := &stateFile{gen: 9, released: 3, current: 4, batch: 1, log: stranger.log.id}
			put(t, d, theirs, s.encode())
			return theirs
		},
		"newer, all released": func(t *testing.T, d *vfs.Mem) string {
			s := &stateFile{gen: 9, released: 99, current: 100, batch: 1 << 20, log: stranger.log.id}
			put(t, d, theirs, s.encode())
			return theirs
		},
		"released WAL file": func(t *testing.T, d *vfs.Mem) string {
			put(t, d, "wal/"+fileName(1), whole(t, other, "wal/"+fileName(1)))
			return "wal/" + fileName(1)
		},
	} {
		for _, mark := range []string{"", "HIGHWATER"} {
			t.Run(name+mark, func(t *testing.T) {
				hurt := disk.Crash(vfs.CrashKept, m.rng)
				moved := add(t, hurt)
				want := whole(t, hurt, moved)
				m.cfg.FS, m.cfg.HighWater = hurt, mark
				out := m.open()
				if m.err != nil || len(out.Losses)+len(out.Deleted) > 0 || len(out.Members) != 3 || out.HighWater != nil {
					t.Fatalf("%+v, %v", out, m.err)
				}
				if !bytes.Equal(whole(t, hurt, "wal/quarantine/"+path.Base(moved)), want) {
					t.Error("another file is in quarantine")
				}
				whole(t, hurt, ours) // it is where it was
				out.Quarantined = nil
				m.verify(out, name)
			})
		}
	}
}
