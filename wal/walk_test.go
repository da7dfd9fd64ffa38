package wal

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// clones makes the files of two processes that had the same log, as clones of a machine that runs, and so the same file: what
// they share is the first batch, then each writes three of its own, of the same length and with the same numbers.
func clones(t *testing.T) (m *model, one, other *vfs.Mem) {
	t.Helper()
	var disks [2]*vfs.Mem
	for i := range disks {
		disks[i] = vfs.NewMem()
		m = newModel(t, disks[i], 6) // the same seed: the same ids
		m.cfg.HighWater = ""
		m.open()
		m.register("a")
		m.register("b")
		m.commit()
		for range 3 {
			m.add("a", ra.Term(1+i), 0, 1, 100)
			m.vote("b", ra.Term(7+i), "a")
			m.commit()
		}
		m.try(m.log.Close)
		if m.err != nil {
			t.Fatal(m.err)
		}
	}
	return m, disks[0], disks[1]
}

// TestBrokenChain mixes the blocks of two clones of a file: all of them are of this file and have the number that is due, and
// all orders follow on each other. What does not go on from the batch before it is not taken, neither by its head nor by its
// tail, nor is anything behind it, and everybody is marked, with nothing left that is not known to be committed (I11; F10).
func TestBrokenChain(t *testing.T) {
	m, one, other := clones(t)
	name := "wal/" + fileName(1)
	theirs := whole(t, other, name)
	for _, n := range []int64{1, 2} { // the break is before batch 2 anyway
		for what, gone := range map[string]int64{"whole": -1, "without a head": blockOf(2), "without a tail": blockOf(3) - batchFixed} {
			what = fmt.Sprintf("batch %d of another, %s", n, what)
			hurt := one.Crash(vfs.CrashKept, m.rng)
			b := whole(t, hurt, name)
			copy(b[blockOf(n):], theirs[blockOf(n):blockOf(n+1)])
			put(t, hurt, name, b)
			if gone >= 0 {
				overwrite(t, hurt, name, gone, batchFixed, false, m.rng)
			}
			for range 2 { // the next start finds it as it was
				hurt = hurt.Crash(vfs.CrashKept, m.rng)
				m.cfg.FS = hurt
				m.brokenAt2(t, what)
			}
		}
	}
}

// brokenAt2 opens a log whose chain breaks before batch 2.
func (m *model) brokenAt2(t *testing.T, what string) {
	t.Helper()
	out := m.open()
	if m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 1, Offset: blockOf(2)}}) || len(out.Members) != 2 {
		t.Fatalf("%s: %+v, %v", what, out, m.err)
	}
	for i := range out.Members {
		if r := &out.Members[i]; r.Mark.What != anyDamage || r.Mark.From != 1 || r.Writer.Seq() > 2 || r.Entries.Len() != 0 {
			t.Errorf("%s: %s has %+v at order %d", what, r.Writer.UID(), r.Mark, r.Writer.Seq())
		}
	}
}

// TestRowOfNobody loses the batch that says whom a number in the file stands for, and so many behind it that no other one
// repeats that. What the number orders later is lost with it, also if it comes behind the state file, which knows nothing of
// it (I11).
func TestRowOfNobody(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.cfg.FileSize = 64 * block
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.add("b", 1, 0, 1, 100)
	m.commit()
	for range echoBatches {
		m.add("a", 1, 0, 1, 100)
		m.commit()
	}
	m.release() // the first file
	m.vote("b", 5, "a")
	m.commit()
	m.add("a", 1, 0, 1, 100)
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	overwrite(t, hurt, "wal/"+fileName(2), blockOf(0), (1+echoBatches)*block, true, m.rng)
	if got := m.reopen(hurt, "nobody's", false); got != (outcome{marked: 2, votes: 1, lost: true}) {
		t.Errorf("%+v", got)
	}
	if b := m.log.writers["b"]; b.live.mark.What&DamagedState == 0 {
		t.Errorf("b is marked with %+v", b.live.mark)
	}
}

// TestStartIsCutShortBehindALoss cuts short a start that finds a loss, at each of its operations. By then the marks of the members
// may be durable; the high-water mark still is the one that told of the loss. The next start tells it again: there may have been
// a member that is known nowhere else. It has no further loss to tell, and the one behind it has none (I11; F3).
func TestStartIsCutShortBehindALoss(t *testing.T) {
	m, disk := reference(t, 3, false)
	for i := range 4 { // more batches than the next start will write
		m.vote("b", ra.Term(3+i), "a")
		m.commit()
	}
	m.register("d") // of which nothing is left
	m.commit()
	m.try(m.log.Close)
	newest := walFiles(t, disk)[2]
	for what, c := range map[string]struct {
		do   func(d *vfs.Mem)
		want Loss
		hole bool // that stays, and is found by each start
	}{
		"it is gone":     {func(d *vfs.Mem) { remove(t, d, newest) }, Loss{File: 3}, false},
		"it is set back": {func(d *vfs.Mem) { overwrite(t, d, newest, blockOf(2), 8*block, false, m.rng) }, Loss{File: 3, Offset: blockOf(2)}, true},
		"it is cut":      {func(d *vfs.Mem) { d.Cut(newest, blockOf(2)) }, Loss{File: 3, Offset: blockOf(2)}, false},
	} {
		hurt, told := disk.Crash(vfs.CrashKept, m.rng), 0
		c.do(hurt)
		was := whole(t, hurt, "HIGHWATER")
		for op, done := 0, false; !done; op++ {
			disk := hurt.Crash(vfs.CrashKept, m.rng)
			faulty := vfs.NewErrs(disk)
			faulty.Inject(vfs.Fault{After: op, Err: errCrash})
			m.cfg.FS, m.err = faulty, nil
			m.open()
			done = m.err == nil
			disk = disk.Crash([]vfs.CrashModel{vfs.CrashKept, vfs.CrashLost}[op%2], m.rng)
			m.cfg.FS, m.err = disk, nil
			heard := !bytes.Equal(whole(t, disk, "HIGHWATER"), was) && !c.hole
			for range 2 {
				want := []Loss{c.want}
				if heard {
					want = nil
				}
				out := m.open()
				if m.err != nil || len(out.Members) != 3 || !slices.Equal(out.Losses, want) {
					t.Fatalf("%s, crash at operation %d: %+v, want %v; %v", what, op, out, want, m.err)
				}
				told, heard = told+len(want), !c.hole
				for i := range out.Members {
					if r := &out.Members[i]; r.Mark.What != anyDamage {
						t.Errorf("%s, crash at operation %d: %s has %+v", what, op, r.Writer.UID(), r.Mark)
					}
				}
				m.try(m.log.Close)
			}
		}
		if told < 10 {
			t.Errorf("%s: told %d times", what, told)
		}
	}
}

// remove removes a file durably.
func remove(t *testing.T, disk *vfs.Mem, name string) {
	t.Helper()
	if err := errors.Join(disk.Remove(name), disk.SyncDir("wal")); err != nil {
		t.Fatal(err)
	}
}

// quarantined reports whether the file is in quarantine when everything is released.
func (m *model) quarantined(t *testing.T, disk *vfs.Mem, name string) bool {
	t.Helper()
	m.releaseAll(t)
	names, _ := disk.List("wal/quarantine") // it need not be there
	return slices.Contains(names, name)
}

// TestChangesPlacesWithReleased has the newest file change places with one that is released and still there, or lay over it. Who
// puts them back must find it: it is kept (I11; F10).
func TestChangesPlacesWithReleased(t *testing.T) {
	for _, mark := range []string{"HIGHWATER", ""} {
		for _, swapped := range []bool{true, false} {
			disk := vfs.NewMem()
			m := newModel(t, disk, 6)
			m.cfg.HighWater = mark
			m.open()
			for _, uid := range []ra.UID{"a", "b"} {
				m.register(uid)
				m.commit()
				m.try(func() error { return m.log.roll(block) })
			}
			m.release()
			m.add("a", 1, 0, 3, 100)
			m.commit()
			if m.err != nil {
				t.Fatal(m.err)
			}
			released, newest := "wal/"+fileName(1), "wal/"+fileName(3)
			hurt := disk.Crash(vfs.CrashKept, m.rng)
			one, other := whole(t, hurt, released), whole(t, hurt, newest)
			put(t, hurt, released, other)
			if swapped {
				put(t, hurt, newest, one)
			} else {
				remove(t, hurt, newest)
			}
			what := fmt.Sprintf("swapped %v, mark %q", swapped, mark)
			if got := m.reopen(hurt, what, false); mark != "" && !got.lost {
				t.Errorf("%s: %+v", what, got)
			}
			if !m.quarantined(t, hurt, fileName(1)) || !bytes.Equal(whole(t, hurt, "wal/quarantine/"+fileName(1)), other) {
				t.Errorf("%s: it is gone", what)
			}
		}
	}
}

// TestUnaccountedUntilAccepted loses a file in which a member had all that there was of it. That somebody may be gone is known at each
// later start, also if the first one was cut short wherever it was, until it is accepted (I11, I12; F10).
func TestUnaccountedUntilAccepted(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.register("b")
	m.commit()
	if m.err != nil {
		t.Fatal(m.err)
	}
	cfg, cut := m.cfg, 0
	for at, done := 0, false; !done; at++ {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		overwrite(t, hurt, "wal/"+fileName(2), 0, headerSize, false, m.rng)
		faulty := vfs.NewErrs(hurt)
		faulty.Inject(vfs.Fault{After: at, Err: errCrash})
		cfg.FS = faulty
		l, _, err := Open(cfg)
		if done = err == nil; !done {
			cut++
		}
		faulty.Heal()
		for range 3 { // starts
			if hurt = hurt.Crash(vfs.CrashLost, m.rng); l != nil {
				_ = l.Close() // of another life, on another disk
			}
			cfg.FS = hurt
			var out *Recovery
			if l, out, err = Open(cfg); err != nil || !out.Unaccounted {
				t.Fatalf("first start cut short at operation %d: %+v, %v", at, out, err)
			}
		}
		if err := l.AcceptUnaccounted(); err != nil {
			t.Fatal(err)
		}
		if err := l.AcceptUnaccounted(); err != nil {
			t.Errorf("again: %v", err)
		}
		cfg.FS = hurt.Crash(vfs.CrashLost, m.rng)
		if _, out, err := Open(cfg); err != nil || out.Unaccounted {
			t.Fatalf("accepted: %+v, %v", out, err)
		}
	}
	if cut < 20 {
		t.Errorf("only %d starts were cut short", cut)
	}
}

// TestShortFileIsKept cuts the newest file where its last batch ends. Whether there was more nobody knows: that is a loss,
// and the file is kept (I11; F10).
func TestShortFileIsKept(t *testing.T) {
	m, disk := reference(t, 1, true)
	name := fileName(1)
	size := int64(len(content(t, disk, "wal/"+name)))
	disk.Cut("wal/"+name, size)
	m.cfg.FS = disk
	if out := m.open(); m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 1, Offset: size}}) {
		t.Fatalf("%+v, %v", out, m.err)
	}
	if !m.quarantined(t, disk, name) {
		t.Error("the file is gone")
	}
}

// TestLossBehindASeal loses what stood behind a seal. However often the log is opened before the file is released, it is a
// damaged one, and is kept (I11).
func TestLossBehindASeal(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	m.try(m.log.Seal)
	m.vote("b", 1, "a")
	m.commit()
	if m.err != nil {
		t.Fatal(m.err)
	}
	name, hurt := fileName(1), disk.Crash(vfs.CrashKept, m.rng)
	overwrite(t, hurt, "wal/"+name, blockOf(2), block, false, m.rng)
	for range 2 {
		hurt = hurt.Crash(vfs.CrashKept, m.rng)
		m.cfg.FS = hurt
		if out := m.open(); m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 1, Offset: blockOf(2)}}) {
			t.Fatalf("%+v, %v", out, m.err)
		}
		for _, uid := range []ra.UID{"a", "b"} {
			if mark := m.log.writers[uid].live.mark; mark.What != anyDamage {
				t.Errorf("%s has %+v", uid, mark)
			}
		}
	}
	if !m.quarantined(t, hurt, name) {
		t.Error("the file is gone")
	}
}

// TestReleaseOfWhatWasRecovered: what the files that recovery has read hold of a member counts up to their last order, once
// they are released: nobody misses anything at the next start (I11, I12).
func TestReleaseOfWhatWasRecovered(t *testing.T) {
	m, disk := reference(t, 3, true)
	m.cfg.HighWater = "" // only the next file's header vouches for the last batch of a file
	m.resume(m.open())
	m.release()
	m.release()
	m.try(m.log.Close)
	if m.err != nil || m.log.states.released != 2 {
		t.Fatalf("%d files are released, %v", m.log.states.released, m.err)
	}
	m.expect("after the release", disk.Crash(vfs.CrashLost, m.rng))
}

// TestTornIsTold: a batch is torn if something of it is there, and not if there is nothing, or something older than the file.
func TestTornIsTold(t *testing.T) {
	m, disk := reference(t, 1, false)
	m.cfg.HighWater = ""
	name := walFiles(t, disk)[0]
	end := int64(len(content(t, disk, name)))
	if h := decodeBatchHeader(whole(t, disk, name)[end-block:]); h.length != block {
		t.Fatalf("the last batch has %d bytes", h.length)
	}
	for what, c := range map[string]struct {
		from, to int64 // what is lost of the last batch
		flip     int64 // a byte that is another one then
		torn     bool
	}{
		"only the id is left":      {batchFixed, block, 40, true},
		"nothing is left":          {0, block, -1, false},
		"of another file, as ever": {batchFixed, block, 8, false},
	} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		overwrite(t, hurt, name, end-block+c.from, c.to-c.from, false, m.rng)
		if c.flip >= 0 {
			hurt.Flip(name, end-block+c.flip, 1)
		}
		m.cfg.FS = hurt
		if out := m.open(); m.err != nil || out.Torn != c.torn || len(out.Losses) > 0 {
			t.Errorf("%s: %+v, %v", what, out, m.err)
		}
	}
}
