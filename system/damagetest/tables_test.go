package damagetest

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// writers returns who wrote something in the batch of a WAL file at an offset, whose loss would matter: docs/FORMAT.md.
func writers(b []byte, at int) (out []ra.UID) {
	const bind, applied = 1, 64
	le := binary.LittleEndian
	uids := make(map[uint32]ra.UID)
	for _, off := range batches(b) {
		rows := b[off+64:]
		for range le.Uint32(b[off+48:]) {
			number, flags := le.Uint32(rows[4:]), le.Uint32(rows[32:])
			if flags&bind != 0 {
				uids[number] = ra.UID(rows[41:][:rows[40]])
			}
			if off == at && flags&^(bind|applied) != 0 {
				out = append(out, uids[number])
			}
			rows = rows[le.Uint32(rows):]
		}
	}
	return out
}

// TestLostTables makes both tables of each batch of the log unreadable, one batch after the other: that costs those who wrote in
// it, and nobody else (I11).
func TestLostTables(t *testing.T) {
	tried, cost := 0, 0
	for _, s := range subjects(t, referenceOf(t, 1)) {
		if s.kind != "full WAL file" && s.kind != "newest WAL file" {
			continue
		}
		b := read(t, s.disk, s.name)
		for _, off := range batches(b) {
			one, other := tablesAt(b, int64(off))
			if one == other {
				continue
			}
			disk := clone(s.disk)
			flipByte(t, disk, s.name, one)
			flipByte(t, disk, s.name, other)
			got, err := s.read(disk)
			if err != nil {
				t.Fatalf("%s, tables at %d: %v", s.name, off, err)
			}
			hurt, silent := got.compare(&s.want)
			if len(silent) > 0 {
				t.Errorf("%s, tables at %d: %q", s.name, off, silent)
			}
			own := writers(b, off)
			for _, uid := range hurt {
				if !slices.Contains(own, uid) {
					t.Errorf("%s, tables at %d: %s is damaged, and those who wrote there are %q", s.name, off, uid, own)
				}
			}
			tried, cost = tried+1, cost+len(hurt)
		}
	}
	if cost == 0 || tried < 10 {
		t.Errorf("%d batches cost %d members something", tried, cost)
	}
	t.Logf("%d batches cost %d members something", tried, cost)
}
