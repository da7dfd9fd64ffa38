package wal

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// goldenDir holds a log as format 8 has it, one compressed file each.
const goldenDir = "testdata/format8"

// goldenLog writes the reference log, with a state file, without anything random but what a seed gives.
func goldenLog(t *testing.T) (*model, *vfs.Mem) {
	m, disk := reference(t, 3, false)
	m.release()
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
	return m, disk
}

// TestGoldenFiles compares what is written today, byte by byte, with what format 8 was when it was released, and reads
// that (F26). A difference means a new format version.
func TestGoldenFiles(t *testing.T) {
	m, disk := goldenLog(t)
	names, err := disk.List("wal")
	if err != nil {
		t.Fatal(err)
	}
	names = append(slices.DeleteFunc(names, func(n string) bool { return n == lockName }), m.cfg.HighWater)
	if *rewrite {
		for _, name := range names {
			pack(t, name, whole(t, disk, m.at(name)))
		}
	}
	golden, err := filepath.Glob(goldenDir + "/*.gz")
	if err != nil {
		t.Fatal(err)
	}
	old := vfs.NewMem()
	if err := old.MkdirAll("wal"); err != nil {
		t.Fatal(err)
	}
	for _, path := range golden {
		name, want := strings.TrimSuffix(filepath.Base(path), ".gz"), unpack(t, path)
		if got := whole(t, disk, m.at(name)); !bytes.Equal(got, want) {
			t.Errorf("%s differs from format 8", name)
		}
		f, err := old.Create(m.at(name), vfs.Buffered)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(golden) != len(names) {
		t.Errorf("%d golden files for %d files", len(golden), len(names))
	}
	m.cfg.FS = old
	m.verify(m.open(), "golden files")
}

// at returns where a file of the log is.
func (m *model) at(name string) string {
	if name == m.cfg.HighWater {
		return name
	}
	return "wal/" + name
}

// whole returns a file to its end.
func whole(t *testing.T, disk *vfs.Mem, name string) []byte {
	t.Helper()
	f, err := disk.Open(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return b
}

func pack(t *testing.T, name string, b []byte) {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(goldenDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(goldenDir, name+".gz"), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRowsRoundTrip encodes and decodes rows with all kinds of parts.
func TestRowsRoundTrip(t *testing.T) {
	short := rapid.StringMatching(`[a-z]{1,255}`)
	rapid.Check(t, func(t *rapid.T) {
		r := row{
			flags:  uint32(rapid.Uint32Range(0, rowFlags).Draw(t, "flags")),
			number: rapid.Uint32().Draw(t, "number"),
			prev:   ra.Index(rapid.Uint64().Draw(t, "prev")),
		}
		r.seqLo = rapid.Uint64Range(0, 1<<40).Draw(t, "lo")
		if r.seqLo > 0 {
			r.seqHi = r.seqLo + rapid.Uint64Range(0, 100).Draw(t, "more")
		}
		drawParts(t, &r, short)
		b := r.append([]byte("before"))[6:]
		if len(b) != r.size() {
			t.Fatalf("encoded in %d bytes, size said %d", len(b), r.size())
		}
		got, rest, err := decodeRow(append(b, "behind"...))
		if err != nil || string(rest) != "behind" || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", r) {
			t.Fatalf("%v, rest %q,\n%+v, want\n%+v", err, rest, got, r)
		}
		for n := range b {
			if _, _, err := decodeRow(b[:n]); err == nil {
				t.Fatalf("the first %d of %d bytes pass for a row", n, len(b))
			}
		}
	})
}

// drawParts fills in the parts that the flags ask for.
func drawParts(t *rapid.T, r *row, short *rapid.Generator[string]) {
	number := func(name string) uint64 { return rapid.Uint64Range(1, 1<<60).Draw(t, name) }
	if r.flags&rowBind != 0 {
		r.uid = ra.UID(short.Draw(t, "uid"))
	}
	if r.flags&rowRegister != 0 {
		r.reg.Name = short.Draw(t, "name")
		r.reg.Config = append([]byte(nil), rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "config")...)
	}
	if r.flags&rowReset != 0 {
		r.reset = ra.Index(number("reset"))
	}
	if r.flags&rowTruncate != 0 {
		r.truncate = ra.Index(number("truncate"))
	}
	if r.flags&rowEntries != 0 {
		r.count = rapid.Uint32Range(1, 1<<20).Draw(t, "count")
		r.first, r.bytes = ra.Index(number("first")), uint64(r.count)*1000
	}
	if r.flags&rowState != 0 {
		r.state = ra.HardState{Term: ra.Term(number("term")), Vote: ra.UID(short.Draw(t, "vote"))}
	}
	if r.flags&rowApplied != 0 {
		r.applied = ra.Index(number("applied"))
	}
	if r.flags&rowMark != 0 {
		r.mark = Mark{What: Damage(rapid.Byte().Draw(t, "what")), From: ra.Index(number("from"))}
		r.mark.Era = Era{rapid.Uint32().Draw(t, "era"), ra.Index(number("held")), ra.Term(number("held term"))}
	}
}
