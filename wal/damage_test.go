package wal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// reference makes a small log of several members, batches and, if so wanted, files, and closes it.
func reference(t *testing.T, files int, sealed bool) (*model, *vfs.Mem) {
	t.Helper()
	disk := vfs.NewMem()
	m := newModel(t, disk, 3)
	m.open()
	for _, uid := range []ra.UID{"a", "b", "c"} {
		m.register(uid)
	}
	m.vote("a", 1, "a")
	m.commit()
	m.add("a", 1, 0, 2, 50)
	m.vote("b", 1, "a")
	m.commit()
	for range files - 1 {
		m.add("a", 1, 0, 2, 1000)
		m.add("b", 1, 0, 1, 200)
		m.commit()
		m.try(func() error { return m.log.roll(block) })
	}
	m.add("a", 2, 1, 2, 200)
	m.add("c", 2, 0, 1, 200)
	m.add("b", 2, 0, 1, 2000)
	m.commit()
	m.vote("c", 2, "b")
	m.add("a", 3, 0, 1, 100)
	m.commit()
	if sealed {
		m.try(m.log.Close)
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m, disk
}

// outcome is what became of a damaged log.
type outcome struct {
	marked int // members with a mark
	votes  int // of them those whose vote is not certain
	torn   bool
	lost   bool // something was reported as lost
}

// reopen opens the damaged log and checks that nothing is lost in silence: a member without a mark has everything, one
// with a mark has everything right that it is said to have (I11). torn allows the last batch to be missing.
func (m *model) reopen(disk *vfs.Mem, what string, torn bool) outcome {
	m.tb.Helper()
	m.cfg.FS, m.err = disk, nil
	out := m.open()
	if m.err != nil {
		m.tb.Fatalf("%s: %v", what, m.err)
	}
	got := outcome{torn: out.Torn, lost: len(out.Losses) > 0}
	found := make(map[ra.UID]*Member)
	for i := range out.Members {
		found[out.Members[i].Writer.UID()] = &out.Members[i]
	}
	for _, uid := range m.names {
		r := found[uid]
		if r == nil {
			if !got.lost {
				m.tb.Fatalf("%s: %s is gone and nothing is reported lost", what, uid)
			}
			continue
		}
		if r.Mark.What != 0 {
			got.marked++
		}
		if r.Mark.What&DamagedState != 0 {
			got.votes++
		}
		m.checkDamaged(r, what, torn)
	}
	m.checkMarksLast(out, disk, what)
	return got
}

// checkDamaged compares a member of a damaged log with the truth.
func (m *model) checkDamaged(r *Member, what string, torn bool) {
	m.tb.Helper()
	mem := m.members[r.Writer.UID()]
	want, got := mem.now(), recovered(r, view{first: 1})
	if torn && r.Writer.Seq() < uint64(len(mem.history)-1) {
		want = mem.history[r.Writer.Seq()]
	}
	switch {
	case r.Mark.What == 0 && fmt.Sprint(got) != fmt.Sprint(want):
		m.tb.Fatalf("%s: %s lost something in silence: it has\n%v, want\n%v", what, r.Writer.UID(), got, want)
	case r.Mark.What&DamagedState == 0 && got.state != want.state:
		m.tb.Fatalf("%s: %s has an old vote without a mark: %v, want %v", what, r.Writer.UID(), got.state, want.state)
	case r.Mark.What&DamagedRegistration == 0 && got.config != want.config:
		m.tb.Fatalf("%s: %s has configuration %q", what, r.Writer.UID(), got.config)
	case r.Mark.What&DamagedLog != 0 && r.Mark.From > 0:
		for i, term := range got.log[:min(len(got.log), int(r.Mark.From-1))] {
			if i >= len(want.log) || want.log[i] != term {
				m.tb.Fatalf("%s: %s has a wrong entry %d below its mark at %d", what, r.Writer.UID(), i+1, r.Mark.From)
			}
		}
		if len(got.log) >= int(r.Mark.From) {
			m.tb.Fatalf("%s: %s has entries up to %d, its mark is at %d", what, r.Writer.UID(), len(got.log), r.Mark.From)
		}
	}
}

// checkMarksLast opens the log again, as after a power cut, and checks that every mark is still there and nothing else
// has come back.
func (m *model) checkMarksLast(first *Recovery, disk *vfs.Mem, what string) {
	m.tb.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	m.cfg.FS = disk.Crash(vfs.CrashLost, rng)
	second := m.open()
	if m.err != nil {
		m.tb.Fatalf("%s: second time: %v", what, m.err)
	}
	if len(second.Members) != len(first.Members) {
		m.tb.Fatalf("%s: second time there are %d members, first %d", what, len(second.Members), len(first.Members))
	}
	for i := range first.Members {
		a, b := &first.Members[i], &second.Members[i]
		va, vb := recovered(a, view{first: 1}), recovered(b, view{first: 1})
		if a.Mark != b.Mark || fmt.Sprint(va) != fmt.Sprint(vb) || a.Writer.Seq() != b.Writer.Seq() || a.Writer.Last() != b.Writer.Last() {
			m.tb.Fatalf("%s: %s came back as\n%v %+v, then as\n%v %+v", what, a.Writer.UID(), va, a.Mark, vb, b.Mark)
		}
	}
}

// walFiles returns the names of the WAL files, with the directory.
func walFiles(t *testing.T, disk *vfs.Mem) []string {
	t.Helper()
	names, err := disk.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		if strings.HasSuffix(name, walSuffix) {
			out = append(out, "wal/"+name)
		}
	}
	return out
}

// content returns what a file holds, without the zeros behind the last used block.
func content(t *testing.T, disk *vfs.Mem, name string) []byte {
	t.Helper()
	f, err := disk.Open(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b[:min(len(b), alignUp(len(bytes.TrimRight(b, "\x00"))))]
}

// offsets yields where in a file damage is tried: at every byte, but in padding only here and there.
func offsets(t *testing.T, disk *vfs.Mem, name string) iter.Seq[int64] {
	b, step := content(t, disk, name), 1
	if testing.Short() {
		step = 31
	}
	return func(yield func(int64) bool) {
		for off := 0; off < len(b); off += step {
			if padding := b[off] == 0 && b[max(off-1, 0)] == 0; padding && off%67 != 0 {
				continue
			}
			if !yield(int64(off)) {
				return
			}
		}
	}
}

// TestFlipAtEveryByte flips a bit of every byte of a sealed log: at most the member whose entry it is suffers, and never
// a vote (I11; F9; reliability goal G7). The log finds that out by itself, without the mark beside it.
func TestFlipAtEveryByte(t *testing.T) {
	m, disk := reference(t, 2, true)
	m.cfg.HighWater = ""
	rng := rand.New(rand.NewPCG(1, 2))
	marked, whole := 0, 0
	for _, name := range walFiles(t, disk) {
		for off := range offsets(t, disk, name) {
			mask := byte(1) << rng.IntN(8)
			hurt := disk.Crash(vfs.CrashKept, rng)
			hurt.Flip(name, off, mask)
			what := fmt.Sprintf("%s, byte %d, mask %02x", name, off, mask)
			got := m.reopen(hurt, what, false)
			if got.marked > 1 || got.votes > 0 || got.torn {
				t.Fatalf("%s: one flipped bit led to %+v", what, got)
			}
			marked += got.marked
			whole += 1 - got.marked
		}
	}
	if marked == 0 || whole == 0 {
		t.Errorf("%d flips marked a member, %d had no effect: one of them was never tried", marked, whole)
	}
	t.Logf("%d flips marked one member, %d had no effect", marked, whole)
}

// TestFlipsTogether flips two bits of one block of a sealed log, which no single bit can undo: what stands behind it vouches for
// what is damaged (I11; F9).
func TestFlipsTogether(t *testing.T) {
	m, disk := reference(t, 2, true)
	m.cfg.HighWater = ""
	rng := rand.New(rand.NewPCG(1, 5))
	marked := 0
	for _, name := range walFiles(t, disk) {
		end := int64(len(content(t, disk, name)))
		for i := range 300 {
			hurt := disk.Crash(vfs.CrashKept, rng)
			off := rng.Int64N(end/block) * block
			first, second := off+rng.Int64N(block), off+rng.Int64N(block)
			hurt.Flip(name, first, byte(1)<<rng.IntN(8))
			hurt.Flip(name, second, byte(1)<<rng.IntN(8))
			got := m.reopen(hurt, fmt.Sprintf("%s, try %d: bytes %d and %d", name, i, first, second), false)
			if got.torn {
				t.Fatalf("%s, bytes %d and %d: %+v", name, first, second, got)
			}
			marked += got.marked
		}
	}
	if marked == 0 {
		t.Error("nobody was ever marked")
	}
}

// TestFlipInUnsealedLog flips bits of a log that was not sealed: not even the last batch, for which nothing vouches but a mark
// beside the log, may be taken for a torn one. It costs at most the member whose entry it is.
func TestFlipInUnsealedLog(t *testing.T) { // F4, F9
	for _, mark := range []bool{false, true} {
		m, disk := reference(t, 1, false)
		if !mark {
			m.cfg.HighWater = ""
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for _, name := range walFiles(t, disk) {
			for off := range offsets(t, disk, name) {
				hurt := disk.Crash(vfs.CrashKept, rng)
				hurt.Flip(name, off, byte(1)<<rng.IntN(8))
				what := fmt.Sprintf("%s, byte %d, mark %v", name, off, mark)
				got := m.reopen(hurt, what, false)
				if got.marked > 1 || got.votes > 0 || got.torn {
					t.Fatalf("%s: one flipped bit led to %+v", what, got)
				}
			}
		}
	}
}

// TestEveryBlockLost replaces runs of blocks with zeros or garbage: whoever might have been in them is marked (I11). What
// stood at the end of the newest file, seal and all, is missed by the mark beside the log only.
func TestEveryBlockLost(t *testing.T) { // F9, F10
	m, disk := reference(t, 2, true)
	rng := rand.New(rand.NewPCG(1, 3))
	files := walFiles(t, disk)
	for i := range 2 * 2 * 3 * len(files) {
		mark, garbage, n, name := i%2 == 0, i/2%2 == 0, int64(1+i/4%3), files[i/12]
		if m.cfg.HighWater = ""; mark {
			m.cfg.HighWater = "HIGHWATER"
		}
		end := int64(len(content(t, disk, name)))
		for off := int64(0); off < end; off += block {
			if !mark && name == files[len(files)-1] && off+n*block >= end {
				break
			}
			hurt := disk.Crash(vfs.CrashKept, rng)
			overwrite(t, hurt, name, off, n*block, garbage, rng)
			m.reopen(hurt, fmt.Sprintf("%s, %d blocks at %d, garbage %v, mark %v", name, n, off, garbage, mark), false)
		}
	}
}

// overwrite replaces part of a file.
func overwrite(t *testing.T, disk *vfs.Mem, name string, off, n int64, garbage bool, rng *rand.Rand) {
	t.Helper()
	f, err := disk.Open(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, n)
	for i := range b {
		if garbage {
			b[i] = byte(rng.Uint32())
		}
	}
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestNoChecksumIsNoExcuse makes the checksums of a batch's head and tail zero and then changes a bit of what they are for:
// no value of a checksum means that there is none (I11).
func TestNoChecksumIsNoExcuse(t *testing.T) {
	m, disk := reference(t, 1, true)
	rng := rand.New(rand.NewPCG(1, 6))
	name := walFiles(t, disk)[0]
	b := content(t, disk, name)
	tried := 0
	for off := int64(headerSize); off < int64(len(b)); off += block {
		if binary.LittleEndian.Uint32(b[off:]) != headMagic {
			continue
		}
		h := decodeBatchHeader(b[off:])
		fixed := [2]int64{off, off + int64(h.length) - batchFixed}      // head and tail
		tables := [2]int64{off + batchFixed, fixed[1] - int64(h.table)} // the copy that belongs to each
		for at := range int64(h.table) {
			hurt := disk.Crash(vfs.CrashKept, rng)
			mask := byte(1) << rng.IntN(8)
			for i := range fixed {
				overwrite(t, hurt, name, fixed[i]+4, 4, false, rng)
				hurt.Flip(name, tables[i]+at, mask)
			}
			m.reopen(hurt, fmt.Sprintf("batch at %d, byte %d of the table, mask %02x", off, at, mask), false)
			tried++
		}
	}
	if tried == 0 {
		t.Error("there is no batch")
	}
}

// TestCutAtEveryByte cuts each file short: files have their full length from the beginning, so that a cut shows (F10).
func TestCutAtEveryByte(t *testing.T) {
	m, disk := reference(t, 2, true)
	rng := rand.New(rand.NewPCG(1, 4))
	for _, name := range walFiles(t, disk) {
		for size := range offsets(t, disk, name) {
			hurt := disk.Crash(vfs.CrashKept, rng)
			hurt.Cut(name, size)
			m.reopen(hurt, fmt.Sprintf("%s cut to %d bytes", name, size), false)
		}
	}
}

// I11: a full file is cut between two batches, so that what is left of it is sound. A member that had only something behind
// the cut, and nothing later that would show it, is missed all the same, since the next file says how far this one went.
func TestCutBetweenBatches(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.commit()
	m.register("quiet")
	m.vote("quiet", 1, "a")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.add("a", 1, 0, 1, 100)
	m.commit()
	m.try(m.log.Close)
	files := walFiles(t, disk)
	next, err := decodeFileHeader(content(t, disk, files[1])[:block])
	if err != nil {
		t.Fatal(err)
	}
	for size := int64(headerSize); size < int64(len(whole(t, disk, files[0]))); size += block {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		hurt.Cut(files[0], size)
		got := m.reopen(hurt, fmt.Sprintf("cut to %d bytes", size), false)
		if needed := size < int64(next.prevEnd); got.lost != needed {
			t.Errorf("cut to %d bytes of %d: %+v", size, next.prevEnd, got)
		}
	}
}

// I11: the newest file is gone, and the mark with it. The file before it says that there was one.
func TestNewestFileIsGone(t *testing.T) {
	m, disk := reference(t, 3, true)
	files := walFiles(t, disk)
	for _, name := range []string{files[len(files)-1], "HIGHWATER"} {
		if err := disk.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.reopen(disk, "without the newest file", false); !got.lost || got.marked != 3 {
		t.Errorf("%+v", got)
	}
}

// TestMissingAndForeignFiles takes files away, swaps them, and adds some: losses are seen, strangers are kept apart.
func TestMissingAndForeignFiles(t *testing.T) { // F10
	rng := rand.New(rand.NewPCG(1, 5))
	for name, c := range map[string]struct {
		do   func(disk *vfs.Mem, files []string) error
		lost bool
	}{
		"first missing": {func(d *vfs.Mem, f []string) error { return d.Remove(f[0]) }, true},
		"last missing":  {func(d *vfs.Mem, f []string) error { return d.Remove(f[len(f)-1]) }, true},
		"swapped":       {swap, true},
		"foreign": {func(d *vfs.Mem, f []string) error {
			_, err := d.Create("wal/notes.txt", vfs.Buffered)
			return err
		}, false},
		"almost a WAL file": {func(d *vfs.Mem, f []string) error {
			_, err := d.Create("wal/17.wal", vfs.Buffered)
			return err
		}, false},
		"empty WAL file behind": {func(d *vfs.Mem, f []string) error {
			_, err := d.Create("wal/"+fileName(uint64(len(f)+1)), vfs.Buffered)
			return err
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m, disk := reference(t, 3, true)
			hurt := disk.Crash(vfs.CrashKept, rng)
			if err := c.do(hurt, walFiles(t, disk)); err != nil {
				t.Fatal(err)
			}
			if got := m.reopen(hurt, name, false); got.lost != c.lost {
				t.Errorf("%+v, want lost %v", got, c.lost)
			}
		})
	}
}

// swap exchanges the first two files.
func swap(d *vfs.Mem, f []string) error {
	for _, r := range [][2]string{{f[0], "wal/x"}, {f[1], f[0]}, {"wal/x", f[1]}} {
		if err := d.Rename(r[0], r[1]); err != nil {
			return err
		}
	}
	return nil
}

// TestDamageThatComesAndGoes mends what was damaged once the member is marked, as when a disk could not be read for a
// while: the member stays as it was told it is.
func TestDamageThatComesAndGoes(t *testing.T) { // I10, I12
	m, disk := reference(t, 1, true)
	name := "wal/" + fileName(1)
	payload := payloadOf(entry(m.members["a"].now().last(), 3, 100))
	off := int64(bytes.Index(content(t, disk, name), payload))
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	hurt.Flip(name, off, 1)
	m.cfg.FS = hurt
	first := m.open()
	hurt = hurt.Crash(vfs.CrashLost, m.rng)
	hurt.Flip(name, off, 1)
	m.cfg.FS = hurt
	second := m.open()
	if m.err != nil {
		t.Fatal(m.err)
	}
	a, b := &first.Members[0], &second.Members[0]
	if a.Mark.What != DamagedLog || b.Mark != a.Mark || b.Entries.Last() != a.Entries.Last() || b.Writer.Last() != a.Writer.Last() {
		t.Errorf("first mark %+v and last index %d, %d, then mark %+v and %d, %d", a.Mark, a.Entries.Last(), a.Writer.Last(),
			b.Mark, b.Entries.Last(), b.Writer.Last())
	}
}
