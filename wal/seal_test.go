package wal

import (
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestSealInCacheOnly kills the process between the write of a seal and its sync, starts again, which reads the seal
// from the page cache, and then cuts the power: the seal is gone, and that is no damage (WAL-05, I9).
func TestSealInCacheOnly(t *testing.T) {
	disk := vfs.NewMem()
	faulty := vfs.NewErrs(disk)
	cfg := Config{FS: faulty, FileSize: MinFileSize}
	l := open(t, cfg)
	b := l.NewBatch()
	w := register(t, l, b, "uid")
	if err := b.Append(w, &Op{Seq: 2, Entries: entries(1, 1, 3)}); err != nil {
		t.Fatal(err)
	}
	commit(t, l, b)
	rng := rand.New(rand.NewPCG(1, 1))
	var killed *vfs.Mem
	faulty.Trace(func(op vfs.Op, _ string) {
		if op == vfs.OpSync && killed == nil {
			killed = disk.Crash(vfs.CrashKept, rng)
		}
	})
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	cfg.FS = killed
	again, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	cfg.FS = killed.Crash(vfs.CrashLost, rng)
	last, found, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = last.Close() })
	if len(found.Losses) != 0 || len(found.Members) != 1 || found.Members[0].Mark != (Mark{}) {
		t.Fatalf("found %+v", found)
	}
	if at := found.Members[0].Entries.Last(); at != ra.Index(3) {
		t.Fatalf("the last entry is %d, not 3", at)
	}
}

// TestDeletedMemberIsCarriedOnce: the last batch, which recovery writes again because nothing vouches for it, holds several
// rows of a member that it deletes. In the new file they are those of one member: a file with two of the same uid could
// never be flushed to segments.
func TestDeletedMemberIsCarriedOnce(t *testing.T) {
	disk := vfs.NewMem()
	cfg := Config{FS: disk, FileSize: MinFileSize}
	l := open(t, cfg)
	b := l.NewBatch()
	w := register(t, l, b, "uid")
	for _, op := range []Op{{Seq: 2, Entries: entries(1, 1, 3)}, {Seq: 3, Truncate: 2}, {Seq: 4, Delete: true}} {
		if err := b.Append(w, &op); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.rows) < 2 {
		t.Fatalf("%d rows", len(b.rows))
	}
	commit(t, l, b)
	cfg.FS = disk.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1)))
	again, found, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if spans := again.cur.spans; len(spans) != 1 || spans[0].UID != "uid" || !spans[0].Deleted {
		t.Errorf("spans of the new file: %+v", spans)
	}
	if len(found.Members) != 0 || len(found.Deleted) != 1 || len(found.Losses) != 0 {
		t.Errorf("found %+v", found)
	}
}
