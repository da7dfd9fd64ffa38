package vfs

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestMapIsWrite does the same to a file that is mapped and to one that is not, within the mapping, beyond it and across its end.
func TestMapIsWrite(t *testing.T) {
	dir := t.TempDir()
	v, err := OpenOS(dir)
	must(t, err)
	defer v.Close()
	plain := put(t, v, "plain", make([]byte, 3*BlockSize), 0)
	mapped := Map(put(t, v, "mapped", make([]byte, 3*BlockSize), 0), 2*BlockSize)
	if _, ok := mapped.(*mappedFile); !ok {
		t.Fatalf("%T is not mapped", mapped)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		b := make([]byte, rng.IntN(2*BlockSize))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		off := int64(rng.IntN(3*BlockSize - len(b) + 1))
		for _, f := range []File{plain, mapped} {
			if n, err := f.WriteAt(b, off); n != len(b) || err != nil {
				t.Fatalf("%d bytes at %d: %d, %v", len(b), off, n, err)
			}
		}
		must(t, mapped.Sync())
		// Whoever reads the file sees it at once, this process or another.
		want, got := get(t, v, "plain"), get(t, v, "mapped")
		own := make([]byte, 3*BlockSize)
		if _, err := mapped.ReadAt(own, 0); err != nil || !bytes.Equal(got, want) || !bytes.Equal(own, want) {
			t.Fatalf("after %d bytes at %d: the files differ; %v", len(b), off, err)
		}
	}
	if _, err := mapped.WriteAt([]byte("x"), -1); err == nil {
		t.Error("a write before the file")
	}
	if size, err := mapped.Size(); size != 3*BlockSize || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	must(t, mapped.Close())
	if _, err := mapped.WriteAt([]byte("x"), 0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if err := mapped.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
	must(t, plain.Close())
}

// TestMapOfDirect: what goes round the page cache is not mapped into it.
func TestMapOfDirect(t *testing.T) {
	v, err := OpenOS(t.TempDir())
	must(t, err)
	defer v.Close()
	f, err := v.Create("f", Direct)
	must(t, err)
	defer f.Close()
	if !IsDirect(f) {
		t.Skip("no direct I/O here")
	}
	must(t, Zero(f, 0, BlockSize))
	if Map(f, BlockSize) != f {
		t.Error("mapped")
	}
}

// TestStoreFails: where a store finds no page, as in a file that somebody has cut, it is an error like that of a write, and the end of
// nothing else.
func TestStoreFails(t *testing.T) {
	dir := t.TempDir()
	v, err := OpenOS(dir)
	must(t, err)
	defer v.Close()
	f := Map(put(t, v, "f", make([]byte, 2*BlockSize), 0), 2*BlockSize)
	must(t, os.Truncate(filepath.Join(dir, "f"), 0))
	for range 3 {
		if n, err := f.WriteAt([]byte("hello"), 0); n != 0 || !errors.Is(err, syscall.EIO) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	must(t, f.Close())
}

// BenchmarkMark compares what 64 bytes of a file cost that are written and not synced: by a call of the system, and by a store.
func BenchmarkMark(b *testing.B) {
	v, err := OpenOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	f, err := v.Create("f", Buffered)
	if err != nil {
		b.Fatal(err)
	}
	if err := writeThenSync(f, make([]byte, 2*BlockSize), 0); err != nil {
		b.Fatal(err)
	}
	mapped := Map(f, 2*BlockSize)
	defer mapped.Close()
	mark := make([]byte, 64)
	for name, w := range map[string]File{"write": f, "store": mapped} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, err := w.WriteAt(mark, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
