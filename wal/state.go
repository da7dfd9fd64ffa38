package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// A state file holds what the log has durable of every member beside its entries, as of one batch.
//
//	0    8  "HELIOSTA"
//	8    4  format version
//	12   4  CRC-32C of everything else
//	16   8  length of the file
//	24   8  generation, also in its name
//	32   8  released: WAL files up to this number are not needed
//	40   8  current: number of the WAL file that was written to
//	48   8  id of the WAL file that was written to
//	56   8  batch: all batches with lower numbers are accounted for
//	64   8  id of the log, as in its WAL files
//	72   8  number of members
//	80      members
const (
	stateMagic = "HELIOSTA"
	stateFixed = 80
	// maxState bounds what is read as a state file.
	maxState = 1 << 30
)

// states is what the log knows of its state files.
type states struct {
	gen      uint64 // the highest generation that there was, 0 for none
	released uint64 // what the newest says
	// sound are the two newest generations that check, 0 for none: the older one is for the case that the newer is damaged.
	sound [2]uint64
}

// next returns what is known when a state file was written.
func (s *states) next(f *stateFile) states {
	return states{gen: f.gen, released: f.released, sound: [2]uint64{s.sound[1], f.gen}}
}

// stateFile is the content of a state file.
type stateFile struct {
	gen, released      uint64
	current, currentID uint64
	batch, log         uint64
	members            []stateMember
}

// stateMember is one member in it.
type stateMember struct {
	uid  ra.UID
	live live
}

// append appends one member:
//
//	uid, name (each behind a byte of length), configuration (behind 4 bytes of length), Seq, Seq where the files
//	begin that are not released, last index, its term, Seq of the state, term, vote (behind a byte of length), applied, damage (1 byte), first
//	damaged index, era (number in 4 bytes, index and term of a snapshot)
func (m *stateMember) append(b []byte) []byte {
	le, s := binary.LittleEndian, &m.live
	b = appendShort(b, string(m.uid))
	b = appendShort(b, s.reg.Name)
	b = le.AppendUint32(b, uint32(len(s.reg.Config)))
	b = append(b, s.reg.Config...)
	for _, v := range [...]uint64{s.seq, s.base, uint64(s.last), uint64(s.lastTerm), s.stateSeq, uint64(s.state.Term)} {
		b = le.AppendUint64(b, v)
	}
	b = appendShort(b, string(s.state.Vote))
	b = le.AppendUint64(b, uint64(s.applied))
	b = append(b, byte(s.mark.What))
	b = le.AppendUint64(b, uint64(s.mark.From))
	return s.mark.Era.append(b)
}

// decodeStateMember is the reverse of append.
func decodeStateMember(d *decoder) stateMember {
	var m stateMember
	s := &m.live
	m.uid = ra.UID(d.short())
	s.reg.Name = string(d.short())
	s.reg.Config = append([]byte(nil), d.take(uint64(d.uint32()))...)
	s.seq, s.base, s.last, s.lastTerm = d.uint64(), d.uint64(), ra.Index(d.uint64()), ra.Term(d.uint64())
	s.stateSeq, s.state.Term = d.uint64(), ra.Term(d.uint64())
	s.state.Vote = ra.UID(d.short())
	s.applied = ra.Index(d.uint64())
	s.mark = Mark{What: Damage(d.byte()), From: ra.Index(d.uint64()), Era: d.era()}
	return m
}

// encode returns the bytes of the file.
func (s *stateFile) encode() []byte {
	b := make([]byte, stateFixed, stateFixed+len(s.members)*128)
	for i := range s.members {
		b = s.members[i].append(b)
	}
	copy(b, stateMagic)
	le := binary.LittleEndian
	le.PutUint32(b[8:], formatVersion)
	fixed := [...]uint64{uint64(len(b)), s.gen, s.released, s.current, s.currentID, s.batch, s.log, uint64(len(s.members))}
	for i, v := range fixed {
		le.PutUint64(b[16+8*i:], v)
	}
	le.PutUint32(b[12:], fileChecksum(b))
	return b
}

// decodeStateFile is the reverse of encode.
func decodeStateFile(b []byte) (*stateFile, error) {
	le := binary.LittleEndian
	if len(b) < stateFixed || string(b[:8]) != stateMagic || le.Uint64(b[16:]) != uint64(len(b)) {
		return nil, corruptf("no state file, or one of wrong length")
	}
	if want, got := le.Uint32(b[12:]), fileChecksum(b); want != got {
		return nil, corruptf("state file checksum is %08x, should be %08x", got, want)
	}
	if v := le.Uint32(b[8:]); v != formatVersion {
		return nil, fmt.Errorf("%w: state file format %d, this program knows %d", errVersion, v, formatVersion)
	}
	s := &stateFile{
		gen: le.Uint64(b[24:]), released: le.Uint64(b[32:]), current: le.Uint64(b[40:]), currentID: le.Uint64(b[48:]),
		batch: le.Uint64(b[56:]), log: le.Uint64(b[64:]),
	}
	d := decoder{b: b[stateFixed:]}
	for n := le.Uint64(b[72:]); n > 0 && !d.bad; n-- {
		s.members = append(s.members, decodeStateMember(&d))
	}
	if d.bad || len(d.b) != 0 {
		return nil, corruptf("state file does not fit together")
	}
	return s, nil
}

// readState reads a state file.
func (l *Log) readState(name string) (*stateFile, error) {
	f, err := l.cfg.FS.Open(l.path(name), vfs.Buffered)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size < stateFixed || size > maxState {
		return nil, corruptf("state file of %d bytes", size)
	}
	src := source{f: f, size: size}
	s, err := decodeStateFile(src.bytes(0, int(size)))
	if cause := src.unreadable(0, size); cause != nil {
		return nil, fmt.Errorf("%w: state file: %w", errUnreadable, cause)
	}
	return s, err
}

// writeState makes a new generation of the state file durable: written aside, synced, renamed, directory synced. The
// generation before it stays, older ones go.
func (l *Log) writeState(s *stateFile) error {
	fs := l.cfg.FS
	if err := fs.Remove(l.path(stateTemp)); err != nil && !errors.Is(err, vfs.ErrNotExist) {
		return err
	}
	f, err := fs.Create(l.path(stateTemp), vfs.Buffered)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(s.encode(), 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(l.path(stateTemp), l.path(stateName(s.gen))); err != nil {
		return err
	}
	return fs.SyncDir(l.cfg.Dir)
}

// rebase notes where each member was when the files that are left behind the released ones were begun, as the first row that it has
// in them tells, or none. That is also right where what stood between is lost: the log goes on from where recovery left the member,
// and the mark that it gave it stands behind. The caller holds mu.
func (l *Log) rebase(released uint64) {
	for _, w := range l.writers {
		w.live.base = w.live.seq
		if w.begun == l.current.seq {
			w.live.base = w.before
		}
	}
	for _, c := range slices.Backward(l.closed) {
		if c.Seq <= released {
			return
		}
		for i := range c.Spans {
			s := &c.Spans[i]
			if w := l.writers[s.UID]; w != nil && s.Seq != 0 {
				w.live.base = s.before
			}
		}
	}
}

// captureState returns the state of all members now, for files from behind the released ones on. The caller holds mu.
func (l *Log) captureState(released uint64) *stateFile {
	l.rebase(released)
	s := &stateFile{
		gen: l.states.gen + 1, released: released, current: l.current.seq, currentID: l.current.id, batch: l.settled, log: l.id,
	}
	for uid, w := range l.writers {
		if w.live.reg.Name != "" || w.live.mark.What != 0 {
			s.members = append(s.members, stateMember{uid: uid, live: w.live})
		}
	}
	sortByUID(s.members)
	return s
}
