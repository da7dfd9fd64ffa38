package system

import (
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestOldEntryBelowTheLog loses the segment file with the entry that a snapshot ends with. An older entry is there again at
// its index, which contradicts the snapshot: the log above it would count as one of another history, and go in silence (I11).
func TestOldEntryBelowTheLog(t *testing.T) {
	list := func(term ra.Term, lo, hi ra.Index) (out []ra.Entry) {
		for i := lo; i <= hi; i++ {
			out = append(out, ra.Seal(ra.NewBody(nil), ra.Header{Index: i, Term: term, Kind: ra.KindCommand}))
		}
		return out
	}
	for what, c := range map[string]struct {
		last ra.Index // of the log
		want bool
	}{"a log above the snapshot": {12, true}, "none": {10, false}} {
		disk := vfs.NewMem()
		segs, _, err := segment.Open(segment.Config{FS: disk, Dir: "segments"})
		if err != nil {
			t.Fatal(err)
		}
		for _, ranges := range [][]segment.Range{
			{{UID: "a", Entries: slices.Values(list(1, 1, 10))}, {UID: "b", Entries: slices.Values(list(1, 1, 1))}},
			{{UID: "a", Entries: slices.Values(list(2, 10, 10))}},
		} {
			if _, err := segs.Flush(slices.Values(ranges)); err != nil {
				t.Fatal(err)
			}
		}
		segs.Drop("a", 10)
		if _, err := segs.Clean(); err != nil {
			t.Fatal(err)
		}
		names, err := disk.List("segments")
		if err != nil || len(names) != 3 {
			t.Fatal(names, err)
		}
		disk.Cut("segments/"+names[1], 0)
		segs, found, err := segment.Open(segment.Config{FS: disk, Dir: "segments"})
		if err != nil || len(found.Lost) != 1 {
			t.Fatalf("%+v, %v", found, err)
		}
		log, _, err := wal.Open(wal.Config{FS: disk, Dir: "wal", FileSize: wal.MinFileSize})
		if err != nil {
			t.Fatal(err)
		}
		w, err := log.Writer("a")
		if err != nil {
			t.Fatal(err)
		}
		b := log.NewBatch()
		op := wal.Op{Seq: 1, Register: &wal.Registration{Name: "a"}, Reset: 10, Entries: list(2, 11, c.last)}
		if err := b.Append(w, &op); err != nil {
			t.Fatal(err)
		}
		m := &wal.Member{Writer: w, Entries: new(memtable.Table), Highest: w.Last()}
		if err := m.Entries.Append(op.Entries); err != nil {
			t.Fatal(err)
		}
		n, snap := &Node{segments: segs}, raftlog.Position{Index: 10, Term: 2}
		n.report.Segments = *found
		if got := n.mayMislead(m, snap); got != c.want {
			t.Errorf("%s: %v, lost is %+v", what, got, found.Lost)
		}
		// Nothing else shows it.
		if l, err := raftlog.Recover(m, segs, snap); err != nil || l.Last() != 10 {
			t.Errorf("%s: the log ends at %d, %v", what, l.Last(), err)
		}
	}
}
