package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestMarkOfNoUse damages the mark in all ways: nobody is condemned by that, it is said, and the next start finds a mark
// again (I11, I21).
func TestMarkOfNoUse(t *testing.T) {
	_, other := strangerLog(t)
	corrupt, missing := ra.ErrCorrupt, vfs.ErrNotExist
	for name, c := range map[string]struct {
		do   func(t *testing.T, disk *vfs.Mem, rng *rand.Rand)
		want error
	}{
		"as it was": {func(*testing.T, *vfs.Mem, *rand.Rand) {}, nil},
		"missing": {func(t *testing.T, d *vfs.Mem, _ *rand.Rand) {
			if err := d.Remove("HIGHWATER"); err != nil {
				t.Fatal(err)
			}
		}, missing},
		"empty":       {func(_ *testing.T, d *vfs.Mem, _ *rand.Rand) { d.Cut("HIGHWATER", 0) }, corrupt},
		"cut short":   {func(_ *testing.T, d *vfs.Mem, _ *rand.Rand) { d.Cut("HIGHWATER", markSize-1) }, corrupt},
		"cut in half": {func(_ *testing.T, d *vfs.Mem, _ *rand.Rand) { d.Cut("HIGHWATER", block+1) }, nil},
		"garbage": {func(t *testing.T, d *vfs.Mem, rng *rand.Rand) {
			overwrite(t, d, "HIGHWATER", 0, 2*block, true, rng)
		}, corrupt},
		"zeros": {func(t *testing.T, d *vfs.Mem, rng *rand.Rand) {
			overwrite(t, d, "HIGHWATER", 0, 2*block, false, rng)
		}, corrupt},
		"first block torn": {func(t *testing.T, d *vfs.Mem, rng *rand.Rand) {
			overwrite(t, d, "HIGHWATER", 0, block, true, rng)
		}, nil},
		"second block torn": {func(t *testing.T, d *vfs.Mem, rng *rand.Rand) {
			overwrite(t, d, "HIGHWATER", block, block, true, rng)
		}, nil},
		"another log's": {func(t *testing.T, d *vfs.Mem, _ *rand.Rand) {
			put(t, d, "HIGHWATER", whole(t, other, "HIGHWATER"))
		}, corrupt},
	} {
		t.Run(name, func(t *testing.T) {
			m, disk := reference(t, 2, true)
			hurt := disk.Crash(vfs.CrashKept, m.rng)
			c.do(t, hurt, m.rng)
			before := hurt.Crash(vfs.CrashKept, m.rng)
			m.cfg.FS = hurt
			out := m.open()
			if m.err != nil {
				t.Fatal(m.err)
			}
			if !errors.Is(out.HighWater, c.want) || len(out.Losses) > 0 {
				t.Errorf("%v, want %v; losses %+v", out.HighWater, c.want, out.Losses)
			}
			moved := len(out.Quarantined) > 0
			if moved != (c.want == corrupt) {
				t.Errorf("quarantined: %v", out.Quarantined)
			}
			if moved && !bytes.Equal(whole(t, hurt, "quarantine/HIGHWATER"), whole(t, before, "HIGHWATER")) {
				t.Error("another file is in quarantine")
			}
			out.Quarantined = nil
			m.verify(out, name)
			m.cfg.FS = hurt.Crash(vfs.CrashLost, m.rng)
			if out = m.open(); m.err != nil || out.HighWater != nil {
				t.Errorf("second start: %v, %v", out.HighWater, m.err)
			}
			m.verify(out, name+", second start")
		})
	}
}

// TestOldMark puts each earlier mark in the place of the last one: it says less, and nothing wrong (I11).
func TestOldMark(t *testing.T) {
	m, all := momentsOf(t)
	now := all[len(all)-1]
	for _, old := range all {
		hurt := now.disk.Crash(vfs.CrashKept, m.rng)
		put(t, hurt, "HIGHWATER", whole(t, old.disk, "HIGHWATER"))
		m.cfg.FS = hurt
		out := m.open()
		if m.err != nil || out.HighWater != nil {
			t.Fatalf("mark of batch %d: %v, %v", old.batch, out.HighWater, m.err)
		}
		m.verify(out, fmt.Sprintf("mark of batch %d", old.batch))
	}
}

// TestMarkCannotBeRead: a disk that refuses the mark once is asked again; if it refuses the mark for good, and nothing else,
// the log decides alone (F6).
func TestMarkCannotBeRead(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpOpen, vfs.OpRead} {
		for _, times := range []int{1, 0} {
			m, disk := reference(t, 1, true)
			faulty := vfs.NewErrs(disk.Crash(vfs.CrashKept, m.rng))
			if op == vfs.OpRead {
				times *= 3 // a read that fails is repeated block by block
			}
			faulty.Inject(vfs.Fault{Op: op, Name: "HIGHWATER", Times: times})
			m.cfg.FS = faulty
			out := m.open()
			if m.err != nil {
				t.Fatalf("%s: %v", op, m.err)
			}
			if once := times > 0; once != (out.HighWater == nil) || once != (len(out.Quarantined) == 0) {
				t.Errorf("%s %d times: %v, quarantined %v", op, times, out.HighWater, out.Quarantined)
			}
			out.Quarantined = nil
			m.verify(out, string(op))
		}
	}
}

// TestMarkThatMayNotBeOpened: a mark for which the node has no permission is a reason not to start, which names the file;
// nothing is changed, and when there is permission again the mark counts (I21).
func TestMarkThatMayNotBeOpened(t *testing.T) {
	m, disk := reference(t, 1, true)
	left := disk.Crash(vfs.CrashKept, m.rng)
	before := whole(t, left, "HIGHWATER")
	files := walFiles(t, left)
	for range 2 {
		locked := vfs.NewErrs(left)
		locked.Inject(vfs.Fault{Op: vfs.OpOpen, Name: "HIGHWATER", Err: fs.ErrPermission})
		m.cfg.FS, m.err = locked, nil
		if m.open(); !errors.Is(m.err, fs.ErrPermission) || !strings.Contains(m.err.Error(), "HIGHWATER: ") {
			t.Fatalf("opened: %v", m.err)
		}
		if !bytes.Equal(whole(t, left, "HIGHWATER"), before) || !slices.Equal(walFiles(t, left), files) {
			t.Errorf("changed: files are %v, were %v", walFiles(t, left), files)
		}
	}
	m.cfg.FS, m.err = left, nil
	out := m.open()
	if m.err != nil || out.HighWater != nil || len(out.Quarantined) > 0 {
		t.Fatalf("with permission: %v, %v, quarantined %v", m.err, out.HighWater, out.Quarantined)
	}
	m.verify(out, "with permission")
}

// TestMarkOfLaterFormat: a mark that only a later program can read is a reason not to start.
func TestMarkOfLaterFormat(t *testing.T) {
	m, disk := reference(t, 1, true)
	b := whole(t, disk, "HIGHWATER")
	for _, at := range slices.Concat(markPlaces[0][:], markPlaces[1][:]) {
		one := b[at:][:markSize]
		one[8]++
		binary.LittleEndian.PutUint32(one[12:], fileChecksum(one))
	}
	put(t, disk, "HIGHWATER", b)
	m.cfg.FS = disk.Crash(vfs.CrashKept, m.rng)
	if m.open(); !errors.Is(m.err, errVersion) {
		t.Fatalf("opened: %v", m.err)
	}
}

// TestMarkAlone: of all that is written after random orders nothing reaches the disk before a crash but what must, and the
// mark, which nobody has synced. It never speaks of what is not there (I9, I11; F3, F4).
func TestMarkAlone(t *testing.T) {
	for seed := range uint64(40) {
		disk := vfs.NewMem()
		m := newModel(t, disk, seed)
		m.open()
		for range 60 {
			m.step()
			lost, kept := disk.Crash(vfs.CrashLost, m.rng), disk.Crash(vfs.CrashKept, m.rng)
			put(t, lost, "HIGHWATER", whole(t, kept, "HIGHWATER"))
			again := *m
			again.cfg.FS, again.cfg.Random = lost, &seeded{rand.New(rand.NewPCG(seed, 9))}
			if out := again.open(); again.err != nil || len(out.Losses) > 0 || len(out.Quarantined) > 0 {
				t.Fatalf("seed %d: %+v, %v", seed, out, again.err)
			}
		}
		if m.err != nil {
			t.Fatal(m.err)
		}
	}
}

// TestTornMark crashes with a mark half written: the one before it still protects the log.
func TestTornMark(t *testing.T) {
	for seed := range uint64(100) {
		disk := vfs.NewMem()
		m := newModel(t, disk, 1)
		m.open()
		m.register("a")
		m.commit()
		m.try(func() error { return m.log.roll(block) })
		older := disk.Crash(vfs.CrashKept, m.rng)
		m.add("a", 1, 0, 3, 100)
		m.commit() // the first mark after a roll-over is durable
		for range 1 + seed%3 {
			m.add("a", 1, 0, 1, 100)
			m.commit() // these are not
		}
		if m.err != nil {
			t.Fatal(m.err)
		}
		hurt := disk.Crash(vfs.CrashGarbled, rand.New(rand.NewPCG(seed, 3)))
		setBackAll(t, hurt, older)
		if got := m.reopen(hurt, fmt.Sprint("seed ", seed), false); !got.lost || got.marked != 1 {
			t.Fatalf("seed %d: %+v", seed, got)
		}
	}
}

// TestNoteIsCheap counts what the mark costs: a short write with each batch, which is a store where the file is mapped, and a sync
// after a roll-over, for which nobody waits.
func TestNoteIsCheap(t *testing.T) {
	faulty := vfs.NewErrs(vfs.NewMem())
	m := newModel(t, faulty, 1)
	m.cfg.FileSize = 1 << 20
	m.open()
	count := make(map[vfs.Op]int)
	faulty.Trace(func(op vfs.Op, name string) {
		if strings.HasPrefix(name, "HIGHWATER") && op != vfs.OpClose {
			count[op]++
		}
	})
	expect := func(what string, writes, syncs int) {
		t.Helper()
		if m.err != nil || count[vfs.OpWrite] != writes || count[vfs.OpSync] != syncs || len(count) > 2 {
			t.Fatalf("%s: %v, want %d writes and %d syncs; %v", what, count, writes, syncs, m.err)
		}
		clear(count)
	}
	m.register("a")
	for range 100 {
		m.try(func() error { return m.log.Commit(m.batch) })
		m.batch.Reset()
		m.add("a", 1, 0, 1, 10)
		m.log.Note()
	}
	expect("committing", 100, 0)
	for range 3 {
		m.try(func() error { return m.log.Seal() })
	}
	expect("after a pause", 0, 0)
	m.try(func() error { return m.log.roll(block) })
	expect("rolling over", 0, 0)
	m.log.Note()
	m.log.Note()
	expect("after a roll-over", 1, 1)
	m.try(func() error { return m.log.Close() })
	faulty.Trace(nil)
	expect("closing", 1, 1)
}

// TestLostAfterKill kills a process that has acknowledged batches, and takes the newest of them from the disk, in whole or from some
// block on. A kill does not leave that, and it is said, also if the process was killed while it wrote the next mark: nobody
// hears of a batch before its own mark is whole (F9, F10; I9, I11).
func TestLostAfterKill(t *testing.T) {
	for batches := 1; batches <= 5; batches++ {
		disk := vfs.NewMem()
		m := newModel(t, disk, uint64(batches))
		m.open()
		m.register("a")
		m.commit()
		start := m.log.cur.off
		for range batches {
			m.add("a", 1, 0, 3, 2000)
			m.commit()
		}
		name, end := "wal/"+fileName(m.log.cur.header.seq), m.log.cur.off
		next := markPlaces[m.log.gauge.block][m.log.gauge.place]
		for from := start; from < end; from += block {
			for _, torn := range []bool{false, true} {
				hurt := disk.Crash(vfs.CrashKept, m.rng)
				overwrite(t, hurt, name, from, end-from, true, m.rng)
				if torn {
					overwrite(t, hurt, "HIGHWATER", next, markSize/2, true, m.rng)
				}
				what := fmt.Sprintf("%d batches, gone from byte %d to %d, next mark torn %v", batches, from, end, torn)
				again := *m
				if got := again.reopen(hurt, what, false); !got.lost || got.marked != 1 {
					t.Fatalf("%s: %+v", what, got)
				}
			}
		}
	}
}

// TestLostAfterKillOnDisk does that with real files, where the mark is mapped into memory: what another process finds in them while
// this one still has them open is what a kill leaves.
func TestLostAfterKillOnDisk(t *testing.T) {
	dir := t.TempDir()
	v, err := vfs.OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	m := newModel(t, v, 1)
	m.open()
	m.register("a")
	m.commit()
	for range 20 {
		start := m.log.cur.off
		m.add("a", 1, 0, 3, 2000)
		m.commit()
		for _, wiped := range []bool{false, true} {
			left := load(t, dir)
			if end := m.log.cur.off; wiped && start < end { // not the first of a new file
				overwrite(t, left, "wal/"+fileName(m.log.cur.header.seq), start, end-start, false, m.rng)
			} else if wiped {
				continue
			}
			again := *m
			if got := again.reopen(left, fmt.Sprintf("batch at %d, wiped %v", start, wiped), false); got.lost != wiped {
				t.Fatalf("batch at %d, wiped %v: %+v", start, wiped, got)
			}
		}
	}
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
}

// load copies what another process finds in a directory now.
func load(t *testing.T, dir string) *vfs.Mem {
	t.Helper()
	disk := vfs.NewMem()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		at, _ := filepath.Rel(dir, name)
		if at = filepath.ToSlash(at); err != nil || e.IsDir() {
			return errors.Join(err, disk.MkdirAll(at))
		}
		b, err := os.ReadFile(name)
		put(t, disk, at, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// TestMarkFails has the mark fail while the log runs: the log goes on, what the mark says stays true, and after the next
// roll-over it protects the log again (I10).
func TestMarkFails(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpWrite, vfs.OpCreate, vfs.OpSync, vfs.OpRename} {
		m, faulty, disk := failing(t, 1)
		m.open()
		m.register("a")
		m.commit()
		faulty.Inject(vfs.Fault{Op: vfs.OpWrite, Name: "HIGHWATER*", Times: 1}) // of the file that is there
		faulty.Inject(vfs.Fault{Op: op, Name: "HIGHWATER*", Times: 1})          // of the next one
		for range 2 {
			m.add("a", 1, 0, 1, 100)
			m.commit()
			m.try(func() error { return m.log.roll(block) })
			m.add("a", 1, 0, 1, 100)
			m.commit()
		}
		if m.err != nil {
			t.Fatalf("%s: %v", op, m.err)
		}
		again := *m
		again.cfg.FS = disk.Crash(vfs.CrashLost, m.rng)
		again.verify(again.open(), string(op))
		older := disk.Crash(vfs.CrashKept, m.rng)
		m.try(func() error { return m.log.roll(block) })
		m.add("a", 1, 0, 1, 100)
		m.commit()
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		setBackAll(t, hurt, older)
		if got := m.reopen(hurt, string(op), false); !got.lost {
			t.Errorf("%s: %+v", op, got)
		}
	}
}
