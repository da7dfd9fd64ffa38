package system

import (
	"fmt"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// Report is what a node found when it was opened that is not as it should be.
type Report struct {
	// Damaged are the members that cannot run because they have lost their term and vote, or their registration: calls to
	// them fail with ra.ErrDamaged. Those without a registration have no name by which they could be called:
	// Node.DeleteRemains ends them. Suspect are those that have lost entries: they run, but take part in nothing until
	// they are repaired from their peers; that they were is not noted here.
	Damaged, Suspect map[ra.UID]error
	// NotStarted are sound members that could not be started.
	NotStarted map[ra.UID]error
	// Torn says that the last write to the log is not whole, and counts for nothing: a crash has cut it before anybody was told of it.
	// What damages more than one bit of it, if the power went within some 40 ms of it, looks the same.
	Torn bool
	// Losses are the damaged parts of the log, and Quarantined the names of its files that were moved to quarantine.
	// Segments and Snapshots are what those packages found.
	Losses []wal.Loss
	// Unaccounted: members may be gone without a trace with losses of the log, of this start or an earlier one, and when the node was
	// opened nobody had accepted that (Node.AcceptUnaccounted). Until then Node.Cluster and Node.StartOrRestartCluster, and commands
	// and queries, fail with ra.ErrDamaged, too, for names that the node does not know.
	Unaccounted bool
	Quarantined []string
	Segments    segment.Report
	Snapshots   snapshot.Report
	// HighWater says why nothing told how far the log had come but the log itself, nil if something did (wal.Recovery).
	HighWater error
	// Orphans are members of which there are segments or a snapshot, but no registration. Nothing of them is touched, until
	// Node.DeleteRemains deletes it.
	Orphans []ra.UID
}

// add notes how the start of a member ended.
func (r *Report) add(m *record, err error) {
	if lost := m.suspicion(); lost != nil {
		r.Suspect[m.uid] = lost
	}
	switch {
	case err == nil:
	case m.damaged() != nil:
		r.Damaged[m.uid] = err
	default:
		r.NotStarted[m.uid] = err
	}
}

// Stats is what a node has done since it was opened, and how large it is. The numbers are read one after the other, not
// at one instant.
type Stats struct {
	// Syncs counts the syncs of the write-ahead log, Entries the entries that it was given, and WALBytes the bytes of its
	// batches.
	Syncs, Entries, WALBytes int64
	// RollOvers counts the files of the log whose entries went into segments.
	RollOvers int64
	// Members counts the members that are registered here, Running those that run, Suspect those that take part in nothing
	// because they have lost entries, and Damaged those that may not run, whatever the state of the storage.
	Members, Running, Suspect, Damaged int
	// Repaired counts the members that were suspect and are sound again.
	Repaired int64
	// Segments is the size of the segments.
	Segments segment.Stats
	// Scrub is what the scrubber has done.
	Scrub ScrubStats
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
		Repaired: n.repaired.Load(), Scrub: n.scrubber.stats(),
	}
	for _, r := range n.registry.all() {
		s.Members++
		if r.proc.Load() != nil {
			s.Running++
		}
		if r.ownDamage() != nil {
			s.Damaged++
		} else if r.suspicion() != nil {
			s.Suspect++
		}
	}
	return s
}

// orLost makes the error of a name that the node does not know say that it may have known it: it has lost a part of its
// log, nobody knows whose.
func (n *Node) orLost(err error) error {
	if n.unaccounted.Load() {
		return fmt.Errorf("%w, or it was in what is lost of the log (see Report.Unaccounted): %w", err, ra.ErrDamaged)
	}
	return err
}

// orLostOf is orLost for a cluster of which the node does not know a member: one whose registration is lost may have been it.
func (n *Node) orLostOf(cluster string, err error) error {
	for _, uid := range n.strays {
		if n.isLeft(uid) && n.mayBeOf(uid, cluster) {
			return fmt.Errorf("%w, or it was %s, whose registration is lost (see Report.Orphans and Report.Damaged): %w", err, uid, ra.ErrDamaged)
		}
	}
	return n.orLost(err)
}

// orNameless is orLost for a member that the node does not know by its name: one whose registration is lost may have been it.
func (n *Node) orNameless(err error) error {
	for _, uid := range n.strays {
		if n.registry.byUID(uid) != nil {
			return fmt.Errorf("%w, or it was %s, whose registration is lost (see Report.Damaged): %w", err, uid, ra.ErrDamaged)
		}
	}
	return n.orLost(err)
}

// isLeft reports whether there is still anything of a stray.
func (n *Node) isLeft(uid ra.UID) bool {
	_, hasSnapshot := n.snapshots.Newest(uid)
	return hasSnapshot || n.registry.byUID(uid) != nil || len(n.segments.Runs(uid)) > 0
}

// mayBeOf reports whether a stray may have been a member of a cluster: its snapshot says so or, if there is none that says
// anything, its uid begins as those of the cluster's members do. Clusters whose names begin alike are taken for each other
// then.
func (n *Node) mayBeOf(uid ra.UID, cluster string) bool {
	if info, ok := n.snapshots.Newest(uid); ok && info.Cluster != "" {
		return info.Cluster == cluster
	}
	head := uidHead(cluster)
	return len(uid) == len(head)+uidTail && strings.HasPrefix(string(uid), head)
}
