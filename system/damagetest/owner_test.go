package damagetest

import (
	"encoding/binary"
	"path"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// extent is a part of a file that belongs to one member alone: there is no second copy of it, so a flipped bit may cost
// that member, and nobody else.
type extent struct {
	from, to int64
	uid      ra.UID
}

// owners finds the parts of a file that belong to single members, in order. It reads the formats as the documents in docs
// describe them, by other code than that which wrote them.
func owners(t testing.TB, disk *vfs.Mem, name string) []extent {
	b := read(t, disk, name)
	switch kind(name, "") {
	case "full WAL file":
		return walOwners(b)
	case "segment":
		return segmentOwners(b)
	case "snapshot", "checkpoint":
		uid := path.Base(name)
		for range 3 {
			uid = uid[:strings.LastIndex(uid, ".")]
		}
		return []extent{{0, int64(len(b)), ra.UID(uid)}}
	case "pack of snapshots":
		return packOwners(b)
	}
	return nil
}

// packOwners finds the snapshots in a pack: docs/FORMAT-SNAPSHOT.md.
func packOwners(b []byte) (out []extent) {
	le := binary.LittleEndian
	for rows := b[32:][:le.Uint32(b[28:])]; len(rows) > 0; {
		n := 1 + int(rows[0])
		off, size := int64(le.Uint64(rows[n+16:])), int64(le.Uint64(rows[n+24:]))
		out = append(out, extent{off, off + size, ra.UID(rows[1:n])})
		rows = rows[n+36:]
	}
	return out
}

// ownerAt returns the member to which the byte at an offset belongs, "" if that is none.
func ownerAt(all []extent, off int64) ra.UID {
	for _, e := range all {
		if e.from <= off && off < e.to {
			return e.uid
		}
	}
	return ""
}

// batches returns where the batches of a WAL file begin: docs/FORMAT.md.
func batches(b []byte) (out []int) {
	le := binary.LittleEndian
	for off := 8192; off+64 <= len(b) && string(b[off:off+4]) == "HLB1" && le.Uint64(b[off+8:]) == le.Uint64(b[16:]); {
		out = append(out, off)
		off += int(le.Uint64(b[off+24:]))
	}
	return out
}

// tablesAt returns where the first bytes of both tables of the batch at an offset are, which are the same if it has no rows.
func tablesAt(b []byte, off int64) (one, other int64) {
	le := binary.LittleEndian
	size := int64(le.Uint32(b[off+36:]))
	if le.Uint32(b[off+48:]) == 0 {
		return off, off
	}
	return off + 64, off + int64(le.Uint64(b[off+24:])) - 64 - size
}

// walOwners finds the frames of a WAL file: docs/FORMAT.md.
func walOwners(b []byte) []extent {
	le := binary.LittleEndian
	var out []extent
	uids := make(map[uint32]ra.UID) // by the number that stands for them in this file
	for _, off := range batches(b) {
		head := b[off:]
		table := head[64:][:le.Uint32(head[36:])]
		var rows []uint32 // the member's number in each row
		for range le.Uint32(head[48:]) {
			row := table[:le.Uint32(table)]
			number := le.Uint32(row[4:])
			if le.Uint32(row[32:])&1 != 0 { // binds a uid to the number
				uids[number] = ra.UID(row[41:][:row[40]])
			}
			rows, table = append(rows, number), table[len(row):]
		}
		at, end := off+int(le.Uint32(head[32:])), off+int(le.Uint32(head[32:]))+int(le.Uint64(head[40:]))
		for at < end {
			row, n := binary.Uvarint(b[at+4:])
			size, m := binary.Uvarint(b[at+4+n:])
			next := at + 4 + n + m + int(size)
			out = append(out, extent{int64(at), int64(next), uids[rows[row]]})
			at = next
		}
	}
	return out
}

// segmentOwners finds the blocks of a segment file and their indexes: docs/FORMAT-SEGMENT.md.
func segmentOwners(b []byte) []extent {
	le := binary.LittleEndian
	var out []extent
	table := b[le.Uint64(b[32:]):][:le.Uint32(b[48:])]
	for len(table) > 0 {
		row := table[:le.Uint32(table)]
		uid := ra.UID(row[73:][:row[72]])
		if count := int64(le.Uint32(row[40:])); count > 0 {
			bodies, index := int64(le.Uint64(row[48:])), int64(le.Uint64(row[64:]))
			out = append(out, extent{bodies, bodies + int64(le.Uint64(row[56:])), uid}, extent{index, index + 8*count, uid})
		}
		table = table[len(row):]
	}
	return out
}
