package wal

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestLossIsToldOnce loses the newest file. From the next start on that is no news: who was in it has a mark, so that a name
// that nobody knows is just unknown, and nobody who comes later is doubted (I10, I11).
func TestLossIsToldOnce(t *testing.T) {
	m, disk := reference(t, 3, true)
	files := walFiles(t, disk)
	if err := disk.Remove(files[len(files)-1]); err != nil {
		t.Fatal(err)
	}
	m.cfg.FS = disk
	if out := m.open(); m.err != nil || len(out.Losses) != 1 {
		t.Fatalf("%+v, %v", out, m.err)
	}
	m.register("late")
	m.commit()
	m.try(func() error { return m.log.Close() })
	for range 2 {
		out := m.open()
		if m.err != nil || len(out.Losses) > 0 || len(out.Members) != 4 {
			t.Fatalf("%+v, %v", out, m.err)
		}
		for i := range out.Members {
			r := &out.Members[i]
			if late := r.Writer.UID() == "late"; late != (r.Mark.What == 0) || !late && r.Mark.What != anyDamage {
				t.Errorf("%s: %+v", r.Writer.UID(), r.Mark)
			}
		}
		m.try(func() error { return m.log.Close() })
	}
}

// TestStateFileVouchesForTheVote damages a batch that only the state file is newer than. What is lost are entries: vote and
// configuration the state file has, whatever the member's next order had seemed to show. Who ordered nothing since is
// cleared by the state file alone (I11; reliability goal G7).
func TestStateFileVouchesForTheVote(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	for _, uid := range []ra.UID{"a", "b", "c"} {
		m.register(uid)
	}
	m.vote("a", 3, "b")
	m.commit()
	m.try(func() error { return m.log.roll(block) })
	for range 3 { // the third follows on nothing when the second is lost
		m.add("a", 3, 0, 1, 500)
		m.commit()
	}
	m.try(func() error { return m.log.roll(block) })
	m.vote("c", 3, "b")
	m.commit()
	m.release() // the first file
	m.try(func() error { return m.log.Close() })
	if m.err != nil {
		t.Fatal(m.err)
	}
	hurt := disk.Crash(vfs.CrashKept, m.rng)
	overwrite(t, hurt, "wal/"+fileName(2), headerSize+block, block, true, m.rng)
	if got := m.reopen(hurt, "a batch before the state file", false); got != (outcome{marked: 1, lost: true}) {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		uid  ra.UID
		want Damage
	}{{"a", DamagedLog}, {"b", 0}, {"c", 0}} {
		if got := m.log.writers[c.uid].live.mark.What; got != c.want {
			t.Errorf("%s is marked with %d, want %d", c.uid, got, c.want)
		}
	}
	if a := m.log.writers["a"]; a.last != 0 || a.live.mark.From != 1 { // a truncation may be lost, too
		t.Errorf("a goes on behind index %d, mark %+v", a.last, a.live.mark)
	}
}
