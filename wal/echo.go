package wal

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Each batch repeats who wrote in the batches before it in the same file: its echo of them, behind the rows of its table. If
// both tables of a batch are lost the next one tells whose orders these were, and whose numbers the batch bound. Without
// that nobody could say it, and all members of the node would have to be doubted.
//
// In the table, behind the rows:
//
//	1   number of batches that are echoed, the newest first
//	    for each of them:
//	4     its chain: CRC in the head of the batch before it
//	      for each member that had an order there, or was given its number, a varint: the number, shifted to the left by
//	      two, and echoBound, echoWrote or both; with echoBound the uid follows, behind a byte of length
//	1     0

const (
	// echoBatches is how many batches are echoed at most.
	echoBatches = 16
	// echoRoom bounds the bytes in which more than the batch just before is echoed. They only take what would be padding.
	echoRoom = 512
	// echoOfNone is how long the echo is in the first batch of a file.
	echoOfNone = 1
	// echoFixed is what the echo of a batch has beside its members, and echoMember a bound of what a member takes without
	// its uid.
	echoFixed  = 4 + 1
	echoMember = 5 + 1
)

// What an echo says of a member.
const (
	echoBound = 1 << iota // the batch gave the member its number
	echoWrote             // there was something of the member whose loss would matter

	echoBits = 2
)

// echo is what the next batch of a file repeats of those before it. It allocates nothing but for a batch with more members
// than any before.
type echo struct {
	last  []byte // of the newest batch that is durable; empty if the file has none
	next  []byte // of the batch that was encoded last: it becomes last when that is durable
	older [echoRoom]byte
	sizes [echoBatches - 1]int // of the echoes in older, the newest first
	kept  int                  // how many these are
}

// begin begins the echo of a batch that names chain.
func (e *echo) begin(chain uint32) { e.next = binary.LittleEndian.AppendUint32(e.next[:0], chain) }

// note adds a row of that batch. An applied mark is a hint: what is lost with it harms nobody.
func (e *echo) note(r *row) {
	code := uint64(r.number) << echoBits
	if r.flags&^(rowBind|rowApplied) != 0 {
		code |= echoWrote
	}
	if r.flags&rowBind != 0 {
		code |= echoBound
	}
	if code&(echoBound|echoWrote) == 0 {
		return
	}
	e.next = binary.AppendUvarint(e.next, code)
	if r.flags&rowBind != 0 {
		e.next = appendShort(e.next, string(r.uid))
	}
}

// end ends it.
func (e *echo) end() { e.next = append(e.next, 0) }

// size is how long what append appends is without any room for more than it must have.
func (e *echo) size() int { return echoOfNone + len(e.last) }

// append appends the echo to a table: of the newest batch, and of as many before that as have their place in room bytes.
func (e *echo) append(b []byte, room int) []byte {
	if len(e.last) == 0 {
		return append(b, 0)
	}
	n, k := 0, 0
	for k < e.kept && n+e.sizes[k] <= room {
		n, k = n+e.sizes[k], k+1
	}
	b = append(b, byte(1+k))
	b = append(b, e.last...)
	return append(b, e.older[:n]...)
}

// push notes that the batch which was encoded last is durable.
func (e *echo) push() {
	if len(e.last) > 0 {
		e.age()
	}
	e.last, e.next = e.next, e.last
}

// age puts the newest batch among the older ones. Those that have no room behind it are forgotten.
func (e *echo) age() {
	n, k, first := 0, 0, len(e.last)
	if first > echoRoom {
		e.kept = 0
		return
	}
	for k < min(e.kept, len(e.sizes)-1) && first+n+e.sizes[k] <= echoRoom {
		n, k = n+e.sizes[k], k+1
	}
	copy(e.older[first:], e.older[:n])
	copy(e.older[:], e.last)
	copy(e.sizes[1:], e.sizes[:k])
	e.sizes[0], e.kept = first, 1+k
}

// echoed is what an echo says of one batch.
type echoed struct {
	chain   uint32
	members []byte // sound, without the zero behind them
}

// echoedMember is what it says of one member there.
type echoedMember struct {
	number       uint32
	bound, wrote bool
	uid          []byte // with bound
}

// decodeEcho reads what stands behind the rows of a table, the newest batch first. The table's checksum has been checked; what
// does not fit together all the same is none.
func decodeEcho(b []byte) (all []echoed, ok bool) {
	d := decoder{b: b}
	n := int(d.byte())
	if d.bad || n > echoBatches {
		return nil, false
	}
	for range n {
		e := echoed{chain: d.uint32()}
		e.members = d.b
		for more := true; more; {
			_, more = d.echoedMember()
		}
		if d.bad {
			return nil, false
		}
		e.members = e.members[:len(e.members)-len(d.b)-1]
		all = append(all, e)
	}
	return all, len(d.b) == 0
}

// each calls yield for every member of the batch.
func (e *echoed) each(yield func(echoedMember)) {
	for d := (decoder{b: e.members}); len(d.b) > 0; {
		m, _ := d.echoedMember()
		yield(m)
	}
}

// echoedMember reads one member of an echo. It returns false at the end, or if that is not what is there.
func (d *decoder) echoedMember() (m echoedMember, ok bool) {
	code := d.uvarint()
	if code == 0 || d.bad {
		return m, false
	}
	m = echoedMember{number: uint32(code >> echoBits), bound: code&echoBound != 0, wrote: code&echoWrote != 0}
	if m.bound {
		m.uid = d.short()
	}
	d.bad = d.bad || code>>echoBits > math.MaxUint32 || !m.bound && !m.wrote || m.bound && len(m.uid) == 0
	return m, !d.bad
}

// uvarint takes a number of as few bytes as it needs.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// told is what a walk knows of batches that it misses, by the echo of one behind them: the oldest first.
type told []echoed

// told returns what b tells of those that are due and come before it.
func (w *walk) told(b *batchInfo) told {
	_, all, ok := decodeTable(b.table, b.header.rows)
	if !ok {
		return nil
	}
	all = all[:min(uint64(len(all)), b.header.seq-w.seq)]
	out := make(told, 0, len(all))
	for i := len(all) - 1; i >= 0; i-- {
		out = append(out, all[i])
	}
	return out
}

// learn takes the numbers that the lost batches bound. It does no harm if there are others of which nobody tells: what is
// ordered by the batch that has the echo counts anyway. Also a file whose chain is broken has one span of a member only: with
// two it could never be flushed to segments.
func (w *walk) learn(t told) {
	for i := range t {
		t[i].each(func(m echoedMember) {
			if !m.bound {
				return
			}
			uid := ra.UID(m.uid)
			if at := slices.IndexFunc(w.spans, func(s Span) bool { return s.UID == uid }); at >= 0 {
				w.numbers[m.number] = at
				return
			}
			w.bind(m.number, uid)
		})
	}
}

// names reports whether it is known of all that wrote who they are.
func (w *walk) names(t told) bool {
	all := true
	for i := range t {
		t[i].each(func(m echoedMember) {
			_, ok := w.numbers[m.number]
			all = all && (ok || !m.wrote)
		})
	}
	return all
}

// doubt has those show that they lost nothing who wrote in the lost batches, the first of which is the one that is due.
func (w *walk) doubt(t told) {
	for i := range t {
		w.r.replay.reach(w.seq + uint64(i))
		t[i].each(func(m echoedMember) {
			if m.wrote {
				w.r.replay.doubt(w.spans[w.numbers[m.number]].UID)
			}
		})
	}
}
