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
