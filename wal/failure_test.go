package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// failing returns a model on a disk that fails on demand.
func failing(t *testing.T, seed uint64) (*model, *vfs.Errs, *vfs.Mem) {
	disk := vfs.NewMem()
	faulty := vfs.NewErrs(disk)
	return newModel(t, faulty, seed), faulty, disk
}

// TestFailedWriteIsLate fails one write or sync at every place of the script: all that is acknowledged is there after a
// power cut, and the log goes on (I10; F6; bugs of the kind "retried sync succeeds").
func TestFailedWriteIsLate(t *testing.T) {
	for _, fault := range []vfs.Fault{
		{Op: vfs.OpWrite, Name: "*.wal", Err: syscall.EIO},
		{Op: vfs.OpWrite, Name: "*.wal", Err: syscall.EIO, Short: true},
		{Op: vfs.OpSync, Name: "*.wal", Err: syscall.EIO},
		// An open file keeps the name that it was opened under.
		{Op: vfs.OpWrite, Name: "*.spare", Err: syscall.EIO},
		{Op: vfs.OpWrite, Name: "*.spare", Err: syscall.EIO, Short: true},
		{Op: vfs.OpSync, Name: "*.spare", Err: syscall.EIO},
	} {
		struck := 0
		for after := range 60 {
			m, faulty, disk := failing(t, 1)
			f := fault
			f.After, f.Times = after, 1
			hit := false
			faulty.Inject(f)
			m.script()
			if m.err != nil && !errors.Is(m.err, syscall.EIO) {
				t.Fatalf("%s %d: %v", f.Op, after, m.err)
			}
			if m.err != nil {
				hit = true // Open itself reports what it cannot do
			}
			rng := rand.New(rand.NewPCG(uint64(after), 1))
			for model := range vfs.CrashModels {
				m.cfg.FS, m.err = disk.Crash(model, rng), nil
				out := m.open()
				if m.err != nil {
					t.Fatal(m.err)
				}
				m.verify(out, fmt.Sprintf("%s %s fails at %d, %v", f.Op, f.Name, after, model))
			}
			if !hit {
				struck++
			}
		}
		if struck < 30 && fault.Name == "*.spare" {
			t.Errorf("%s %s: only %d runs went on", fault.Op, fault.Name, struck)
		}
	}
}

// TestErrorAtEveryOperation fails every operation once, and every operation from some point on for a while: nothing that
// is acknowledged is lost, and no error of the disk passes for success (I10; F6, F11; reliability goal G6).
func TestErrorAtEveryOperation(t *testing.T) {
	m, counter, _ := failing(t, 1)
	m.script()
	ops := counter.Count()
	for op := range ops {
		for _, times := range []int{1, 3} {
			m, faulty, disk := failing(t, 1)
			faulty.Inject(vfs.Fault{After: op, Times: times})
			m.script()
			if m.err != nil && !errors.Is(m.err, vfs.ErrInjected) {
				t.Fatalf("operation %d: %v", op, m.err)
			}
			what := fmt.Sprintf("operation %d fails %d times", op, times)
			m.cfg.FS, m.err = disk.Crash(vfs.CrashLost, m.rng), nil
			out := m.open()
			if m.err != nil {
				t.Fatalf("%s: %v", what, m.err)
			}
			m.verify(out, what)
		}
	}
}

func TestSecondFailureEndsTheLog(t *testing.T) { // I10
	m, faulty, _ := failing(t, 1)
	m.open()
	m.register("a")
	m.commit()
	m.add("a", 1, 0, 1, 10)
	faulty.Inject(vfs.Fault{Op: vfs.OpSync})
	if err := m.log.Commit(m.batch); !errors.Is(err, ra.ErrStorageFailed) || !errors.Is(err, vfs.ErrInjected) {
		t.Fatalf("commit on a broken disk: %v", err)
	}
	faulty.Heal()
	if err := m.log.Commit(m.batch); !errors.Is(err, ra.ErrStorageFailed) {
		t.Errorf("commit after the disk seems well again: %v", err)
	}
	if err := m.log.Seal(); !errors.Is(err, ra.ErrStorageFailed) {
		t.Errorf("seal after the disk seems well again: %v", err)
	}
}

// TestFullDisk shows that without space commands are refused and votes go on, and that both go on with space (F7).
func TestFullDisk(t *testing.T) {
	m, _, disk := failing(t, 1)
	m.cfg.MaxBatch = 16 << 10
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	disk.SetCapacity(MinFileSize)
	if err := m.log.Reserve(); !errors.Is(err, ra.ErrDiskFull) {
		t.Fatalf("reserve on a full disk: %v", err)
	}
	accepted := 0
	for {
		w := m.members["a"].w
		err := m.batch.Append(w, &Op{Seq: w.Seq() + 1, Entries: []ra.Entry{entry(w.Last()+1, 1, 1000)}})
		if errors.Is(err, ra.ErrDiskFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := m.log.Commit(m.batch); err != nil {
			t.Fatalf("an order that was accepted cannot be committed: %v", err)
		}
		m.batch.Reset()
		accepted++
	}
	if accepted < 6 {
		t.Errorf("only %d entries fitted into the last file", accepted)
	}
	m.vote("b", 2, "a")
	m.commit()
	if m.err != nil {
		t.Fatalf("a vote on a full disk: %v", m.err)
	}
	disk.SetCapacity(0)
	if err := m.log.Reserve(); err != nil {
		t.Fatal(err)
	}
	w := m.members["a"].w
	if err := m.batch.Append(w, &Op{Seq: w.Seq() + 1, Entries: []ra.Entry{entry(w.Last()+1, 1, 1000)}}); err != nil {
		t.Errorf("an entry after there is space again: %v", err)
	}
	m.commit()
	if m.err != nil {
		t.Error(m.err)
	}
}

// TestBatchWaitsForSpace commits a batch that needs a file there is no space for: it is not lost, only late (F7).
func TestBatchWaitsForSpace(t *testing.T) {
	m, _, disk := failing(t, 1)
	m.open()
	m.register("a")
	m.commit()
	disk.SetCapacity(MinFileSize)
	m.add("a", 1, 0, 2, 60<<10)
	for range 2 {
		if err := m.log.Commit(m.batch); !errors.Is(err, ra.ErrDiskFull) {
			t.Fatalf("commit without space: %v", err)
		}
	}
	disk.SetCapacity(0)
	m.commit()
	m.cfg.FS, m.err = disk.Crash(vfs.CrashLost, m.rng), nil
	m.verify(m.open(), "after a batch that waited")
}

// TestNoSpaceForAName: on some file systems a full disk shows only when the next file is to have its name. The batch waits as on any
// full disk, in the old file all goes on, and what is acknowledged then is there. If it is not certain that the next file does not
// have the name nothing more may be written to the old one (I10; F7).
func TestNoSpaceForAName(t *testing.T) {
	for _, fault := range []vfs.Fault{
		{Op: vfs.OpRename, Name: "*.wal", Err: syscall.ENOSPC, Times: 2},
		{Op: vfs.OpRename, Name: "*.wal", Err: syscall.ENOSPC, Times: 5},
		{Op: vfs.OpSyncDir, Err: syscall.ENOSPC, Times: 2},
		{Op: vfs.OpRename, Name: "*.wal", Err: syscall.EIO, Times: 2},
	} {
		what := fmt.Sprintf("%s %v %d times", fault.Op, fault.Err, fault.Times)
		m, faulty, disk := failing(t, 1)
		m.open()
		m.register("a")
		m.register("b")
		m.commit()
		m.try(m.log.Reserve)
		faulty.Inject(fault)
		m.add("a", 1, 0, 2, 60<<10)
		err := m.log.Commit(m.batch)
		if fault.Op == vfs.OpRename && fault.Err == syscall.ENOSPC {
			if !errors.Is(err, ra.ErrDiskFull) {
				t.Fatalf("%s: commit: %v", what, err)
			}
			if last := m.lastAfterCrash(disk, what); last != 0 {
				t.Errorf("%s: %d entries that are not acknowledged", what, last)
			}
			for errors.Is(err, ra.ErrDiskFull) {
				err = m.log.Commit(m.batch)
			}
			if last := m.lastAfterCrash(disk, what); err != nil || last != 2 {
				t.Errorf("%s: %d entries are there, commit: %v", what, last, err)
			}
			continue
		}
		if !errors.Is(err, ra.ErrStorageFailed) {
			t.Errorf("%s: commit: %v", what, err)
		}
		m.lastAfterCrash(disk, what)
	}
}

// lastAfterCrash opens what a crash leaves, and returns the last index of "a". Nothing is to be lost.
func (m *model) lastAfterCrash(disk *vfs.Mem, what string) ra.Index {
	m.tb.Helper()
	cfg := m.cfg
	cfg.FS = disk.Crash(vfs.CrashLost, m.rng)
	l, out, err := Open(cfg)
	if err != nil {
		m.tb.Fatalf("%s: %v", what, err)
	}
	defer l.Close()
	if len(out.Losses) > 0 || len(out.Members) != 2 || out.Members[0].Mark.What != 0 {
		m.tb.Errorf("%s: %+v", what, out)
	}
	return out.Members[0].Writer.Last()
}

func TestTwoOpens(t *testing.T) {
	m, _, _ := failing(t, 1)
	m.open()
	if _, _, err := Open(m.cfg); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.open()
	if m.err != nil {
		t.Errorf("open after close: %v", m.err)
	}
}

// TestRecycledFile fills and releases files until old ones come round again, and stops in the middle of one: what stands
// behind the end is of another life, and some of it looks like sound batches (I12).
func TestRecycledFile(t *testing.T) {
	m, faulty, disk := failing(t, 1)
	recycled := 0
	faulty.Trace(func(op vfs.Op, name string) {
		if op == vfs.OpRename && strings.HasSuffix(name, spareSuffix) {
			recycled++
		}
	})
	m.open()
	m.register("a")
	for i := range 60 {
		m.add("a", ra.Term(i+1), 0, 2, 3000)
		m.commit()
		m.release()
	}
	made := recycled
	recycled = 0
	for i := range 60 {
		m.add("a", ra.Term(i+100), 0, 2, 3000)
		m.commit()
		m.release()
		for model := range vfs.CrashModels {
			c := *m
			c.cfg.FS = disk.Crash(model, m.rng)
			c.verify(c.open(), fmt.Sprintf("batch %d, %v", i, model))
		}
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
	if made == 0 || recycled < 4 {
		t.Errorf("files came round %d times, then %d times", made, recycled)
	}
}

// TestFirstFile: the first file after Open ends where it is told to, all others when they are full; on a full disk it is
// used to its end, too (WAL-05).
func TestFirstFile(t *testing.T) {
	for _, full := range []bool{false, true} {
		m, _, disk := failing(t, 1)
		m.cfg.FirstFile = MinFileSize / 2
		for life := range 2 {
			if life > 0 {
				m.fs = disk
				m.resume(m.open())
			} else {
				m.open()
				m.register("a")
			}
			if full {
				disk.SetCapacity(1)
			}
			var ends []int64
			for before := m.log.cur; len(ends) < 3; before = m.log.cur {
				if full && before.left() < 28<<10 { // beyond that the room for votes begins
					break
				}
				m.add("a", ra.Term(life+1), 0, 1, 1000)
				m.commit()
				if m.err != nil {
					t.Fatal(m.err)
				}
				if m.log.cur != before {
					ends = append(ends, before.off)
				}
				if err := m.log.Reserve(); err != nil && !full {
					t.Fatal(err)
				}
			}
			switch {
			case full && len(ends) > 0:
				t.Errorf("life %d, on a full disk: files end at %d", life, ends)
			case !full && (ends[0] < MinFileSize/2 || ends[0] > MinFileSize/2+2*block || ends[1] < MinFileSize*3/4 || ends[2] < MinFileSize*3/4):
				t.Errorf("life %d: files end at %d", life, ends)
			}
			disk.SetCapacity(0)
			if err := m.log.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestNoNewSpaceInSteadyState shows that released files are reused and the log does not grow (I20).
func TestNoNewSpaceInSteadyState(t *testing.T) {
	m, faulty, _ := failing(t, 1)
	m.open()
	m.register("a")
	created := 0
	faulty.Trace(func(op vfs.Op, name string) {
		if op == vfs.OpZero {
			created++
		}
	})
	for i := range 400 {
		m.add("a", ra.Term(i+1), 0, 2, 3000)
		m.commit()
		m.release()
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
	if created > 4 {
		t.Errorf("%d files were made for 400 batches with two or three files in use", created)
	}
}

// twoStates returns a log with two generations of the state file, and their names.
func twoStates(t *testing.T) (*model, *vfs.Mem, []string) {
	t.Helper()
	m, _, disk := failing(t, 1)
	m.script()
	if m.err != nil {
		t.Fatal(m.err)
	}
	names, err := disk.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, name := range names {
		if strings.HasSuffix(name, stateSuffix) {
			states = append(states, "wal/"+name)
		}
	}
	if len(states) != 2 {
		t.Fatalf("there are %d state files, want two generations", len(states))
	}
	return m, disk, states
}

// TestStateFileDamaged flips bits of either state file: the other one serves (I11, bug 41).
func TestStateFileDamaged(t *testing.T) {
	m, disk, states := twoStates(t)
	for _, name := range states {
		for off := range offsets(t, disk, name) {
			hurt := disk.Crash(vfs.CrashKept, m.rng)
			hurt.Flip(name, off, 1<<(off%8))
			m.cfg.FS = hurt
			out := m.open()
			if m.err != nil {
				t.Fatal(m.err)
			}
			if len(out.Quarantined) != 1 {
				t.Fatalf("%s, byte %d: quarantined %v", name, off, out.Quarantined)
			}
			out.Quarantined = nil
			m.verify(out, fmt.Sprintf("%s, byte %d", name, off))
		}
	}
}

// TestStateFilesMixedUp: a state file is taken for what its content says, whatever its name (F10). The newest one is found
// again by the next start too.
func TestStateFilesMixedUp(t *testing.T) {
	m, disk, states := twoStates(t)
	first, second, beyond := path.Base(states[0]), path.Base(states[1]), stateName(99)
	for _, c := range []struct {
		what  string
		moves [][2]string
		wrong []string
	}{
		{"swapped", [][2]string{{first, "x"}, {second, first}, {"x", second}}, []string{second, first}},
		{"older", [][2]string{{second, first}}, []string{first}},
		{"newer", [][2]string{{second, beyond}}, []string{beyond}},
	} {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		for _, names := range c.moves {
			if err := hurt.Rename("wal/"+names[0], "wal/"+names[1]); err != nil {
				t.Fatal(err)
			}
		}
		m.expect(c.what, hurt, c.wrong...)
		m.expect(c.what+", next start", hurt.Crash(vfs.CrashLost, m.rng))
	}
}

// TestStateFileCut cuts the newest state file short, at every byte: the one before takes its place (I11; F10).
func TestStateFileCut(t *testing.T) {
	m, disk, states := twoStates(t)
	for size := range offsets(t, disk, states[1]) {
		hurt := disk.Crash(vfs.CrashKept, m.rng)
		hurt.Cut(states[1], size)
		m.cfg.FS = hurt
		out := m.open()
		if m.err != nil {
			t.Fatal(m.err)
		}
		if len(out.Quarantined) != 1 {
			t.Fatalf("cut to %d bytes: quarantined %v", size, out.Quarantined)
		}
		out.Quarantined = nil
		m.verify(out, fmt.Sprintf("cut to %d bytes", size))
	}
}

// TestRepairedMemberIsSoundAgain damages a member, repairs it as its owner would, and opens the log again (I10).
func TestRepairedMemberIsSoundAgain(t *testing.T) {
	m, disk := reference(t, 1, true)
	b := content(t, disk, "wal/"+fileName(1))
	payload := payloadOf(entry(2, 1, 50))
	off := strings.Index(string(b), string(payload))
	if off < 0 {
		t.Fatal("entry 2 of a is not in the file")
	}
	disk.Flip("wal/"+fileName(1), int64(off), 1)
	m.cfg.FS = disk.Crash(vfs.CrashKept, m.rng)
	out := m.open()
	a := &out.Members[0]
	if want := (Mark{What: DamagedLog, From: 2}); a.Mark != (Mark{}) && a.Mark != want {
		t.Fatalf("mark %+v, want %+v or none", a.Mark, want)
	}
	// Entry 2 was overwritten later on, which makes the damage good.
	if a.Mark != (Mark{}) {
		t.Fatalf("mark %+v though the damaged entry was overwritten", a.Mark)
	}
	m.repairFirst(t, disk)
}

// repairFirst damages the last entry of member a, repairs it and looks at it again.
func (m *model) repairFirst(t *testing.T, disk *vfs.Mem) {
	last := m.members["a"].now()
	payload := payloadOf(entry(last.last(), 3, 100))
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	off := strings.Index(string(content(t, disk, "wal/"+fileName(1))), string(payload))
	hurt.Flip("wal/"+fileName(1), int64(off), 1)
	m.cfg.FS = hurt
	out := m.open()
	a := &out.Members[0]
	if want := (Mark{What: DamagedLog, From: last.last()}); a.Mark != want {
		t.Fatalf("mark %+v, want %+v", a.Mark, want)
	}
	w := a.Writer
	for _, op := range []Op{
		{Truncate: last.last(), Entries: []ra.Entry{entry(last.last(), 3, 100)}},
		{Repaired: true},
	} {
		op.Seq = w.Seq() + 1
		if err := m.batch.Append(w, &op); err != nil {
			t.Fatal(err)
		}
	}
	m.commit()
	m.cfg.FS = hurt.Crash(vfs.CrashLost, m.rng)
	out = m.open()
	if m.err != nil {
		t.Fatal(m.err)
	}
	a = &out.Members[0]
	if got := recovered(a, view{first: 1}); a.Mark != (Mark{}) || fmt.Sprint(got) != fmt.Sprint(last) {
		t.Errorf("repaired member has mark %+v and\n%v, want\n%v", a.Mark, got, last)
	}
}
