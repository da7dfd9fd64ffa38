package etcdhost

import (
	"errors"
	"testing"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
)

// entriesOf returns entries lo to hi of a term, each with one byte of data.
func entriesOf(term, lo, hi uint64) []*raftpb.Entry {
	var entries []*raftpb.Entry
	for i := lo; i <= hi; i++ {
		entries = append(entries, &raftpb.Entry{Term: new(term), Index: new(i), Data: []byte{byte(i)}})
	}
	return entries
}

func TestStorageReplacesTail(t *testing.T) {
	s := &storage{keep: 100}
	s.append(entriesOf(1, 1, 5))
	given, err := s.Entries(1, 6, 1<<20)
	if err != nil || len(given) != 5 {
		t.Fatalf("%d entries, error %v", len(given), err)
	}
	s.append(entriesOf(2, 4, 4))
	if term, err := s.Term(4); err != nil || term != 2 || s.last() != 4 {
		t.Errorf("term of 4 is %d (%v), last is %d", term, err, s.last())
	}
	if given[3].GetTerm() != 1 {
		t.Error("a slice that was given out has changed")
	}
	if _, err := s.Term(5); !errors.Is(err, raft.ErrUnavailable) {
		t.Errorf("term of 5: %v", err)
	}
}

func TestStorageTrims(t *testing.T) {
	s := &storage{keep: 10}
	for i := uint64(1); i <= 100; i++ {
		s.append(entriesOf(3, i, i))
		s.apply(entriesOf(3, i, i))
		if have := len(s.entries); have > 20 || s.last() != i {
			t.Fatalf("%d entries up to %d, should end at %d", have, s.last(), i)
		}
	}
	if term, err := s.Term(s.base); err != nil || term != 3 {
		t.Errorf("term before the first entry is %d, error %v", term, err)
	}
	if _, err := s.Entries(s.base, s.base+1, 0); !errors.Is(err, raft.ErrCompacted) {
		t.Errorf("trimmed entry: %v", err)
	}
	if entries, err := s.Entries(95, 101, 0); err != nil || len(entries) != 1 {
		t.Errorf("%d entries, error %v; should be one however small the limit", len(entries), err)
	}
}

func TestStorageSnapshot(t *testing.T) {
	from := &storage{keep: 10, conf: &raftpb.ConfState{Voters: []uint64{1}}}
	if _, err := from.Snapshot(); !errors.Is(err, raft.ErrSnapshotTemporarilyUnavailable) {
		t.Errorf("snapshot of nothing: %v", err)
	}
	from.append(entriesOf(2, 1, 7))
	from.apply(entriesOf(2, 1, 7))
	snap, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	to := &storage{keep: 10}
	to.append(entriesOf(1, 1, 3))
	to.restore(snap)
	if to.machine != from.machine || to.last() != 7 || to.applied != 7 {
		t.Errorf("restored %+v up to %d, should be %+v up to 7", to.machine, to.last(), from.machine)
	}
	if term, err := to.Term(7); err != nil || term != 2 {
		t.Errorf("term of 7 is %d, error %v", term, err)
	}
}
