//go:build unix

package vfs

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
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
