package snapshot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// FuzzMeta decodes any bytes as meta, and expects what it takes to be what it would write.
func FuzzMeta(f *testing.F) {
	for _, m := range []Meta{metaAt(3), {Index: 1}} {
		b, err := m.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Meta
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { m, err = decodeMeta(b) })
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("took bytes that it would not write: %v", err)
		}
	})
}

// FuzzFile opens any bytes as a snapshot: no panic, and never more state than the footer says.
func FuzzFile(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "format1.snap"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := vfs.NewMem()
		put(t, fs, of("a", 17, metaAt(17).Term).String(), b)
		s, _, err := Open(Config{FS: fs, Dir: "snap", MaxState: 1 << 20})
		if err != nil {
			return
		}
		r, err := s.OpenReader("a")
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, r)
		if n > r.Size() || err == nil && n != r.Size() {
			t.Fatalf("%d bytes of %d, %v", n, r.Size(), err)
		}
		_ = r.Close()
	})
}

// FuzzState decodes any bytes as compressed state behind sound checksums, as a malicious peer could send them.
func FuzzState(f *testing.F) {
	f.Add([]byte("state"), uint64(5))
	for _, size := range []int{0, 700, 20 << 20} { // zeros shrink to next to nothing: the last is a bomb
		f.Add(packed(make([]byte, size)), uint64(size))
		f.Add(packed(make([]byte, size)), uint64(10))
	}
	f.Fuzz(func(t *testing.T, packed []byte, raw uint64) {
		meta, err := (&Meta{Index: 1, Term: 1}).encode()
		if err != nil {
			t.Fatal(err)
		}
		head := encodeHead(meta)
		foot := footer{state: ra.Checksum(packed), packed: uint64(len(packed)), raw: raw % (1 << 20)}
		foot.head = uint32(head[8]) | uint32(head[9])<<8 | uint32(head[10])<<16 | uint32(head[11])<<24
		fs := vfs.NewMem()
		put(t, fs, of("a", 1, 1).String(), append(append(head, packed...), foot.encode()...))
		s := mustOpen(t, fs)
		fuzztest.Bounded(t, len(packed), maxWindow+4*fuzztest.Slack, func() { readPacked(t, s, foot.raw) })
	})
}

// packed compresses a state.
func packed(state []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(state, nil)
}

// readPacked reads the snapshot of a to its end. It never gives more than the footer says.
func readPacked(t *testing.T, s *Store, raw uint64) {
	r, err := s.OpenReader("a")
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if uint64(n) > raw || err == nil && uint64(n) != raw {
		t.Fatalf("%d bytes of %d, %v", n, raw, err)
	}
	_ = r.Close()
}

// FuzzFooter mends the checksum of whatever it gets: what is taken is what would be written.
func FuzzFooter(f *testing.F) {
	f.Add((&footer{state: 1, head: 2, packed: 3, raw: 4}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		one := make([]byte, footSize)
		copy(one, b)
		copy(one, footMagic)
		crc := ra.Checksum(one[12:])
		one[8], one[9], one[10], one[11] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
		if got, err := decodeFooter(one); err == nil && !bytes.Equal(got.encode(), one) {
			t.Fatalf("decoded %x, encodes as %x", one, got.encode())
		}
	})
}

// FuzzReceive gets any bytes in chunks, as a peer might send them: a snapshot comes into place only if every byte of it
// checks, and nothing is left of one that does not.
func FuzzReceive(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "format1.snap"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden, uint16(100), uint32(0))
	f.Add(golden[:len(golden)-1], uint16(7), uint32(0))
	f.Add(golden, uint16(100), uint32(2))
	f.Add([]byte{}, uint16(1), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, chunk uint16, wrong uint32) {
		fs := vfs.NewMem()
		s, _, err := Open(Config{FS: fs, Dir: "snap", MaxFile: 64 << 10})
		if err != nil {
			t.Fatal(err)
		}
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { receiveAll(t, s, b, int(chunk)+1, wrong) })
		_, ok := s.Newest("a")
		if ok != (len(names(t, fs, "snap")) == 1) {
			t.Fatalf("in place: %v, files: %v", ok, names(t, fs, "snap"))
		}
		if ok && s.Check("a") != nil {
			t.Fatal("what is in place does not check")
		}
	})
}

// receiveAll gives a receiver all chunks in order; the one of the number wrong, if there is one, twice.
func receiveAll(t *testing.T, s *Store, b []byte, chunk int, wrong uint32) {
	r, err := s.Receive("a", 17, metaAt(17).Term)
	if err != nil {
		t.Fatal(err)
	}
	for len(b) > 0 {
		n := min(chunk, len(b))
		number := r.Next()
		if err := r.Add(number, b[:n]); err != nil {
			if err := r.Abort(); err != nil {
				t.Fatal(err)
			}
			return
		}
		if number == wrong && r.Add(number, b[:n]) == nil {
			t.Fatal("a chunk was taken twice")
		}
		b = b[n:]
	}
	_, _, _ = r.Finish() // either it is in place now, or nothing is left
}

// tableOf puts a sound head in front of any bytes, so that they are read as the rows of the table of pack 1.
func tableOf(rows []byte, count uint32) []byte {
	b := append(make([]byte, packHeadSize), rows...)
	copy(b, packMagic)
	le := binary.LittleEndian
	le.PutUint32(b[12:], packVersion)
	le.PutUint64(b[16:], 1)
	le.PutUint32(b[24:], count)
	le.PutUint32(b[28:], uint32(len(rows)))
	seal(b)
	return b
}

// packOf returns pack 1 with snapshots of some members.
func packOf(f testing.TB, uids ...ra.UID) (file []byte, rows []packRow) {
	fs := vfs.NewMem()
	mustPack(f, mustOpen(f, fs), 5, uids...)
	return content(f, fs, packName(1)), rowsOf(f, fs, 1)
}

// FuzzPackTable reads any bytes as the table of a pack: what is taken is what would be written.
func FuzzPackTable(f *testing.F) {
	for _, uids := range [][]ra.UID{{"a"}, {"a", "b", "c"}} {
		_, rows := packOf(f, uids...)
		f.Add(encodeTable(1, rows)[packHeadSize:], uint32(len(rows)))
		rows[len(rows)-1].size++
		f.Add(encodeTable(1, rows)[packHeadSize:], uint32(len(rows)+1))
	}
	f.Add([]byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, count uint32) {
		table := tableOf(b, count)
		var rows []packRow
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { rows, err = decodeTable(table, 1) })
		if err == nil && !bytes.Equal(encodeTable(1, rows), table) {
			t.Fatalf("took %x, which it would not write", table)
		}
	})
}

// FuzzPack opens any bytes behind a sound table as a pack: no panic, no more memory than they have, what is in place checks
// in every byte, and what does not is found once.
func FuzzPack(f *testing.F) {
	file, rows := packOf(f, "a", "b", "c")
	table := tableSize(rows)
	for _, rest := range [][]byte{file[table:], file[table : len(file)-300], nil, make([]byte, 600)} {
		f.Add(file[packHeadSize:table], uint32(3), rest)
	}
	f.Add([]byte{}, uint32(0), file)
	f.Fuzz(func(t *testing.T, b []byte, count uint32, rest []byte) {
		fs := vfs.NewMem()
		put(t, fs, packName(1), append(tableOf(b, count), rest...))
		var s *Store
		var err error
		fuzztest.Bounded(t, len(b)+len(rest), 4*fuzztest.Slack, func() { s, _, err = Open(Config{FS: fs, Dir: "snap"}) })
		if err != nil {
			if !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			return
		}
		for _, uid := range s.UIDs() {
			if err := s.Check(uid); err != nil {
				t.Fatal(err)
			}
		}
		mustOpen(t, fs)
	})
}

// FuzzPackName is FuzzName for packs.
func FuzzPackName(f *testing.F) {
	f.Add(packName(0x1234))
	f.Fuzz(func(t *testing.T, name string) {
		number, ok := parsePackName(name)
		if ok && packName(number) != name {
			t.Fatalf("%q is taken for %q", name, packName(number))
		}
		if _, snap := parseName(name); ok && (snap || isTemp(name)) {
			t.Fatalf("%q is taken for two things", name)
		}
	})
}

// FuzzName: a name stands for a snapshot only if it is exactly the one that would be given to it.
func FuzzName(f *testing.F) {
	f.Add(of("a", 17, 3).String())
	f.Add("a..0000000000000011.0000000000000003.ckpt")
	f.Fuzz(func(t *testing.T, name string) {
		if n, ok := parseName(name); ok && n.String() != name {
			t.Fatalf("%q is taken for %q", name, n)
		}
	})
}
