package wal

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// I11: what the state file says of a member counts, but for entries that are lost. What of the log was committed is known
// to have stayed, and the writer goes on behind what is left.
func TestMemberMeetsTheStateFile(t *testing.T) {
	said := live{seq: 6, last: 12, applied: 9, state: ra.HardState{Term: 4, Vote: "v"}}
	m := &replayed{uid: "m", table: newTable(t, 10), sure: 7}
	m.live.seq, m.live.last = 4, 10
	m.meet(&said, 3)
	if want := (Mark{What: DamagedLog, From: 8}); m.found != want || m.table.Last() != 7 || m.live.last != 7 {
		t.Errorf("orders are missing: mark %+v, entries up to %d, last %d", m.found, m.table.Last(), m.live.last)
	}
	if m.live.state != said.state || m.live.seq != 6 || m.cleared != 3 || m.sure != 9 {
		t.Errorf("orders are missing: %+v", m)
	}
	m = &replayed{uid: "m", table: newTable(t, 12), sure: 10, loose: true}
	m.live.seq, m.live.last = 6, 12
	m.meet(&said, 3)
	if m.found != (Mark{}) || m.live.last != 12 || m.cleared != 3 || m.sure != 10 {
		t.Errorf("nothing is missing: %+v", m)
	}
}

// I11: Highest is no lower than any index that the log has had, also if a truncation took it back.
func TestHighestStays(t *testing.T) {
	r := newReplay(nil)
	for _, step := range []struct {
		row  row
		want ra.Index
	}{
		{row{flags: rowRegister, seqLo: 1, seqHi: 1}, 0},
		{row{flags: rowEntries, seqLo: 2, seqHi: 2, first: 1, count: 10}, 10},
		{row{flags: rowTruncate | rowEntries, seqLo: 3, seqHi: 3, prev: 10, truncate: 4, first: 4, count: 1}, 10},
		{row{flags: rowTruncate, seqLo: 4, seqHi: 4, prev: 4, truncate: 2}, 10},
	} {
		var got []ra.Entry
		for i := range step.row.count {
			got = append(got, entry(step.row.first+ra.Index(i), 1, 10))
		}
		r.apply(&step.row, "m", got)
		if m := r.members["m"]; m.highest != step.want || m.found != (Mark{}) {
			t.Fatalf("order %d: highest is %d, want %d; %+v", step.row.seqLo, m.highest, step.want, m.found)
		}
	}
}

// I11: what a later order says anew is certain again, whatever was lost before it: each part for itself.
func TestLaterOrdersHeal(t *testing.T) {
	for _, c := range []struct {
		name string
		row  row
		left Damage
	}{
		{"nothing", row{flags: rowApplied}, anyDamage},
		{"registration", row{flags: rowRegister}, DamagedLog | DamagedState},
		{"term and vote", row{flags: rowState}, DamagedLog | DamagedRegistration},
		{"truncation at the gap", row{flags: rowTruncate, truncate: 8}, DamagedState | DamagedRegistration},
		{"truncation behind the gap", row{flags: rowTruncate, truncate: 9}, anyDamage},
		{"reset", row{flags: rowReset, reset: 20}, DamagedState | DamagedRegistration},
	} {
		r := newReplay(nil)
		m := r.member("m")
		m.live.seq, m.live.last, m.sure, m.table = 4, 10, 7, newTable(t, 10)
		c.row.seqLo, c.row.seqHi, c.row.prev = 6, 6, 10 // order 5 is lost
		r.apply(&c.row, "m", nil)
		want := Mark{What: c.left}
		if c.left&DamagedLog != 0 {
			want.From = 8
		}
		if m.found != want {
			t.Errorf("%s leaves %+v, want %+v", c.name, m.found, want)
		}
	}
}

// A truncation tells where the log ends, also if all that is left of it lies in segments.
func TestTruncationIsKnown(t *testing.T) {
	said := live{seq: 3, base: 1, last: 20, reg: Registration{Name: "m"}}
	r := newReplay(&stateFile{batch: 9, members: []stateMember{{uid: "m", live: said}}})
	r.apply(&row{flags: rowTruncate, seqLo: 2, seqHi: 2, prev: 20, truncate: 6}, "m", nil)
	r.lose(9) // order 3, of a batch below the state file's
	all := r.finish()
	if m := all[0]; m.live.last != 0 || m.truncated != 6 || m.found != (Mark{What: DamagedLog, From: 1}) {
		t.Errorf("last %d, truncated at %d, mark %+v", m.live.last, m.truncated, m.found)
	}
}

// I11: a truncation that reaches below what a snapshot stood for says that the snapshot is lost: no reset asks for it any
// more, and nothing from before is back.
func TestTruncationEndsAReset(t *testing.T) {
	for _, c := range []struct{ at, reset, truncated ra.Index }{{21, 20, 21}, {20, 0, 1}, {1, 0, 1}} {
		r := newReplay(nil)
		r.apply(&row{flags: rowRegister | rowReset, seqLo: 1, seqHi: 1, reset: 20}, "m", nil)
		r.apply(&row{flags: rowTruncate, seqLo: 2, seqHi: 2, prev: 20, truncate: c.at}, "m", nil)
		if m := r.members["m"]; m.reset != c.reset || m.truncated != c.truncated || m.live.last != c.at-1 || m.found != (Mark{}) {
			t.Errorf("truncated from %d: reset %d, truncated %d, last %d, %+v", c.at, m.reset, m.truncated, m.live.last, m.found)
		}
	}
}

// I11: entries that stand behind a gap are of no use, and the writer does not go on behind them.
func TestEntriesBehindAGap(t *testing.T) {
	for _, sure := range []ra.Index{0, 7} {
		r := newReplay(nil)
		m := r.member("m")
		m.live.seq, m.live.last, m.sure, m.table = 4, 10, sure, newTable(t, 10)
		r.apply(&row{flags: rowEntries, seqLo: 6, seqHi: 6, prev: 12, first: 13, count: 1}, "m", []ra.Entry{entry(13, 1, 10)})
		if m.found != (Mark{What: anyDamage, From: sure + 1}) || m.live.last != sure || m.highest != 13 {
			t.Errorf("behind %d: mark %+v, last %d, highest %d", sure, m.found, m.live.last, m.highest)
		}
		if n := m.table.Len(); n > 0 && m.table.Last() != sure || n != int(sure) {
			t.Errorf("behind %d: %d entries are left", sure, n)
		}
	}
}

// I11: whoever shows nothing behind a loss keeps what was known to be committed before it, and no more.
func TestNotCleared(t *testing.T) {
	r := newReplay(nil)
	m := r.member("m")
	m.known, m.live.seq, m.live.last, m.sure, m.table = true, 4, 10, 7, newTable(t, 10)
	r.lose(9)
	if m := r.finish()[0]; m.found != (Mark{What: anyDamage, From: 8}) || m.table.Last() != 7 || m.live.last != 7 {
		t.Errorf("mark %+v, entries up to %d, last %d", m.found, m.table.Last(), m.live.last)
	}
}

// I11: of a run of entries only those count that follow on each other from the first on, whichever of them is lost.
func TestEntriesWithAGap(t *testing.T) {
	for lost := ra.Index(1); lost <= 5; lost++ {
		var got []ra.Entry
		for i := ra.Index(1); i <= 4; i++ {
			if i != lost {
				got = append(got, entry(i, 1, 10))
			}
		}
		r := newReplay(nil)
		r.apply(&row{flags: rowRegister | rowEntries, seqLo: 1, seqHi: 1, first: 1, count: 4}, "m", got)
		want := Mark{What: DamagedLog, From: lost}
		if lost > 4 {
			want = Mark{}
		}
		if m := r.members["m"]; m.found != want || m.table.Last() != lost-1 || m.live.last != lost-1 {
			t.Errorf("without %d: mark %+v, entries up to %d, last %d", lost, m.found, m.table.Last(), m.live.last)
		}
	}
}

// I11: damage begins at an index that there is, also if a forged row names one that there is not.
func TestDamageFromNowhere(t *testing.T) {
	for what, forged := range map[string]*row{
		"entries from 0 on":                {flags: rowRegister | rowEntries, seqLo: 1, seqHi: 1, count: 2},
		"applied up to the end of numbers": {flags: rowRegister | rowApplied, seqLo: 3, seqHi: 3, applied: ^ra.Index(0)},
	} {
		r := newReplay(nil)
		r.apply(forged, "m", nil)
		r.apply(&row{flags: rowState, seqLo: 5, seqHi: 5}, "m", nil)
		r.apply(&row{flags: rowEntries, seqLo: 6, seqHi: 6, first: 9, count: 1}, "m", []ra.Entry{entry(9, 1, 10)})
		if m := r.members["m"]; m.found.What&DamagedLog == 0 || m.found.From != 1 || m.table.Len() != 0 || m.live.last != 0 {
			t.Errorf("%s: mark %+v, %d entries, last %d", what, m.found, m.table.Len(), m.live.last)
		}
	}
}

// I12: who is deleted stays so. A loss of unknown extent has the state file take effect at once, and then there may be rows
// that are older than it.
func TestDeletedStaysDeleted(t *testing.T) {
	r := newReplay(&stateFile{batch: 9})
	r.apply(&row{flags: rowRegister, seqLo: 1, seqHi: 1}, "m", nil)
	r.lose(^uint64(0))
	r.apply(&row{flags: rowState, seqLo: 4, seqHi: 4}, "m", nil)
	if all := r.finish(); len(all) > 0 || !r.deleted["m"] {
		t.Errorf("%d members, deleted are %v", len(all), r.deleted)
	}
}

// I11: Highest counts what the state file says of released files, and what a row says was there before it, also if that is
// lost: segments may have it.
func TestHighestOfWhatIsNotThere(t *testing.T) {
	r := newReplay(&stateFile{batch: 9, members: []stateMember{{uid: "m", live: live{seq: 3, base: 3, last: 20}}}})
	if m := r.finish()[0]; m.highest != 20 || m.found != (Mark{}) {
		t.Errorf("of the state file: %d, mark %+v", m.highest, m.found)
	}
	r = newReplay(nil)
	r.apply(&row{flags: rowRegister, seqLo: 1, seqHi: 1}, "m", nil)
	r.apply(&row{flags: rowState, seqLo: 3, seqHi: 3, prev: 12}, "m", nil) // order 2 is lost
	if m := r.finish()[0]; m.highest != 12 || m.found.What&DamagedLog == 0 {
		t.Errorf("of what is lost: %d, mark %+v", m.highest, m.found)
	}
}

// I11: only a mark that says that something is damaged can be recovery's own, and repeat the last order's number. One that is
// taken back is an order like all others, and must follow.
func TestRepairMustFollow(t *testing.T) {
	for _, c := range []struct {
		mark Mark
		want Mark
	}{
		{Mark{What: DamagedLog, From: 3}, Mark{}},
		{Mark{}, Mark{What: anyDamage, From: 8}},
	} {
		r := newReplay(nil)
		m := r.member("m")
		m.live.seq, m.live.last, m.sure, m.table = 4, 10, 7, newTable(t, 10)
		r.apply(&row{flags: rowMark, seqLo: 4, seqHi: 4, prev: 10, mark: c.mark}, "m", nil)
		if m.found != c.want || m.wasMarked != c.mark {
			t.Errorf("a mark %+v: found %+v, was marked %+v", c.mark, m.found, m.wasMarked)
		}
	}
}
