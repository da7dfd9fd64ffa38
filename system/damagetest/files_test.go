package damagetest

import (
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// write makes a file durable, and takes the place of one that is there.
func write(t testing.TB, fs vfs.FS, name string, content []byte) {
	t.Helper()
	_ = fs.Remove(name) // it need not be there
	f, err := fs.Create(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// read returns what is in a file.
func read(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if size == 0 {
		return b
	}
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// list returns the names of all files, sorted.
func list(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	var out []string
	dirs := []string{"."}
	for len(dirs) > 0 {
		dir := dirs[0]
		dirs = dirs[1:]
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		prefix := strings.TrimPrefix(dir+"/", "./")
		for _, name := range names {
			if sub, ok := strings.CutSuffix(name, "/"); ok {
				dirs = append(dirs, prefix+sub)
			} else {
				out = append(out, prefix+name)
			}
		}
	}
	sort.Strings(out)
	return out
}

// clone returns a copy that can be damaged.
func clone(fs *vfs.Mem) *vfs.Mem { return fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1))) }
