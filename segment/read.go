package segment

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

const (
	// readWindow is how many entries of a block's index are read at once, and readStep bounds the bytes of bodies read at
	// once, a single larger one excepted.
	readWindow = 512
	readStep   = 1 << 20
)

// Read appends the entries of uid from lo to hi to dst, as far as they are here from lo on without a gap, and stops
// before the bodies together exceed maxBytes; but one entry is always read if lo is here. If an entry cannot be read,
// those before it are returned without an error; if it is the first one, the error is a *DamageError or the file
// system's. Bodies that are read together share memory.
func (s *Set) Read(dst []ra.Entry, uid ra.UID, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error) {
	q := query{s: s, uid: uid, out: dst, start: len(dst), left: maxBytes}
	for lo <= hi && !q.full {
		n := len(q.out)
		if err := q.piece(lo, hi); err != nil {
			if len(q.out) > q.start {
				break
			}
			return dst, s.blame(err)
		}
		if len(q.out) == n {
			break
		}
		lo = q.out[len(q.out)-1].Index + 1
	}
	return q.out, nil
}

// Reopen has every file opened anew when it is read next: one that was removed, or put in the place of another, is still
// what it was as long as it stays open.
func (s *Set) Reopen() { s.handles.renew() }

// query is a Read under way.
type query struct {
	s     *Set
	uid   ra.UID
	out   []ra.Entry
	start int // len(out) at the beginning
	left  int // bytes
	full  bool
}

// piece reads from the block that has lo, if any.
func (q *query) piece(lo, hi ra.Index) error {
	for {
		r, last, ok := q.s.lookup(q.uid, lo)
		if !ok {
			return nil
		}
		if r.damaged {
			return damage(q.uid, &r, errDamagedIndex)
		}
		x, err := q.s.handles.acquire(r.file)
		if errors.Is(err, vfs.ErrNotExist) {
			// The file may have been rewritten since.
			if again, _, ok := q.s.lookup(q.uid, lo); !ok || again.file != r.file {
				continue
			}
			return damage(q.uid, &r, corruptf("file is missing"))
		}
		if err != nil {
			return err
		}
		err = q.block(&blockReader{f: x.f, uid: q.uid, row: r}, lo, min(hi, last))
		q.s.handles.release(x)
		return err
	}
}

var errDamagedIndex = corruptf("index or extent of the block did not check when the file was opened")

func damage(uid ra.UID, r *row, cause error) error {
	return &DamageError{UID: uid, First: r.first, Last: r.last(), File: r.file, Cause: cause}
}

// lookup returns the row that has entry i, and the last index up to which it is visible.
func (s *Set) lookup(uid ra.UID, i ra.Index) (row, ra.Index, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil {
		return row{}, 0, false
	}
	x, ok := m.at(i)
	if !ok {
		return row{}, 0, false
	}
	return m.rows[x.row], x.last, true
}

// block reads entries of one block.
func (q *query) block(b *blockReader, lo, hi ra.Index) error {
	for lo <= hi && !q.full {
		entries, err := b.read(q.out, lo, hi, max(q.left, 0), len(q.out) == q.start)
		if err != nil {
			return err
		}
		if len(entries) == len(q.out) {
			q.full = true
			return nil
		}
		for i := len(q.out); i < len(entries); i++ {
			q.left -= len(entries[i].Body)
		}
		lo = entries[len(entries)-1].Index + 1
		q.out = entries
	}
	return nil
}

// blockReader reads entries of one block.
type blockReader struct {
	f     io.ReaderAt
	uid   ra.UID
	row   row
	index []byte // read last: the index from entry `from` on
	from  ra.Index
}

// read appends some entries from lo on to dst, at least one of them if first is set, and not more than maxBytes of
// bodies otherwise. All that is read is checked.
func (b *blockReader) read(dst []ra.Entry, lo, hi ra.Index, maxBytes int, first bool) ([]ra.Entry, error) {
	start, err := b.load(lo, hi)
	if err != nil {
		return dst, err
	}
	n, bytes := b.fit(start, min(maxBytes, readStep))
	if n < 0 {
		return dst, damage(b.uid, &b.row, corruptf("index of the block does not fit together"))
	}
	if bytes > maxBytes && !first {
		return dst, nil
	}
	buf := make([]byte, bytes)
	if err := b.readAt(buf, int64(b.row.bodies)+int64(start)); err != nil {
		return dst, err
	}
	return b.cut(dst, buf, n, start)
}

// load reads the index from lo on, and returns where the body of lo begins.
func (b *blockReader) load(lo, hi ra.Index) (uint32, error) {
	skip := lo - b.row.first // entries before lo
	before := min(skip, 1)   // whose end is the beginning of lo
	n := min(hi-lo+1, readWindow)
	buf := make([]byte, int(before+n)*indexEntry)
	if err := b.readAt(buf, int64(b.row.index)+int64(skip-before)*indexEntry); err != nil {
		return 0, err
	}
	var start uint32
	if before == 1 {
		start = binary.LittleEndian.Uint32(buf)
	}
	b.index, b.from = buf[before*indexEntry:], lo
	return start, nil
}

// end returns where the body of the kth entry of the loaded index ends, and its checksum.
func (b *blockReader) end(k int) (end, crc uint32) {
	at := b.index[k*indexEntry:]
	return binary.LittleEndian.Uint32(at), binary.LittleEndian.Uint32(at[4:])
}

// fit returns how many of the loaded entries have bodies of at most maxBytes together, but one at least, and the bytes
// of these. It returns -1 if the index is not plausible.
func (b *blockReader) fit(start uint32, maxBytes int) (n, bytes int) {
	from := start
	for k := range len(b.index) / indexEntry {
		end, _ := b.end(k)
		if uint64(end) > b.row.bytes || uint64(end) < uint64(from)+ra.MinHeaderLen || uint64(end)-uint64(from) > ra.MaxHeaderLen+ra.MaxPayload {
			return -1, 0
		}
		if int(end-start) > maxBytes && k > 0 {
			break
		}
		n, bytes, from = k+1, int(end-start), end
	}
	return n, bytes
}

// cut makes n entries of the bodies in buf and checks each of them.
func (b *blockReader) cut(dst []ra.Entry, buf []byte, n int, start uint32) ([]ra.Entry, error) {
	out, from := dst, uint32(0)
	for k := range n {
		end, crc := b.end(k)
		end -= start
		body := buf[from:end:end]
		e, err := ra.OpenEntry(body)
		if err == nil && (e.Index != b.from+ra.Index(k) || e.Term != b.row.term || binary.LittleEndian.Uint32(body) != crc) {
			err = corruptf("entry %d of term %d where %d of term %d is due", e.Index, e.Term, b.from+ra.Index(k), b.row.term)
		}
		if err != nil {
			if len(out) > len(dst) {
				return out, nil // the next read meets it again
			}
			return dst, &DamageError{UID: b.uid, First: b.from + ra.Index(k), Last: b.from + ra.Index(k), File: b.row.file, Cause: err}
		}
		out, from = append(out, e), end
	}
	return out, nil
}

// readAt fills buf. That the file ends too early is damage.
func (b *blockReader) readAt(buf []byte, off int64) error {
	n, err := b.f.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return damage(b.uid, &b.row, corruptf("file ends at %d", off+int64(n)))
	}
	return err
}
