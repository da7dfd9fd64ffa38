package segment

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// The roster says of each segment file to whom it matters, for the case that the file is lost.
//
// Invariant: at every moment it names every segment file in the directory, durably, before that file has its name and until
// it has none any more. One that does not is an older one or another set's, and counts for nothing; so it needs no number
// by which to know its age. A file that is named and not there is lost, unless the roster calls it loose.
//
// Who has no row in a file that is needed loses nothing with it, as the file might be removed for all that he knows. Nobody
// loses anything if there is no roster: then a lost file may have been anybody's.

// carried is a file of the roster that Open has not found, or cannot read. It stays in the roster until the first Clean.
type carried struct {
	rosterFile
	needs, holds []ra.UID
}

// draft is a roster in the making.
type draft struct {
	uids  []ra.UID // sorted; a member's place is its index here
	files map[uint64]*draftFile
}

// draftFile is a file of a draft, with the places of members, in order.
type draftFile struct {
	rosterFile
	needs, holds []int
}

// settle writes a roster that names the files of the set and no others. The caller holds write.
func (s *Set) settle() error { return s.writeRoster(nil) }

// writeRoster makes a roster durable that names the files of the set and those that are coming, which are whole but have no
// name yet. On a full disk there is none afterwards: that files come and go is more important, the latter most of all. The
// caller holds write.
func (s *Set) writeRoster(coming []*builder) error {
	d := s.draft(coming)
	b := d.encode()
	if bytes.Equal(b, s.roster) || !s.listed && len(d.files) == 0 {
		return nil
	}
	s.roster, s.listed = nil, true // whichever is there now if this fails
	err := s.storeRoster(b)
	switch {
	case vfs.IsFull(err):
		return s.dropRoster()
	case err == nil:
		s.roster = b
	}
	return err
}

// storeRoster puts a roster in the place of the one that is there, in one step.
func (s *Set) storeRoster(b []byte) error {
	fs, temp := s.cfg.FS, path.Join(s.cfg.Dir, rosterName+tempSuffix)
	f, err := fs.Create(temp, vfs.Buffered)
	if errors.Is(err, vfs.ErrExist) { // an earlier one that could neither be finished nor removed
		if err := fs.Remove(temp); err != nil {
			return err
		}
		f, err = fs.Create(temp, vfs.Buffered)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fs.Remove(temp))
	}
	if err := fs.Rename(temp, path.Join(s.cfg.Dir, rosterName)); err != nil {
		return err
	}
	return fs.SyncDir(s.cfg.Dir)
}

// dropRoster removes the roster.
func (s *Set) dropRoster() error {
	if err := s.cfg.FS.Remove(path.Join(s.cfg.Dir, rosterName)); err != nil && !errors.Is(err, errNotExist) {
		return err
	}
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		return err
	}
	s.listed = false
	return nil
}

// draft makes a roster of what there is. Rows and files change only while write is held, so that it may look at one member
// after the other.
func (s *Set) draft(coming []*builder) *draft {
	d := &draft{files: make(map[uint64]*draftFile)}
	for number, f := range s.files {
		d.files[number] = &draftFile{rosterFile: rosterFile{number: number, size: f.said, crc: f.crc, loose: f.loose}}
	}
	fresh := make(map[ra.UID][]row)
	for _, b := range coming {
		d.files[b.number] = &draftFile{rosterFile: rosterFile{number: b.number, size: uint64(b.size), crc: b.crc, loose: true}}
		for i := range b.rows {
			fresh[b.rows[i].uid] = append(fresh[b.rows[i].uid], b.rows[i].row)
		}
	}
	d.uids = s.draftUIDs(fresh)
	for place, uid := range d.uids {
		s.draftMember(d, place, s.members[uid], fresh[uid])
	}
	for i := range s.carried {
		d.carry(&s.carried[i])
	}
	return d
}

// draftUIDs returns all members that a draft may have to name, sorted.
func (s *Set) draftUIDs(fresh map[ra.UID][]row) []ra.UID {
	uids := slices.AppendSeq(slices.Collect(maps.Keys(s.members)), maps.Keys(fresh))
	for i := range s.carried {
		uids = append(uids, s.carried[i].needs...)
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}

// draftMember enters what a member needs, without rows that are still to come, and with them: a crash may leave either.
func (s *Set) draftMember(d *draft, place int, m *member, fresh []row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m != nil {
		d.enter(place, m)
	}
	if len(fresh) == 0 {
		return
	}
	var then member
	if m != nil {
		then = member{rows: slices.Clone(m.rows), floor: m.floor, forgotten: m.forgotten}
	}
	then.add(fresh...)
	d.enter(place, &then)
}

// enter enters a member into the files that it needs.
func (d *draft) enter(place int, m *member) {
	holds := m.holders()
	for i, needed := range m.needed() {
		f := d.files[m.rows[i].file]
		if needed && !endsWith(f.needs, place) {
			f.needs = append(f.needs, place)
		}
		if holds[i] && !endsWith(f.holds, place) {
			f.holds = append(f.holds, place)
		}
	}
}

func endsWith(places []int, place int) bool { return len(places) > 0 && places[len(places)-1] == place }

// carry takes over what an older roster says of a file.
func (d *draft) carry(c *carried) {
	f := &draftFile{rosterFile: c.rosterFile}
	place := func(uid ra.UID) int { k, _ := slices.BinarySearch(d.uids, uid); return k }
	for _, uid := range c.needs {
		f.needs = append(f.needs, place(uid))
	}
	for _, uid := range c.holds {
		f.holds = append(f.holds, place(uid))
	}
	d.files[c.number] = f
}

// encode returns the draft as it is stored.
func (d *draft) encode() []byte {
	r := roster{uids: d.uids}
	for _, number := range slices.Sorted(maps.Keys(d.files)) {
		f := d.files[number]
		out := f.rosterFile
		out.needs, out.holds = appendPlaces(nil, f.needs, len(d.uids)), appendPlaces(nil, f.holds, len(d.uids))
		r.files = append(r.files, out)
	}
	return r.encode()
}

// readRoster reads the roster, nil if there is none or none that can be read: that costs nobody anything by itself. It fails
// if a later program has written it.
func (o *opening) readRoster(names []string) error {
	if !slices.Contains(names, rosterName) {
		return nil
	}
	f, err := o.s.cfg.FS.Open(path.Join(o.s.cfg.Dir, rosterName), vfs.Buffered)
	if err != nil {
		return err
	}
	b, err := readWhole(f)
	if err != nil && !errors.Is(err, ra.ErrCorrupt) {
		b, err = readWhole(f) // once is nothing
	}
	_ = f.Close() // it was only read
	if err == nil {
		o.roster, err = decodeRoster(b)
	}
	if errors.Is(err, ErrVersion) {
		return fmt.Errorf("%s: %w", rosterName, err)
	}
	o.s.listed = true
	if err != nil {
		o.roster = nil
		return nil // callRoll moves it, once the disk is known to read anything
	}
	o.s.roster = b
	return nil
}

// callRoll compares the roster with what is there, and says whose the files were that are lost. A roster of no use goes to
// quarantine.
func (o *opening) callRoll() error {
	if !o.s.listed {
		return nil
	}
	if o.roster == nil || !o.fits() {
		o.s.roster, o.s.listed = nil, false
		return o.quarantine(rosterName)
	}
	o.report.Listed = true
	for i := range o.roster.files {
		f := &o.roster.files[i]
		o.s.next = max(o.s.next, f.number+1)
		if o.s.files[f.number] == nil {
			o.miss(f)
		}
	}
	return nil
}

// fits reports whether the roster can be the one of this directory: it names each file that is there, and knows those that
// can be read.
func (o *opening) fits() bool {
	named := make(map[uint64]*rosterFile)
	for i := range o.roster.files {
		named[o.roster.files[i].number] = &o.roster.files[i]
	}
	for i := range o.report.Lost {
		if number, _ := parseName(o.report.Lost[i].Name); named[number] == nil {
			return false
		}
	}
	for number, f := range o.s.files {
		if r := named[number]; r == nil || r.size != f.said || r.crc != f.crc {
			return false
		}
	}
	return true
}

// miss says whose a file was that is not there, or cannot be read. One that is loose need not be there.
func (o *opening) miss(f *rosterFile) {
	c := carried{rosterFile: *f, needs: o.roster.named(f.needs), holds: o.roster.named(f.holds)}
	name := fileName(f.number)
	at := slices.IndexFunc(o.report.Lost, func(l LostFile) bool { return l.Name == name })
	switch {
	case at >= 0:
	case f.loose:
		return
	default:
		at = len(o.report.Lost)
		o.report.Lost = append(o.report.Lost, LostFile{Name: name, Missing: true})
	}
	l := &o.report.Lost[at]
	l.Known, l.Members, l.Revived = true, c.needs, c.holds
	o.s.carried = append(o.s.carried, c)
}
