package segment

import (
	"errors"
	"io"
	"path"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Report is what Open found that is not as it should be.
type Report struct {
	// Damaged are the ranges that cannot be read, of exactly the members that they belong to. Floors are not known yet:
	// what lies below a member's snapshot does it no harm. Bodies are checked only when they are read.
	Damaged []DamagedRange
	// Lost are files that cannot be read, or are missing. A member that had entries there has a gap, or the last ones are
	// missing; or older ones that they replaced may be there again. The first Clean moves them to quarantine: nothing shows
	// the loss any more then, so whoever is concerned must have noted it durably before.
	Lost []LostFile
	// Listed: there is a roster that fits, so that Lost has all files that are missing.
	Listed bool
	// Degraded are files of which one copy of what stands twice is damaged; nothing is lost of them.
	Degraded []string
	// Quarantined are the names of everything that was moved to quarantine, the lost files included. A roster is among them
	// if it cannot be read, or is not the one of these files.
	Quarantined []string
}

// LostFile is a segment file of which nothing can be read.
type LostFile struct {
	Name string
	// Missing: there is no such file, so that none goes to quarantine. It is known to have been there.
	Missing bool
	// Known: the roster tells whose the file was. Otherwise it may have been anybody's.
	Known bool
	// Members are those who needed something in the file when the roster was written, sorted. Of others nothing is lost.
	Members []ra.UID
	// Revived are those of them of whom older entries may be there again, which the file made void.
	Revived []ra.UID
}

// Touches reports whether a lost file may have had something that uid needs.
func (r *Report) Touches(uid ra.UID) bool {
	return slices.ContainsFunc(r.Lost, func(l LostFile) bool { return !l.Known || has(l.Members, uid) })
}

// Revives reports whether older entries of uid may be there again, since what made them void was in a lost file.
func (r *Report) Revives(uid ra.UID) bool {
	return slices.ContainsFunc(r.Lost, func(l LostFile) bool { return !l.Known || has(l.Revived, uid) })
}

// has reports whether uid is among sorted ones.
func has(uids []ra.UID, uid ra.UID) bool {
	_, ok := slices.BinarySearch(uids, uid)
	return ok
}

// DamagedRange is a range of visible entries that cannot be read.
type DamagedRange struct {
	UID         ra.UID
	First, Last ra.Index
	File        uint64
}

// Open opens the segments of a node: it removes what a crash left half made, moves what it does not know to quarantine,
// and reads and checks the tables and indexes of all files. What became void is removed by the first Clean, which should
// come after the floors of all members are set by Drop.
func Open(cfg Config) (*Set, *Report, error) {
	if err := cfg.validate(); err != nil {
		return nil, nil, err
	}
	s := &Set{
		cfg: cfg, next: 1, members: make(map[ra.UID]*member), files: make(map[uint64]*file),
		handles: handles{fs: cfg.FS, dir: cfg.Dir, limit: cfg.MaxOpen, open: make(map[uint64]*handle)},
	}
	o := opening{s: s, report: new(Report)}
	if err := o.run(); err != nil {
		return nil, nil, err
	}
	return s, o.report, nil
}

// opening is an Open under way.
type opening struct {
	s      *Set
	report *Report
	roster *roster // nil if there is none that can be read
	notes  []uint64
}

func (o *opening) run() error {
	fs, dir := o.s.cfg.FS, o.s.cfg.Dir
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	if err := o.readRoster(names); err != nil {
		return err
	}
	for _, name := range names {
		if err := o.meet(name); err != nil {
			return err
		}
	}
	if err := o.callRoll(); err != nil {
		return err
	}
	if err := o.heed(); err != nil {
		return err
	}
	// What a crash left visible but not durable must not be built upon.
	if err := fs.SyncDir(dir); err != nil {
		return err
	}
	o.collect()
	return nil
}

// meet deals with one name of the directory.
func (o *opening) meet(name string) error {
	if number, ok := parseName(name); ok {
		o.s.next = max(o.s.next, number+1)
		return o.load(name, number)
	}
	if number, ok := parseNote(name); ok {
		o.notes = append(o.notes, number)
		return nil
	}
	switch {
	case isTemp(name):
		return o.s.cfg.FS.Remove(path.Join(o.s.cfg.Dir, name))
	case name == vfs.Quarantine+"/", name == rosterName:
		return nil
	}
	if name[len(name)-1] == '/' {
		name = name[:len(name)-1]
	}
	return o.quarantine(name)
}

func (o *opening) quarantine(name string) error {
	o.report.Quarantined = append(o.report.Quarantined, name)
	return vfs.ToQuarantine(o.s.cfg.FS, o.s.cfg.Dir, name)
}

// load reads one file's table and indexes.
func (o *opening) load(name string, number uint64) error {
	f, err := o.s.cfg.FS.Open(path.Join(o.s.cfg.Dir, name), vfs.Buffered)
	if err != nil {
		return err
	}
	found, err := inspect(f, number)
	if err = errors.Join(err, f.Close()); err != nil {
		if !errors.Is(err, ra.ErrCorrupt) {
			return err
		}
		o.report.Lost = append(o.report.Lost, LostFile{Name: name})
		o.report.Quarantined = append(o.report.Quarantined, name)
		o.s.lost = append(o.s.lost, name)
		return nil
	}
	if found.degraded {
		o.report.Degraded = append(o.report.Degraded, name)
	}
	damaged := found.damaged || found.degraded // as the next Open finds as well
	o.s.insert(number, &file{
		size: found.size, said: found.super.size, crc: found.super.crc, damaged: damaged, noted: damaged,
	}, found.rows)
	return nil
}

// collect lists the damage that matters.
func (o *opening) collect() {
	for _, uid := range o.s.UIDs() {
		m := o.s.members[uid]
		for _, x := range m.spans {
			if r := &m.rows[x.row]; r.damaged {
				o.report.Damaged = append(o.report.Damaged, DamagedRange{UID: uid, First: x.first, Last: x.last, File: r.file})
			}
		}
	}
}

// contents is what inspect finds in a file.
type contents struct {
	size     int64
	super    *super     // a good one
	rows     []tableRow // those of one member together
	degraded bool       // of what stands twice one copy is bad
	damaged  bool       // a row is
}

// inspect reads what tells about a file, and checks it. It fails with an error that wraps ra.ErrCorrupt if no copy of
// the table is left, and with another one if the disk refused to read what might be a good one. A block that cannot be read
// is damage like any other if its twin can be, or if it is of an index: then it is not the disk as a whole that fails.
func inspect(f vfs.File, number uint64) (*contents, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	c := &contents{size: size}
	if c.super, err = c.readSuper(f, number); err != nil {
		return nil, err
	}
	if c.rows, err = c.readTable(f, c.super); err != nil {
		return nil, err
	}
	c.checkIndexes(f)
	return c, nil
}

// readSuper reads both superblocks and returns a good one.
func (c *contents) readSuper(f io.ReaderAt, number uint64) (*super, error) {
	var good *super
	var bad error
	for _, off := range [...]int64{0, c.size - superSize} {
		b, err := readPart(f, max(off, 0), superSize)
		if err == nil {
			var s super
			if s, err = decodeSuper(b, number); err == nil {
				good = &s
				continue
			}
		}
		if errors.Is(err, ErrVersion) {
			return nil, err
		}
		bad = worse(bad, err)
	}
	if good == nil {
		return nil, bad
	}
	c.degraded = bad != nil
	return good, nil
}

// readTable reads both copies of the table and returns the rows of a good one.
func (c *contents) readTable(f io.ReaderAt, s *super) ([]tableRow, error) {
	var good []tableRow
	var bad error
	ok := false
	for _, off := range [...]uint64{s.tableA, s.tableB} {
		b, err := readPart(f, int64(off), int(s.table))
		if err == nil && ra.Checksum(b) != s.crc {
			err = corruptf("table at %d does not check", off)
		}
		if err == nil && !ok {
			good, err = decodeTable(b, s)
			ok = err == nil
		}
		if err != nil {
			bad = worse(bad, err)
		}
	}
	if !ok {
		return nil, bad
	}
	c.degraded = c.degraded || bad != nil
	return good, nil
}

// worse returns which of two errors counts, the first of which may be nil: what could not be read may be good.
func worse(a, b error) error {
	if a != nil && errors.Is(b, ra.ErrCorrupt) {
		return a
	}
	return b
}

// checkIndexes marks the rows whose index does not check, or whose extent lies beyond the end of a file that was cut.
func (c *contents) checkIndexes(f io.ReaderAt) {
	w := window{f: f, size: c.size}
	for i := range c.rows {
		r := &c.rows[i]
		if r.count == 0 {
			continue
		}
		b, err := w.get(int64(r.index), int(r.count)*indexEntry)
		if err != nil || ra.Checksum(b) != r.indexCRC || r.bodies+r.bytes > uint64(c.size) {
			r.damaged, c.damaged = true, true
		}
	}
}

// readPart reads n bytes; a file that ends too early is corrupt. Nothing is allocated for what the file does not have.
func readPart(f io.ReaderAt, off int64, n int) ([]byte, error) {
	if n > block {
		var probe [1]byte
		if _, err := f.ReadAt(probe[:], off+int64(n)-1); err != nil {
			return nil, tooShort(err)
		}
	}
	b := make([]byte, n)
	k, err := f.ReadAt(b, off)
	if k == n {
		return b, nil
	}
	return nil, tooShort(err)
}

// tooShort says that a file is corrupt if err is that of a read beyond its end.
func tooShort(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return corruptf("file is too short")
	}
	return err
}

// window reads ahead, since indexes lie together.
type window struct {
	f    io.ReaderAt
	size int64
	b    []byte
	off  int64
}

// get returns n bytes at off, until the next call.
func (w *window) get(off int64, n int) ([]byte, error) {
	if off+int64(n) > w.size {
		return nil, corruptf("file is too short")
	}
	if off >= w.off && off+int64(n) <= w.off+int64(len(w.b)) {
		return w.b[off-w.off:][:n], nil
	}
	w.off = off
	w.b = slices.Grow(w.b[:0], max(n, writeStep))
	w.b = w.b[:min(int64(max(n, writeStep)), w.size-off)]
	k, err := w.f.ReadAt(w.b, off)
	if k < n { // what lies behind may be at fault
		k, err = w.f.ReadAt(w.b[:n], off)
	}
	if k < n {
		w.b = w.b[:0]
		return nil, tooShort(err)
	}
	w.b = w.b[:k]
	return w.b[:n], nil
}
