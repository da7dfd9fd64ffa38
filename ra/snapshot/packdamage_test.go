package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// reopen opens a store in which there may be damage.
func reopen(t testing.TB, fs vfs.FS) (*Store, *Report) {
	t.Helper()
	s, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	return s, report
}

// kept returns a copy of a disk.
func kept(fs *vfs.Mem) *vfs.Mem { return fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1))) }

// rowsOf returns the table of a pack.
func rowsOf(t testing.TB, fs vfs.FS, number uint64) []packRow {
	t.Helper()
	rows, _, err := readPack(open(t, fs, packName(number)), number)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// expectLost opens a store twice: the first time the snapshots of those members, and of no others, are damaged, and go to
// quarantine; then nothing is amiss any more, and both tables of the packs are sound.
func expectLost(fs *vfs.Mem, lost []ra.UID) error {
	for _, first := range []bool{true, false} {
		s, report, err := Open(Config{FS: fs, Dir: "snap"})
		if err != nil {
			return err
		}
		var damaged []ra.UID
		for _, d := range report.Damaged {
			damaged = append(damaged, d.UID)
		}
		away := len(damaged)
		if first {
			away++ // the pack itself
		}
		if first != slices.Equal(damaged, lost) && len(lost) > 0 || len(report.Lost) != len(lost) || len(report.Quarantined) != away {
			return fmt.Errorf("%+v, lost are %v", report, lost)
		}
		for _, uid := range []ra.UID{"a", "b", "c"} {
			if _, ok := s.Newest(uid); ok == slices.Contains(lost, uid) {
				return fmt.Errorf("%s is there: %v, lost are %v", uid, ok, lost)
			} else if !ok {
				continue
			}
			if err := verifyAt(s, uid, 5, 100); err != nil {
				return err
			}
		}
		if got := s.unclean(); len(got) > 0 {
			return fmt.Errorf("packs %v are not written anew", got)
		}
	}
	return nil
}

// I11: a flipped bit in a pack is damage of the member whose snapshot it is in, found by who opens the store and by who
// reads of an open one, and of nobody else; in a table it is none at all.
func TestEveryFlipInAPack(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustPack(t, s, 5, "a", "b", "c")
	name := "snap/" + packName(1)
	rows := rowsOf(t, fs, 1)
	met := 0
	for off := int64(0); fs.Flip(name, off, 1<<(off%8)); off++ {
		var lost []ra.UID
		for _, r := range rows {
			sound := off < r.off || off >= r.off+r.size
			if !sound {
				lost, met = append(lost, r.id.uid), met+1
			}
			if err := s.Check(r.id.uid); err == nil != sound || err != nil && !errors.Is(err, ra.ErrCorrupt) {
				t.Fatalf("check of %s with a flip at %d: %v", r.id.uid, off, err)
			}
		}
		if err := expectLost(kept(fs), lost); err != nil {
			t.Fatalf("flip at %d: %v", off, err)
		}
		fs.Flip(name, off, 1<<(off%8))
	}
	if want := rows[0].size + rows[1].size + rows[2].size; int64(met) != want {
		t.Errorf("%d bytes of snapshots, not %d", met, want)
	}
}

// A pack that was cut anywhere has what lies before, unless nobody knows any more whose it is.
func TestEveryCutOfAPack(t *testing.T) {
	fs := vfs.NewMem()
	mustPack(t, mustOpen(t, fs), 5, "a", "b", "c")
	rows := rowsOf(t, fs, 1)
	for n := range int64(len(content(t, fs, packName(1)))) {
		left := kept(fs)
		left.Cut("snap/"+packName(1), n)
		if n < rows[0].off {
			if s, report := reopen(t, left); len(s.UIDs()) > 0 || !slices.Equal(report.Quarantined, []string{packName(1)}) {
				t.Fatalf("cut at %d: %+v", n, report)
			}
			mustOpen(t, left)
			continue
		}
		var lost []ra.UID
		for _, r := range rows {
			if n < r.off+r.size {
				lost = append(lost, r.id.uid)
			}
		}
		if err := expectLost(left, lost); err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// I11, I21: a block of a pack that the disk cannot read, or that is zero, is damage of those whose snapshots it has. One that
// is read at the second try is sound, and a disk that reads nothing is no damage.
func TestBlocksOfAPack(t *testing.T) {
	fs := vfs.NewMem()
	if err := takePacked(mustOpen(t, fs), "a", 5, 60_000); err != nil {
		t.Fatal(err)
	}
	rows, size := rowsOf(t, fs, 1), int64(len(content(t, fs, packName(1))))
	for block := int64(0); block*vfs.BlockSize < size; block++ {
		from, to := block*vfs.BlockSize, min(size, (block+1)*vfs.BlockSize)
		var lost []ra.UID
		for _, r := range rows {
			if from < r.off+r.size && to > r.off {
				lost = append(lost, r.id.uid)
			}
		}
		for times, want := range map[int][]ra.UID{0: lost, 1: nil} {
			left := kept(fs)
			bad := vfs.NewErrs(left)
			bad.Inject(vfs.Fault{Op: vfs.OpRead, Name: packName(1), From: from, To: to, Times: times})
			expectReadable(t, bad, want)
			bad.Heal()
			mustOpen(t, bad)
		}
		zeroed := kept(fs)
		f := open(t, zeroed, packName(1))
		if _, err := f.WriteAt(make([]byte, to-from), from); err != nil {
			t.Fatal(err)
		}
		expectReadable(t, zeroed, lost)
	}
	dead := vfs.NewErrs(fs)
	dead.Inject(vfs.Fault{Op: vfs.OpRead})
	if _, _, err := Open(Config{FS: dead, Dir: "snap"}); !errors.Is(err, vfs.ErrInjected) || errors.Is(err, ra.ErrCorrupt) {
		t.Errorf("a disk that reads nothing: %v", err)
	}
}

// expectReadable opens a store with snapshots of a and b, of which some are lost.
func expectReadable(t *testing.T, fs vfs.FS, lost []ra.UID) {
	t.Helper()
	s, report := reopen(t, fs)
	if len(report.Damaged) != len(lost) {
		t.Fatalf("%+v, lost are %v", report, lost)
	}
	for _, uid := range []ra.UID{"a", "b"} {
		if slices.Contains(lost, uid) {
			continue
		}
		if err := verifyAt(s, uid, 5, 60_000); err != nil {
			t.Fatalf("%s, lost are %v: %v", uid, lost, err)
		}
	}
}

// A pack of which nobody knows what is in it goes to quarantine as a whole: both tables damaged, not to be read, another
// pack's, or none. What lies elsewhere is not touched.
func TestUnknownPacks(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustPack(t, s, 5, "a", "b", "c")
	if err := take(s, "d", 5, 100); err != nil {
		t.Fatal(err)
	}
	whole := content(t, fs, packName(1))
	for name, change := range map[string]func(*vfs.Mem) vfs.FS{
		"both tables": func(m *vfs.Mem) vfs.FS {
			m.Flip("snap/"+packName(1), 20, 1)
			m.Flip("snap/"+packName(1), int64(len(whole)-30), 1)
			return m
		},
		"another number": func(m *vfs.Mem) vfs.FS {
			if err := m.Rename("snap/"+packName(1), "snap/"+packName(2)); err != nil {
				t.Fatal(err)
			}
			return m
		},
	} {
		s, report := reopen(t, change(kept(fs)))
		if len(report.Quarantined) != 1 || len(report.Damaged) > 0 || !slices.Equal(s.UIDs(), []ra.UID{"d"}) {
			t.Errorf("%s: %+v, there are %v", name, report, s.UIDs())
		}
		mustHave(t, s, "d", 5, 100)
		mustPack(t, s, 6, "a")
	}
}

// I11: a pack neither of whose tables the disk reads is not taken for damaged, however often it fails: nobody could tell whose
// loss that is.
func TestUnreadablePack(t *testing.T) {
	fs := vfs.NewMem()
	mustPack(t, mustOpen(t, fs), 5, "a", "b", "c")
	for times := range 12 {
		left := kept(fs)
		bad := vfs.NewErrs(left)
		bad.Inject(vfs.Fault{Op: vfs.OpRead, Name: packName(1), Times: times})
		s, report, err := Open(Config{FS: bad, Dir: "snap"})
		if err != nil {
			if !errors.Is(err, vfs.ErrInjected) {
				t.Errorf("%d reads fail: %v", times, err)
			}
			s = mustOpen(t, left)
		} else if len(report.Damaged) > 0 || times == 1 && len(report.Quarantined) > 0 {
			t.Errorf("%d reads fail: %+v", times, report)
		}
		bad.Heal()
		for _, uid := range []ra.UID{"a", "b", "c"} {
			mustHave(t, s, uid, 5, 100)
		}
	}
}

// A pack of a later format is left alone, also if only one table can be read.
func TestLaterPackFormat(t *testing.T) {
	for _, damage := range []bool{false, true} {
		fs := vfs.NewMem()
		rows := []packRow{{id: of("a", 7, 9), size: 10}}
		b := encodePack(1, rows, func(int) []byte { return make([]byte, 10) })
		size := int(tableSize(rows))
		for _, at := range []int{0, len(b) - packTrailSize - size} {
			table := b[at : at+size]
			table[12] = packVersion + 1
			seal(table)
		}
		if damage {
			b[30] ^= 1
		}
		put(t, fs, packName(1), b)
		if _, _, err := Open(Config{FS: fs, Dir: "snap"}); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), packName(1)) || !bytes.Equal(content(t, fs, packName(1)), b) {
			t.Errorf("front table damaged %v: %v", damage, err)
		}
	}
}

// seal mends the checksum of a table.
func seal(table []byte) {
	crc := ra.Checksum(table[12:])
	table[8], table[9], table[10], table[11] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
}

// SNAP-07: of a snapshot that a crash left twice, in two packs or in a pack and in a file of its own, the sound one serves,
// whichever it is.
func TestTwiceThere(t *testing.T) {
	for _, second := range []func(*Store, ra.UID, ra.Index, int) error{takePacked, take} {
		fs := vfs.NewMem()
		errs := vfs.NewErrs(fs)
		s := mustOpen(t, errs)
		errs.Inject(vfs.Fault{Op: vfs.OpSyncDir, Times: 1})
		errs.Inject(vfs.Fault{Op: vfs.OpRemove, Times: 1})
		if err := takePacked(s, "a", 5, 100); err == nil {
			t.Fatal("the first one counts")
		}
		errs.Heal()
		errs.Inject(vfs.Fault{Op: vfs.OpRemove})
		if err := second(s, "a", 5, 100); err != nil {
			t.Fatal(err)
		}
		both := names(t, fs, "snap")
		if len(both) != 2 {
			t.Fatal(both)
		}
		for _, name := range both {
			left := kept(fs)
			off := int64(100)
			if number, ok := parsePackName(name); ok {
				off += rowsOf(t, fs, number)[0].off
			}
			left.Flip("snap/"+name, off, 1)
			s, report := reopen(t, left)
			for _, d := range report.Damaged {
				if d.UID != "a" || d.Fallback != 5 {
					t.Errorf("%+v", d)
				}
			}
			mustHave(t, s, "a", 5, 100)
			mustHave(t, mustOpen(t, left), "a", 5, 100)
		}
	}
}

// A snapshot in a pack that was condemned is gone, its bytes are in quarantine, and it does not stand in the way of its
// successor, which may have its index: not in this life, nor in the next.
func TestCondemnInAPack(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustPack(t, s, 5, "a", "b", "c")
	row := rowsOf(t, fs, 1)[0]
	fs.Flip("snap/"+packName(1), row.off+100, 1)
	bad := content(t, fs, packName(1))[row.off : row.off+row.size]
	info, _ := s.Newest("a")
	if err := s.Condemn(info); err != nil {
		t.Fatal(err)
	}
	if err := s.Condemn(info); !errors.Is(err, ErrNone) {
		t.Errorf("twice: %v", err)
	}
	if got := content(t, fs, "quarantine/"+row.id.String()); !bytes.Equal(got, bad) {
		t.Error("not the bytes that were there")
	}
	if err := take(s, "a", 5, 100); err != nil {
		t.Fatal(err)
	}
	next, _ := reopen(t, kept(fs))
	for _, s := range []*Store{s, next} {
		mustHave(t, s, "a", 5, 100)
		mustHave(t, s, "b", 5, 100)
	}
	mustPack(t, s, 6, "d")
	after, report := reopen(t, fs)
	mustHave(t, after, "a", 5, 100)
	if len(report.Lost) != 1 || report.Lost[0].UID != "a" {
		t.Errorf("%+v", report)
	}
}

// What has decayed is not taken along into a new pack, where nobody could tell any more that the old one was sound, perhaps,
// and does not keep others from it. It stays until it is condemned.
func TestDecayIsNotCarriedOver(t *testing.T) {
	for name, harm := range map[string]func(*vfs.Mem, *vfs.Errs){
		"flip": func(m *vfs.Mem, _ *vfs.Errs) { m.Flip("snap/"+packName(1), 300, 1) },
		"not to be read": func(_ *vfs.Mem, e *vfs.Errs) {
			e.Inject(vfs.Fault{Op: vfs.OpRead, Name: packName(1), From: 300, To: 301})
		},
		"not to be opened": func(_ *vfs.Mem, e *vfs.Errs) {
			e.Inject(vfs.Fault{Op: vfs.OpOpen, Name: packName(1), Times: 2})
		},
	} {
		fs := vfs.NewMem()
		errs := vfs.NewErrs(fs)
		s := mustOpen(t, errs)
		mustPack(t, s, 5, "a", "b", "c")
		rows := rowsOf(t, fs, 1)
		if rows[0].off > 300 || rows[0].off+rows[0].size <= 300 {
			t.Fatal("300 is not in the first snapshot")
		}
		harm(fs, errs)
		// What the disk refuses today it may give tomorrow.
		if err := errors.Join(s.Remove("c"), s.Sweep()); errors.Is(err, vfs.ErrInjected) != (name == "not to be opened") {
			t.Fatal(name, err)
		}
		mustPack(t, s, 6, "d")
		if got := packsOf(t, fs); got[0] != packName(1) {
			t.Errorf("%s: left are %v", name, got)
		}
		mustHave(t, s, "b", 5, 100)
		if info, _ := s.Newest("a"); name != "not to be opened" {
			if err := errors.Join(s.Condemn(info), s.Sweep()); err != nil {
				t.Fatal(name, err)
			}
		} else if err := s.Sweep(); err != nil {
			t.Fatal(err)
		}
		after, report := reopen(t, fs.Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1))))
		if slices.Contains(packsOf(t, fs), packName(1)) || len(report.Damaged) > 0 || slices.Contains(after.UIDs(), "c") {
			t.Errorf("%s: left are %v, there are %v, %+v", name, packsOf(t, fs), after.UIDs(), report)
		}
		mustHave(t, after, "b", 5, 100)
		mustHave(t, after, "d", 6, 100)
	}
}

// I12: what was lost, and accepted, does not come back out of a pack, neither as a loss nor as an older snapshot, whatever
// crashes.
func TestAcceptLossInAPack(t *testing.T) {
	for _, atStart := range []bool{false, true} {
		fs := vfs.NewMem()
		s := mustOpen(t, fs)
		mustPack(t, s, 5, "a", "b", "c", "d")
		mustPack(t, s, 7, "a")
		fs.Flip("snap/"+packName(2), rowsOf(t, fs, 2)[0].off+100, 1)
		info, _ := s.Newest("a")
		if atStart {
			s, _ = reopen(t, fs)
			info, _ = s.Newest("a")
			if info.Index != 5 {
				t.Fatalf("fallback is %+v", info)
			}
		}
		if err := s.Condemn(info); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AcceptLoss("a", 4); err != nil {
			t.Fatal(err)
		}
		for model := range vfs.CrashModels {
			after, report := reopen(t, fs.Crash(model, rand.New(rand.NewPCG(1, 1))))
			if len(report.Damaged)+len(report.Lost) > 0 || !slices.Equal(after.UIDs(), []ra.UID{"b", "c", "d"}) {
				t.Errorf("at the start: %v, crash (%s): %+v, there are %v", atStart, model, report, after.UIDs())
			}
		}
	}
}

// A loss is not accepted as long as it would be found again, because something else in the pack has decayed and keeps it.
func TestAcceptLossInADecayedPack(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	mustPack(t, s, 5, "a", "b", "c")
	for _, r := range rowsOf(t, fs, 1)[:2] {
		fs.Flip("snap/"+packName(1), r.off+100, 1)
	}
	info, _ := s.Newest("a")
	if err := s.Condemn(info); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcceptLoss("a", 4); !errors.Is(err, ra.ErrDamaged) {
		t.Fatalf("accepted: %v", err)
	}
	info, _ = s.Newest("b")
	if err := s.Condemn(info); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcceptLoss("a", 4); err != nil {
		t.Fatal(err)
	}
	if _, report := reopen(t, fs); len(report.Lost) != 1 || report.Lost[0].UID != "b" {
		t.Errorf("%+v", report)
	}
}

// A pack with a damaged table is used even if it cannot be written anew.
func TestDamagedTableOnAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	mustPack(t, mustOpen(t, fs), 5, "a", "b", "c")
	fs.Flip("snap/"+packName(1), 20, 1)
	fs.SetCapacity(fs.Used())
	s := mustOpen(t, fs)
	mustHave(t, s, "a", 5, 100)
	fs.SetCapacity(0)
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	name := packsOf(t, fs)[0]
	fs.Flip("snap/"+name, int64(len(content(t, fs, name)))-1, 1)
	s, report := reopen(t, fs)
	mustHave(t, s, "a", 5, 100)
	if !slices.Equal(report.Quarantined, []string{name}) {
		t.Errorf("%+v", report)
	}
}

// FAIL-06, I11: a store that cannot be opened because there is no room for what goes to quarantine says so, changes nothing,
// and opens when there is room again.
func TestDamageOnAFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	mustPack(t, mustOpen(t, fs), 5, "a", "b", "c")
	r := rowsOf(t, fs, 1)[1]
	fs.Flip("snap/"+packName(1), r.off+r.size/2, 1)
	before := content(t, fs, packName(1))
	fs.SetCapacity(fs.Used())
	if _, _, err := Open(Config{FS: fs, Dir: "snap"}); !errors.Is(err, ra.ErrDiskFull) {
		t.Errorf("opened on a full disk: %v", err)
	}
	if !bytes.Equal(before, content(t, fs, packName(1))) {
		t.Error("the pack has changed")
	}
	fs.SetCapacity(0)
	s, report := reopen(t, fs)
	if len(report.Damaged) != 1 || report.Damaged[0].UID != "b" {
		t.Errorf("%+v", report)
	}
	mustHave(t, s, "a", 5, 100)
	mustHave(t, s, "c", 5, 100)
}
