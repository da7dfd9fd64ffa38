package wal

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Open opens the log in cfg.Dir, which it makes if need be, and recovers what is there. Writing always goes on in a new
// file. Damage is no error, it is reported in Recovery; errors are those of the file system and of files in a format
// that is not known, and what Config.Check says. The directory is locked against other processes until Close.
func Open(cfg Config) (*Log, *Recovery, error) {
	if err := cfg.validate(); err != nil {
		return nil, nil, err
	}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, nil, err
	}
	l := &Log{cfg: cfg, firstEnd: cfg.FirstFile, writers: make(map[ra.UID]*Writer)}
	lock, err := cfg.FS.Lock(l.path(lockName))
	if err != nil {
		return nil, nil, err
	}
	l.lock = lock
	out, err := l.recover()
	if err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	return l, out, nil
}

// recover reads what is there and begins a new file.
func (l *Log) recover() (*Recovery, error) {
	salt, err := l.random()
	if err != nil {
		return nil, err
	}
	l.salt.Store(uint32(salt))
	r := &recovery{l: l, out: &Recovery{}, next: 1}
	for _, step := range []func() error{
		r.takeInventory, r.loadHighWater, r.identify, r.loadState, r.readFiles, r.collect, r.check, // these change nothing
		r.expelStrangers, r.tidyStates, r.adoptSpares, r.prepare, r.begin, r.clear, r.renewHighWater,
	} {
		err := step()
		if vfs.IsFull(err) {
			err = fmt.Errorf("%w: %w", ra.ErrDiskFull, err)
		}
		if err != nil {
			return nil, errors.Join(err, l.abandon())
		}
	}
	l.seal, l.unaccounted = l.newBatch(), r.out.Unaccounted
	return r.out, nil
}

// abandon lets go of the files of a log that was not opened.
func (l *Log) abandon() error {
	l.gauge.close()
	if l.cur == nil {
		return nil
	}
	return l.cur.f.Close()
}

// check asks whoever opens the log whether it is his.
func (r *recovery) check() error {
	if r.l.cfg.Check == nil {
		return nil
	}
	for i := range r.out.Members {
		m := &r.out.Members[i]
		if err := r.l.cfg.Check(m.Writer.uid, m.Registration); err != nil {
			return err
		}
	}
	return nil
}

// prepare does before the log goes on to a new file what may fail behind that: a start that fails there leaves the file, and
// if it fails for good each further one would leave one more.
func (r *recovery) prepare() error {
	fs, mark := r.l.cfg.FS, r.l.cfg.HighWater
	if len(r.condemned) > 0 {
		if err := vfs.MakeQuarantine(fs, r.l.cfg.Dir); err != nil {
			return err
		}
	}
	if err := r.writeNotes(); err != nil {
		return err
	}
	if r.hiding {
		r.out.Unaccounted = true
		if err := vfs.Note(fs, r.l.cfg.Dir, lostName); err != nil {
			return err
		}
	}
	if mark == "" {
		return nil
	}
	if r.uselessMark() {
		if err := vfs.MakeQuarantine(fs, path.Dir(mark)); err != nil {
			return err
		}
	}
	return r.l.makeGauge()
}

// adoptSpares takes over the spares that are large enough, and removes the others.
func (r *recovery) adoptSpares() error {
	s := &r.l.spares
	for _, n := range r.inv.spares {
		name := spareName(n)
		s.next = max(s.next, n)
		size, err := r.size(name)
		if err != nil {
			return err
		}
		if size >= r.l.cfg.FileSize && len(s.ready) < r.l.cfg.Spares {
			s.ready = append(s.ready, spare{name: name, size: size})
			continue
		}
		if err := r.l.cfg.FS.Remove(r.l.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// size returns the length of a file, in whole blocks.
func (r *recovery) size(name string) (int64, error) {
	f, err := r.l.cfg.FS.Open(r.l.path(name), vfs.Buffered)
	if err != nil {
		return 0, err
	}
	size, err := f.Size()
	return size &^ (block - 1), errors.Join(err, f.Close())
}

// collect makes writers of the members, and batches of what must be durable before anybody hears of it: of the last batch, if
// nothing vouches for it, and of the marks of those that are damaged. Who has a mark already, and may have lost something now, gets
// it once more: so it stands behind each loss who is concerned.
func (r *recovery) collect() error {
	again, marks := r.l.newBatch(), r.l.newBatch()
	for _, m := range r.replay.finish() {
		w := m.writer()
		r.l.writers[m.uid] = w
		if w.live.mark != m.wasMarked || m.cleared < r.replay.losses {
			marks.mark(w, m.shown)
		}
		before, term := m.before()
		r.out.Members = append(r.out.Members, Member{
			Before: before, BeforeTerm: term,
			Writer: w, Registration: m.live.reg, State: m.live.state, Applied: m.live.applied,
			Entries: m.table, Reset: m.reset, Truncated: m.truncated, Highest: m.highest, Mark: w.live.mark,
		})
	}
	deleted := make(map[ra.UID]*Writer)
	for i := range r.last.carry {
		c := &r.last.carry[i]
		w := r.l.writers[c.uid]
		if w == nil {
			if w = deleted[c.uid]; w == nil {
				w = &Writer{uid: c.uid} // one for all its rows: a member has one span in a file
				deleted[c.uid] = w
			}
		}
		again.carry(w, c)
	}
	r.out.Deleted = slices.Sorted(maps.Keys(r.replay.deleted))
	r.again, r.newMarks = again, marks
	return nil
}

// writer returns the writer that goes on where the member left off.
func (m *replayed) writer() *Writer {
	w := &Writer{uid: m.uid, seq: m.live.seq, last: m.live.last, lastTerm: m.live.lastTerm, registered: true, live: m.live}
	w.live.mark = m.wasMarked
	w.live.mark.Add(m.found)
	w.mark, w.adrift = w.live.mark, w.live.mark.What&DamagedLog != 0
	return w
}

// mark writes down a member's mark. shown is the last order that the files show; see row.recovered. What a state file knows of the
// orders behind that stands in the row, too, since nothing else in the files has it.
func (b *Batch) mark(w *Writer, shown uint64) {
	r := row{writer: w, flags: rowMark, seqLo: w.seq, seqHi: w.seq, prev: w.last, prevTerm: w.lastTerm, mark: w.live.mark}
	if 0 < shown && shown < w.seq {
		r.seqLo, r.flags, r.state = shown, r.flags|rowState, w.live.state
		if w.live.reg.Name != "" {
			r.flags, r.reg = r.flags|rowRegister, w.live.reg
		}
	}
	b.add(r)
}

// begin begins the file in which writing goes on. The batch that is written again keeps its number, so that a state file
// says of it what it said before.
func (r *recovery) begin() error {
	l, again, marks := r.l, r.again, r.newMarks
	h := fileHeader{seq: r.last.seq + 1, prevSeq: r.last.seq, prevID: r.last.id, prevEnd: uint64(r.last.end), firstBatch: r.next}
	l.next = r.next
	var first []*Batch
	if !again.Empty() {
		first = append(first, again)
		h.firstBatch--
	}
	if !marks.Empty() {
		first = append(first, marks)
		l.next++
	}
	cur, err := l.begin(h, 0, first...)
	if err != nil {
		return err
	}
	l.cur = cur
	l.setCurrent()
	for _, b := range first {
		l.settle(b)
	}
	l.settled = l.next
	return nil
}

// Writer makes the member uid known to the log; its first order must register it. The uid must be new: one that was
// deleted is never used again (ID-04).
func (l *Log) Writer(uid ra.UID) (*Writer, error) {
	if err := ra.CheckName(string(uid)); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writers[uid] != nil {
		return nil, fmt.Errorf("%w: %s", ra.ErrNameTaken, uid)
	}
	w := &Writer{uid: uid}
	l.writers[uid] = w
	return w, nil
}

// Close seals the log, has the high-water mark durable, and lets go of its files. Nothing may be committed afterwards, and what other
// goroutines would change fails with ra.ErrClosed: the directory may be another log's by then.
func (l *Log) Close() error {
	if l.cur == nil {
		return nil
	}
	l.release.Lock()
	l.over = true
	l.release.Unlock()
	var sealErr error
	if l.err == nil {
		sealErr = l.Seal()
	}
	if l.err == nil {
		l.noteDurably()
	}
	l.gauge.close()
	err := errors.Join(sealErr, l.cur.f.Close(), l.lock.Close())
	l.cur, l.err = nil, ra.ErrClosed
	return err
}
