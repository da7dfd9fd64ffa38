package fault

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// victimVariable makes this very program write and sync a file until it fails, or three times.
const victimVariable = "HELIOPOLIS_FAULT_VICTIM"

func TestMain(m *testing.M) {
	Gate()
	if name := os.Getenv(victimVariable); name != "" {
		os.Exit(victim(name))
	}
	if name := os.Getenv(asyncVictimVariable); name != "" {
		os.Exit(asyncVictim(name))
	}
	os.Exit(m.Run())
}

// victim returns how many times the file could be written and synced, and whether that ended with EIO.
func victim(name string) int {
	f, err := os.Create(name)
	if err != nil {
		return 100
	}
	for n := range 3 {
		if _, err := f.WriteAt([]byte("x"), int64(n)); err != nil {
			return 101
		}
		switch err := unix.Fdatasync(int(f.Fd())); {
		case errors.Is(err, unix.EIO):
			return 10 + n
		case err != nil:
			return 102
		}
	}
	return 3
}

// asyncVictimVariable has it written as the log is.
const asyncVictimVariable = "HELIOPOLIS_FAULT_ASYNC_VICTIM"

func asyncVictim(dir string) int {
	disk, err := vfs.OpenOS(dir)
	if err != nil {
		return 100
	}
	disk.AlwaysAsync()
	f, err := disk.Create("file", vfs.Direct)
	if err != nil || vfs.Zero(f, 0, 4*vfs.BlockSize) != nil || f.Sync() != nil {
		return 101
	}
	for n := range 3 {
		switch err := vfs.WriteSync(f, vfs.AlignedBuffer(vfs.BlockSize), int64(n)*vfs.BlockSize); {
		case errors.Is(err, unix.EIO):
			return 10 + n
		case err != nil:
			return 102
		}
	}
	return 3
}

// run runs a victim into a fault and returns its exit status, -1 if it was killed.
func run(t *testing.T, f Fault, name string) (status, seen, struck int) {
	return runAs(t, f, victimVariable+"="+name)
}

func runAs(t *testing.T, f Fault, variable string) (status, seen, struck int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), variable)
	i, err := NewInjector(f, cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	err = i.Serve()
	if errors.Is(err, ErrUnavailable) {
		_ = cmd.Wait()
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status tells
	<-i.Done()
	seen, struck = i.Seen()
	return cmd.ProcessState.ExitCode(), seen, struck
}

// The N-th call fails, or is the last, or is late; calls elsewhere are none.
func TestInjector(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	for name, c := range map[string]struct {
		fault                Fault
		status, seen, struck int
	}{
		"first":     {Fault{Call: "sync", Below: dir, Nth: 1, Times: 1, Err: unix.EIO}, 10, 1, 1},
		"third":     {Fault{Call: "sync", Below: dir, Nth: 3, Err: unix.EIO}, 12, 3, 1},
		"fourth":    {Fault{Call: "sync", Below: dir, Nth: 4, Err: unix.EIO}, 3, 3, 0},
		"write":     {Fault{Call: "write", Below: dir, Nth: 2, Err: unix.EIO}, 101, 2, 1},
		"elsewhere": {Fault{Call: "sync", Below: filepath.Join(dir, "fi"), Nth: 1, Err: unix.EIO}, 3, 0, 0},
		"late":      {Fault{Call: "sync", Below: dir, Nth: 1, Times: 2, Delay: time.Millisecond}, 3, 3, 2},
		"last":      {Fault{Call: "sync", Below: dir, Nth: 2, Times: 1}, -1, 2, 1},
	} {
		status, seen, struck := run(t, c.fault, file)
		if status != c.status || seen != c.seen || struck != c.struck {
			t.Errorf("%s: status %d, %d calls, %d of them struck", name, status, seen, struck)
		}
	}
}

// The log's writes are two calls each, beside one at first that looks whether there is such a thing: the write is submitted, and
// it is asked how it ended. What is not begun is done in the ordinary way; of what nobody knows the end has failed.
func TestInjectorAsync(t *testing.T) {
	whole := t.TempDir()
	if _, seen, _ := runAs(t, Fault{Call: "async", Below: whole, Nth: 100, Err: unix.EIO}, asyncVictimVariable+"="+whole); seen != 7 {
		t.Skipf("%d calls: no asynchronous I/O here", seen)
	}
	for name, c := range map[string]struct {
		fault                Fault
		status, seen, struck int
	}{
		"not begun":    {Fault{Nth: 4, Times: 1, Err: unix.EIO}, 3, 6, 1},
		"end unknown":  {Fault{Nth: 5, Times: 1, Err: unix.EIO}, 11, 5, 1},
		"none":         {Fault{Nth: 1, Err: unix.EIO}, 3, 1, 1}, // not even looked for again
		"all writes":   {Fault{Nth: 2, Err: unix.EIO}, 3, 4, 3},
		"process ends": {Fault{Nth: 3, Times: 1}, -1, 3, 1},
		"late":         {Fault{Nth: 2, Times: 3, Delay: time.Millisecond}, 3, 7, 3},
	} {
		dir := t.TempDir()
		c.fault.Call, c.fault.Below = "async", dir
		status, seen, struck := runAs(t, c.fault, asyncVictimVariable+"="+dir)
		if status != c.status || seen != c.seen || struck != c.struck {
			t.Errorf("%s: status %d, %d calls, %d of them struck", name, status, seen, struck)
		}
		elsewhere := c.fault
		elsewhere.Below = filepath.Join(dir, "fi")
		if status, seen, _ := runAs(t, elsewhere, asyncVictimVariable+"="+t.TempDir()); status != 3 || seen != 0 {
			t.Errorf("%s elsewhere: status %d, %d calls", name, status, seen)
		}
	}
}

func TestFaultNames(t *testing.T) {
	for want, f := range map[string]Fault{
		"sync EIO": {Call: "sync", Err: unix.EIO, Times: 1}, "write ENOSPC+": {Call: "write", Err: unix.ENOSPC},
		"rename kill": {Call: "rename", Times: 1}, "sync delay": {Call: "sync", Delay: 1, Times: 3},
	} {
		if got := f.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, name := range Calls() {
		if calls[name] == nil {
			t.Errorf("%s is no call", name)
		}
	}
	if _, err := NewInjector(Fault{Call: "nothing"}, exec.Command("true")); err == nil {
		t.Error("no such call")
	}
}
