package segment

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

const (
	rosterVersion = 1
	rosterMagic   = "HELIORST"
	// rosterHead is the length of what comes before the uids.
	rosterHead = 32
	// rosterRow is the length of the fixed part of what the roster says of a file.
	rosterRow = 21
	// maxRoster bounds the roster, and thus what is allocated to read it.
	maxRoster = 256 << 20
)

// roster is a roster as it is stored.
//
//	0    8  "HELIORST"
//	8    4  CRC-32C of all that follows
//	12   4  format version
//	16   8  length of the roster
//	24   4  number of members
//	28   4  number of files
//	32      the members' uids, sorted: length (1) and uid; a member's place is its number in this list, from 0
//	        the files, sorted by number
//
// Of each file:
//
//	0    8  number
//	8    8  length
//	16   4  CRC-32C of the file's table
//	20   1  1: loose, it is coming or going and need not be there; 0: it is there
//	21      places of the members that need it
//	        places of those of them for whom it makes void what other files have
type roster struct {
	uids  []ra.UID
	files []rosterFile
}

// rosterFile is what the roster says of one file.
type rosterFile struct {
	number, size uint64
	crc          uint32
	loose        bool
	needs, holds places
}

// places is a set of places in the list of members, as it is stored: one byte that says which of two forms it has, the
// shorter one. With 0 follows a list: how many there are, and for each how many are left out before it, all as varints. With
// 1 follows a bit for each member, the lowest of a byte first.
type places []byte

const (
	placeList = 0
	placeBits = 1
)

// appendPlaces appends the set of some places among n, which are sorted.
func appendPlaces(b places, some []int, n int) places {
	from := len(b)
	b = binary.AppendUvarint(append(b, placeList), uint64(len(some)))
	next := 0
	for _, place := range some {
		b = binary.AppendUvarint(b, uint64(place-next))
		next = place + 1
	}
	if len(b)-from <= 1+(n+7)/8 {
		return b
	}
	b = append(b[:from], placeBits)
	b = append(b, make([]byte, (n+7)/8)...)
	for _, place := range some {
		b[from+1+place/8] |= 1 << (place % 8)
	}
	return b
}

// cutPlaces takes a set of places among n off the front of b. It returns them as a list, too, in the memory of scratch.
func cutPlaces(b []byte, n int, scratch []int) (places, []int, error) {
	some, size := scratch[:0], 0
	switch {
	case len(b) > 0 && b[0] == placeList:
		some, size = cutList(b, n, some)
	case len(b) > (n+7)/8 && b[0] == placeBits:
		size = 1 + (n+7)/8
		for k, set := range b[1:size] {
			for ; set != 0; set &= set - 1 {
				some = append(some, 8*k+bits.TrailingZeros8(set))
			}
		}
	}
	if size == 0 || len(some) > 0 && some[len(some)-1] >= n {
		return nil, some, corruptf("places in the roster do not fit together")
	}
	return places(b[:size]), some, nil
}

// cutList reads the list at the front of b, and returns how long it is, 0 if it is none.
func cutList(b []byte, n int, some []int) ([]int, int) {
	count, k := binary.Uvarint(b[1:])
	if k <= 0 || count > uint64(n) {
		return some, 0
	}
	size, next := 1+k, uint64(0)
	for range count {
		gap, k := binary.Uvarint(b[size:])
		if k <= 0 || gap >= uint64(n)-min(next, uint64(n)) {
			return some, 0
		}
		some = append(some, int(next+gap))
		size, next = size+k, next+gap+1
	}
	return some, size
}

// named returns the members at some places, which were checked.
func (r *roster) named(p places) (out []ra.UID) {
	_, some, _ := cutPlaces(p, len(r.uids), nil)
	for _, place := range some {
		out = append(out, r.uids[place])
	}
	return out
}

// encode returns the roster as it is stored.
func (r *roster) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, rosterHead)
	copy(b, rosterMagic)
	le.PutUint32(b[12:], rosterVersion)
	le.PutUint32(b[24:], uint32(len(r.uids)))
	le.PutUint32(b[28:], uint32(len(r.files)))
	for _, uid := range r.uids {
		b = append(append(b, byte(len(uid))), uid...)
	}
	for i := range r.files {
		b = r.files[i].append(b)
	}
	le.PutUint64(b[16:], uint64(len(b)))
	le.PutUint32(b[8:], ra.Checksum(b[12:]))
	return b
}

// append appends what is said of a file.
func (f *rosterFile) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, f.number)
	b = le.AppendUint64(b, f.size)
	b = le.AppendUint32(b, f.crc)
	if f.loose {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return append(append(b, f.needs...), f.holds...)
}

// decodeRoster reads a roster. What it takes is what encode would write.
func decodeRoster(b []byte) (*roster, error) {
	le := binary.LittleEndian
	if len(b) < rosterHead || string(b[:8]) != rosterMagic {
		return nil, corruptf("no roster of segment files")
	}
	if want, got := le.Uint32(b[8:]), ra.Checksum(b[12:]); want != got {
		return nil, corruptf("roster's checksum is %08x, should be %08x", got, want)
	}
	if v := le.Uint32(b[12:]); v != rosterVersion {
		return nil, fmt.Errorf("%w %d, this program knows %d", ErrVersion, v, rosterVersion)
	}
	uids, files := uint64(le.Uint32(b[24:])), uint64(le.Uint32(b[28:]))
	if le.Uint64(b[16:]) != uint64(len(b)) || rosterHead+2*uids+(rosterRow+4)*files > uint64(len(b)) {
		return nil, corruptf("roster of %d bytes does not fit together", len(b))
	}
	r := &roster{uids: make([]ra.UID, 0, uids), files: make([]rosterFile, 0, files)}
	rest, err := r.decodeUIDs(b[rosterHead:], int(uids))
	if err == nil {
		rest, err = r.decodeFiles(rest, int(files))
	}
	if err == nil && len(rest) > 0 {
		err = corruptf("roster has %d bytes too many", len(rest))
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// decodeUIDs reads the members' uids, and returns what follows.
func (r *roster) decodeUIDs(b []byte, count int) ([]byte, error) {
	last := ra.UID("")
	for range count {
		if len(b) == 0 || len(b) <= int(b[0]) {
			return nil, corruptf("roster ends in a uid")
		}
		uid := ra.UID(b[1:][:b[0]])
		if uid <= last {
			return nil, corruptf("roster names %q after %q", uid, last)
		}
		r.uids, last, b = append(r.uids, uid), uid, b[1+len(uid):]
	}
	return b, nil
}

// decodeFiles reads what is said of the files, and returns what follows.
func (r *roster) decodeFiles(b []byte, count int) ([]byte, error) {
	le := binary.LittleEndian
	last := uint64(0)
	var scratch []int
	var again places
	for range count {
		if len(b) < rosterRow {
			return nil, corruptf("roster ends in a file")
		}
		f := rosterFile{number: le.Uint64(b), size: le.Uint64(b[8:]), crc: le.Uint32(b[16:]), loose: b[20] == 1}
		if f.number <= last || f.number >= maxNumber || b[20] > 1 {
			return nil, corruptf("roster names file %d after %d", f.number, last)
		}
		last, b = f.number, b[rosterRow:]
		for _, set := range []*places{&f.needs, &f.holds} {
			var err error
			if *set, scratch, err = cutPlaces(b, len(r.uids), scratch); err != nil {
				return nil, err
			}
			if again = appendPlaces(again[:0], scratch, len(r.uids)); !bytes.Equal(again, *set) {
				return nil, corruptf("places in the roster are not written as they should be")
			}
			b = b[len(*set):]
		}
		r.files = append(r.files, f)
	}
	return b, nil
}

// readWhole reads a file.
func readWhole(f vfs.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxRoster {
		return nil, corruptf("roster of %d bytes", size)
	}
	return readPart(f, 0, int(size))
}
