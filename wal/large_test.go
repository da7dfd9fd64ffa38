package wal

import (
	"bytes"
	"syscall"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// WAL-05, F7: a batch that is larger than the spares gets a file that is prepared for all of it, and another one if that
// fails, although smaller spares are at hand: behind its prepared length a file needs space that may not be there.
func TestLargeBatchGetsAFileOfItsSize(t *testing.T) {
	for _, fails := range []bool{false, true} {
		faulty := vfs.NewErrs(vfs.NewMem())
		cfg := Config{FS: faulty, Dir: "wal", FileSize: MinFileSize, Spares: 2, MaxBatch: 1 << 20}
		strayLog(t, cfg)
		l, r, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for l.NeedsReserve() {
			if err := l.Reserve(); err != nil {
				t.Fatal(err)
			}
		}
		b := l.NewBatch()
		e := ra.Seal(ra.NewBody(make([]byte, 3*MinFileSize)), ra.Header{Index: 2, Term: 1, Kind: ra.KindCommand})
		if err := b.Append(r.Members[0].Writer, &Op{Seq: 2, Entries: []ra.Entry{e}}); err != nil {
			t.Fatal(err)
		}
		if fails {
			faulty.Inject(vfs.Fault{Op: vfs.OpWrite, From: headerSize, To: headerSize + 1, Err: syscall.EIO, Times: 1})
		}
		if err := l.Commit(b); err != nil {
			t.Fatal(err)
		}
		if struck := faulty.Struck(); fails != (struck == 1) {
			t.Errorf("fails %v: %d faults struck", fails, struck)
		}
		size, err := l.cur.f.Size()
		if err != nil || size != int64(l.cur.header.size) || l.cur.left() < 0 {
			t.Errorf("fails %v: file of %d bytes, prepared are %d, used %d: %v", fails, size, l.cur.header.size, l.cur.off, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// I9: what recovery hands out is its own copy, also of a file that is read in several steps.
func TestBodiesAreCopies(t *testing.T) {
	cfg := Config{FS: vfs.NewMem(), Dir: "wal", FileSize: 4 * readStep, MaxBatch: readStep}
	strayLog(t, cfg)
	l, r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, w := l.NewBatch(), r.Members[0].Writer
	const n, size = 300, 10_000 // three steps
	for i := range byte(3) {
		for k := range n / 3 {
			index := 2 + ra.Index(int(i)*n/3+k)
			body := ra.NewBody(bytes.Repeat([]byte{i, byte(k)}, size/2))
			e := ra.Seal(body, ra.Header{Index: index, Term: 1, Kind: ra.KindCommand})
			if err := b.Append(w, &Op{Seq: w.Seq() + 1, Entries: []ra.Entry{e}}); err != nil {
				t.Fatal(err)
			}
			if len(b.buf) > readStep/2 || k == n/3-1 {
				commit(t, l, b)
			}
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, r, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	table := r.Members[0].Entries
	if table.Last() != n+1 {
		t.Fatalf("entries up to %d", table.Last())
	}
	for i, e := range table.Read(nil, 1, n+1, 1<<30) {
		if got, err := ra.OpenEntry(e.Body); err != nil || got.Index != ra.Index(i+1) {
			t.Fatalf("entry %d: %v, %v", i+1, got.Index, err)
		}
	}
}
