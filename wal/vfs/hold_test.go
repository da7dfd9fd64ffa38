package vfs

import (
	"errors"
	"os"
	"testing"
)

// TestHold: who is refused a lock file is told who has it.
func TestHold(t *testing.T) {
	fs, err := OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	lock, err := Hold(fs, "LOCK")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Hold(fs, "LOCK"); !errors.Is(err, ErrLocked) || Holder(fs, "LOCK") != os.Getpid() {
		t.Errorf("held by %d: %v", Holder(fs, "LOCK"), err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if lock, err = Hold(fs, "LOCK"); err != nil {
		t.Fatalf("once more: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// FuzzHolder: whatever stands in the lock file, it is the number of a process or nobody's.
func FuzzHolder(f *testing.F) {
	f.Add([]byte("4711                           \n"))
	f.Add([]byte("-1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := NewMem()
		file, err := mem.Create("LOCK", Buffered)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		if pid := Holder(mem, "LOCK"); pid < 0 {
			t.Fatalf("process %d", pid)
		}
	})
}
