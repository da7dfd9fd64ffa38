package vfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"
)

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes content to a file, which it makes if need be.
func put(t *testing.T, fs FS, name string, content []byte, off int64) File {
	t.Helper()
	f, err := fs.Open(name, Buffered)
	if errors.Is(err, ErrNotExist) {
		f, err = fs.Create(name, Buffered)
	}
	must(t, err)
	_, err = f.WriteAt(content, off)
	must(t, err)
	return f
}

// get returns the content of a file, nil if there is none.
func get(t *testing.T, fs FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name, Buffered)
	if errors.Is(err, ErrNotExist) {
		return nil
	}
	must(t, err)
	defer f.Close()
	size, err := f.Size()
	must(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		must(t, err)
	}
	return b
}

func TestCrashKeepsWhatWasSynced(t *testing.T) { // F4
	for model := range CrashModels {
		for seed := range uint64(50) {
			m := NewMem()
			old := bytes.Repeat([]byte{1}, 3*BlockSize)
			f := put(t, m, "a", old, 0)
			must(t, f.Sync())
			must(t, m.SyncDir("."))
			put(t, m, "a", bytes.Repeat([]byte{2}, BlockSize), BlockSize)
			put(t, m, "b", []byte("new"), 0)
			got := get(t, m.Crash(model, rand.New(rand.NewPCG(seed, 0))), "a")
			if len(got) != len(old) || !bytes.Equal(got[:BlockSize], old[:BlockSize]) || !bytes.Equal(got[2*BlockSize:], old[:BlockSize]) {
				t.Fatalf("%v, seed %d: synced bytes have changed", model, seed)
			}
		}
	}
}

// TestCrashModelsDiffer shows that each model brings about what it is there for, over some seeds.
func TestCrashModelsDiffer(t *testing.T) {
	seen := make(map[CrashModel]map[string]bool)
	for model := range CrashModels {
		seen[model] = make(map[string]bool)
		for seed := range uint64(300) {
			m := NewMem()
			f := put(t, m, "a", bytes.Repeat([]byte{1}, BlockSize), 0)
			must(t, f.Sync())
			must(t, m.SyncDir("."))
			put(t, m, "a", bytes.Repeat([]byte{2}, BlockSize), 0)
			must(t, m.Rename("a", "b"))
			after := m.Crash(model, rand.New(rand.NewPCG(seed, 0)))
			a, b := get(t, after, "a"), get(t, after, "b")
			if (a == nil) == (b == nil) {
				t.Fatalf("%v: the file has two names or none", model)
			}
			if a != nil {
				seen[model]["old name"] = true
			} else {
				seen[model]["new name"] = true
			}
			seen[model][shape(append(a, b...))] = true
		}
	}
	for model, want := range map[CrashModel][]string{
		CrashKept:    {"new name", "new"},
		CrashLost:    {"old name", "old"},
		CrashPrefix:  {"old name", "new name", "old", "new", "prefix"},
		CrashSubset:  {"old name", "new name", "mixed"},
		CrashTorn:    {"old name", "new name", "old", "torn"},
		CrashGarbled: {"old name", "new name", "mixed", "garbled"},
	} {
		for _, w := range want {
			if !seen[model][w] {
				t.Errorf("%v never gave %q, only %v", model, w, seen[model])
			}
		}
	}
	if len(seen[CrashKept]) != 2 || len(seen[CrashLost]) != 2 {
		t.Errorf("kept gave %v, lost gave %v: neither leaves anything open", seen[CrashKept], seen[CrashLost])
	}
}

// shape tells how a block of 1s was overwritten with 2s.
func shape(b []byte) string {
	changes, lastNew := 0, 0
	for i, c := range b {
		if c != 1 && c != 2 {
			return "garbled"
		}
		if i > 0 && b[i-1] != c {
			changes++
		}
		if c == 2 {
			lastNew = i + 1
		}
	}
	switch {
	case changes == 0 && b[0] == 1:
		return "old"
	case changes == 0:
		return "new"
	case changes == 1 && b[0] == 2 && lastNew%sectorSize == 0:
		return "prefix"
	case changes == 1 && b[0] == 2:
		return "torn"
	}
	return "mixed"
}

func TestCrashIsACopy(t *testing.T) {
	m := NewMem()
	f := put(t, m, "a", []byte("one"), 0)
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	rng := rand.New(rand.NewPCG(1, 1))
	after := m.Crash(CrashKept, rng)
	put(t, m, "a", []byte("two"), 0)
	put(t, after, "a", []byte("six"), 0)
	if string(get(t, m, "a")) != "two" || string(get(t, after, "a")) != "six" {
		t.Errorf("original has %q, copy has %q", get(t, m, "a"), get(t, after, "a"))
	}
	if got := get(t, after.Crash(CrashLost, rng), "a"); string(got) != "one" {
		t.Errorf("after a power cut the copy has %q, want the synced content", got)
	}
}

func TestKilledProcessLeavesTheCacheBehind(t *testing.T) { // F1 and then F4
	m := NewMem()
	put(t, m, "a", []byte("one"), 0)
	rng := rand.New(rand.NewPCG(1, 1))
	killed := m.Crash(CrashKept, rng)
	if got := get(t, killed, "a"); string(got) != "one" {
		t.Fatalf("after a kill the file has %q", got)
	}
	if got := get(t, killed.Crash(CrashLost, rng), "a"); got != nil {
		t.Errorf("after a kill and a power cut there is %q, though nothing was ever synced", got)
	}
}

func TestFailedSyncLosesData(t *testing.T) { // F6, fsyncgate
	m := NewMem()
	e := NewErrs(m)
	f := put(t, e, "a", []byte("one"), 0)
	must(t, f.Sync())
	must(t, m.SyncDir("."))
	put(t, e, "a", []byte("two"), 0)
	e.Inject(Fault{Op: OpSync, Name: "a", Times: 1})
	if err := f.Sync(); !errors.Is(err, ErrInjected) {
		t.Fatalf("sync: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Fatalf("second sync: %v", err)
	}
	if got := get(t, e, "a"); string(got) != "two" {
		t.Errorf("the cache has %q", got)
	}
	after := m.Crash(CrashLost, rand.New(rand.NewPCG(1, 1)))
	if got := get(t, after, "a"); string(got) != "one" {
		t.Errorf("the disk has %q, want what the last good sync left", got)
	}
	put(t, e, "a", []byte("six"), 0)
	must(t, f.Sync())
	after = m.Crash(CrashLost, rand.New(rand.NewPCG(1, 1)))
	if got := get(t, after, "a"); string(got) != "six" {
		t.Errorf("written again the disk has %q", got)
	}
}

func TestCapacity(t *testing.T) { // F7
	m := NewMem()
	m.SetCapacity(2 * BlockSize)
	f := put(t, m, "a", make([]byte, BlockSize), 0)
	if err := Zero(f, BlockSize, 2*BlockSize); !IsFull(err) {
		t.Errorf("zeroing beyond the capacity: %v", err)
	}
	must(t, Zero(f, BlockSize, BlockSize))
	if _, err := f.WriteAt([]byte{1}, 2*BlockSize); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing beyond the capacity: %v", err)
	}
	must(t, m.Remove("a"))
	put(t, m, "b", make([]byte, 2*BlockSize), 0)
}

func TestFaultsStrikeWhatTheyName(t *testing.T) {
	e := NewErrs(NewMem())
	e.Inject(Fault{Op: OpWrite, Name: "*.wal", After: 1, Times: 1, Short: true})
	other, wal := put(t, e, "x.spare", []byte("abcd"), 0), put(t, e, "x.wal", []byte("abcd"), 0)
	_, err := other.WriteAt([]byte("efgh"), 0)
	must(t, err)
	if n, err := wal.WriteAt([]byte("efgh"), 0); n != 2 || !errors.Is(err, ErrInjected) {
		t.Errorf("struck write wrote %d bytes, %v", n, err)
	}
	if got := get(t, e, "x.wal"); string(got) != "efcd" {
		t.Errorf("after a short write: %q", got)
	}
	_, err = wal.WriteAt([]byte("ijkl"), 0)
	must(t, err)
}

// TestJudge: a judge decides over each operation before it happens, and may stop whoever does it by a panic.
func TestJudge(t *testing.T) {
	m := NewMem()
	e := NewErrs(m)
	put(t, e, "a", []byte("one"), 0)
	asked := 0
	e.Judge(func(op Op, name string) *Fault {
		asked++
		if op == OpRemove && name == "a" {
			return &Fault{Err: ErrExist}
		}
		return nil
	})
	if err := e.Remove("a"); !errors.Is(err, ErrExist) || get(t, m, "a") == nil {
		t.Errorf("remove that was judged: %v", err)
	}
	if err := e.SyncDir("."); err != nil || asked != 2 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	e.Judge(func(Op, string) *Fault { panic("power") })
	func() {
		defer func() { _ = recover() }()
		_ = e.Remove("a")
	}()
	e.Judge(nil)
	if err := e.Remove("a"); err != nil {
		t.Errorf("after the panic: %v", err)
	}
}
