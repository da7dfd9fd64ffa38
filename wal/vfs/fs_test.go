package vfs

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// TestFileSystemsAgree runs the same steps on all file systems.
func TestFileSystemsAgree(t *testing.T) {
	disk, err := OpenOS(filepath.Join(t.TempDir(), "made"))
	must(t, err)
	defer disk.Close()
	for name, v := range map[string]FS{"os": disk, "mem": NewMem(), "errs": NewErrs(NewMem())} {
		t.Run(name, func(t *testing.T) {
			must(t, v.MkdirAll("d/e"))
			must(t, v.MkdirAll("d/e"))
			f := put(t, v, "d/a", []byte("hello"), 0)
			must(t, f.Sync())
			if size, err := f.Size(); size != 5 || err != nil {
				t.Errorf("size %d, %v", size, err)
			}
			must(t, f.Close())
			if _, err := v.Create("d/a", Buffered); !errors.Is(err, ErrExist) {
				t.Errorf("create over an existing file: %v", err)
			}
			if _, err := v.Open("d/b", Buffered); !errors.Is(err, ErrNotExist) {
				t.Errorf("open of a missing file: %v", err)
			}
			must(t, v.Rename("d/a", "d/b"))
			must(t, v.SyncDir("d"))
			if names, err := v.List("d"); err != nil || !slices.Equal(names, []string{"b", "e/"}) {
				t.Errorf("list: %v, %v", names, err)
			}
			if got := get(t, v, "d/b"); string(got) != "hello" {
				t.Errorf("content %q", got)
			}
			must(t, v.Remove("d/b"))
			if err := v.Remove("d/b"); !errors.Is(err, ErrNotExist) {
				t.Errorf("second remove: %v", err)
			}
			for _, bad := range []string{"../x", "/x"} {
				if _, err := v.Create(bad, Buffered); err == nil {
					t.Errorf("%q leaves the root", bad)
				}
			}
		})
	}
}

func TestLockIsExclusive(t *testing.T) {
	dir := t.TempDir()
	one, err := OpenOS(dir)
	must(t, err)
	defer one.Close()
	two, err := OpenOS(dir)
	must(t, err)
	defer two.Close()
	mem := NewMem()
	for name, pair := range map[string][2]FS{"os": {one, two}, "mem": {mem, mem}} {
		t.Run(name, func(t *testing.T) {
			held, err := pair[0].Lock("LOCK")
			must(t, err)
			if _, err := pair[1].Lock("LOCK"); !errors.Is(err, ErrLocked) {
				t.Errorf("second lock: %v", err)
			}
			must(t, held.Close())
			again, err := pair[1].Lock("LOCK")
			must(t, err)
			must(t, again.Close())
		})
	}
}

// A lock outlives its file: another one of that name does not let anybody in.
func TestLockOutlivesItsFile(t *testing.T) {
	dir := t.TempDir()
	one, err := OpenOS(dir)
	must(t, err)
	defer one.Close()
	held, err := one.Lock("LOCK")
	must(t, err)
	must(t, one.Remove("LOCK"))
	if _, err := one.Lock("LOCK"); !errors.Is(err, ErrLocked) {
		t.Errorf("the file was removed: %v", err)
	}
	must(t, held.Close())
	again, err := one.Lock("LOCK")
	must(t, err)
	must(t, again.Close())
}

func TestOnlyTheOwnerMayLook(t *testing.T) {
	dir := t.TempDir()
	v, err := OpenOS(dir)
	must(t, err)
	defer v.Close()
	must(t, v.MkdirAll("d"))
	must(t, put(t, v, "d/f", nil, 0).Close())
	for name, want := range map[string]fs.FileMode{"d": 0o700, "d/f": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", name, got, want)
		}
	}
}

func TestDirectFile(t *testing.T) {
	v, err := OpenOS(t.TempDir())
	must(t, err)
	defer v.Close()
	f, err := v.Create("f", Direct)
	must(t, err)
	defer f.Close()
	must(t, Zero(f, 0, 3*BlockSize))
	b := AlignedBuffer(BlockSize)
	copy(b, "direct")
	_, err = f.WriteAt(b, BlockSize)
	must(t, err)
	must(t, f.Sync())
	again := AlignedBuffer(3 * BlockSize)
	_, err = f.ReadAt(again, 0)
	must(t, err)
	if string(again[BlockSize:BlockSize+6]) != "direct" || again[0] != 0 {
		t.Error("read something else than was written")
	}
	t.Logf("direct I/O: %v", IsDirect(f))
}

// A name that leads out of the root is refused, and nothing is made there.
func TestNoWayOut(t *testing.T) {
	dir := t.TempDir()
	v, err := OpenOS(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(dir, "out"), "/out", "../out", "a/../../out", ""} {
		if err := v.MkdirAll(name); err == nil {
			t.Errorf("%q was made", name)
		}
		if _, err := v.Create(name, Buffered); err == nil {
			t.Errorf("file %q was made", name)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

func TestAlignedBuffer(t *testing.T) {
	for _, n := range []int{1, 4096, 5000, 1 << 20} {
		b := AlignedBuffer(n)
		if uintptr(unsafe.Pointer(&b[0]))%BlockSize != 0 || len(b) != n || cap(b) != n {
			t.Errorf("%d bytes: at %p, len %d, cap %d", n, &b[0], len(b), cap(b))
		}
	}
}

// TestNothingElseInStorageImportsOS keeps all storage code on FS, so that the simulated disks see all of it.
func TestNothingElseInStorageImportsOS(t *testing.T) {
	for _, dir := range []string{"..", "../memtable", "../../segment", "../../ra/snapshot", "../../ra/raftlog"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			must(t, err)
			for _, imported := range parsed.Imports {
				path, err := strconv.Unquote(imported.Path.Value)
				must(t, err)
				if slices.Contains([]string{"os", "syscall", "io/ioutil"}, path) {
					t.Errorf("%s imports %s", name, path)
				}
			}
		}
	}
}
