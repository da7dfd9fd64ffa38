package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// I11: a flipped bit anywhere is detected, by who opens the store and by who reads a snapshot of an open one.
func TestEveryFlip(t *testing.T) {
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if err := take(s, "a", 5, 700); err != nil {
		t.Fatal(err)
	}
	name := "snap/" + names(t, fs, "snap")[0]
	for off := int64(0); fs.Flip(name, off, 1<<(off%8)); off++ {
		if err := verifyAt(s, "a", 5, 700); !errors.Is(err, ra.ErrCorrupt) {
			t.Fatalf("read with a flip at %d: %v", off, err)
		}
		if err := s.Check("a"); !errors.Is(err, ra.ErrCorrupt) {
			t.Fatalf("check with a flip at %d: %v", off, err)
		}
		left := fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
		again, report, err := Open(Config{FS: left, Dir: "snap"})
		if err != nil || len(report.Damaged) != 1 || len(again.UIDs()) != 0 || len(names(t, left, "snap/quarantine")) != 1 {
			t.Fatalf("open with a flip at %d: %+v, %v", off, report, err)
		}
		fs.Flip(name, off, 1<<(off%8))
	}
	if err := s.Check("a"); err != nil {
		t.Fatal(err)
	}
}

// A file that was cut anywhere is found out.
func TestEveryCut(t *testing.T) {
	fs := vfs.NewMem()
	if err := take(mustOpen(t, fs), "a", 5, 700); err != nil {
		t.Fatal(err)
	}
	name := names(t, fs, "snap")[0]
	for n := range len(content(t, fs, name)) {
		left := fs.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
		left.Cut("snap/"+name, int64(n))
		if _, report, err := Open(Config{FS: left, Dir: "snap"}); err != nil || len(report.Damaged) != 1 {
			t.Fatalf("cut at %d: %+v, %v", n, report, err)
		}
	}
}

// A later format is left alone.
func TestLaterFormat(t *testing.T) {
	fs := vfs.NewMem()
	meta, err := (&Meta{Index: 7, Term: 9}).encode()
	if err != nil {
		t.Fatal(err)
	}
	b := encodeHead(meta)
	b[12] = 2
	crc := ra.Checksum(b[12:])
	b[8], b[9], b[10], b[11] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
	put(t, fs, of("a", 7, 9).String(), append(b, make([]byte, 100)...))
	if _, _, err := Open(Config{FS: fs, Dir: "snap"}); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
}

// I9: whatever a crash leaves, there is the snapshot before or the new one, whole.
func TestCrashAtEveryOperation(t *testing.T) {
	type step func(*Store, ra.UID, ra.Index, int) error
	for seed := range uint64(20) {
		before := make(map[ra.UID]ra.Index)
		var now ra.Index
		s := openCrashing(t, seed, func(left vfs.FS) error { return survivor(left, before, now) })
		for _, do := range []step{take, receive, takePacked, takePacked, take, receive, takePacked} {
			now += 10
			if err := do(s, "a", now, sizeAt(now)); err != nil {
				t.Fatal(err)
			}
			before["a"] = now
			if info, ok := s.Newest("b"); ok {
				before["b"] = info.Index
			}
		}
	}
}

func sizeAt(index ra.Index) int { return int(index) * 500 }

// receive gets a snapshot in chunks.
func receive(s *Store, uid ra.UID, index ra.Index, size int) error {
	from, _, err := Open(Config{FS: vfs.NewMem()})
	if err != nil {
		return err
	}
	if err := take(from, "peer", index, size); err != nil {
		return err
	}
	src, err := from.OpenSource("peer", 3000)
	if err != nil {
		return err
	}
	defer src.Close()
	r, err := s.Receive(uid, index, src.Meta().Term)
	if err != nil {
		return err
	}
	for n := range src.Chunks() {
		data, _, err := src.ReadChunk(n + 1)
		if err == nil {
			err = r.Add(n+1, data)
		}
		if err != nil {
			return errors.Join(err, r.Abort())
		}
	}
	_, _, err = r.Finish()
	return err
}

// survivor checks what a crash left of a and b.
func survivor(fs vfs.FS, before map[ra.UID]ra.Index, now ra.Index) error {
	s, report, err := Open(Config{FS: fs, Dir: "snap"})
	if err != nil {
		return err
	}
	if len(report.Damaged)+len(report.Quarantined) > 0 {
		return fmt.Errorf("%+v", report)
	}
	for _, uid := range []ra.UID{"a", "b"} {
		info, ok := s.Newest(uid)
		switch {
		case !ok && before[uid] == 0:
			continue
		case !ok || info.Index != before[uid] && info.Index != now:
			return fmt.Errorf("snapshot %d of %s, should be %d or %d", info.Index, uid, before[uid], now)
		}
		if err := verifyAt(s, uid, info.Index, sizeAt(info.Index)); err != nil {
			return err
		}
	}
	return nil
}

// SNAP-06: an error anywhere leaves the snapshot before in place, no debris, and the way free for the next attempt.
func TestErrorAtEveryOperation(t *testing.T) {
	before := map[ra.UID]ra.Index{"a": 10}
	for _, step := range []func(*Store, ra.UID, ra.Index, int) error{take, receive, takePacked} {
		for n := 0; ; n++ {
			mem := vfs.NewMem()
			errs := vfs.NewErrs(mem)
			s := mustOpen(t, errs)
			if err := take(s, "a", 10, sizeAt(10)); err != nil {
				t.Fatal(err)
			}
			errs.Inject(vfs.Fault{After: n, Times: 1, Short: true})
			err := step(s, "a", 20, sizeAt(20))
			errs.Heal()
			if err == nil {
				if n < 5 {
					t.Fatalf("only %d operations", n)
				}
				break
			}
			if !errors.Is(err, vfs.ErrInjected) {
				t.Fatalf("error %d: %v", n, err)
			}
			if err := verifyAt(s, "a", 10, sizeAt(10)); err != nil {
				t.Fatalf("after error %d: %v", n, err)
			}
			for model := range vfs.CrashModels {
				if err := survivor(mem.Crash(model, rand.New(rand.NewPCG(uint64(n), 1))), before, 20); err != nil {
					t.Fatalf("error %d, then crash (%s): %v", n, model, err)
				}
			}
			if err := errors.Join(step(s, "a", 20, sizeAt(20)), verifyAt(s, "a", 20, sizeAt(20))); err != nil {
				t.Fatalf("second attempt after error %d: %v", n, err)
			}
			if left := names(t, mem, "snap"); len(left) != 1 {
				t.Fatalf("error %d left %v", n, left)
			}
		}
	}
}

// A disk that cannot be read is not damage.
func TestReadErrorIsNotDamage(t *testing.T) {
	errs := vfs.NewErrs(vfs.NewMem())
	s := mustOpen(t, errs)
	if err := take(s, "a", 10, 200_000); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader("a")
	if err != nil {
		t.Fatal(err)
	}
	errs.Inject(vfs.Fault{Op: vfs.OpRead})
	if _, err := io.ReadAll(r); !errors.Is(err, vfs.ErrInjected) || errors.Is(err, ra.ErrCorrupt) {
		t.Fatal(err)
	}
	if _, _, err := Open(Config{FS: errs, Dir: "snap"}); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// What was written by this version stays readable: testdata/format1.snap. Compressed bytes may change with the library,
// so that only the meta must be written alike.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "format1.snap")
	meta := metaAt(17)
	encoded, err := meta.encode()
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		fs := vfs.NewMem()
		if err := take(mustOpen(t, fs), "a", 17, 700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content(t, fs, names(t, fs, "snap")[0]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fs := vfs.NewMem()
	put(t, fs, of("a", 17, meta.Term).String(), golden)
	if err := verifyAt(mustOpen(t, fs), "a", 17, 700); err != nil {
		t.Fatal(err)
	}
	if head := encodeHead(encoded); !bytes.HasPrefix(golden, head) {
		t.Fatal("header differs from testdata/format1.snap")
	}
}

// The same of packs, which are written alike in every byte: testdata/format2.pack holds the snapshot of TestGolden twice.
func TestGoldenPack(t *testing.T) {
	path := filepath.Join("testdata", "format2.pack")
	body, err := os.ReadFile(filepath.Join("testdata", "format1.snap"))
	if err != nil {
		t.Fatal(err)
	}
	const number = 0x1234
	size, term := int64(len(body)), metaAt(17).Term
	rows := []packRow{{id: of("a", 17, term), size: size}, {id: of("b.2", 17, term), size: size}}
	b := encodePack(number, rows, func(int) []byte { return body })
	if *rewrite {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, golden) {
		t.Error("a pack differs from testdata/format2.pack")
	}
	fs := vfs.NewMem()
	put(t, fs, "0000000000001234.pack", golden)
	s := mustOpen(t, fs)
	mustHave(t, s, "a", 17, 700)
	mustHave(t, s, "b.2", 17, 700)
}
