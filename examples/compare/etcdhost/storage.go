package etcdhost

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// storage is a member's durable log as raft reads it: in memory, trimmed at the front. Only the node's loop uses it, so
// it needs no lock. It implements raft.Storage.
type storage struct {
	entries []*raftpb.Entry
	// base and baseTerm belong to the entry before entries[0].
	base     uint64
	baseTerm uint64
	conf     *raftpb.ConfState
	// keep is how many applied entries stay in memory for slow followers; between keep and twice as many are kept.
	keep int

	// machine has applied the entries up to applied, the last of them of term appliedTerm.
	machine     driver.Machine
	applied     uint64
	appliedTerm uint64
}

var _ raft.Storage = (*storage)(nil)

// InitialState implements raft.Storage: an empty log with three voters.
func (s *storage) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return nil, s.conf, nil
}

// Entries implements raft.Storage. It never returns more than maxSize bytes of data beyond the first entry.
func (s *storage) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if lo <= s.base {
		return nil, raft.ErrCompacted
	}
	if hi > s.last()+1 || lo >= hi {
		return nil, raft.ErrUnavailable
	}
	entries := s.entries[lo-s.base-1 : hi-s.base-1]
	size := uint64(0)
	for i, e := range entries {
		size += uint64(len(e.Data)) + entryOverhead
		if i > 0 && size > maxSize {
			entries = entries[:i]
			break
		}
	}
	return entries[:len(entries):len(entries)], nil
}

// entryOverhead is at least what an entry's encoding takes beside its data.
const entryOverhead = 30

// Term implements raft.Storage.
func (s *storage) Term(i uint64) (uint64, error) {
	switch {
	case i == s.base:
		return s.baseTerm, nil
	case i < s.base:
		return 0, raft.ErrCompacted
	case i > s.last():
		return 0, raft.ErrUnavailable
	}
	return s.entries[i-s.base-1].GetTerm(), nil
}

// LastIndex implements raft.Storage.
func (s *storage) LastIndex() (uint64, error) { return s.last(), nil }

// FirstIndex implements raft.Storage.
func (s *storage) FirstIndex() (uint64, error) { return s.base + 1, nil }

func (s *storage) last() uint64 { return s.base + uint64(len(s.entries)) }

// Snapshot implements raft.Storage: the machine as it is now.
func (s *storage) Snapshot() (*raftpb.Snapshot, error) {
	if s.applied == 0 {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	data := binary.LittleEndian.AppendUint64(nil, s.machine.Count)
	data = binary.LittleEndian.AppendUint64(data, s.machine.Sum)
	return &raftpb.Snapshot{
		Data:     data,
		Metadata: &raftpb.SnapshotMetadata{ConfState: s.conf, Index: new(s.applied), Term: new(s.appliedTerm)},
	}, nil
}

// restore replaces log and machine by a snapshot that is ahead of both.
func (s *storage) restore(snap *raftpb.Snapshot) {
	data := snap.GetData()
	if len(data) != 16 || snap.GetMetadata().GetIndex() <= s.applied {
		return
	}
	s.entries = nil
	s.base, s.baseTerm = snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm()
	s.applied, s.appliedTerm = s.base, s.baseTerm
	s.machine = driver.Machine{Count: binary.LittleEndian.Uint64(data), Sum: binary.LittleEndian.Uint64(data[8:])}
}

// append adds entries that follow each other, and replaces what the log has from the first one's index on. Slices that
// were given out stay as they are. It panics if there is a gap: acknowledgements were taken out of order, and nothing
// that is measured after that would mean anything.
func (s *storage) append(entries []*raftpb.Entry) {
	if len(entries) == 0 {
		return
	}
	first := entries[0].GetIndex()
	if first <= s.base {
		skip := s.base + 1 - first
		if skip >= uint64(len(entries)) {
			return
		}
		entries, first = entries[skip:], s.base+1
	}
	keep := first - s.base - 1
	if keep > uint64(len(s.entries)) {
		panic(fmt.Sprintf("etcdhost: entry %d does not follow %d", first, s.last()))
	}
	if keep < uint64(len(s.entries)) {
		s.entries = s.entries[:keep:keep]
	}
	s.entries = append(s.entries, entries...)
}

// apply feeds committed entries to the machine and trims the log.
func (s *storage) apply(entries []*raftpb.Entry) {
	for _, e := range entries {
		if len(e.Data) > 0 {
			s.machine.Apply(e.Data)
		}
	}
	last := entries[len(entries)-1]
	s.applied, s.appliedTerm = last.GetIndex(), last.GetTerm()
	s.trim()
}

// trim drops applied entries when there are twice as many as are to be kept.
func (s *storage) trim() {
	have := int(min(s.applied, s.last()) - s.base)
	if have < 2*s.keep {
		return
	}
	drop := have - s.keep
	s.baseTerm = s.entries[drop-1].GetTerm()
	s.base += uint64(drop)
	s.entries = append(make([]*raftpb.Entry, 0, len(s.entries)-drop+s.keep+s.keep/2), s.entries[drop:]...)
}
