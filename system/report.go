package system

import (
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// Report is what a node found when it was opened that is not as it should be.
type Report struct {
	// Damaged are the members whose data are damaged: they take no part, and calls fail with ra.ErrDamaged.
	Damaged map[ra.UID]error
	// NotStarted are sound members that could not be started.
	NotStarted map[ra.UID]error
	// Torn says that a crash had cut the last write to the log, which nobody had been told of.
	Torn bool
	// Losses are the damaged parts of the log, Segments and Snapshots what those packages found.
	Losses    []wal.Loss
	Segments  segment.Report
	Snapshots snapshot.Report
	// Orphans are members of which there are segments or a snapshot, but no registration. Nothing of them is touched.
	Orphans []ra.UID
}

// add notes a member that did not start.
func (r *Report) add(m *record, err error) {
	if m.damaged() != nil {
		r.Damaged[m.uid] = err
		return
	}
	r.NotStarted[m.uid] = err
}

// Stats is what a node has done since it was opened, and how large it is. The numbers are read one after the other, not
// at one instant.
type Stats struct {
	// Syncs counts the syncs of the write-ahead log, Entries the entries that it was given, and WALBytes the bytes of its
	// batches.
	Syncs, Entries, WALBytes int64
	// RollOvers counts the files of the log whose entries went into segments.
	RollOvers int64
	// Members counts the members that are registered here, Running those that run, and Damaged those that may not.
	Members, Running, Damaged int
	// Segments is the size of the segments.
	Segments segment.Stats
	// WALFill is how full the current file of the log is, from 0 to 1.
	WALFill float64
}

// Report returns what was found when the node was opened.
func (n *Node) Report() Report { return n.report }

// Stats returns the node's counters.
func (n *Node) Stats() Stats {
	s := Stats{
		Syncs: n.wal.syncs.Load(), Entries: n.wal.entriesWritten.Load(), WALBytes: n.wal.bytes.Load(),
		RollOvers: n.segwriter.rollOvers.Load(), Segments: n.segments.Stats(), WALFill: n.wal.fill(),
	}
	for _, r := range n.registry.all() {
		s.Members++
		if r.proc.Load() != nil {
			s.Running++
		}
		if r.damaged() != nil {
			s.Damaged++
		}
	}
	return s
}
