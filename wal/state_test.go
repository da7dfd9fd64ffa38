package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// expect opens the log on the disk, and checks that all of it is there and that exactly these files went to quarantine.
func (m *model) expect(what string, fs vfs.FS, quarantined ...string) {
	m.tb.Helper()
	m.cfg.FS, m.err = fs, nil
	out := m.open()
	if m.err != nil || len(out.Losses) > 0 || !slices.Equal(out.Quarantined, quarantined) {
		m.tb.Fatalf("%s: %+v, want %v in quarantine; %v", what, out, quarantined, m.err)
	}
	out.Quarantined = nil
	m.verify(out, what)
	if err := m.log.Close(); err != nil {
		m.tb.Fatal(err)
	}
}

// TestOldStateFileUnderTheHighestName: which state file is the newest its content tells. One that has long been replaced
// speaks of WAL files that are not there any more (I11; F10).
func TestOldStateFileUnderTheHighestName(t *testing.T) {
	m, disk := reference(t, 5, false)
	var old []byte
	for range 4 {
		m.release()
		if old == nil {
			old = whole(t, disk, "wal/"+stateName(1))
		}
	}
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	for _, name := range []string{stateName(1), stateName(9)} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		put(t, hurt, "wal/"+name, old)
		if name == stateName(1) {
			m.expect(name, hurt) // it is what it says, and just goes
		} else {
			m.expect(name, hurt, name)
		}
		after := hurt.Crash(vfs.CrashLost, m.rng)
		m.expect(name+", next start", after)
		kept := 0 // the newest, and one that could stand in for it
		for n := range uint64(8) {
			if f, err := after.Open("wal/"+stateName(n+1), vfs.Buffered); err == nil {
				kept++
				_ = f.Close() // it was only looked for
			}
		}
		if kept != 2 {
			t.Errorf("%s: %d state files are left", name, kept)
		}
	}
}

// TestReleasedFileIsDispensable: whatever a crash has made of a file that is released is no damage (I11).
func TestReleasedFileIsDispensable(t *testing.T) {
	m, disk := reference(t, 3, false)
	m.release()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	whole(t, disk, "wal/"+fileName(1)) // it is still there
	recycled := disk.Crash(vfs.CrashKept, m.rng)
	put(t, recycled, "wal/"+fileName(1), whole(t, disk, "wal/"+fileName(3)))
	m.expect("a released file that has become another one, and not lost its name", recycled)
	overwrite(t, disk, "wal/"+fileName(1), 0, headerSize, true, m.rng)
	m.expect("a released file without a header", disk)
}

// TestStateFileCannotBeRenamed: a state file under a wrong name stays where it is until it has a right one (I11; F6).
func TestStateFileCannotBeRenamed(t *testing.T) {
	m, disk, states := twoStates(t)
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	wrong := stateName(99)
	if err := hurt.Rename(states[1], "wal/"+wrong); err != nil {
		t.Fatal(err)
	}
	faulty := vfs.NewErrs(hurt)
	faulty.Inject(vfs.Fault{Op: vfs.OpCreate, Name: stateTemp})
	m.cfg.FS = faulty
	if m.open(); !errors.Is(m.err, vfs.ErrInjected) {
		t.Fatalf("opened: %v", m.err)
	}
	m.expect("after the fault", hurt.Crash(vfs.CrashLost, m.rng), wrong)
}

// TestStateFileHardToRead: a state file that cannot be read once is read again, and one that can never be read is damaged
// if the other one can be (I11; F6).
func TestStateFileHardToRead(t *testing.T) {
	m, disk, states := twoStates(t)
	for _, name := range states {
		base := path.Base(name)
		for _, times := range []int{1, 0} {
			faulty := vfs.NewErrs(disk.Crash(vfs.CrashKept, m.rng))
			faulty.Inject(vfs.Fault{Op: vfs.OpRead, Name: base, Times: times * 2}) // a read that fails is repeated block by block
			what := fmt.Sprintf("%s refused %d times", base, times)
			if times > 0 {
				m.expect(what, faulty)
			} else {
				m.expect(what, faulty, base)
			}
			if faulty.Struck() == 0 {
				t.Errorf("%s: nothing failed", what)
			}
		}
	}
}

// later makes the header at the beginning of b one of a later format, with the right checksum.
func later(b []byte) {
	b[8]++
	binary.LittleEndian.PutUint32(b[12:], fileChecksum(b))
}

// TestLaterFormat: a file that only a later program can read is a reason not to start, also if it is a WAL file that is
// released, or if only one copy of its header is left. Everything stays where it is, also what is of no kind that this program
// knows.
func TestLaterFormat(t *testing.T) {
	m, disk, states := twoStates(t)
	released := "wal/" + fileName(m.log.states.released)
	files := walFiles(t, disk)
	if !slices.Contains(files, released) {
		t.Fatalf("%s is not among %v", released, files)
	}
	makers := map[string]func(one, other []byte){
		"both":              func(one, other []byte) { later(one); later(other) },
		"first, other lost": func(one, other []byte) { later(one); other[40]++ },
		"other, first lost": func(one, other []byte) { later(other); one[40]++ },
		"first":             func(one, _ []byte) { later(one) },
	}
	for _, name := range slices.Concat(files, states, []string{"HIGHWATER"}) {
		for what, makeLater := range makers {
			hurt := disk.Crash(vfs.CrashKept, m.rng)
			b := whole(t, disk, name)
			switch {
			case slices.Contains(states, name):
				later(b)
			case name == "HIGHWATER":
				makeLater(b[markPlaces[0][0]:][:markSize], b[markPlaces[1][0]:][:markSize])
			default:
				makeLater(b[:block], b[block:headerSize])
			}
			put(t, hurt, name, b)
			put(t, hurt, "wal/0000000000000001.index", nil)
			before, _ := hurt.List("wal")
			m.cfg.FS, m.err = hurt, nil
			if m.open(); !errors.Is(m.err, errVersion) || !strings.Contains(m.err.Error(), name) {
				t.Errorf("%s, %s: opened, or the error does not name it: %v", name, what, m.err)
			}
			if after, _ := hurt.List("wal"); !slices.Equal(after, before) || !bytes.Equal(whole(t, hurt, name), b) {
				t.Errorf("%s, %s: the log has %v, had %v", name, what, after, before)
			}
		}
	}
}

// TestStateFileDamagedAgain loses the newest state file, again and again, each time after another one was written: of those that check
// two are there from then on, and the older one stands in for the newer (I11; F9).
func TestStateFileDamagedAgain(t *testing.T) {
	m, disk := reference(t, 6, false)
	m.release()
	m.release()
	for round := range 4 {
		m.try(m.log.Close)
		newest := stateName(m.log.states.gen)
		disk = disk.Crash(vfs.CrashKept, m.rng)
		disk.Flip("wal/"+newest, 100, 1)
		m.cfg.FS = disk
		out := m.open()
		if m.err != nil || len(out.Losses) > 0 || !slices.Equal(out.Quarantined, []string{newest}) {
			t.Fatalf("round %d: %+v, %v", round, out, m.err)
		}
		out.Quarantined = nil
		m.verify(out, newest)
		m.release()
	}
}
