package segment

import (
	"errors"
	"fmt"
	"iter"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// ErrOrder says that what was to be flushed was not in order: members not sorted by uid, or entries with gaps.
var ErrOrder = errors.New("segment: ranges are not in order")

// Range is what one roll-over brings of one member.
type Range struct {
	UID ra.UID
	// Cut, if not 0, is the index from which on all that earlier flushes brought is void. The first entry is a cut in any
	// case: what is appended at an index replaces all from there on. It is 1 when a snapshot was installed in place of the
	// log, and for a deleted member.
	Cut ra.Index
	// Entries follow each other; it may be nil if there is only a Cut.
	Entries iter.Seq[ra.Entry]
}

// Ref says where entries of one term went.
type Ref struct {
	UID         ra.UID
	First, Last ra.Index
	Term        ra.Term
	// File is the number of the segment file, and Index the offset in it at which the block's index begins.
	File  uint64
	Index int64
}

// Flush writes what one roll-over brings of all members, which come sorted by uid, and returns where it is when it is
// durable. Entries up to the floor set by Drop are skipped (SEG-01). Flushes must come in the order in which the entries
// were written. After an error, or a crash, the same ranges must be flushed before any later ones; to flush again what a
// flush before a crash had finished already does no harm. Bodies are not kept.
func (s *Set) Flush(ranges iter.Seq[Range]) ([]Ref, error) {
	s.write.Lock()
	defer s.write.Unlock()
	f := flush{s: s, gen: s.next}
	for r := range ranges {
		if err := f.add(&r); err != nil {
			return nil, errors.Join(err, f.drop())
		}
	}
	built := f.builders()
	if err := s.publish(built); err != nil {
		return nil, err
	}
	s.noteCuts(f.cuts)
	_ = s.settle() // as long as it says less a file that goes missing is only found where it leaves a gap; Clean tries again
	return refs(built), nil
}

// flush is a Flush under way.
type flush struct {
	s      *Set
	gen    uint64
	last   ra.UID
	shared *builder   // takes the small ranges
	full   []*builder // shared ones that take no more
	own    []*builder
	held   []ra.Entry // of a range of which it is not known yet if it is small
	cuts   []cutNote
}

// cutNote says from where on a flush replaced what a member had.
type cutNote struct {
	uid ra.UID
	cut ra.Index
}

// incoming is one range on its way.
type incoming struct {
	uid   ra.UID
	cut   ra.Index
	floor ra.Index
	next  ra.Index // due next, 0 before the first entry
	bytes int      // of the entries held
	dst   *builder // nil as long as they are held
	rows  bool     // something was written
}

// add takes one range.
func (f *flush) add(r *Range) error {
	if r.UID <= f.last || len(r.UID) > ra.MaxNameLen {
		return fmt.Errorf("%w: member %q after %q", ErrOrder, r.UID, f.last)
	}
	f.last = r.UID
	in := incoming{uid: r.UID, cut: r.Cut, floor: f.s.floor(r.UID)}
	f.held = f.held[:0]
	if r.Entries != nil {
		for e := range r.Entries {
			if err := f.take(&in, &e); err != nil {
				return err
			}
		}
	}
	if in.dst == nil && len(f.held) > 0 {
		if err := f.small(&in); err != nil {
			return err
		}
	}
	if in.cut != 0 {
		f.cuts = append(f.cuts, cutNote{r.UID, in.cut})
	}
	return f.noteCut(&in)
}

// take takes one entry. Until the range is known to be large its entries are only held.
func (f *flush) take(in *incoming, e *ra.Entry) error {
	if e.Index == 0 || in.next != 0 && e.Index != in.next || len(e.Body) < ra.MinHeaderLen || in.cut > e.Index {
		return fmt.Errorf("%w: entry %d of %s where %d is due", ErrOrder, e.Index, in.uid, in.next)
	}
	in.next = e.Index + 1
	if in.cut == 0 {
		in.cut = e.Index
	}
	if e.Index <= in.floor {
		return nil
	}
	if in.dst == nil {
		f.held = append(f.held, *e)
		if in.bytes += len(e.Body); in.bytes < f.s.cfg.OwnFile {
			return nil
		}
		return f.large(in)
	}
	return f.put(in, e)
}

// small puts a range into the shared file.
func (f *flush) small(in *incoming) error {
	dst, err := f.sharedFile()
	if err != nil {
		return err
	}
	in.dst = dst
	return f.putHeld(in)
}

// large finds a file for a range of which more may come.
func (f *flush) large(in *incoming) error {
	if len(f.own) >= f.s.cfg.MaxOwn {
		return f.small(in)
	}
	dst, err := f.s.newFile()
	if err != nil {
		return err
	}
	f.own = append(f.own, dst)
	in.dst = dst
	return f.putHeld(in)
}

func (f *flush) putHeld(in *incoming) error {
	defer clear(f.held)
	for i := range f.held {
		if err := f.put(in, &f.held[i]); err != nil {
			return err
		}
	}
	return nil
}

// put writes one entry. The first one carries the cut of the range.
func (f *flush) put(in *incoming, e *ra.Entry) error {
	if in.dst.full() {
		// Only a member with a new term at every entry gets here.
		dst, err := f.sharedFile()
		if err != nil {
			return err
		}
		in.dst = dst
	}
	cut := e.Index
	if !in.rows {
		cut, in.rows = in.cut, true
	}
	return in.dst.add(in.uid, f.gen, cut, e)
}

// noteCut writes a row without entries for a range of which nothing else was written, if there is something that the
// cut makes void.
func (f *flush) noteCut(in *incoming) error {
	if in.rows || in.cut == 0 || !f.s.reaches(in.uid, in.cut) {
		return nil
	}
	dst, err := f.sharedFile()
	if err != nil {
		return err
	}
	dst.mark(in.uid, f.gen, in.cut)
	return nil
}

// sharedFile returns the file for small ranges.
func (f *flush) sharedFile() (*builder, error) {
	if f.shared != nil && f.shared.full() {
		f.full = append(f.full, f.shared)
		f.shared = nil
	}
	if f.shared == nil {
		b, err := f.s.newFile()
		if err != nil {
			return nil, err
		}
		f.shared = b
	}
	return f.shared, nil
}

// builders returns all files of the flush.
func (f *flush) builders() []*builder {
	out := append(f.own, f.full...)
	if f.shared != nil {
		out = append(out, f.shared)
	}
	return out
}

// drop gives all files up.
func (f *flush) drop() error {
	var err error
	for _, b := range f.builders() {
		err = errors.Join(err, b.drop())
	}
	return err
}

// newFile begins the next file. The caller holds write.
func (s *Set) newFile() (*builder, error) {
	number := s.next
	s.next++
	return newBuilder(s.cfg.FS, s.cfg.Dir, number)
}

// floor returns the floor of a member.
func (s *Set) floor(uid ra.UID) ra.Index {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.members[uid]; m != nil {
		return m.floor
	}
	return 0
}

// reaches reports whether a file has anything of uid at index i or above.
func (s *Set) reaches(uid ra.UID, i ra.Index) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.members[uid]; m != nil {
		for k := range m.rows {
			if r := &m.rows[k]; r.count > 0 && r.last() >= i {
				return true
			}
		}
	}
	return false
}

// publish makes files durable under their names, named in the roster before, and takes them into the set. If that fails
// half-way they are given up, except those that have their name already: they may come to be durable, so they are taken in
// like the others. Whoever flushes the same again makes them void.
func (s *Set) publish(built []*builder) error {
	for _, b := range built {
		if err := b.finish(); err != nil {
			return errors.Join(err, dropAll(built))
		}
	}
	if len(built) == 0 {
		return nil
	}
	if err := s.writeRoster(built); err != nil {
		return errors.Join(err, dropAll(built))
	}
	for i, b := range built {
		if err := b.christen(); err != nil {
			s.adopt(built[:i], true)
			return errors.Join(err, dropAll(built[i:]))
		}
	}
	err := s.cfg.FS.SyncDir(s.cfg.Dir)
	s.adopt(built, err != nil)
	return err
}

func dropAll(built []*builder) error {
	var err error
	for _, b := range built {
		err = errors.Join(err, b.drop())
	}
	return err
}

// adopt takes files that are whole into the set. Loose: their names may not be durable.
func (s *Set) adopt(built []*builder, loose bool) {
	for _, b := range built {
		s.insert(b.number, &file{size: b.size, said: uint64(b.size), crc: b.crc, loose: loose}, b.rows)
	}
}

// insert takes one file into the set. A file may have rows of very many members, so mu is taken for one at a time: the
// caller holds write, so that the file cannot be found dead before all its rows count.
func (s *Set) insert(number uint64, f *file, rows []tableRow) {
	s.mu.Lock()
	s.files[number] = f
	s.mu.Unlock()
	for i := 0; i < len(rows); {
		uid := rows[i].uid
		var mine []row
		for ; i < len(rows) && rows[i].uid == uid; i++ {
			mine = append(mine, rows[i].row)
		}
		s.mu.Lock()
		f.members = append(f.members, uid)
		m := s.member(uid)
		s.update(m, func() { m.add(mine...) })
		s.mu.Unlock()
	}
}

// noteCuts shows again what lies above truncations that are noted in files now. What a snapshot stands for needs no note.
func (s *Set) noteCuts(cuts []cutNote) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range cuts {
		if m := s.members[c.uid]; m != nil && c.cut <= max(m.ceiling, m.floor+1) {
			m.ceiling = 0
		}
	}
}

// refs lists the blocks of files.
func refs(built []*builder) []Ref {
	var out []Ref
	for _, b := range built {
		for i := range b.rows {
			r := &b.rows[i]
			if r.count == 0 {
				continue
			}
			out = append(out, Ref{
				UID: r.uid, First: r.first, Last: r.last(), Term: r.term, File: b.number, Index: int64(r.index),
			})
		}
	}
	return out
}
