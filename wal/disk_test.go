package wal

import (
	"fmt"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestOnDisk runs the script on the disk of this machine, with and without direct I/O, and reads it again.
func TestOnDisk(t *testing.T) {
	for _, buffered := range []bool{false, true} {
		t.Run(fmt.Sprintf("buffered=%v", buffered), func(t *testing.T) {
			m := newModel(t, osFS(t), 1)
			m.cfg.Buffered = buffered
			m.script()
			if m.err != nil {
				t.Fatal(m.err)
			}
			for range 2 {
				out := m.open()
				if m.err != nil {
					t.Fatal(m.err)
				}
				m.verify(out, "after a close")
				m.try(m.log.Close)
			}
		})
	}
}

// TestAppliedRidesAlong shows that an applied mark wakes nobody, is acknowledged to nobody, and is found again (LOG-07).
func TestAppliedRidesAlong(t *testing.T) {
	m, _, disk := failing(t, 1)
	m.open()
	m.register("a")
	m.add("a", 1, 0, 5, 10)
	m.commit()
	w := m.members["a"].w
	if err := m.batch.Append(w, &Op{Applied: 4}); err != nil {
		t.Fatal(err)
	}
	if m.batch.Urgent() || m.batch.Empty() {
		t.Errorf("urgent %v, empty %v; want a batch that can wait", m.batch.Urgent(), m.batch.Empty())
	}
	m.add("a", 1, 0, 1, 10)
	if acks := m.batch.Acks(); len(acks) != 1 || acks[0].Seq != 3 {
		t.Errorf("acks %v", acks)
	}
	m.commit()
	m.cfg.FS = disk.Crash(vfs.CrashLost, m.rng)
	out := m.open()
	m.verify(out, "with an applied mark")
	if got := out.Members[0].Applied; got != ra.Index(4) {
		t.Errorf("applied is %d, want 4", got)
	}
}
