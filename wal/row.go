package wal

import (
	"encoding/binary"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// row is one line of a batch's table: what one member orders there, in one run.
//
//	0    4  length of the row
//	4    4  number of the member in this file
//	8    8  first order's Seq, 0 if the row has none (an applied mark alone)
//	16   8  last order's Seq
//	24   8  the member's last index before the row
//	32   4  flags
//	36   4  number of entries
//	40      the optional parts, in the order of their flags
type row struct {
	writer       *Writer // nil in a row that was read
	flags        uint32
	number       uint32
	seqLo, seqHi uint64
	prev         ra.Index // last index before the row
	prevTerm     ra.Term  // of the entry at prev, 0 if not known; on the disk with bind only
	lastTerm     ra.Term  // of the last entry behind the row, if it changes that; 0 if not known
	count        uint32   // entries
	uid          ra.UID   // bind
	reg          Registration
	reset        ra.Index
	truncate     ra.Index
	first        ra.Index // of the entries
	bytes        uint64   // of the frames
	state        ra.HardState
	applied      ra.Index
	mark         Mark
}

// last returns the index of the row's last entry.
func (r *row) last() ra.Index { return r.first + ra.Index(r.count) - 1 }

// recovered reports whether recovery wrote the row, to mark a member whose last order was at, and not the member. Such a row goes from
// the last order that the files showed to the last one that anything told of: what lies between is lost, and was known from the
// state file of that time alone.
func (r *row) recovered(at uint64) bool {
	return r.flags&rowMark != 0 && r.mark.What != 0 && (r.seqLo == at || r.seqHi == at)
}

// before returns the number of the member's order before the row. at is its last one as far as that is known.
func (r *row) before(at uint64) uint64 {
	if r.seqLo == 0 || r.recovered(at) {
		return at
	}
	return r.seqLo - 1
}

// size returns the encoded length.
func (r *row) size() int {
	n := rowFixed
	if r.flags&rowBind != 0 {
		n += 1 + len(r.uid) + 8
	}
	if r.flags&rowRegister != 0 {
		n += 1 + len(r.reg.Name) + 4 + len(r.reg.Config)
	}
	if r.flags&rowReset != 0 {
		n += 8
	}
	if r.flags&rowTruncate != 0 {
		n += 8
	}
	if r.flags&rowEntries != 0 {
		n += 16
	}
	if r.flags&rowState != 0 {
		n += 8 + 1 + len(r.state.Vote)
	}
	if r.flags&rowApplied != 0 {
		n += 8
	}
	if r.flags&rowMark != 0 {
		n += 1 + 8 + eraSize
	}
	return n
}

// append appends the encoded row to b.
func (r *row) append(b []byte) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(r.size()))
	b = le.AppendUint32(b, r.number)
	b = le.AppendUint64(b, r.seqLo)
	b = le.AppendUint64(b, r.seqHi)
	b = le.AppendUint64(b, uint64(r.prev))
	b = le.AppendUint32(b, r.flags)
	b = le.AppendUint32(b, r.count)
	if r.flags&rowBind != 0 {
		b = appendShort(b, string(r.uid))
		b = le.AppendUint64(b, uint64(r.prevTerm))
	}
	if r.flags&rowRegister != 0 {
		b = appendShort(b, r.reg.Name)
		b = le.AppendUint32(b, uint32(len(r.reg.Config)))
		b = append(b, r.reg.Config...)
	}
	if r.flags&rowReset != 0 {
		b = le.AppendUint64(b, uint64(r.reset))
	}
	if r.flags&rowTruncate != 0 {
		b = le.AppendUint64(b, uint64(r.truncate))
	}
	if r.flags&rowEntries != 0 {
		b = le.AppendUint64(b, uint64(r.first))
		b = le.AppendUint64(b, r.bytes)
	}
	if r.flags&rowState != 0 {
		b = le.AppendUint64(b, uint64(r.state.Term))
		b = appendShort(b, string(r.state.Vote))
	}
	if r.flags&rowApplied != 0 {
		b = le.AppendUint64(b, uint64(r.applied))
	}
	if r.flags&rowMark != 0 {
		b = append(b, byte(r.mark.What))
		b = le.AppendUint64(b, uint64(r.mark.From))
		b = r.mark.Era.append(b)
	}
	return b
}

// eraSize is the length of an Era: number, index, term.
const eraSize = 4 + 8 + 8

func (e *Era) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, e.Number)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Index))
	return binary.LittleEndian.AppendUint64(b, uint64(e.Term))
}

func (d *decoder) era() Era {
	return Era{Number: d.uint32(), Index: ra.Index(d.uint64()), Term: ra.Term(d.uint64())}
}

// appendShort appends a string of at most 255 bytes behind its length.
func appendShort(b []byte, s string) []byte {
	b = append(b, byte(len(s)))
	return append(b, s...)
}

// decodeTable reads a table of n rows, and the echo behind them. The table's checksum has been checked. If it is not exactly
// these rows and an echo all the same, nothing in it can be trusted to be what it says: ok is false, and there is nothing.
func decodeTable(table []byte, n uint32) (rows []row, told []echoed, ok bool) {
	for range n {
		row, rest, err := decodeRow(table)
		if err != nil {
			return nil, nil, false
		}
		rows, table = append(rows, row), rest
	}
	if told, ok = decodeEcho(table); !ok {
		return nil, nil, false
	}
	return rows, told, true
}

// decodeRow reads the first row of table and returns what follows it. The table's checksum has been checked; what does
// not fit together all the same is an error, never a panic.
func decodeRow(table []byte) (row, []byte, error) {
	le := binary.LittleEndian
	if len(table) < rowFixed {
		return row{}, nil, corruptf("row of %d bytes", len(table))
	}
	n := le.Uint32(table)
	if n < rowFixed || uint64(n) > uint64(len(table)) {
		return row{}, nil, corruptf("row of %d bytes in a table of %d", n, len(table))
	}
	r := row{
		number: le.Uint32(table[4:]), seqLo: le.Uint64(table[8:]), seqHi: le.Uint64(table[16:]),
		prev: ra.Index(le.Uint64(table[24:])), flags: le.Uint32(table[32:]), count: le.Uint32(table[36:]),
	}
	d := decoder{b: table[rowFixed:n]}
	r.decodeParts(&d)
	if d.bad || len(d.b) != 0 || !r.plausible() {
		return row{}, nil, corruptf("row of member %d does not fit together", r.number)
	}
	return r, table[n:], nil
}

// decodeParts reads the optional parts.
func (r *row) decodeParts(d *decoder) {
	if r.flags&rowBind != 0 {
		r.uid, r.prevTerm = ra.UID(d.short()), ra.Term(d.uint64())
	}
	if r.flags&rowRegister != 0 {
		r.reg.Name = string(d.short())
		r.reg.Config = append([]byte(nil), d.take(uint64(d.uint32()))...)
	}
	if r.flags&rowReset != 0 {
		r.reset = ra.Index(d.uint64())
	}
	if r.flags&rowTruncate != 0 {
		r.truncate = ra.Index(d.uint64())
	}
	if r.flags&rowEntries != 0 {
		r.first, r.bytes = ra.Index(d.uint64()), d.uint64()
	}
	if r.flags&rowState != 0 {
		r.state = ra.HardState{Term: ra.Term(d.uint64()), Vote: ra.UID(d.short())}
	}
	if r.flags&rowApplied != 0 {
		r.applied = ra.Index(d.uint64())
	}
	if r.flags&rowMark != 0 {
		r.mark.What = Damage(d.byte())
		r.mark.From = ra.Index(d.uint64())
		r.mark.Era = d.era()
	}
}

// plausible reports whether the numbers of a row can have been written by this package.
func (r *row) plausible() bool {
	return r.flags&^uint32(rowFlags) == 0 && r.seqLo <= r.seqHi && (r.seqLo == 0) == (r.seqHi == 0) &&
		(r.flags&rowEntries != 0) == (r.count > 0) && r.first+ra.Index(r.count) >= r.first &&
		(r.flags&rowBind == 0) == (r.uid == "") && r.bytes >= uint64(r.count)*(minFrameHead+ra.MinHeaderLen)
}

// decoder takes numbers and strings off the front of b. Once something is missing it is bad for good and returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) short() []byte { return d.take(uint64(d.byte())) }
