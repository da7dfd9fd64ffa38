package wal

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Commit makes everything in b durable: one write and one sync. It returns nil only when every byte is; then b.Acks are
// the members to be told. After ra.ErrDiskFull nothing was written, b is as it was, and Commit may be called again once
// there is room. After ra.ErrStorageFailed nothing will ever be durable again in this log.
//
// A write or sync that fails once is not reported, only late: the file is given up, and the batch is written to a new
// one (I10).
func (l *Log) Commit(b *Batch) error {
	if l.err != nil {
		return l.err
	}
	if b.Empty() {
		return nil
	}
	if err := l.makeRoom(b); err != nil {
		return err
	}
	if err := l.write(b, 0); err != nil {
		return err
	}
	l.sealed = false
	l.settle(b)
	l.note()
	return nil
}

// Seal writes a durable mark behind the last batch, if there is none yet: from then on that batch cannot be taken for
// one that a crash tore. It is to be called when nothing waits to be committed. If the file has no room for the mark the
// header of the next file is one; on a full disk there is none, then.
func (l *Log) Seal() error {
	if l.err != nil {
		return l.err
	}
	if err := l.writeSeal(); err != nil {
		return err
	}
	l.Note()
	return nil
}

// writeSeal is the part of Seal that happens in the log.
func (l *Log) writeSeal() error {
	if l.sealed || l.cur.empty() {
		return nil
	}
	if l.cur.left() < l.cur.markSize()+block {
		if err := l.roll(0); !errors.Is(err, ra.ErrDiskFull) {
			return err
		}
		return nil
	}
	l.seal.Reset()
	if err := l.write(l.seal, batchSeal); err != nil {
		return err
	}
	l.sealed = true
	return nil
}

// write brings b to the disk, in the next file if the current one fails.
func (l *Log) write(b *Batch, flags uint32) error {
	first := l.cur.write(b, l.next, flags)
	if first != nil {
		old := l.cur
		if err := l.rollOver(b.need(echoOfNone)); err != nil {
			return l.fail(first, err)
		}
		_ = old.f.Close() // nothing in it is trusted beyond what was confirmed
		if err := l.cur.write(b, l.next, flags); err != nil {
			return l.fail(first, err)
		}
	}
	l.next++
	l.tellRoom()
	return nil
}

// fail ends the log: its disk failed twice in a row.
func (l *Log) fail(errs ...error) error {
	l.err = fmt.Errorf("%w: %w", ra.ErrStorageFailed, errors.Join(errs...))
	return l.err
}

// makeRoom sees to it that b fits into the current file, and goes on to the next one otherwise. One block more than b
// needs is left over, for the mark at the end of the file.
func (l *Log) makeRoom(b *Batch) error {
	need, left := b.need(l.cur.echo.size()), l.cur.left()
	if need+block <= left-l.cfg.emergencyRoom() {
		return l.endFirst(need)
	}
	inEmergency := !b.entries && need+block <= left
	if inEmergency && l.room.full.Load() {
		return nil
	}
	err := l.roll(need)
	if inEmergency && errors.Is(err, ra.ErrDiskFull) {
		return nil
	}
	return err
}

// endFirst goes on to the next file if the first one shall end here and the next one is ready: that is not worth waiting
// for, nor worth what is left of a full disk.
func (l *Log) endFirst(need int64) error {
	if l.firstEnd == 0 || l.cur.off < l.firstEnd || l.NeedsReserve() {
		return nil
	}
	l.firstEnd = 0
	if err := l.roll(need); !errors.Is(err, ra.ErrDiskFull) {
		return err
	}
	return nil
}

// settle notes what the committed batch changed: for the state file and for the segment writer.
func (l *Log) settle(b *Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range b.rows {
		r, w := &b.rows[i], b.rows[i].writer
		s := &l.cur.spans[w.span]
		s.apply(r, w.live.seq)
		if w.live.apply(r); s.Seq != 0 {
			w.begun, w.before = l.cur.header.seq, s.before
		}
		if r.flags&rowDelete != 0 {
			delete(l.writers, w.uid)
		}
	}
	l.settled = l.next
}
