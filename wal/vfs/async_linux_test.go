//go:build amd64 || arm64

package vfs

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// directFile makes a file of n zeroed blocks that is written past the page cache, in a directory of its own.
func directFile(t *testing.T, n int64) (*OS, *osFile) {
	t.Helper()
	disk, err := OpenOS(t.TempDir())
	must(t, err)
	f, err := disk.Create("f", Direct)
	must(t, err)
	t.Cleanup(func() { must(t, f.Close()); must(t, disk.Close()) })
	if !IsDirect(f) {
		t.Skip("no direct I/O in this directory")
	}
	must(t, Zero(f, 0, n*BlockSize))
	must(t, f.Sync())
	return disk, f.(*osFile)
}

// ready makes the first write, and skips the test where it cannot be asynchronous.
func ready(t *testing.T, f *osFile) {
	t.Helper()
	if f.async == nil {
		t.Skip("no asynchronous I/O on this file system")
	}
	if _, err := f.async.write(f.f, AlignedBuffer(BlockSize), 0); err != nil {
		t.Fatal(err)
	}
	f.async.alwaysOn()
	if f.async.state != asyncReady {
		t.Skip("no asynchronous I/O on this system")
	}
}

// block returns an aligned block full of c.
func blockOf(c byte) []byte {
	b := AlignedBuffer(BlockSize)
	copy(b, bytes.Repeat([]byte{c}, BlockSize))
	return b
}

func readBlock(t *testing.T, f File, off int64) []byte {
	t.Helper()
	b := AlignedBuffer(BlockSize)
	_, err := f.ReadAt(b, off)
	must(t, err)
	return b
}

func TestAsync(t *testing.T) {
	_, f := directFile(t, 16)
	ready(t, f)
	for i := range byte(16) {
		done, err := f.async.write(f.f, blockOf(i+1), int64(i)*BlockSize)
		if !done || err != nil {
			t.Fatal(done, err)
		}
	}
	for i := range byte(16) {
		if !bytes.Equal(readBlock(t, f, int64(i)*BlockSize), blockOf(i+1)) {
			t.Errorf("block %d is another one", i)
		}
	}
}

// One write goes at a time; the others go the ordinary way.
func TestAsyncAtOnce(t *testing.T) {
	_, f := directFile(t, 64)
	ready(t, f)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 8 {
				n := byte(i*8 + k)
				if err := f.WriteSync(blockOf(n), int64(n)*BlockSize); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for n := range byte(64) {
		if !bytes.Equal(readBlock(t, f, int64(n)*BlockSize), blockOf(n)) {
			t.Errorf("block %d is another one", n)
		}
	}
}

// F3: a write that fails while nobody waits for the system call itself is an error like any other, and the next one succeeds.
func TestAsyncFails(t *testing.T) {
	_, f := directFile(t, 2)
	ready(t, f)
	secret, err := syscall.Mmap(-1, 0, BlockSize, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	must(t, err)
	defer func() { must(t, syscall.Munmap(secret)) }()
	if done, err := f.async.write(f.f, secret, 0); !done || !errors.Is(err, syscall.EFAULT) {
		t.Errorf("what cannot be read is written: done %v, %v", done, err)
	}
	if err := f.WriteSync(secret, 0); !errors.Is(err, syscall.EFAULT) {
		t.Errorf("what cannot be read is written: %v", err)
	}
	must(t, f.WriteSync(blockOf(2), BlockSize))
	if f.async.state != asyncReady || !bytes.Equal(readBlock(t, f, BlockSize), blockOf(2)) {
		t.Error("what follows a failed write is not written")
	}
}

// What the system refuses to begin is done in the ordinary way, with the ordinary error.
func TestAsyncRefused(t *testing.T) {
	disk, f := directFile(t, 2)
	ready(t, f)
	readOnly, err := disk.root.Open("f")
	must(t, err)
	defer readOnly.Close()
	if done, err := f.async.write(readOnly, blockOf(1), 0); done {
		t.Errorf("done, %v", err)
	}
	if done, err := f.async.write(f.f, nil, 0); done {
		t.Errorf("nothing is written, %v", err)
	}
	must(t, f.WriteSync(blockOf(3), 0))
	if !bytes.Equal(readBlock(t, f, 0), blockOf(3)) {
		t.Error("what follows a refused write is not written")
	}
}

// What is usual is learned from writes in the ordinary way, some of which there always are, and single slow ones do not count.
func TestAsyncWorth(t *testing.T) {
	var a async
	life := func(what string, took func(n int) time.Duration) (asynchronous int) {
		t.Helper()
		for n := range 20_000 {
			if a.worthIt() {
				asynchronous++
			} else {
				a.learn(took(n))
			}
		}
		t.Log(what, asynchronous, "usual", a.usual)
		return asynchronous
	}
	always := func(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }
	if life("fast disk", always(60*time.Microsecond)) != 0 {
		t.Error("fast writes are made asynchronously")
	}
	hiccups := func(n int) time.Duration {
		if n%10 == 0 {
			return 20 * time.Millisecond
		}
		return 60 * time.Microsecond
	}
	if life("fast disk with hiccups", hiccups) != 0 {
		t.Error("hiccups count for the usual")
	}
	if n := life("slow disk", always(400*time.Microsecond)); n < 18_000 || n > 19_000 {
		t.Errorf("%d of 20000 slow writes are made asynchronously", n)
	}
	if n := life("fast disk again", always(60*time.Microsecond)); n > 1000 {
		t.Errorf("the disk is fast again, and %d of 20000 writes are made asynchronously", n)
	}
	a.state = asyncUnusable
	if life("slow disk, no such system", always(400*time.Microsecond)) != 0 {
		t.Error("writes are tried that cannot be")
	}
}

// I10: where flags of a write are not heeded nothing would be durable.
func TestAsyncObeys(t *testing.T) {
	_, f := directFile(t, 1)
	ready(t, f)
	if !f.async.obeys(f.f.Fd()) {
		t.Error("the system takes a flag that it does not know")
	}
	f.async.fill(f.f.Fd(), blockOf(1), 0, rwSync)
	if f.async.step(0) {
		t.Error("the system refuses the flag that it should heed")
	}
	for !f.async.step(0) { // what it took ends
	}
}

// I10: a file system that may pass over the flags of a write is not given any, and there the ordinary way is gone.
func TestAsyncWhere(t *testing.T) {
	if disk, f := directFile(t, 1); typeOf(t, disk) == typeExt && f.async == nil {
		t.Error("files on ext4 cannot be written asynchronously")
	}
	const typeTemp = 0x01021994
	dir, err := os.MkdirTemp("/dev/shm", "heliopolis")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	disk, err := OpenOS(dir)
	must(t, err)
	defer disk.Close()
	if typeOf(t, disk) != typeTemp {
		t.Skip("no file system in memory")
	}
	disk.AlwaysAsync()
	f, err := disk.Create("f", Direct)
	must(t, err)
	defer f.Close()
	must(t, WriteSync(f, blockOf(1), 0))
	if f.(*osFile).async != nil || disk.async.state != asyncUntried {
		t.Error("a file is written asynchronously whose file system is not known to sync")
	}
	if !IsDirect(f) {
		t.Skip("no direct I/O in memory")
	}
	if !bytes.Equal(readBlock(t, f, 0), blockOf(1)) {
		t.Error("nothing is written")
	}
}

func typeOf(t *testing.T, disk *OS) int64 {
	t.Helper()
	d, err := disk.root.Open(".")
	must(t, err)
	defer d.Close()
	var s syscall.Statfs_t
	must(t, syscall.Fstatfs(int(d.Fd()), &s))
	return s.Type
}

// If nobody can say what became of a write it has failed, and nothing is written that way any more.
func TestAsyncBreaks(t *testing.T) {
	_, f := directFile(t, 1)
	ready(t, f)
	must(t, f.async.event.Close())
	if done, err := f.async.write(f.f, blockOf(1), 0); !done || !errors.Is(err, syscall.EIO) {
		t.Errorf("done %v, %v", done, err)
	}
	if f.async.state != asyncUnusable {
		t.Error("it goes on")
	}
	must(t, f.WriteSync(blockOf(2), 0))
	if !bytes.Equal(readBlock(t, f, 0), blockOf(2)) {
		t.Error("what follows is not written")
	}
}

// I20: a file system that is closed leaves nothing open, and files that are still open are written in the ordinary way.
func TestAsyncClose(t *testing.T) {
	disk, f := directFile(t, 1)
	ready(t, f)
	during := openFiles(t)
	began := time.Now()
	disk.async.close()
	t.Log("closed in", time.Since(began))
	if n := openFiles(t); n != during-1 {
		t.Errorf("%d files are open, of %d", n, during)
	}
	must(t, f.WriteSync(blockOf(1), 0))
	if !bytes.Equal(readBlock(t, f, 0), blockOf(1)) {
		t.Error("nothing is written")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(names)
}
