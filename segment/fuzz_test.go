package segment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// FuzzOpen opens any bytes as a file: no panic, and nothing read that does not check.
func FuzzOpen(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "format2.seg"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		s, _, err := Open(Config{FS: memWith(t, content), Dir: "seg"})
		if err != nil {
			return
		}
		for _, uid := range s.UIDs() {
			for _, r := range s.Runs(uid) {
				got, _ := s.Read(nil, uid, r.First, r.Last, 1<<20)
				for i := range got {
					if e, err := ra.OpenEntry(got[i].Body); err != nil || e.Index != r.First+ra.Index(i) || e.Term != r.Term {
						t.Fatalf("read %+v, %v in %+v", e, err, r)
					}
				}
			}
		}
		if _, err := s.Compact(); err != nil && !errors.Is(err, ra.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

// FuzzTable decodes any bytes as a table, and expects what it takes to be what it would write.
func FuzzTable(f *testing.F) {
	r := tableRow{uid: "a", row: row{file: 9, gen: 3, cut: 4, first: 5, term: 6, count: 2, bodies: 64, bytes: 80, index: 200}}
	f.Add(r.append(nil), uint32(1))
	mark := tableRow{uid: "b", row: row{file: 9, gen: 3, cut: 4}}
	f.Add(mark.append(r.append(nil)), uint32(2))
	f.Fuzz(func(t *testing.T, b []byte, n uint32) {
		var rows []tableRow
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { rows, err = decodeTable(b, &super{number: 9, size: 1 << 40, rows: n}) })
		if err != nil {
			return
		}
		var again []byte
		for i := range rows {
			again = rows[i].append(again)
		}
		if !bytes.Equal(again, b) {
			t.Fatal("took bytes that it would not write")
		}
	})
}

// FuzzSuper does the same with superblocks.
func FuzzSuper(f *testing.F) {
	s := super{number: 7, size: 8192 + 64, tableA: 64, tableB: 8192}
	f.Add(s.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSuper(b, 7)
		if err == nil && (!bytes.Equal(s.encode(), b) || s.number != 7) {
			t.Fatal("took bytes that it would not write")
		}
	})
}

// FuzzFile puts any bytes behind a sound superblock, as a table that checks and what it speaks of: no panic, nothing read
// that does not check, and no memory for lengths that are only said.
func FuzzFile(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "format2.seg"))
	if err != nil {
		f.Fatal(err)
	}
	s, err := decodeSuper(golden[:superSize], 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden[superSize:s.tableA], golden[s.tableA:][:s.table], s.rows)
	f.Add([]byte{}, []byte{}, uint32(0))
	f.Fuzz(func(t *testing.T, content, table []byte, rows uint32) {
		s := super{number: 1, tableA: superSize + uint64(len(content)), table: uint32(len(table)), crc: ra.Checksum(table), rows: rows}
		s.tableB = s.tableA + uint64(len(table))
		s.size = s.tableB + uint64(len(table)) + superSize
		file := append(s.encode(), content...)
		file = append(append(append(file, table...), table...), s.encode()...)
		fs := memWith(t, file)
		fuzztest.Bounded(t, len(file), 2*fuzztest.Slack, func() { readAll(t, fs) })
	})
}

// readAll opens a set and reads all that it is said to have.
func readAll(t *testing.T, fs vfs.FS) {
	s, _, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil {
		t.Fatal(err)
	}
	for _, uid := range s.UIDs() {
		for _, r := range s.Runs(uid) {
			got, _ := s.Read(nil, uid, r.First, r.Last, 1<<20)
			for i := range got {
				if e, err := ra.OpenEntry(got[i].Body); err != nil || e.Index != r.First+ra.Index(i) || e.Term != r.Term {
					t.Fatalf("read %+v, %v in %+v", e, err, r)
				}
			}
		}
	}
}

// FuzzName: a name stands for a number only if it is exactly the one that would be given to it.
func FuzzName(f *testing.F) {
	f.Add(fileName(17))
	f.Add("17.seg")
	f.Fuzz(func(t *testing.T, name string) {
		if n, ok := parseName(name); ok && fileName(n) != name {
			t.Fatalf("%q is taken for %q", name, fileName(n))
		}
	})
}
