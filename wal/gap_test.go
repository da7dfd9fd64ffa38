package wal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// blockOf returns where the nth batch of a file begins whose batches are one block long.
func blockOf(n int64) int64 { return headerSize + n*block }

// closedFiles returns the numbers of the files that recovery has read.
func (m *model) closedFiles() []uint64 {
	var out []uint64
	for _, c := range m.log.Closed() {
		out = append(out, c.Seq)
	}
	return out
}

// TestGapOfSeveralFiles: of files that are missing in a row all are noted, the last one by itself, and all behind them are
// read (I11).
func TestGapOfSeveralFiles(t *testing.T) {
	m, disk := reference(t, 8, true)
	for _, name := range walFiles(t, disk)[1:3] {
		if err := disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 { // the order in which a map yields its keys is another each time
		m.cfg.FS = disk.Crash(vfs.CrashKept, m.rng)
		out := m.open()
		if m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 2}, {File: 3}}) {
			t.Fatalf("%+v, %v", out, m.err)
		}
		if got := m.closedFiles(); !slices.Equal(got, []uint64{1, 4, 5, 6, 7, 8}) {
			t.Fatalf("files %v are read", got)
		}
		if c := m.log.writers["c"]; c.live.mark.What != 0 || c.last != 1 {
			t.Fatalf("c had nothing there, and has shown it: %+v", c.live)
		}
	}
}

// TestSecondGap: of the files between two gaps nobody knows whether they are of this log, and they do not count. Those behind
// the second gap do, since the mark knows them, and who shows there that he had nothing in what is lost is sound (I11).
func TestSecondGap(t *testing.T) {
	m, disk := reference(t, 8, true)
	files := walFiles(t, disk)
	remove(t, disk, files[2])
	remove(t, disk, files[5])
	m.cfg.FS = disk
	out := m.open()
	if m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 3}, {File: 6}}) || !slices.Equal(out.Quarantined, []string{fileName(4), fileName(5)}) {
		t.Fatalf("%+v, %v", out, m.err)
	}
	if got := m.closedFiles(); !slices.Equal(got, []uint64{1, 2, 7, 8}) {
		t.Errorf("files %v are read", got)
	}
	if c := m.log.writers["c"]; c.live.mark.What != 0 || c.last != 1 {
		t.Errorf("c had nothing there, and has shown it: %+v", c.live)
	}
}

// TestBehindALongGap: what is lost in several files that are missing in a row came before what is behind them. Who was
// registered since then is not doubted when a state file was written since, too: that one is newer than the first of what is
// behind the gap, and takes effect there and not at the gap (I11).
func TestBehindALongGap(t *testing.T) {
	for what, do := range map[string]func(disk *vfs.Mem, files []string){
		"set back by two files":    func(d *vfs.Mem, f []string) { remove(t, d, f[2]); remove(t, d, f[3]) },
		"a stray number far ahead": func(d *vfs.Mem, _ []string) { put(t, d, "wal/"+fileName(9), nil) },
		"a short file and a gap":   func(d *vfs.Mem, f []string) { d.Cut(f[2], headerSize); remove(t, d, f[3]) },
	} {
		m, disk := reference(t, 4, true)
		do(disk, walFiles(t, disk))
		m.cfg.FS = disk
		if out := m.open(); m.err != nil || len(out.Losses) == 0 {
			t.Fatalf("%s: %+v, %v", what, out, m.err)
		}
		m.register("late")
		m.commit()
		m.vote("late", 1, "late")
		m.commit()
		m.release() // a file before the gap
		want := m.members["late"].now()
		for range 2 {
			m.try(func() error { return m.log.Close() })
			out := m.open()
			if m.err != nil || len(out.Members) != 4 {
				t.Fatalf("%s: %+v, %v", what, out, m.err)
			}
			for i := range out.Members {
				r := &out.Members[i]
				if late := r.Writer.UID() == "late"; late != (r.Mark.What == 0) || late && r.State != want.state {
					t.Errorf("%s: %s has %+v, mark %+v", what, r.Writer.UID(), r.State, r.Mark)
				}
			}
		}
	}
}

// TestFirstFileWithoutAState: without a state file the log begins with its first file, or something is lost: once (I11).
func TestFirstFileWithoutAState(t *testing.T) {
	m, disk := reference(t, 3, true)
	files := walFiles(t, disk)
	for _, c := range []struct {
		what string
		do   func(d *vfs.Mem)
		want []Loss
	}{
		{"all there", func(*vfs.Mem) {}, nil},
		{"first header is gone", func(d *vfs.Mem) { overwrite(t, d, files[0], 0, headerSize, false, m.rng) }, []Loss{{File: 1}}},
		{"first is gone", func(d *vfs.Mem) {
			if err := d.Remove(files[0]); err != nil {
				t.Fatal(err)
			}
		}, []Loss{{File: 1}}},
	} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		c.do(hurt)
		m.cfg.FS = hurt
		if out := m.open(); m.err != nil || !slices.Equal(out.Losses, c.want) {
			t.Errorf("%s: %+v, %v", c.what, out, m.err)
		}
	}
}

// TestRenamedFile: a file that has another's number in its header is not taken for what its name says, and not written over
// either (I11; F10).
func TestRenamedFile(t *testing.T) {
	m, disk := reference(t, 3, true)
	newest, wrong := walFiles(t, disk)[2], fileName(4)
	was := whole(t, disk, newest)
	if err := disk.Rename(newest, "wal/"+wrong); err != nil {
		t.Fatal(err)
	}
	m.cfg.FS = disk
	if out := m.open(); m.err != nil || !slices.Equal(out.Quarantined, []string{wrong}) || len(out.Losses) == 0 {
		t.Fatalf("%+v, %v", out, m.err)
	}
	if !bytes.Equal(whole(t, disk, "wal/quarantine/"+wrong), was) {
		t.Error("another file is in quarantine")
	}
}

// TestFileOfAnotherFuture: a log that was copied went on twice. A file of one future says nothing in the other, though it is
// of the same log and has the right number: the file behind it names another before it. Which of the two is the stranger nobody
// knows, without a mark, so neither counts (I11; F10).
func TestFileOfAnotherFuture(t *testing.T) {
	m, disk := reference(t, 2, true)
	m.cfg.HighWater = ""
	grow := func(fs *vfs.Mem, seed uint64, term ra.Term) {
		t.Helper()
		m.cfg.FS, m.cfg.Random = fs, &seeded{rand.New(rand.NewPCG(seed, 8))}
		m.resume(m.open())
		m.vote("a", term, "a")
		m.commit()
		m.try(func() error { return m.log.Close() })
		if m.err != nil {
			t.Fatal(m.err)
		}
	}
	other, third := disk.Crash(vfs.CrashKept, m.rng), "wal/"+fileName(3)
	grow(other, 21, 9)
	grow(disk, 22, 7)
	grow(disk, 23, 8)
	theirs, ours := whole(t, other, third), whole(t, disk, "wal/"+fileName(4))
	put(t, disk, third, theirs)
	m.cfg.FS = disk
	out := m.open()
	if m.err != nil || !slices.Equal(out.Quarantined, []string{fileName(3), fileName(4)}) || !slices.Equal(out.Losses, []Loss{{File: 3}, {File: 4}}) {
		t.Fatalf("%+v, %v", out, m.err)
	}
	for seq, want := range map[uint64][]byte{3: theirs, 4: ours} {
		if !bytes.Equal(whole(t, disk, "wal/quarantine/"+fileName(seq)), want) {
			t.Errorf("file %d: another one is in quarantine", seq)
		}
	}
	if got := m.closedFiles(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("files %v are read", got)
	}
	for i := range out.Members {
		if r := &out.Members[i]; r.Mark.What != anyDamage {
			t.Errorf("%s: %+v", r.Writer.UID(), r.Mark)
		}
	}
}

// TestNumbersGoOn: batches that are lost have had their numbers, also if nothing is there that has a later one. What is
// written from now on must not come before what a state file already accounts for (I11).
func TestNumbersGoOn(t *testing.T) {
	used := vfs.NewMem()
	m := newModel(t, used, 6)
	m.cfg.HighWater = ""
	m.open()
	m.register("a")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	for range 5 {
		m.add("a", 1, 0, 1, 100)
		m.commit()
	}
	m.try(func() error { return m.log.roll(block) })
	if m.err != nil {
		t.Fatal(m.err)
	}
	disk := used.Crash(vfs.CrashKept, m.rng)
	files := walFiles(t, disk)
	newest, err := decodeFileHeader(content(t, disk, files[2])[:block])
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	m.cfg.FS = disk
	if out := m.open(); m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 2}, {File: 3}}) {
		t.Fatalf("%+v, %v", out, m.err)
	}
	if h := m.log.cur.header; h.firstBatch < newest.firstBatch {
		t.Errorf("the next file begins with batch %d, the one before with %d", h.firstBatch, newest.firstBatch)
	}
}

// TestForgedTable makes a batch's header count fewer or more rows than its table has, with checksums that are right then: no
// panic, nothing of the batch is believed, and whoever may have been in it is marked (I11).
func TestForgedTable(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.release() // the state file knows nothing of the next batch, and clears nobody
	m.add("a", 1, 0, 1, 100)
	m.add("b", 1, 0, 1, 100)
	for _, uid := range []ra.UID{"a", "b"} {
		m.vote(uid, 1, "a") // which makes the rows long enough for a third to have room
	}
	m.commit() // the mark beside the log vouches for it, and no later batch, whose chain would tell
	if m.err != nil {
		t.Fatal(m.err)
	}
	name, at := "wal/"+fileName(2), blockOf(0)
	for _, rows := range []uint32{0, 1, 2, 3} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		b := whole(t, hurt, name)
		batch := b[at : at+block]
		h := decodeBatchHeader(batch)
		if h.rows != 2 || h.length != block {
			t.Fatalf("%+v", h)
		}
		h.rows = rows
		if !h.fits(block) {
			t.Fatalf("%d rows do not fit", rows)
		}
		table := batch[batchFixed:][:h.table]
		h.encode(batch, headMagic, table)
		h.encode(batch[block-batchFixed:], tailMagic, table)
		put(t, hurt, name, b)
		m.cfg.FS = hurt
		out := m.open()
		if rows == 2 {
			if m.err != nil || len(out.Losses) > 0 {
				t.Fatalf("nothing is forged: %+v, %v", out, m.err)
			}
			continue
		}
		if m.err != nil || !slices.Equal(out.Losses, []Loss{{File: 2, Offset: at}}) || len(out.Members) != 2 {
			t.Fatalf("%d rows: %+v, %v", rows, out, m.err)
		}
		for i := range out.Members {
			if r := &out.Members[i]; r.Mark.What != anyDamage || r.Entries.Len() > 0 {
				t.Errorf("%d rows: %s has %+v", rows, r.Writer.UID(), r.Mark)
			}
		}
	}
}

// TestWhatFollowsOnALoss loses a batch, and of the next one the head or the tail too: what is left of that one is enough for
// it. Who had nothing in the lost batch is sound (I11; reliability goal G7).
func TestWhatFollowsOnALoss(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	m.add("a", 1, 0, 1, 100)
	m.commit()
	m.vote("b", 1, "a")
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	name := "wal/" + fileName(1)
	for what, at := range map[string]int64{"nothing": -1, "head": blockOf(2), "tail": blockOf(3) - batchFixed} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		overwrite(t, hurt, name, blockOf(1), block, true, m.rng)
		if at >= 0 {
			overwrite(t, hurt, name, at, batchFixed, false, m.rng)
		}
		got := m.reopen(hurt, what, false)
		if b := m.log.writers["b"]; got.marked != 1 || b.live.mark.What != 0 || b.live.state.Term != 1 {
			t.Errorf("and %s: %+v, b is %+v", what, got, b.live)
		}
	}
}

// TestShiftedBlocks has blocks stand one place behind their own: the first of these batches is missed there, and the last one, which
// they have overwritten, though they fill the file to its end (I11; F9).
func TestShiftedBlocks(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	for range 2 {
		m.vote("a", m.members["a"].now().state.Term+1, "a")
		m.commit()
	}
	for range 2 {
		m.vote("b", m.members["b"].now().state.Term+1, "b")
		m.commit()
	}
	m.try(func() error { return m.log.roll(block) })
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	name := "wal/" + fileName(1)
	b := whole(t, disk, name)
	copy(b[blockOf(2):], slices.Clone(b[blockOf(1):blockOf(4)]))
	clear(b[blockOf(1):blockOf(2)])
	put(t, disk, name, b)
	m.reopen(disk, "shifted", false)
	if got := m.marked(); got["b"] != anyDamage {
		t.Errorf("marked are %v", got)
	}
}

// TestLostDeletion loses the order that deleted a member. The state file does not know the member any more, so it is deleted,
// and what it left elsewhere may go (I12).
func TestLostDeletion(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.register("b")
	m.commit()
	m.delete("b")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.vote("a", 1, "a")
	m.commit()
	m.release()
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
	for _, lost := range []bool{false, true} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		if lost {
			overwrite(t, hurt, "wal/"+fileName(2), blockOf(1), block, true, m.rng)
		}
		m.cfg.FS = hurt
		out := m.open()
		if m.err != nil || len(out.Members) != 1 || out.Members[0].Mark.What != 0 || !slices.Equal(out.Deleted, []ra.UID{"b"}) {
			t.Errorf("lost %v: %+v, %v", lost, out, m.err)
		}
		if lost != (len(out.Losses) > 0) {
			t.Errorf("lost %v: %+v", lost, out.Losses)
		}
	}
}

// TestDamagedFileIsKept damages one copy of a table, or an entry: what is damaged is told, and the file goes to quarantine
// when it is not needed any more, instead of being written over.
func TestDamagedFileIsKept(t *testing.T) {
	m, disk := reference(t, 1, true)
	name := fileName(1)
	b := content(t, disk, "wal/"+name)
	last := m.members["a"].now().last()
	frame := int64(bytes.Index(b, payloadOf(entry(last, 3, 100))))
	early := int64(bytes.Index(b, payloadOf(entry(1, 1, 50))))
	if frame < 0 || early < 0 {
		t.Fatal("an entry is not in the file")
	}
	for _, c := range []struct {
		what string
		at   int64 // of the flipped bit
		want []Loss
	}{
		{"nothing", -1, nil},
		{"head", headerSize, nil},
		{"last entry", frame, []Loss{{File: 1, Offset: frame &^ (block - 1), Attributed: true}}},
		{"early entry", early, []Loss{{File: 1, Offset: early &^ (block - 1), Attributed: true}}},
	} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		if c.at >= 0 {
			hurt.Flip("wal/"+name, c.at, 1)
		}
		was := whole(t, hurt, "wal/"+name)
		m.cfg.FS = hurt
		out := m.open()
		if m.err != nil || !slices.Equal(out.Losses, c.want) {
			t.Errorf("%s: %+v, want %+v; %v", c.what, out.Losses, c.want, m.err)
		}
		m.releaseAll(t)
		names, _ := hurt.List("wal/quarantine") // it need not be there
		if damaged := c.at >= 0; damaged != slices.Contains(names, name) {
			t.Errorf("%s: in quarantine is %v", c.what, names)
		} else if damaged && !bytes.Equal(whole(t, hurt, "wal/quarantine/"+name), was) {
			t.Errorf("%s: another file is in quarantine", c.what)
		}
	}
}

// releaseAll releases what is closed, and one more file, which has those before it recycled.
func (m *model) releaseAll(t *testing.T) {
	t.Helper()
	for i := range 2 {
		m.register(ra.UID(fmt.Sprint("late", len(m.members))))
		m.commit()
		if m.try(func() error { return m.log.roll(block) }); m.err != nil {
			t.Fatal(i, m.err)
		}
		for _, c := range m.log.Closed() {
			m.try(func() error { return m.log.Release(c) })
		}
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
}
