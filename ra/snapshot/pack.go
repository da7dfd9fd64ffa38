package snapshot

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// maxPacked bounds the snapshots in a pack, in bytes, since it is put together in memory.
const maxPacked = 32 << 20

// Pack is the small snapshots of many members, which are made durable as one file, for the price of one. Its methods belong
// to one goroutine.
type Pack struct {
	s       *Store
	entries []packEntry
	has     map[ra.UID]bool // whose were added
	size    int64           // of the snapshots
	scratch []byte          // for the next one
	failed  error           // what the disk says of older ones that are to be carried over
	done    bool
}

// packEntry is one snapshot on its way into a pack.
type packEntry struct {
	info Info
	body []byte
	from place // where it was before, if it is one that is carried over
}

// NewPack begins a pack. Nothing is on the disk before Commit.
func (s *Store) NewPack() *Pack { return &Pack{s: s, has: make(map[ra.UID]bool)} }

// Add takes in the snapshot of a member: state writes the machine's state. It fails with ErrBusy if the pack has one of the
// member, with an error that wraps ra.ErrTooLarge if the snapshot, as it is stored, is longer than limit or than 128 KiB,
// or if the pack is full; and with the error of state. Then the pack is as it was.
func (p *Pack) Add(uid ra.UID, meta Meta, limit int64, state func(io.Writer) error) error {
	n := p.s.now(uid, meta.Index, meta.Term)
	switch {
	case p.done:
		return ra.ErrClosed
	case p.has[uid]:
		return fmt.Errorf("%w: %s", ErrBusy, n)
	}
	encoded, err := meta.encode()
	if err = errors.Join(err, n.check()); err != nil {
		return err
	}
	w := encoding{level: p.s.cfg.Level, buf: p.scratch[:0]}
	defer w.release()
	if err = w.begin(encoded); err != nil {
		return err
	}
	if err = state(&w); err != nil {
		return err
	}
	if err = w.end(); err != nil {
		return err
	}
	p.scratch = w.buf
	size := int64(len(w.buf))
	if size > limit || p.size+size > maxPacked {
		return fmt.Errorf("%w: snapshot of %d bytes, allowed are %d, and a pack of %d", ra.ErrTooLarge, size, limit, p.size)
	}
	p.has[uid] = true
	p.add(packEntry{info: Info{UID: uid, Index: n.index, Term: n.term, Era: n.era, Size: size, State: w.raw}, body: slices.Clone(w.buf)})
	return nil
}

func (p *Pack) add(e packEntry) {
	p.entries = append(p.entries, e)
	p.size += e.info.Size
}

// Commit makes the pack durable and puts its snapshots in the place of older ones of their members. It returns those that are
// in place, sorted by uid; one of a member of which a newer one came first is not. Beside that it joins older packs of which
// little is needed; which of these cannot be removed goes with the next one. After an error every member has the snapshot
// that it had before.
func (p *Pack) Commit() ([]Info, error) {
	if p.done {
		return nil, ra.ErrClosed
	}
	p.done = true
	s := p.s
	s.packing.Lock()
	defer s.packing.Unlock()
	in, err := s.rewrite(p, s.sparse(p))
	_ = s.dropIdle()
	return in, err
}

// Sweep brings off the disk, durably, what is left in packs of members that were removed, and of snapshots that are in
// quarantine. A pack of which something is in force that has decayed, and so cannot be carried over, stays as it is until that
// was condemned; this is no error.
func (s *Store) Sweep() error {
	s.packing.Lock()
	defer s.packing.Unlock()
	return s.sweep()
}

// sweep is Sweep for who holds packing.
func (s *Store) sweep() error {
	var failed error
	for old := s.unclean(); len(old) > 0; {
		n := s.fitting(old)
		p := s.NewPack()
		if _, err := s.rewrite(p, old[:n]); err != nil {
			return err
		}
		failed = errors.Join(failed, p.failed)
		old = old[n:]
	}
	if err := errors.Join(failed, s.dropIdle()); err != nil || !s.dropped {
		return err
	}
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		return err
	}
	s.dropped = false
	return nil
}

// rewrite writes a pack of what p has and what is in force of older ones, which are not needed any more then. The caller holds
// packing.
func (s *Store) rewrite(p *Pack, old []uint64) ([]Info, error) {
	for _, number := range old {
		p.carry(number, slices.DeleteFunc(s.inForce(number), func(x Info) bool { return p.has[x.UID] }))
	}
	if len(p.entries) == 0 {
		return nil, nil
	}
	return s.write(p)
}

// carry takes in what is in force of an older pack. A snapshot that cannot be read, or does not check, stays where it is, and
// its pack with it: who needs it will find that out. It is no reason not to write the others.
func (p *Pack) carry(number uint64, live []Info) {
	if len(live) == 0 {
		return
	}
	f, err := p.s.cfg.FS.Open(p.s.path(packName(number)), vfs.Buffered)
	switch {
	case errors.Is(err, vfs.ErrNotExist):
		return
	case err != nil:
		p.failed = errors.Join(p.failed, err)
		return
	}
	for _, info := range live {
		body, err := p.s.readWhole(f, &info)
		switch {
		case err == nil:
			info.Era = p.s.era(info.UID) // what is in force is of the present one
			p.add(packEntry{info: info, body: body, from: info.at})
		case !errors.Is(err, ra.ErrCorrupt):
			p.failed = errors.Join(p.failed, err)
		}
	}
	_ = f.Close() // it was only read
}

// readWhole reads a snapshot of an open pack and checks it.
func (s *Store) readWhole(f vfs.File, info *Info) (body []byte, err error) {
	n := info.id()
	err = s.twice(&part{File: f, off: info.at.off, size: info.at.size}, n.String(), func(f vfs.File) (err error) {
		if body, err = readPart(f, 0, int(info.at.size)); err == nil {
			_, err = check(bytesOf{bytes.NewReader(body)}, n)
		}
		return err
	})
	return body, err
}

// bytesOf is what was read of a file.
type bytesOf struct{ *bytes.Reader }

// Size returns the length.
func (b bytesOf) Size() (int64, error) { return b.Reader.Size(), nil }

// write makes a pack durable and puts its snapshots in place.
func (s *Store) write(p *Pack) ([]Info, error) {
	slices.SortFunc(p.entries, func(a, b packEntry) int { return cmp.Compare(a.info.UID, b.info.UID) })
	rows := make([]packRow, len(p.entries))
	for i := range p.entries {
		info := &p.entries[i].info
		rows[i] = packRow{id: info.id(), size: info.Size}
	}
	number := s.nextPack()
	b := encodePack(number, rows, func(i int) []byte { return p.entries[i].body })
	if err := s.writeFile(packName(number)+tempSuffix, b); err != nil {
		return nil, err
	}
	for i := range p.entries {
		p.entries[i].info.at = place{pack: number, off: rows[i].off, size: rows[i].size}
	}
	return s.publishPack(number, rows, p.entries)
}

// writeFile makes a new file with that content durable, or leaves nothing of it. It fails with ra.ErrDiskFull if there is no
// space.
func (s *Store) writeFile(name string, b []byte) error {
	f, err := s.createFile(name)
	if err != nil {
		return diskFull(err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		return nil
	}
	return errors.Join(diskFull(err), s.cfg.FS.Remove(s.path(name)))
}

// diskFull says so if err is for lack of space.
func diskFull(err error) error {
	if vfs.IsFull(err) {
		return fmt.Errorf("%w: %w", ra.ErrDiskFull, err)
	}
	return err
}

// publishPack gives a pack its name, makes that durable, and only then has its snapshots take the place of others.
func (s *Store) publishPack(number uint64, rows []packRow, entries []packEntry) ([]Info, error) {
	s.publish.Lock()
	defer s.publish.Unlock()
	name := packName(number)
	if err := s.cfg.FS.Rename(s.path(name+tempSuffix), s.path(name)); err != nil {
		return nil, errors.Join(err, s.cfg.FS.Remove(s.path(name+tempSuffix)))
	}
	f := newPackFile(rows)
	f.unclean = true
	s.takePack(number, f)
	if err := s.cfg.FS.SyncDir(s.cfg.Dir); err != nil {
		return nil, err // it may come to be durable or not; the next one takes its place
	}
	s.clean(f)
	var in []Info
	for i := range entries {
		e := &entries[i]
		before, replaced := s.replace(e)
		if !replaced {
			if e.info.Era < s.era(e.info.UID) {
				s.stain(e.info.UID) // or the next start would find it
			}
			continue
		}
		s.release(before)
		if e.from == (place{}) {
			in = append(in, e.info)
			s.removeCheckpoints(e.info.UID, e.info.Index)
		}
	}
	return in, nil
}

// replace puts a snapshot in force if it is newer than the one that is, or the same in another place. It returns the one
// that was.
func (s *Store) replace(e *packEntry) (before Info, replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, had := s.held[e.info.UID]
	if e.from == (place{}) {
		replaced = (!had || before.Index < e.info.Index) && e.info.Era >= s.eras[e.info.UID]
	} else {
		replaced = had && before.at == e.from
	}
	if replaced {
		s.held[e.info.UID] = e.info
		s.packs[e.info.at.pack].count(e.info.at.size)
	}
	return before, replaced
}
