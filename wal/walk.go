package wal

import "github.com/heliopolis-raft/heliopolis/ra"

// walk goes through the batches of one file.
//
// Three things are told apart. The end: nothing of a further batch is there. A torn tail: something of one is there, but
// nothing vouches for it, as a later batch, a seal, or the next file would, nor is it whole but for one bit. Damage: everything else.
type walk struct {
	r       *recovery
	src     *source
	h       *fileHeader
	off     int64
	end     int64 // no batch reaches beyond
	seq     uint64
	chain   uint32
	anyhow  bool // the chain is broken by a loss that was noted
	numbers map[uint32]int
	spans   []Span
	after   uint64 // number of the first batch behind this file, if that is known
	// confirmed: everything up to end was durable, and nothing beyond counts.
	confirmed bool
	damaged   bool
	lost      bool // a batch is, at least
	continues bool
	short     bool       // the file ends before what was confirmed
	open      *batchInfo // last sound batch, if it could be unconfirmed
	seal      int64      // where the seal at the end begins, 0 if there is none
}

// run replays the file.
func (w *walk) run() {
	for w.off < w.end {
		b, ok := w.src.head(w.off, w.end, w.h.id)
		if ok && b.header.seq == w.seq {
			if !w.follow(&b, false) {
				break
			}
			continue
		}
		if !w.skip() {
			break
		}
	}
	w.tally()
	w.finish()
}

// tally notes batches that are missing though nothing else is before the confirmed end: blocks that have come to lie behind their
// place may fill the file to there, once something is lost before. A seal there has a number, too.
func (w *walk) tally() {
	if !w.lost || !w.confirmed || w.short || w.seq >= w.after {
		return
	}
	b, ok := w.src.head(w.end, w.src.size, w.h.id)
	if sealed := ok && b.header.flags == batchSeal && b.header.seq == w.seq; !sealed || w.seq+1 != w.after {
		w.lose(w.end, w.after, false)
	}
}

// skip deals with a batch whose head is not sound. It returns false if that is where the file ends.
func (w *walk) skip() bool {
	b, ok := w.src.resync(w.off, w.end, w.h.id, w.seq)
	switch {
	case ok && b.off == w.off && b.header.seq == w.seq:
		return w.follow(&b, true)
	case ok:
		w.miss(&b, b.off, b.header.seq)
		return true
	case w.confirmed:
		w.missRest()
		return true
	case w.owes() || w.src.unreadable(w.off, w.off+block) != nil:
		// Where nothing can be read there may be anything, and nobody knows what followed on what is known to be missing.
		w.lose(w.end, w.after, false)
		return true
	}
	// Of a torn batch at least the file's id may be there.
	w.r.out.Torn = w.r.out.Torn || w.begun()
	return false
}

// owes reports whether the log had come further than this file, in which it ended as far as anybody knows.
func (w *walk) owes() bool { return w.h.seq >= w.r.floor.file && w.seq < w.r.floor.batch }

// begun reports whether something of a batch stands where the next one is due.
func (w *walk) begun() bool {
	return decodeBatchHeader(w.src.bytes(w.off, batchFixed)).fileID == w.h.id
}

// miss notes that everything up to off is lost, and all batches before seq: those that b echoes, if it echoes all of them.
//
// That is believed only of a batch which goes on from the one before the loss, as chain says: the echo has of each batch what
// that one had of the batch before it. So it is as certain whose the lost batches are as if they could be read, and nothing
// goes unnoticed by that which would not if they could. If the chain is broken, b and what is lost are perhaps another
// process's, as in follow, and nothing in the file counts from there on.
func (w *walk) miss(b *batchInfo, off int64, seq uint64) {
	t := w.told(b)
	if w.anyhow || uint64(len(t)) != b.header.seq-w.seq {
		w.learn(t)
		w.lose(off, seq, false)
		return
	}
	if t[0].chain != w.chain {
		w.lose(w.end, w.after, false)
		return
	}
	w.learn(t)
	if !w.names(t) {
		w.lose(off, seq, false)
		return
	}
	w.doubt(t)
	w.lose(off, seq, true)
	w.chain, w.anyhow = b.header.chain, false
}

// missRest notes that everything up to the confirmed end is lost. What stands there is void, but tells all the same what came
// before it: it may be the end mark of a full file, a seal, or a batch that was written again to the next file, and has the
// number with which that one begins, or is a seal and has the one before.
func (w *walk) missRest() {
	b, ok := w.src.head(w.end, w.src.size, w.h.id)
	next := b.header.seq
	if b.header.flags == batchSeal {
		next++
	}
	if !ok || next != w.after || b.header.seq <= w.seq {
		w.lose(w.end, w.after, false)
		return
	}
	w.miss(&b, w.end, w.after)
}

// lose notes that everything up to the batch at off is lost; known says that it is known whose it is.
func (w *walk) lose(off int64, seq uint64, known bool) {
	w.r.loss(Loss{File: w.h.seq, Offset: w.off, Attributed: known}, seq)
	w.off, w.seq, w.anyhow, w.damaged, w.open = off, seq, true, true, nil
	w.lost, w.seal = true, 0
}

// follow takes the batch that is due if it goes on from the one before it.
//
// An old batch does not get so far: a file has a new id each time that a spare becomes one, only the process that began
// it writes to it, and no place in it is written twice, since a write that fails ends the file. A copy of a log that is
// opened goes on in a file of its own. So there are two batches of one number in one file only if two processes wrote to
// it, as clones of a running machine do, each to its own copy, and if blocks of both are here now. Then the chain breaks
// between them. On which side of the break this log is nobody knows, nor do orders that seem to follow prove anything
// there. So nothing in the file from the break on counts.
func (w *walk) follow(b *batchInfo, fromTail bool) bool {
	if b.header.chain != w.chain && !w.anyhow {
		w.lose(w.end, w.after, false)
		return true
	}
	return w.take(b, fromTail)
}

// take replays a batch whose table is sound. It returns false if the batch is torn, or the last one of the file.
func (w *walk) take(b *batchInfo, fromTail bool) bool {
	rows, got, whole := w.read(b)
	if !whole {
		if !w.confirmed && !w.vouched(b) && w.src.unreadable(b.off, b.end()) == nil && !w.src.flipped(b) {
			w.r.out.Torn = true
			return false
		}
		// A table that has no rows for what it counts does not tell whose they were.
		w.r.loss(Loss{File: w.h.seq, Offset: w.off, Attributed: len(rows) > 0}, w.seq+1)
		w.damaged = true
	}
	w.damaged = w.damaged || fromTail
	w.r.replay.reach(b.header.seq)
	carry := w.apply(rows, got)
	w.open, w.seal = nil, 0
	if b.header.flags&batchSeal != 0 {
		w.seal = b.off
	}
	if b.header.flags == 0 && b.header.seq >= w.r.floor.batch {
		w.open = b
		w.r.last.carry = carry
	}
	w.continues = b.header.flags&batchContinues != 0
	w.off, w.seq, w.chain, w.anyhow = b.end(), b.header.seq+1, b.crc, false
	w.r.next = max(w.r.next, w.seq)
	return !w.continues
}

// vouched reports whether something behind the batch shows that it was durable.
func (w *walk) vouched(b *batchInfo) bool {
	if b.header.seq < w.r.floor.batch {
		return true
	}
	for p := b.off + block; p+block <= w.end; p += block {
		if later, ok := w.src.head(p, w.end, w.h.id); ok && later.header.seq > b.header.seq {
			return true
		}
		if later, ok := w.src.tail(b.off, p+block, w.h.id); ok && later.header.seq > b.header.seq {
			return true
		}
	}
	return false
}

// read decodes the rows and collects the entries of each. whole is false if anything is missing.
func (w *walk) read(b *batchInfo) (rows []row, got [][]ra.Entry, whole bool) {
	rows, _, ok := decodeTable(b.table, b.header.rows)
	if !ok {
		return nil, nil, false
	}
	got = make([][]ra.Entry, len(rows))
	w.src.frames(b, func(f frame) {
		if uint64(f.row) >= uint64(len(rows)) {
			return
		}
		r := &rows[f.row]
		if r.flags&rowEntries != 0 && f.entry.Index >= r.first && f.entry.Index <= r.last() {
			f.entry.Body = w.r.replay.slab.copy(f.entry.Body)
			got[f.row] = append(got[f.row], f.entry)
		}
	})
	whole = true
	for i := range rows {
		whole = whole && uint64(len(got[i])) == uint64(rows[i].count)
	}
	return rows, got, whole
}

// apply replays the rows, and returns them under their members' names.
func (w *walk) apply(rows []row, got [][]ra.Entry) []carried {
	var out []carried
	w.unbound(rows)
	for i := range rows {
		r := &rows[i]
		at, ok := w.numbers[r.number]
		if !ok {
			continue
		}
		if n := len(got[i]); n > 0 && n == int(r.count) {
			r.lastTerm = got[i][n-1].Term
		}
		if m := w.r.replay.members[w.spans[at].UID]; m != nil && r.flags&rowBind == 0 && m.live.last == r.prev {
			r.prevTerm = m.live.lastTerm
		}
		w.spans[at].apply(r, w.r.replay.seqOf(w.spans[at].UID))
		w.r.replay.apply(r, w.spans[at].UID, got[i])
		out = append(out, carried{row: *r, uid: w.spans[at].UID, entries: got[i]})
	}
	return out
}

// unbound learns the numbers that the rows bind. If then there still is a row of nobody, because the batch that bound
// its number is lost, that is a loss of its own.
func (w *walk) unbound(rows []row) {
	lost := false
	for i := range rows {
		r := &rows[i]
		if r.flags&rowBind != 0 {
			w.bind(r.number, r.uid)
		}
		_, ok := w.numbers[r.number]
		lost = lost || !ok
	}
	if lost {
		w.r.loss(Loss{File: w.h.seq, Offset: w.off}, w.seq+1)
		w.damaged = true
	}
}

// bind notes whom a number stands for.
func (w *walk) bind(number uint32, uid ra.UID) {
	w.numbers[number] = len(w.spans)
	w.spans = append(w.spans, Span{UID: uid})
}

// finish notes where the file ends.
func (w *walk) finish() {
	last := &w.r.last
	last.seq, last.id, last.end, last.continues = w.h.seq, w.h.id, w.off, w.continues
	if w.short {
		w.damaged, w.open = true, nil
		w.r.loss(Loss{File: w.h.seq, Offset: w.off}, w.after)
	}
	if w.confirmed && w.owes() {
		// A recovery that began the next file knew the loss, and was cut short: nobody has heard of it before.
		w.r.tell(Loss{File: w.h.seq, Offset: w.off}, w.after)
	}
	if w.seal != 0 && !w.confirmed {
		// All before the seal was durable when it was written. The seal itself may stand in a cache only, so the next
		// file does not vouch for it.
		last.end = w.seal
	}
	if w.confirmed || w.open == nil {
		last.carry = nil
		return
	}
	// The last batch will be written again elsewhere, and will count as part of that file.
	last.end = w.open.off
	for i := len(last.carry) - 1; i >= 0; i-- {
		if r := &last.carry[i].row; r.seqLo > 0 {
			w.spans[w.numbers[r.number]].Seq = r.seqLo - 1
		}
	}
}
