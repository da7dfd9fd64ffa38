package hashihost

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// fsm runs the driver's machine for one member. It implements raft.BatchingFSM.
type fsm struct {
	mu      sync.Mutex
	machine driver.Machine
}

var (
	_ raft.FSM         = (*fsm)(nil)
	_ raft.BatchingFSM = (*fsm)(nil)
)

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machine.Apply(l.Data)
	return nil
}

// ApplyBatch implements raft.BatchingFSM.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			f.machine.Apply(l.Data)
		}
	}
	return make([]any, len(logs))
}

// state returns the machine as it is now.
func (f *fsm) state() driver.Machine {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.machine
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return snapshot(f.state()), nil }

// Restore implements raft.FSM.
func (f *fsm) Restore(r io.ReadCloser) error {
	defer r.Close()
	var data [snapshotLen]byte
	if _, err := io.ReadFull(r, data[:]); err != nil {
		return fmt.Errorf("hashihost: read snapshot: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machine = driver.Machine{
		Count: binary.LittleEndian.Uint64(data[:]),
		Sum:   binary.LittleEndian.Uint64(data[8:]),
	}
	return nil
}

// snapshot is a machine as it was. It implements raft.FSMSnapshot.
type snapshot driver.Machine

// snapshotLen is the length of a stored snapshot: both fields of the machine, little endian.
const snapshotLen = 16

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	data := binary.LittleEndian.AppendUint64(nil, s.Count)
	data = binary.LittleEndian.AppendUint64(data, s.Sum)
	if _, err := sink.Write(data); err != nil {
		_ = sink.Cancel() // the write's error says more
		return fmt.Errorf("hashihost: write snapshot: %w", err)
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot. There is nothing to release.
func (s snapshot) Release() {}
