package wal

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// contents returns what all files on the disk hold, by their names.
func contents(t *testing.T, disk *vfs.Mem) map[string]string {
	t.Helper()
	out := make(map[string]string)
	var read func(dir string)
	read = func(dir string) {
		names, err := disk.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			full := strings.TrimPrefix(dir+"/"+name, "./")
			if strings.HasSuffix(name, "/") {
				read(strings.TrimSuffix(full, "/"))
				continue
			}
			out[full] = string(whole(t, disk, full))
		}
	}
	read(".")
	return out
}

var errRefused = errors.New("refused")

// refuse is a check of registrations that lets none pass.
func refuse(ra.UID, Registration) error { return errRefused }

// TestRefusedLogStaysAsItIs: a log whose members its owner does not know is not begun, and nothing is moved or removed,
// whatever there is to be put right. It opens as if nobody had tried (I11).
func TestRefusedLogStaysAsItIs(t *testing.T) {
	_, other := strangerLog(t)
	m, disk := reference(t, 3, true)
	files := walFiles(t, disk)
	for what, do := range map[string]func(d *vfs.Mem){
		"as it was":               func(*vfs.Mem) {},
		"a mark of another log":   func(d *vfs.Mem) { put(t, d, "HIGHWATER", whole(t, other, "HIGHWATER")) },
		"a file of another log":   func(d *vfs.Mem) { put(t, d, files[1], whole(t, other, files[1])) },
		"a copy under a number":   func(d *vfs.Mem) { put(t, d, "wal/"+fileName(7), whole(t, d, files[0])) },
		"no file of the log":      func(d *vfs.Mem) { put(t, d, "wal/letter", []byte("to whom it may concern")) },
		"a file without a header": func(d *vfs.Mem) { put(t, d, files[2], make([]byte, 4*headerSize)) },
		"a spare too many": func(d *vfs.Mem) {
			for n := range uint64(4) {
				put(t, d, "wal/"+spareName(n+10), make([]byte, MinFileSize))
			}
		},
	} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		do(hurt)
		before := contents(t, hurt)
		cfg := m.cfg
		cfg.FS, cfg.Check = hurt, refuse
		if _, _, err := Open(cfg); !errors.Is(err, errRefused) {
			t.Fatalf("%s: %v", what, err)
		}
		after := contents(t, hurt)
		delete(before, "wal/"+lockName)
		delete(after, "wal/"+lockName)
		if !maps.Equal(before, after) {
			t.Errorf("%s: the directory has changed", what)
		}
	}
}

// TestRefusedStateFilesStay: nor are state files put right.
func TestRefusedStateFilesStay(t *testing.T) {
	m, disk, states := twoStates(t)
	for what, do := range map[string]func(d *vfs.Mem) error{
		"misplaced": func(d *vfs.Mem) error { return d.Rename(states[1], "wal/"+stateName(99)) },
		"damaged":   func(d *vfs.Mem) error { d.Flip(states[1], 20, 1); return nil },
		"a third":   func(d *vfs.Mem) error { put(t, d, "wal/"+stateName(1), whole(t, d, states[0])); return nil },
	} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		if err := do(hurt); err != nil {
			t.Fatal(err)
		}
		before := contents(t, hurt)
		cfg := m.cfg
		cfg.FS, cfg.Check = hurt, refuse
		if _, _, err := Open(cfg); !errors.Is(err, errRefused) {
			t.Fatalf("%s: %v", what, err)
		}
		if after := contents(t, hurt); !maps.Equal(before, after) {
			t.Errorf("%s: the directory has changed", what)
		}
	}
}

// walCount returns how many WAL files and spares there are.
func walCount(t *testing.T, disk *vfs.Mem) (files int) {
	t.Helper()
	names, err := disk.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, walSuffix) || strings.Contains(name, spareSuffix) {
			files++
		}
	}
	return files
}

// TestFailedStartsLeaveNoMore has the log opened again and again by starts that fail for good when it is to go on in a new file.
// They leave no more than the first has left, and when a start comes to its end it finds what it would have found (I9, I20).
func TestFailedStartsLeaveNoMore(t *testing.T) {
	for _, fault := range []vfs.Fault{
		{Op: vfs.OpCreate, Name: "HIGHWATER*"}, {Op: vfs.OpWrite, Name: "HIGHWATER*"}, {Op: vfs.OpSync, Name: "HIGHWATER*"},
		{Op: vfs.OpSyncDir, Name: "."}, {Op: vfs.OpMkdir, Name: "quarantine"},
	} {
		for what, c := range map[string]struct {
			do   func(d *vfs.Mem)
			lost bool
		}{
			"sound":            {func(*vfs.Mem) {}, false},
			"without its mark": {func(d *vfs.Mem) { remove(t, d, "HIGHWATER") }, false},
			"with a bad mark":  {func(d *vfs.Mem) { put(t, d, "HIGHWATER", make([]byte, 2*block)) }, false},
			"with a loss":      {func(d *vfs.Mem) { remove(t, d, walFiles(t, d)[1]) }, true},
			"with a bad file":  {func(d *vfs.Mem) { put(t, d, walFiles(t, d)[1], []byte("no file of the log")) }, true},
		} {
			for _, sealed := range []bool{true, false} {
				what := fmt.Sprintf("%s fails on %s, a log %s, sealed %v", fault.Op, fault.Name, what, sealed)
				m, disk := reference(t, 2, sealed)
				disk = disk.Crash(vfs.CrashKept, m.rng)
				c.do(disk)
				if !m.startsFail(t, disk, fault, what) {
					continue
				}
				if got := m.reopen(disk, what, false); got.lost != c.lost || c.lost != (got.marked > 0) {
					t.Errorf("%s: %+v", what, got)
				}
			}
		}
	}
}

// startsFail opens the log several times. It returns false if nothing meets the fault, as where there is nothing to be moved to
// quarantine.
func (m *model) startsFail(t *testing.T, disk *vfs.Mem, fault vfs.Fault, what string) bool {
	t.Helper()
	faulty := vfs.NewErrs(disk)
	faulty.Inject(fault)
	cfg := m.cfg
	cfg.FS = faulty
	files := 0
	for i := range 4 {
		l, _, err := Open(cfg)
		if err == nil {
			m.try(l.Close)
			return false
		}
		n := walCount(t, disk)
		if i > 0 && n != files {
			t.Fatalf("%s: %d files are there after %d starts, %d were after the first", what, n, i+1, files)
		}
		files = n
	}
	return true
}
