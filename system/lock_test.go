package system

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestLockInProcess: a directory has one node at a time, and a failed Open does no harm to the one that has it.
func TestLockInProcess(t *testing.T) {
	for _, disk := range []string{"memory", "real"} {
		t.Run(disk, func(t *testing.T) {
			cfg := storageConfig(vfs.NewMem())
			if disk == "real" {
				cfg.FS, cfg.Dir = nil, t.TempDir()
			}
			n := openStorageNode(t, cfg)
			checkLocked(t, cfg, os.Getpid())
			newLife(t, n, "m").append(1, 1)
			mustClose(t, n)
			openStorageNode(t, cfg)
			checkLocked(t, cfg, os.Getpid())
		})
	}
}

// checkLocked checks that a node cannot be opened, because a process has it.
func checkLocked(t *testing.T, cfg Config, pid int) {
	t.Helper()
	_, err := Open(t.Context(), cfg)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != pid || locked.Dir != cfg.Dir || !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second Open: %v, want a LockedError that names %d", err, pid)
	}
}

// holdEnv makes the test binary a process that holds a directory until its input ends.
const holdEnv = "HELIOPOLIS_TEST_HOLD"

func TestHoldHelper(t *testing.T) {
	dir := os.Getenv(holdEnv)
	if dir == "" {
		t.Skip("only the helper of TestLockOtherProcess")
	}
	n, err := Open(t.Context(), Config{Dir: dir, NoAutoStart: true})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("held")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	_ = n.Close(context.Background())
}

// TestLockOtherProcess: another process is refused by name, and the death of the holder ends the lock.
func TestLockOtherProcess(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), NoAutoStart: true}
	holder := exec.Command(os.Args[0], "-test.run=^TestHoldHelper$")
	holder.Env = append(os.Environ(), holdEnv+"="+cfg.Dir)
	if _, err := holder.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "held"; {
	}
	checkLocked(t, cfg, holder.Process.Pid)
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	openStorageNode(t, cfg)
}

// TestLockedError tells what is known.
func TestLockedError(t *testing.T) {
	if got := (&LockedError{Dir: "d", PID: 7}).Error(); got != "system: d is in use by process 7" {
		t.Error(got)
	}
	if got := (&LockedError{Dir: "d"}).Error(); got != "system: d is in use" {
		t.Error(got)
	}
}
