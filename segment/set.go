package segment

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Config says where the segments of a node are. FS is needed; the zero value of everything else works.
type Config struct {
	FS vfs.FS
	// Dir is the directory below the file system's root; it is made if it does not exist.
	Dir string
	// OwnFile is the size of a member's range in bytes from which on it gets a file of its own, 64 KiB if 0.
	OwnFile int
	// MaxOwn bounds the files of that kind in one flush, each of which costs a sync; 16 if 0. Once it is reached large
	// ranges go into the shared file too.
	MaxOwn int
	// MaxOpen bounds the files that are kept open for reading, 64 if 0.
	MaxOpen int
}

// validate checks the configuration and fills in what was left out.
func (c *Config) validate() error {
	if c.FS == nil {
		return errors.New("segment: Config.FS is missing")
	}
	if c.OwnFile < 0 || c.MaxOwn < 0 || c.MaxOpen < 0 {
		return errors.New("segment: negative limit in Config")
	}
	if c.Dir == "" {
		c.Dir = "."
	}
	if c.OwnFile == 0 {
		c.OwnFile = 64 << 10
	}
	if c.MaxOwn == 0 {
		c.MaxOwn = 16
	}
	if c.MaxOpen == 0 {
		c.MaxOpen = 64
	}
	return nil
}

// Set is the segment files of one node. All methods may be called by any goroutine at any time; Flush, Clean and Compact
// wait for each other, the others wait for nothing but the disk.
type Set struct {
	cfg     Config
	handles handles

	write sync.Mutex // held by whoever changes files
	next  uint64     // number of the next file; belongs to the holder of write
	lost  []string   // files that are to go to quarantine; the same
	// Of the roster, likewise: files that Open has not found or cannot read, what was written last, nil if that is not
	// known, and whether there is one.
	carried []carried
	roster  []byte
	listed  bool

	mu      sync.Mutex // guards what follows; held for moments only
	members map[ra.UID]*member
	files   map[uint64]*file
}

// file is what is known of one file.
type file struct {
	size int64
	// said and crc are the length that the file's superblock says, and the checksum of its table.
	said uint64
	crc  uint32
	// refs counts the rows that are needed: at 0 the file may go.
	refs int
	// members have rows in the file, each once.
	members []ra.UID
	// damaged files go to quarantine instead of being removed. Noted: the next Open knows of it, too.
	damaged, noted bool
	// loose files may be missing after a crash: they are being removed, or their name may not be durable.
	loose bool
}

// update changes what is known of a member, and keeps the reference counts of all files right. The caller holds mu.
func (s *Set) update(m *member, change func()) {
	s.count(m, -1)
	change()
	s.count(m, 1)
}

// count adds n to the reference count of the file of every needed row. The caller holds mu.
func (s *Set) count(m *member, n int) {
	for i, needed := range m.needed() {
		if needed {
			s.files[m.rows[i].file].refs += n
		}
	}
}

// member returns the member uid, which may be new. The caller holds mu.
func (s *Set) member(uid ra.UID) *member {
	m := s.members[uid]
	if m == nil {
		m = new(member)
		s.members[uid] = m
	}
	return m
}

// Drop says that a durable snapshot stands for the entries of uid up to upTo: they can no longer be read, and files in
// which nothing else is needed are removed by the next Clean (LOG-05, COMP-01). It must be said again after a restart,
// since nothing of it is written. Of members that have nothing here nothing is remembered.
func (s *Set) Drop(uid ra.UID, upTo ra.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil {
		return
	}
	s.update(m, func() {
		m.floor = max(m.floor, upTo)
		m.settle()
	})
}

// Truncate hides the entries of uid from index from on until a Flush notes the truncation in a file: by a Range with a
// Cut or a first entry that is not higher. No file is removed because of it, so that a truncation that is lost in a
// crash takes nothing with it. It must be said again after a restart if it is not noted yet.
func (s *Set) Truncate(uid ra.UID, from ra.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil {
		return
	}
	if from = max(from, 1); m.ceiling == 0 || from < m.ceiling {
		m.ceiling = from
	}
}

// Restart says that the snapshot which stood for the entries of uid is lost, and the log begins anew at index 1: it takes
// back Drop, and hides everything like Truncate.
func (s *Set) Restart(uid ra.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil {
		return
	}
	s.update(m, func() {
		m.floor, m.ceiling = 0, 1
		m.settle()
	})
}

// Forget says that uid is deleted for good, durably. Its entries can no longer be read, and files in which nothing else
// is needed are removed by the next Clean. To be remembered after a restart it must be noted by a Flush, as a Range
// without entries and with Cut 1; or be said again.
func (s *Set) Forget(uid ra.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil {
		return
	}
	s.update(m, func() {
		m.forgotten = true
		m.settle()
	})
}

// UIDs returns all members that have entries which can be read or are damaged, sorted.
func (s *Set) UIDs() []ra.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []ra.UID
	for uid, m := range s.members {
		if len(m.all()) > 0 {
			out = append(out, uid)
		}
	}
	slices.Sort(out)
	return out
}

// Run is a range of entries of one term.
type Run struct {
	First, Last ra.Index
	Term        ra.Term
	// Damaged says that the entries cannot be read.
	Damaged bool
}

// Runs returns what there is of uid, in order. It reads nothing from the disk. Between two runs there is a gap only if a
// file is missing (LOG-06), or if entries were never flushed because a snapshot stood for them.
func (s *Set) Runs(uid ra.UID) []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil {
		return nil
	}
	var out []Run
	for _, x := range m.all() {
		r := &m.rows[x.row]
		run := Run{First: x.first, Last: x.last, Term: r.term, Damaged: r.damaged}
		if n := len(out) - 1; n >= 0 && out[n].Last+1 == run.First && out[n].Term == run.Term && out[n].Damaged == run.Damaged {
			out[n].Last = run.Last
			continue
		}
		out = append(out, run)
	}
	return out
}

// Bounds returns the lowest and the highest index of uid, 0 and 0 if there is none.
func (s *Set) Bounds(uid ra.UID) (first, last ra.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil || len(m.spans) == 0 {
		return 0, 0
	}
	spans := m.all()
	if len(spans) == 0 {
		return 0, 0
	}
	return spans[0].first, spans[len(spans)-1].last
}

// Bytes returns how many bytes the bodies of the entries of uid from lo to hi have together. Where a block is needed in
// part it is taken to have entries of equal length. It reads nothing from the disk.
func (s *Set) Bytes(uid ra.UID, lo, hi ra.Index) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil || lo > hi {
		return 0
	}
	total := uint64(0)
	for _, x := range m.all() {
		if from, to := max(lo, x.first), min(hi, x.last); from <= to {
			r := &m.rows[x.row]
			total += uint64(float64(r.bytes) * float64(to-from+1) / float64(r.count))
		}
	}
	return int64(total)
}

// Term returns the term of the entry at index i of uid, if it is here. It reads nothing from the disk.
func (s *Set) Term(uid ra.UID, i ra.Index) (ra.Term, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[uid]
	if m == nil {
		return 0, false
	}
	x, ok := m.at(i)
	if !ok {
		return 0, false
	}
	return m.rows[x.row].term, true
}

// Stats says how large a set is.
type Stats struct {
	// Files and Bytes count all files, Dead those of them that the next Clean removes.
	Files, Dead int
	Bytes       int64
	// Members counts the members with anything in these files, dead or not.
	Members int
	// Open counts the open files.
	Open int
}

// Stats returns the present size.
func (s *Set) Stats() Stats {
	s.handles.mu.Lock()
	open := len(s.handles.open)
	s.handles.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Files: len(s.files), Members: len(s.members), Open: open}
	for _, f := range s.files {
		out.Bytes += f.size
		if f.refs == 0 {
			out.Dead++
		}
	}
	return out
}

// Close closes all files. Nothing is lost by not calling it.
func (s *Set) Close() error {
	s.write.Lock()
	defer s.write.Unlock()
	s.handles.close()
	return nil
}

// DamageError says that entries are stored but cannot be read. It matches ra.ErrDamaged, and ra.ErrCorrupt.
type DamageError struct {
	UID ra.UID
	// First and Last are the entries that are in doubt.
	First, Last ra.Index
	// File is the number of the segment file.
	File uint64
	// Cause says what does not check.
	Cause error
}

// Error says what is damaged.
func (e *DamageError) Error() string {
	return fmt.Sprintf("segment: entries %d to %d of %s in file %d: %v", e.First, e.Last, e.UID, e.File, e.Cause)
}

// Unwrap returns ra.ErrDamaged and the cause.
func (e *DamageError) Unwrap() []error { return []error{ra.ErrDamaged, e.Cause} }
