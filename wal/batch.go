package wal

import (
	"errors"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

const (
	// smallFrames is how many bytes of frames are moved rather than kept apart from the head by padding. Moving them
	// costs a few microseconds; a batch of one entry thus is one block.
	smallFrames = 64 << 10
	// firstBuffer is what a batch's buffer starts with.
	firstBuffer = 64 << 10
	// keepBuffer is what a buffer may keep when the traffic that made it grow has gone.
	keepBuffer = 4 << 20
)

// Ack says that everything that Writer ordered up to Seq is durable.
type Ack struct {
	Writer *Writer
	Seq    uint64
}

// Batch collects the orders of many members for one write and one sync. It has no lock: whoever fills it holds one, and
// hands it to Log.Commit when nobody fills it any more. Usually there are two, swapped under that lock.
//
// The buffer holds the frames as they will stand on disk, behind room for the head, so that a body is copied once
// between the member and the disk:
//
//	| room for blocks of the head | expected head | frames ... | room for the tail |
type Batch struct {
	log   *Log
	buf   []byte // aligned; ends where the frames end
	front int    // where the frames begin
	zero  span   // what is zero of the first block of buf, if the last batch was that one block; see pad
	rows  []row
	acks  []Ack
	table int // upper bound of the table's length, but for its echo of the batches before until the batch is encoded
	echo  int // upper bound of what the next batch has to repeat of this one
	salt  uint32
	head  frameHead
	gen   uint64 // distinguishes this filling of this batch from all others of the log
	calm  int    // fillings in a row that used little of a large buffer
	// urgent: there is an order that somebody waits for.
	urgent bool
	// entries: there are entries, which the emergency room is not for.
	entries bool
	// pending is the number of bytes to write, for Log.admit, which asks for that of all batches.
	pending atomic.Int64
}

// NewBatch returns an empty batch for orders to this log. Two are what is needed.
func (l *Log) NewBatch() *Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &Batch{log: l, gen: uint64(len(l.batches)), front: block, buf: vfs.AlignedBuffer(firstBuffer)}
	l.batches = append(l.batches, b)
	b.Reset()
	return b
}

// newBatch returns a batch for the log's own use, without a buffer yet.
func (l *Log) newBatch() *Batch {
	b := &Batch{log: l}
	b.Reset()
	return b
}

// batchStride is the distance of the generations of one batch: those of different batches never meet.
const batchStride = 1 << 10

// Reset empties the batch after Commit, for the next filling. It keeps the buffer.
func (b *Batch) Reset() {
	head := batchFixed + b.table + b.table/4
	used := len(b.buf)
	b.shrink(used)
	b.front = min(alignUp(head)+head, cap(b.buf)/2)
	b.buf = b.buf[:b.front]
	clear(b.rows)
	clear(b.acks)
	b.rows, b.acks = b.rows[:0], b.acks[:0]
	b.table, b.echo, b.urgent, b.entries = 0, echoFixed, false, false
	b.gen += batchStride
	b.salt = b.log.nextSalt()
	b.pending.Store(0)
}

// shrink gives a large buffer back once the last 64 fillings have used less than an eighth of it.
func (b *Batch) shrink(used int) {
	if cap(b.buf) <= keepBuffer || used > cap(b.buf)/8 {
		b.calm = 0
		return
	}
	if b.calm++; b.calm >= 64 {
		b.buf, b.calm = vfs.AlignedBuffer(cap(b.buf)/4), 0
	}
}

// Empty reports whether nothing was appended.
func (b *Batch) Empty() bool { return len(b.rows) == 0 }

// Urgent reports whether the batch holds an order that somebody waits for. A batch that only has applied marks need not
// be committed before something urgent comes along.
func (b *Batch) Urgent() bool { return b.urgent }

// Len returns the number of bytes that the batch will write, roughly.
func (b *Batch) Len() int { return int(b.pending.Load()) }

// Acks returns, for every member with a numbered order in the batch, the highest Seq; to be told to the members after
// Commit has returned nil. Valid until Reset.
func (b *Batch) Acks() []Ack { return b.acks }

// Append takes one order of w. The bodies of its entries are copied, nothing of op is kept except strings.
//
// It fails, and then has taken nothing, with ErrOrder if the order does not follow the member's last one, with
// ra.ErrOverloaded if the batch is full, with ra.ErrDiskFull if the order has entries and there is no room for them,
// and with ra.ErrTooLarge or ra.ErrInvalidName for a registration that cannot be written.
func (b *Batch) Append(w *Writer, op *Op) error {
	if err := w.check(op); err != nil {
		return err
	}
	frames := 0
	for i := range op.Entries {
		frames += maxFrameHead + len(op.Entries[i].Body)
	}
	if err := b.log.admit(b, frames); err != nil {
		// Who was turned away waits until this batch is written, even if all that it holds could wait itself.
		b.urgent = b.urgent || errors.Is(err, ra.ErrOverloaded)
		return err
	}
	i := b.rowFor(w, op)
	b.order(w, op, i)
	if len(op.Entries) > 0 {
		b.copyEntries(i, op.Entries, frames)
		last := &op.Entries[len(op.Entries)-1]
		w.last, w.lastTerm = last.Index, last.Term
		b.rows[i].lastTerm = last.Term
	}
	b.pending.Store(int64(len(b.buf) - b.front + 2*b.table + 2*b.echo))
	return nil
}

// rowFor returns the place of the row that takes op: the member's newest one if what op orders can still take effect
// behind what the row has already, otherwise a new one.
func (b *Batch) rowFor(w *Writer, op *Op) int {
	if w.gen == b.gen {
		r := &b.rows[w.slot]
		fresh := op.Register != nil || op.Reset != 0 || op.Truncate != 0 || op.Damaged != nil || r.flags&rowMark != 0
		if !fresh || r.seqLo == 0 {
			return w.slot
		}
	}
	w.slot = len(b.rows)
	b.add(row{writer: w, prev: w.last, prevTerm: w.lastTerm})
	if w.gen != b.gen {
		w.gen, w.ack = b.gen, -1
	}
	return w.slot
}

// add adds a row, which may bind its member's number.
func (b *Batch) add(r row) {
	uid := len(r.writer.uid)
	b.table += r.size() + 1 + uid + 8
	b.echo += echoMember + uid
	b.rows = append(b.rows, r)
}

// order notes everything of op but its entries.
func (b *Batch) order(w *Writer, op *Op, slot int) {
	r := &b.rows[slot]
	before := r.size()
	if op.numbered() {
		b.number(w, op.Seq, r)
	}
	if op.Register != nil {
		w.registered = true
		r.flags |= rowRegister
		r.reg = Registration{Name: op.Register.Name, Config: append([]byte(nil), op.Register.Config...)}
	}
	if op.Reset != 0 {
		r.flags |= rowReset
		r.reset, w.last = op.Reset, op.Reset
		r.lastTerm, w.lastTerm = 0, 0
	}
	if op.Truncate != 0 {
		r.flags |= rowTruncate
		r.truncate, w.last = op.Truncate, op.Truncate-1
		r.lastTerm, w.lastTerm = 0, 0
	}
	if op.State != nil {
		r.flags |= rowState
		r.state = *op.State
	}
	if op.Applied != 0 {
		r.flags |= rowApplied
		r.applied = op.Applied
	}
	if op.Damaged != nil {
		w.mark.Add(*op.Damaged)
		r.flags |= rowMark
		r.mark = w.mark
	}
	if op.Repaired {
		r.flags |= rowMark
		w.mark, w.adrift = w.mark.healed(), false
		r.mark = w.mark
	}
	if op.Era.Number != 0 {
		r.flags |= rowMark
		w.mark.Era = op.Era
		r.mark = w.mark
	}
	if op.Delete {
		r.flags |= rowDelete
		w.deleted = true
	}
	if len(op.Entries) > 0 && r.flags&rowEntries == 0 {
		r.flags |= rowEntries
		r.first = op.Entries[0].Index
	}
	b.table += r.size() - before
}

// carry takes a row as recovery found it, to be written again. Of entries of which some are missing it takes those before them, as
// the replay does: what is damaged stands in the member's mark.
func (b *Batch) carry(w *Writer, c *carried) {
	n, entries := 0, c.entries
	for i := range entries {
		if entries[i].Index != c.row.first+ra.Index(i) {
			entries = entries[:i]
			break
		}
		n += maxFrameHead + len(entries[i].Body)
	}
	r := c.row
	r.writer, r.count, r.bytes = w, 0, 0
	if len(entries) == 0 {
		r.flags &^= rowEntries
	}
	b.add(r)
	b.copyEntries(len(b.rows)-1, entries, n)
}

// number gives the order's Seq to the row and to the list of acknowledgements.
func (b *Batch) number(w *Writer, seq uint64, r *row) {
	w.seq, b.urgent = seq, true
	if r.seqLo == 0 {
		r.seqLo = seq
	}
	r.seqHi = seq
	if w.ack < 0 {
		w.ack = len(b.acks)
		b.acks = append(b.acks, Ack{Writer: w})
	}
	b.acks[w.ack].Seq = seq
}

// copyEntries appends the frames of entries, which take at most n bytes, to the buffer.
func (b *Batch) copyEntries(slot int, entries []ra.Entry, n int) {
	at := len(b.buf)
	b.grow(n)
	b.entries = true
	out := b.buf[at : at+n]
	for i := range entries {
		out = out[b.head.put(out, b.salt, uint32(slot), entries[i].Body):]
	}
	n -= len(out)
	b.buf = b.buf[:at+n]
	r := &b.rows[slot]
	r.count += uint32(len(entries))
	r.bytes += uint64(n)
}

// grow makes room for n more bytes of frames and for the tail behind them.
func (b *Batch) grow(n int) {
	need := len(b.buf) + n + b.table + batchFixed + block
	if need <= cap(b.buf) {
		return
	}
	bigger := vfs.AlignedBuffer(alignUp(max(need, 2*cap(b.buf))))
	copy(bigger[b.front:], b.buf[b.front:])
	b.buf = bigger[:len(b.buf)]
}

// place decides where in the buffer the batch begins, for a head of n bytes, and makes the padding around the frames
// zero. It returns where the batch begins and where it ends; the frames begin at b.front.
func (b *Batch) place(head, tail int) (begin, end int) {
	if frames := len(b.buf) - b.front; frames <= smallFrames || b.front < alignUp(head) {
		b.move(head)
	}
	b.grow(0)
	begin = (b.front - head) &^ (block - 1)
	end = begin + alignUp(len(b.buf)-begin+tail)
	clear(b.buf[begin+head : b.front])
	b.pad(begin, span{len(b.buf), end - tail})
	return begin, end
}

// span is a part of a buffer.
type span struct{ from, to int }

// pad makes the bytes between the frames and the tail zero. Small batches are all of one block, most of which is padding that
// the one before has left as it must be: it need not even be looked at. To fill a batch does not touch it, since frames are
// collected behind the first block, and a new buffer is zero.
func (b *Batch) pad(begin int, gap span) {
	all := b.buf[:cap(b.buf)]
	if gap.from < b.zero.from {
		clear(all[gap.from:min(b.zero.from, gap.to)])
	}
	if from := max(gap.from, b.zero.to); from < gap.to {
		clear(all[from:gap.to])
	}
	if b.zero = gap; begin != 0 || gap.to > block {
		b.zero = span{}
	}
}

// move puts the frames directly behind the room for a head of n bytes.
func (b *Batch) move(head int) {
	frames := b.buf[b.front:]
	if b.front == head {
		return
	}
	if need := head + len(frames) + b.table + batchFixed + block; need > cap(b.buf) {
		bigger := vfs.AlignedBuffer(alignUp(need))
		copy(bigger[head:], frames)
		b.buf, b.front = bigger[:head+len(frames)], head
		return
	}
	b.buf = b.buf[:head+len(frames)]
	copy(b.buf[head:], frames)
	b.front = head
}

// encode returns the batch as it stands in the file whose members are numbered by f.
func (b *Batch) encode(f *file, seq uint64, flags uint32) []byte {
	framesLen := len(b.buf) - b.front
	table := f.table[:0]
	f.echo.begin(f.chain)
	for i := range b.rows {
		r := &b.rows[i]
		f.bind(r)
		f.echo.note(r)
		table = r.append(table)
	}
	f.echo.end()
	table = f.echo.append(table, b.spare(len(table)+f.echo.size()))
	f.table, b.table = table, max(b.table, len(table))
	begin, end := b.place(batchFixed+len(table), batchFixed+len(table))
	h := batchHeader{
		fileID: f.header.id, seq: seq, length: uint64(end - begin), frames: uint64(framesLen), framesAt: uint32(b.front - begin),
		table: uint32(len(table)), rows: uint32(len(b.rows)), chain: f.chain, salt: b.salt, flags: flags,
	}
	out := b.buf[begin:end:cap(b.buf)]
	copy(out[batchFixed:], table)
	f.nextChain = h.encode(out, headMagic, table)
	tail := out[len(out)-batchFixed:]
	copy(out[len(out)-batchFixed-len(table):], table)
	h.encode(tail, tailMagic, table)
	return out
}

// spare returns by how much a table of n bytes may become longer where nothing but padding makes way for it. Large batches,
// which have two blocks of padding, do without.
func (b *Batch) spare(n int) int {
	frames := len(b.buf) - b.front
	if frames > smallFrames {
		return 0
	}
	size := 2*(batchFixed+n) + frames
	return (alignUp(size) - size) / 2
}

// need returns an upper bound of what encode returns, if the batches before take echo bytes in it. What the batch behind it
// has to repeat of this one, as far as that takes more than a block, counts as well: it may be the mark at the end of a file.
func (b *Batch) need(echo int) int64 {
	frames := len(b.buf) - b.front
	own, behind := alignUp(2*(batchFixed+b.table+echo)+frames)+2*block, alignUp(2*(batchFixed+echoOfNone+b.echo))-block
	return int64(own + behind)
}
