package wal

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// I10: a mark that is ordered stands in its place among the member's orders, is there after each restart, also when only
// the state file has it, and goes with Repaired.
func TestOrderedMark(t *testing.T) {
	fs := vfs.NewMem()
	cfg := Config{FS: fs, FileSize: MinFileSize}
	l, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, err := l.Writer("m")
	if err != nil {
		t.Fatal(err)
	}
	b := l.NewBatch()
	seq := uint64(0)
	order := func(op Op) {
		t.Helper()
		seq++
		op.Seq = seq
		if err := b.Append(w, &op); err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(b); err != nil {
			t.Fatal(err)
		}
		b.Reset()
	}
	reopen := func() *Member {
		t.Helper()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		var found *Recovery
		if l, found, err = Open(cfg); err != nil || len(found.Members) != 1 || len(found.Losses) != 0 {
			t.Fatalf("%+v, %v", found, err)
		}
		w, b = found.Members[0].Writer, l.NewBatch()
		return &found.Members[0]
	}
	var entries []ra.Entry
	for i := ra.Index(1); i <= 9; i++ {
		entries = append(entries, ra.Seal(ra.NewBody([]byte{byte(i)}), ra.Header{Index: i, Term: 1, Kind: ra.KindCommand}))
	}
	order(Op{Register: &Registration{Name: "m"}})
	order(Op{Entries: entries, State: &ra.HardState{Term: 1, Vote: "m"}, Applied: 9})
	mark := Mark{What: DamagedLog, From: 6}
	order(Op{Damaged: &mark, Truncate: 6})
	for range 3 {
		m := reopen()
		if m.Mark != mark || m.Entries.Last() != 5 || m.Applied != 5 || m.State.Vote != "m" || m.Writer.Seq() != seq {
			t.Fatalf("came back with %+v, last %d", m, m.Entries.Last())
		}
	}
	order(Op{Damaged: &Mark{What: DamagedLog, From: 8}, Entries: entries[5:7]})
	if m := reopen(); m.Mark != mark || m.Entries.Last() != 7 {
		t.Fatalf("a second mark: %+v, last %d", m.Mark, m.Entries.Last())
	}
	order(Op{Repaired: true})
	for range 2 {
		if m := reopen(); m.Mark != (Mark{}) || m.Entries.Last() != 7 {
			t.Fatalf("after the repair: %+v", m)
		}
	}
}

// I11: when a member's orders are lost it is known of its log what was committed before, and no more: a truncation may be
// among what is lost.
func TestGapLeavesWhatWasCommitted(t *testing.T) {
	m := &replayed{uid: "m", table: newTable(t, 10)}
	m.live.seq, m.live.last, m.sure = 4, 10, 7
	m.order(&row{seqLo: 7, seqHi: 7}, 1)
	if m.found.What != anyDamage || m.found.From != 8 || m.table.Last() != 7 || m.live.last != 7 {
		t.Errorf("a gap leaves %+v, last %d", m.found, m.table.Last())
	}
	// A mark of recovery that does not follow what is known, either, proves that something is lost.
	m = &replayed{uid: "m", table: newTable(t, 10)}
	m.live.seq, m.live.last, m.sure = 4, 10, 7
	m.order(&row{flags: rowMark, seqLo: 6, seqHi: 6, prev: 10, mark: Mark{What: DamagedLog, From: 11}}, 1)
	if m.found.What != anyDamage || m.found.From != 8 {
		t.Errorf("a mark behind a gap leaves %+v", m.found)
	}
}

// I11: entries that were applied are gone for good once their loss is accepted, and the log goes on in their place. Of what took
// it nothing is known to be committed: when orders are lost then, a truncation may be among them, as it is here.
func TestGapBehindAnAcceptedLoss(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 6)
	m.open()
	m.register("a")
	m.commit()
	m.add("a", 1, 0, 9, 100)
	m.commit()
	v := m.members["a"].now()
	v.state = ra.HardState{Term: 1, Vote: "a"}
	m.order("a", Op{State: &v.state, Applied: 9}, v)
	m.commit()
	v.log = v.log[:5]
	m.order("a", Op{Damaged: &Mark{What: DamagedLog, From: 6}, Truncate: 6}, v)
	m.commit()
	m.order("a", Op{Repaired: true}, v)
	m.commit()
	m.add("a", 2, 0, 4, 100)
	m.commit()
	m.add("a", 3, 2, 1, 100)
	m.commit()
	m.vote("a", 4, "a")
	m.commit()
	m.try(m.log.Close)
	if m.err != nil {
		t.Fatal(m.err)
	}
	overwrite(t, disk, "wal/"+fileName(1), blockOf(6), block, true, m.rng) // the truncation
	m.reopen(disk, "the truncation is lost", false)
	if got := m.log.writers["a"]; got.live.mark.What&DamagedLog == 0 || got.live.mark.From != 6 || got.last != 5 {
		t.Errorf("mark %+v, last %d", got.live.mark, got.last)
	}
}

// newTable returns a table with n entries.
func newTable(t *testing.T, n ra.Index) *memtable.Table {
	t.Helper()
	out := new(memtable.Table)
	for i := ra.Index(1); i <= n; i++ {
		e := ra.Seal(ra.NewBody(nil), ra.Header{Index: i, Term: 1, Kind: ra.KindCommand})
		if err := out.Append([]ra.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
