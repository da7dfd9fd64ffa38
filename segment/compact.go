package segment

import (
	"errors"
	"maps"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var errNotExist = vfs.ErrNotExist

// maxGroup bounds the bytes that one Compact writes.
const maxGroup = 64 << 20

// Compact rewrites files of which less than half is still needed into one new file, and removes them (COMP-03 gives the
// measure; there are no links here, because a row says itself which flush it came with). It does a bounded amount of
// work, and reports whether it did any: then there may be more. A file with entries that cannot be read stays as it is.
func (s *Set) Compact() (bool, error) {
	s.write.Lock()
	defer s.write.Unlock()
	if _, err := s.clean(); err != nil {
		return false, err
	}
	group := s.sparse()
	if len(group) == 0 {
		return false, nil
	}
	b, err := s.newFile()
	if err != nil {
		return false, err
	}
	err = s.copyRows(b, s.kept(group))
	if err != nil {
		err = errors.Join(err, b.drop())
		return false, s.blame(err)
	}
	if err := s.publish([]*builder{b}); err != nil {
		return false, err
	}
	_, err = s.clean()
	return true, err
}

// sparse returns files of which less than half is needed, oldest first, as many as fit into a group.
func (s *Set) sparse() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var group []uint64
	total := int64(0)
	for _, number := range slices.Sorted(maps.Keys(s.files)) {
		f := s.files[number]
		live := s.live(number, f)
		if f.damaged || live*2 >= f.size || total+live > maxGroup && total > 0 {
			continue
		}
		total += live
		group = append(group, number)
	}
	return group
}

// live estimates the needed bytes of a file: the bodies, and what goes with every entry and every row, those included
// that are only needed for their cut. The caller holds mu.
func (s *Set) live(number uint64, f *file) int64 {
	n := int64(2*superSize) + block
	for _, uid := range f.members {
		m := s.members[uid]
		if m == nil {
			continue
		}
		for _, x := range m.spans {
			if r := &m.rows[x.row]; r.file == number {
				count := int64(x.last - x.first + 1)
				n += int64(r.bytes)*count/int64(r.count) + count*indexEntry
			}
		}
		for i, needed := range m.needed() {
			if needed && m.rows[i].file == number {
				n += 2 * int64(rowFixed+1+len(uid))
			}
		}
	}
	return n
}

// keptRow is what a new file takes of a row: the visible entries from first to last, or only the cut.
type keptRow struct {
	uid         ra.UID
	row         row
	cut         ra.Index
	first, last ra.Index // 0 for a cut
}

// kept returns what must survive of the files in group, sorted by member.
func (s *Set) kept(group []uint64) []keptRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	uids := make(map[ra.UID]bool)
	for _, number := range group {
		for _, uid := range s.files[number].members {
			uids[uid] = true
		}
	}
	var out []keptRow
	for _, uid := range slices.Sorted(maps.Keys(uids)) {
		m := s.members[uid]
		if m == nil {
			continue
		}
		for i, needed := range m.needed() {
			if needed && slices.Contains(group, m.rows[i].file) {
				out = m.keptOf(out, uid, i)
			}
		}
	}
	return out
}

// keptOf appends what must survive of row i, which is needed. Its cut survives with its first piece, or alone if that is
// what it is needed for.
func (m *member) keptOf(out []keptRow, uid ra.UID, i int) []keptRow {
	r := m.rows[i]
	cut := r.cut
	for _, x := range m.spans {
		if x.row == i {
			out = append(out, keptRow{uid: uid, row: r, cut: cut, first: x.first, last: x.last})
			cut = x.last + 1
		}
	}
	if cut == r.cut {
		out = append(out, keptRow{uid: uid, row: r, cut: cut})
	}
	return out
}

// copyRows writes rows into a new file, every body checked.
func (s *Set) copyRows(b *builder, rows []keptRow) error {
	for i := range rows {
		k := &rows[i]
		if k.first == 0 {
			b.mark(k.uid, k.row.gen, k.cut)
			continue
		}
		if err := s.copyRow(b, k); err != nil {
			return err
		}
	}
	return nil
}

// copyRow copies the entries of one row.
func (s *Set) copyRow(b *builder, k *keptRow) error {
	x, err := s.handles.acquire(k.row.file)
	if err != nil {
		return err
	}
	defer s.handles.release(x)
	r := blockReader{f: x.f, uid: k.uid, row: k.row}
	var entries []ra.Entry
	for next := k.first; next <= k.last; {
		if entries, err = r.read(entries[:0], next, k.last, readStep, true); err != nil {
			return err
		}
		for i := range entries {
			cut := max(k.cut, entries[i].Index)
			if entries[i].Index == k.first {
				cut = k.cut
			}
			if err := b.add(k.uid, k.row.gen, cut, &entries[i]); err != nil {
				return err
			}
		}
		next = entries[len(entries)-1].Index + 1
	}
	return nil
}
