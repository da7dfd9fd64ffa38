package wal

import (
	"errors"
	"fmt"
	"path"
	"testing"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// badBlock returns a file system on which one block of one file cannot be read.
func badBlock(fs vfs.FS, name string, off int64) vfs.FS {
	e := vfs.NewErrs(fs)
	e.Inject(vfs.Fault{Op: vfs.OpRead, Name: path.Base(name), From: off, To: off + block})
	return e
}

// TestUnreadableBlocks: a block that cannot be read is never taken for the end of the log. Either the log does not open,
// or what may have stood there counts as damaged, also without the mark beside the log, which says how much there was
// (I9, I11; F6).
func TestUnreadableBlocks(t *testing.T) {
	for i := range 4 {
		sealed, mark := i%2 == 0, i/2 == 0
		m, disk := reference(t, 3, sealed)
		if !mark {
			m.cfg.HighWater = ""
		}
		refused, marked := 0, 0
		for _, name := range walFiles(t, disk) {
			for off := int64(0); off < int64(len(content(t, disk, name)))+2*block; off += block {
				m.cfg.FS, m.err = badBlock(disk.Crash(vfs.CrashKept, nil), name, off), nil
				found := m.open()
				if m.err != nil {
					if !errors.Is(m.err, vfs.ErrInjected) {
						t.Fatalf("%s at %d: %v", name, off, m.err)
					}
					refused++
					continue
				}
				marked += m.checkUnread(found, fmt.Sprintf("sealed %v, mark %v, %s at %d", sealed, mark, name, off))
			}
		}
		if marked == 0 {
			t.Errorf("sealed %v, mark %v: %d times the log did not open, nobody was ever marked", sealed, mark, refused)
		}
	}
}

// checkUnread checks that no member without a mark lacks anything, and returns how many have one.
func (m *model) checkUnread(found *Recovery, what string) (marked int) {
	m.tb.Helper()
	if len(found.Members) != len(m.names) && len(found.Losses) == 0 {
		m.tb.Fatalf("%s: of %d members %d are there, and nothing is reported lost", what, len(m.names), len(found.Members))
	}
	for i := range found.Members {
		r := &found.Members[i]
		m.checkDamaged(r, what, false)
		if r.Mark.What != 0 {
			marked++
		}
	}
	return marked
}

// TestDiskStopsReading: at whatever read of an Open a disk begins to refuse all of them, the log does not open, and when the
// disk reads again nothing is missing, and nothing was taken for damage. A crash has left a state file that is older than
// what the log can begin with (I11; F6).
func TestDiskStopsReading(t *testing.T) {
	for at, opened := 0, false; !opened; at++ {
		m, disk := reference(t, 4, false)
		var old []byte
		for _, closed := range m.log.Closed() {
			if err := m.log.Release(closed); err != nil {
				t.Fatal(err)
			}
			if old == nil {
				old = contentOf(t, disk, stateName(1))
			}
		}
		left := disk.Crash(vfs.CrashKept, nil)
		f, err := left.Create("wal/"+stateName(1), vfs.Buffered)
		if err == nil {
			_, err = f.WriteAt(old, 0)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		errs := vfs.NewErrs(left)
		errs.Inject(vfs.Fault{Op: vfs.OpRead, After: at})
		m.cfg.FS = errs
		_, _, err = Open(m.cfg)
		opened = err == nil
		m.cfg.FS = left.Crash(vfs.CrashKept, nil)
		found := m.open()
		if m.err != nil || len(found.Members) != len(m.names) || len(found.Losses) > 0 || len(found.Quarantined) > 0 {
			t.Errorf("reads failed from number %d on: %v, found %+v", at, m.err, found)
		}
	}
}

// TestUnreadableBeyondAll: a log that has come to numbers from farNumber on, behind a stray file, is not opened either when the
// disk refuses to read the header of one of its files, or that is of a later format, and loses nothing when it can be read
// again (I9, I11; F6).
func TestUnreadableBeyondAll(t *testing.T) {
	m, disk := reference(t, 3, true)
	put(t, disk, "wal/"+fileName(farNumber-2), nil)
	m.cfg.FS = disk
	for range 3 {
		m.open() // one more file each time
		m.try(func() error { return m.log.Close() })
	}
	want := m.open()
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
	far := 0
	for _, name := range walFiles(t, disk) {
		if n, ok := number(path.Base(name), walSuffix); !ok || n < farNumber {
			continue
		}
		far++
		left := disk.Crash(vfs.CrashKept, nil)
		errs := vfs.NewErrs(left)
		errs.Inject(vfs.Fault{Op: vfs.OpRead, Name: path.Base(name), To: headerSize})
		m.cfg.FS = errs
		if _, _, err := Open(m.cfg); !errors.Is(err, vfs.ErrInjected) {
			t.Errorf("%s: opened with %v", name, err)
		}
		b := whole(t, disk, name)
		later(b[:block])
		m.cfg.FS = disk.Crash(vfs.CrashKept, nil)
		put(t, m.cfg.FS, name, b)
		if _, _, err := Open(m.cfg); !errors.Is(err, errVersion) {
			t.Errorf("%s, of a later format: opened with %v", name, err)
		}
		m.cfg.FS = left
		found := m.open()
		if m.err != nil || len(found.Quarantined) > 0 || len(found.Losses) > len(want.Losses) {
			t.Errorf("%s, after the fault: %v, found %+v", name, m.err, found)
		}
	}
	if far == 0 {
		t.Error("the log has not come so far")
	}
}

// contentOf returns a file of a log.
func contentOf(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open("wal/"+name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	b := make([]byte, size)
	if _, err2 := f.ReadAt(b, 0); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return b
}

// TestUnreadableState: the only state file there is cannot be read. That may be the disk's fault, so the log does not
// open, and changes nothing; when the disk can read it again nothing is missing.
func TestUnreadableState(t *testing.T) {
	m, disk := reference(t, 2, false)
	closed := m.log.Closed()
	if len(closed) == 0 {
		t.Fatal("no file to release")
	}
	if err := m.log.Release(closed[0]); err != nil {
		t.Fatal(err)
	}
	left := disk.Crash(vfs.CrashLost, nil)
	m.cfg.FS = badBlock(left, stateName(1), 0)
	if _, _, err := Open(m.cfg); !errors.Is(err, vfs.ErrInjected) {
		t.Fatalf("opened with %v", err)
	}
	m.cfg.FS = left
	found := m.open()
	if m.err != nil || len(found.Members) != len(m.names) || len(found.Losses) > 0 || len(found.Quarantined) > 0 {
		t.Errorf("after the fault: %v, found %+v", m.err, found)
	}
}
