//go:build unix

package vfs

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// I11: what is no file must not keep a node from starting. It is listed as a directory is, and goes to quarantine.
func TestListOfWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fs, err := OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	names, err := fs.List(".")
	if err != nil || !slices.Equal(names, []string{"file", "link", "pipe/"}) {
		t.Fatalf("listed are %q, %v", names, err)
	}
	if err := ToQuarantine(fs, ".", "pipe"); err != nil {
		t.Fatal(err)
	}
	names, err = fs.List(Quarantine)
	if err != nil || !slices.Equal(names, []string{"pipe/"}) {
		t.Errorf("in quarantine are %q, %v", names, err)
	}
}

// I11: what has the name of a directory and is a pipe is an error. Nobody waits for the pipe's other end.
func TestPipeIsNoDirectory(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	fs, err := OpenOS(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	for what, use := range map[string]func() error{
		"listed": func() error { _, err := fs.List("pipe"); return err },
		"synced": func() error { return fs.SyncDir("pipe") },
	} {
		used := make(chan error, 1)
		go func() { used <- use() }()
		select {
		case err := <-used:
			if err == nil {
				t.Errorf("a pipe was %s as a directory", what)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("it is not %s yet", what)
			if f, err := os.OpenFile(pipe, os.O_WRONLY, 0); err == nil { // lets it end
				f.Close()
			}
			<-used
		}
	}
}
