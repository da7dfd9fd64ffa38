package wal

import (
	"bytes"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestLostMark loses the newest file, and then the batch in which recovery has marked who had lost something by that. Nothing else
// tells of it any more. Who orders something later follows on what is known of him, but that he was marked is repeated: he stays
// in doubt (I10, I11).
func TestLostMark(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	for _, uid := range []ra.UID{"a", "b"} {
		m.register(uid)
	}
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.vote("a", 1, "a")
	m.vote("b", 1, "a")
	m.commit()
	m.try(m.log.Close)
	remove(t, disk, "wal/"+fileName(2))
	m.resume(m.open())
	m.add("a", 1, 0, 1, 100)
	m.commit()
	m.register("late")
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	overwrite(t, disk, "wal/"+fileName(3), blockOf(0), block, true, m.rng)
	for range 2 {
		disk = disk.Crash(vfs.CrashLost, m.rng)
		m.cfg.FS = disk
		m.open()
		if m.err != nil {
			t.Fatal(m.err)
		}
		if got := m.marked(); got["a"] != anyDamage || got["b"] != anyDamage || got["late"] != 0 {
			t.Errorf("marked are %v", got)
		}
	}
}

// TestLostBeforeTheMark loses a vote of a member that recovery has marked for something else since. Its mark has the number of the
// order that it found last, and must not pass for that order; nor does it say that nothing was lost since (I11).
func TestLostBeforeTheMark(t *testing.T) {
	for what, c := range map[string]struct {
		later bool
		lost  int64 // batches
		b     Damage
	}{"the last order": {false, 1, 0}, "one before": {true, 1, 0}, "and what tells whose it was": {false, 3, anyDamage}} {
		disk := vfs.NewMem()
		m := newModel(t, disk, 6)
		m.open()
		m.register("a")
		m.register("b")
		m.commit() // 0
		m.add("a", 1, 0, 3, 100)
		m.commit() // 1, of which an entry decays
		m.vote("a", 7, "a")
		m.commit() // 2
		m.vote("b", 1, "a")
		if c.later {
			m.add("a", 1, 0, 1, 100)
		}
		m.commit() // 3
		m.try(m.log.Close)
		if m.err != nil {
			t.Fatal(m.err)
		}
		name := "wal/" + fileName(1)
		disk.Flip(name, int64(bytes.Index(content(t, disk, name), payloadOf(entry(3, 1, 100)))), 1)
		m.resume(m.open())
		if got := m.marked(); m.err != nil || got["a"] != DamagedLog {
			t.Fatalf("%s: marked are %v, %v", what, got, m.err)
		}
		m.try(m.log.Close)
		overwrite(t, disk, name, blockOf(2), c.lost*block, true, m.rng)
		for range 2 {
			disk = disk.Crash(vfs.CrashLost, m.rng)
			m.cfg.FS = disk
			m.open()
			if got := m.marked(); m.err != nil || got["a"] != anyDamage || got["b"] != c.b {
				t.Errorf("%s: marked are %v, %v", what, got, m.err)
			}
		}
	}
}

// TestHintBehindALoss loses the order that has replaced entries which stand in segments by now. That the member says behind it how far
// it has applied its log does not show that what it has applied is there: it is not known any more, also when what comes
// behind is truncated (I11).
func TestHintBehindALoss(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.register("b")
	m.add("a", 1, 0, 4, 100)
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	m.release()
	m.vote("b", 1, "a")
	m.commit() // 0
	m.add("a", 2, 2, 4, 100)
	m.commit() // 1
	if err := m.batch.Append(m.members["a"].w, &Op{Applied: 4}); err != nil {
		t.Fatal(err)
	}
	m.vote("b", 2, "a")
	m.commit() // 2
	m.add("a", 3, 2, 1, 100)
	m.commit() // 3
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	overwrite(t, disk, "wal/"+fileName(2), blockOf(1), block, true, m.rng)
	for range 2 {
		disk = disk.Crash(vfs.CrashLost, m.rng)
		m.cfg.FS = disk
		m.open()
		if got := m.log.writers["a"]; m.err != nil || got.live.mark != (Mark{What: anyDamage, From: 1}) {
			t.Errorf("mark %+v, %v", got.live.mark, m.err)
		}
	}
}

// TestOnlyAHintIsLeft: of a member of which nothing is left but how far it had applied its log nothing is known (I11).
func TestOnlyAHintIsLeft(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.add("a", 1, 0, 4, 100)
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	if err := m.batch.Append(m.members["a"].w, &Op{Applied: 4}); err != nil {
		t.Fatal(err)
	}
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	remove(t, disk, "wal/"+fileName(1))
	m.cfg.FS = disk
	m.open()
	if got := m.marked(); m.err != nil || got["a"] != anyDamage {
		t.Errorf("marked are %v, %v", got, m.err)
	}
}
