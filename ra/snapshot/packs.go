package snapshot

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// maxPacks is how many packs there may be before the smallest are joined.
const maxPacks = 16

// place is where a snapshot lies: in a file of its own, the zero value, or in a pack.
type place struct {
	pack      uint64
	off, size int64
}

// packFile is a pack on the disk.
type packFile struct {
	rows []packRow // sorted by uid
	size int64     // of all its snapshots
	// live and bytes are how many of its snapshots are in force, and how long these are.
	live  int
	bytes int64
	// unclean: something in it must go, or is damaged. What is in force of it goes into the next pack. damaged: the file is
	// kept then, in quarantine.
	unclean, damaged bool
}

func newPackFile(rows []packRow) *packFile {
	f := &packFile{rows: rows}
	for i := range rows {
		f.size += rows[i].size
	}
	return f
}

// count counts one more snapshot that is in force; one less if size is negative.
func (f *packFile) count(size int64) {
	if f.bytes += size; size < 0 {
		f.live--
	} else {
		f.live++
	}
}

// has reports whether the pack has anything of a member, in force or not.
func (f *packFile) has(uid ra.UID) bool {
	_, found := slices.BinarySearchFunc(f.rows, uid, func(r packRow, uid ra.UID) int { return cmp.Compare(r.id.uid, uid) })
	return found
}

// nextPack returns the number of a new pack, which nothing has. The caller holds packing.
func (s *Store) nextPack() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		s.lastPack++ // a foreign one may have the highest number that there is
		if s.lastPack != 0 && s.packs[s.lastPack] == nil {
			return s.lastPack
		}
	}
}

// takePack notes that there is a pack.
func (s *Store) takePack(number uint64, f *packFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.packs[number] = f
}

// clean notes that a pack is as it should be.
func (s *Store) clean(f *packFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.unclean = false
}

// release lets go of a snapshot that is not in force any more. A pack that is not needed any more goes with the next one.
func (s *Store) release(info Info) {
	switch {
	case info.UID == "":
	case info.at.pack == 0:
		s.drop(info.id())
	default:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.packs[info.at.pack].count(-info.at.size)
	}
}

// inForce returns the snapshots of a pack that are in force.
func (s *Store) inForce(number uint64) []Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Info
	f := s.packs[number]
	if f == nil || f.live == 0 {
		return nil
	}
	for i := range f.rows {
		if info := s.held[f.rows[i].id.uid]; info.at == (place{number, f.rows[i].off, f.rows[i].size}) {
			out = append(out, info)
		}
	}
	return out
}

// sparse returns the packs that are to be rewritten with p: those of which little is needed then or in which something must
// go, and if there are many the smallest, as long as all of it fits into one.
func (s *Store) sparse(p *Pack) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.leftBeside(p)
	numbers := slices.SortedFunc(maps.Keys(left), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(left[a], left[b]), cmp.Compare(a, b))
	})
	isSparse := func(number uint64) bool {
		f := s.packs[number]
		return f.unclean || 2*left[number] < f.size
	}
	surplus := -maxPacks // of others
	for _, number := range numbers {
		if !isSparse(number) {
			surplus++
		}
	}
	var out []uint64
	room := int64(maxPacked) - p.size
	for _, number := range numbers {
		if left[number] > room {
			break
		}
		if !isSparse(number) {
			if surplus <= 0 {
				continue
			}
			surplus--
		}
		out = append(out, number)
		room -= left[number]
	}
	return out
}

// leftBeside returns of each pack how much is in force and not in p anew, in bytes. The caller holds mu.
func (s *Store) leftBeside(p *Pack) map[uint64]int64 {
	left := make(map[uint64]int64, len(s.packs))
	for number, f := range s.packs {
		left[number] = f.bytes
	}
	for uid := range p.has {
		if at := s.held[uid].at; at.pack != 0 {
			left[at.pack] -= at.size
		}
	}
	return left
}

// unclean returns the packs in which something must go.
func (s *Store) unclean() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []uint64
	for number, f := range s.packs {
		if f.unclean {
			out = append(out, number)
		}
	}
	slices.Sort(out)
	return out
}

// fitting returns how many packs, the first of those given, can be joined; at least one.
func (s *Store) fitting(numbers []uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := int64(maxPacked)
	for i, number := range numbers {
		if room -= s.packs[number].bytes; room < 0 {
			return max(i, 1)
		}
	}
	return len(numbers)
}

// stain notes that whatever a member has in packs must go.
func (s *Store) stain(uid ra.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.packs {
		f.unclean = f.unclean || f.has(uid)
	}
}

// stained reports whether there is a pack in which something of a member must go.
func (s *Store) stained(uid ra.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.packs {
		if f.unclean && f.has(uid) {
			return true
		}
	}
	return false
}

// dropIdle removes the packs of which nothing is in force, and moves those that are damaged to quarantine; the next sync of
// the directory makes that durable. One that cannot be removed stays known. The caller holds packing.
func (s *Store) dropIdle() error {
	var failed error
	for _, number := range s.idle() {
		var err error
		if s.isDamaged(number) {
			err = vfs.ToQuarantine(s.cfg.FS, s.cfg.Dir, packName(number))
		} else {
			err = s.cfg.FS.Remove(s.path(packName(number)))
		}
		if err != nil && !errors.Is(err, vfs.ErrNotExist) {
			failed = errors.Join(failed, err)
			continue
		}
		s.mu.Lock()
		delete(s.packs, number)
		s.mu.Unlock()
		s.dropped = true
	}
	return failed
}

// isDamaged reports whether something in a pack is damaged, or was when it was found.
func (s *Store) isDamaged(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.packs[number].damaged
}

// markDamaged notes that something in a pack is damaged.
func (s *Store) markDamaged(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.packs[number]; f != nil {
		f.unclean, f.damaged = true, true
	}
}

// idle returns the packs of which nothing is in force.
func (s *Store) idle() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []uint64
	for number, f := range s.packs {
		if f.live == 0 {
			out = append(out, number)
		}
	}
	slices.Sort(out)
	return out
}

// open opens what a snapshot lies in, as if it had a file of its own.
func (s *Store) open(n id, at place) (vfs.File, error) {
	if at.pack == 0 {
		return s.cfg.FS.Open(s.path(n.String()), vfs.Buffered)
	}
	f, err := s.cfg.FS.Open(s.path(packName(at.pack)), vfs.Buffered)
	if err != nil {
		return nil, err
	}
	return &part{File: f, off: at.off, size: at.size}, nil
}

// meetPack takes in what a pack that was found has. One of which nobody knows any more what is in it goes to quarantine.
func (o *opening) meetPack(number uint64) error {
	s := o.s
	f, err := s.cfg.FS.Open(s.path(packName(number)), vfs.Buffered)
	if err != nil {
		return err
	}
	rows, hurt, err := readPackTwice(f, number)
	if err = errors.Join(err, f.Close()); errors.Is(err, ra.ErrCorrupt) {
		return o.quarantine(packName(number))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.path(packName(number)), err)
	}
	s.lastPack = max(s.lastPack, number)
	s.packs[number] = newPackFile(rows)
	s.packs[number].unclean, s.packs[number].damaged = hurt != nil, hurt != nil
	for i := range rows {
		r := &rows[i]
		o.found[r.id.uid] = append(o.found[r.id.uid], candidate{r.id, place{number, r.off, r.size}})
	}
	return nil
}

// tidyPacks removes the packs that are not needed any more, and writes those anew of which a part is damaged, now that it is
// known what is in force. If that fails they are as good as before, and are written with the next pack.
func (o *opening) tidyPacks() error {
	var damaged []uint64
	for number, f := range o.s.packs {
		if f.damaged {
			damaged = append(damaged, number)
		}
	}
	slices.Sort(damaged)
	if err := o.s.dropIdle(); err != nil {
		return err
	}
	if len(o.s.unclean()) > 0 {
		_ = o.s.sweep()
	}
	for _, number := range damaged {
		if o.s.packs[number] == nil {
			o.report.Quarantined = append(o.report.Quarantined, packName(number))
		}
	}
	return nil
}

// toQuarantine moves a snapshot to quarantine. One in a pack goes there as a file of its own, with as much of it as can be
// read, and is rid of with the next pack. The caller holds packing.
func (s *Store) toQuarantine(n id, at place) error {
	if at.pack == 0 {
		return vfs.ToQuarantine(s.cfg.FS, s.cfg.Dir, n.String())
	}
	b, err := s.salvage(n, at)
	if err != nil {
		return err
	}
	// It must not meet a file that has the snapshot's name: that may be a good one.
	temp := packName(s.nextPack()) + tempSuffix
	if err := s.writeFile(temp, b); err != nil {
		return err
	}
	if err := vfs.ToQuarantineAs(s.cfg.FS, s.cfg.Dir, temp, n.String()); err != nil {
		return err // the next start removes it, if it is there
	}
	s.stain(n.uid)
	s.markDamaged(at.pack)
	return nil
}

// salvage reads what can be read of a damaged snapshot in a pack; other blocks are zero.
func (s *Store) salvage(n id, at place) ([]byte, error) {
	f, err := s.open(n, at)
	if err != nil {
		return nil, err
	}
	var b []byte
	for done := false; !done && int64(len(b)) < at.size; {
		block := make([]byte, min(vfs.BlockSize, at.size-int64(len(b))))
		k, err := f.ReadAt(block, int64(len(b)))
		if done = errors.Is(err, io.EOF); done {
			block = block[:k] // the file was cut
		}
		b = append(b, block...)
	}
	return b, f.Close()
}
