package system

import (
	"cmp"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Limits bound what a member has under way to its peers. A field that is 0 stands for its default. They are a node's own:
// the nodes of a cluster may differ in them, and they may change whenever a node is opened.
type Limits struct {
	// ChunkBytes is the length of the pieces in which a snapshot is sent (CFG-14); 0 means 1 MiB, allowed are 1 KiB to
	// 64 MiB. A transfer keeps one piece in memory at each end.
	ChunkBytes int
	// SnapshotPatience is how long a transfer of a snapshot may stand still until its sender makes a pause, and its receiver
	// gives it up (CFG-15, FSM-06); 0 means 30 s, allowed are 10 s to 1 h. A piece without an answer is sent again every 5 s.
	// What is not a whole number of seconds is rounded up.
	SnapshotPatience time.Duration
	// InflightEntries bounds the entries that are sent to a peer and not confirmed yet (CFG-16, REP-03); 0 means 4096,
	// allowed are 1 to 131072. Beside it 16 MiB bound them.
	InflightEntries int
	// EntriesPerAppend bounds the entries of one message (CFG-17, REP-03); 0 means 128, allowed are 1 to 4096. Beside it
	// 1 MiB bounds them, though one entry always fits.
	EntriesPerAppend int
}

// The bounds of Limits.
const (
	defaultChunk = 1 << 20
	minChunk     = 1 << 10
	maxChunk     = 64 << 20
	minPatience  = 10 * time.Second // room to send a lost piece again
	maxPatience  = time.Hour
	maxInflight  = 1 << 17 // as many as a leader takes in before the first of them is committed
	maxPerAppend = 4096
)

// fill puts defaults where nothing is said, and checks what is.
func (l *Limits) fill() error {
	d := &raft.DefaultLimits
	l.ChunkBytes = cmp.Or(l.ChunkBytes, defaultChunk)
	l.SnapshotPatience = cmp.Or(l.SnapshotPatience, time.Duration(d.SnapshotTicks)*time.Second)
	l.InflightEntries = cmp.Or(l.InflightEntries, d.MaxInflightEntries)
	l.EntriesPerAppend = cmp.Or(l.EntriesPerAppend, d.MaxEntriesPerAppend)
	return cmp.Or(
		within("Limits.ChunkBytes", l.ChunkBytes, minChunk, maxChunk),
		within("Limits.SnapshotPatience", l.SnapshotPatience, minPatience, maxPatience),
		within("Limits.InflightEntries", l.InflightEntries, 1, maxInflight),
		within("Limits.EntriesPerAppend", l.EntriesPerAppend, 1, maxPerAppend),
	)
}

// core returns what concerns the algorithm. Its clock counts seconds.
func (l *Limits) core() raft.Limits {
	core := raft.DefaultLimits
	core.MaxInflightEntries, core.MaxEntriesPerAppend = l.InflightEntries, l.EntriesPerAppend
	core.SnapshotTicks = int((l.SnapshotPatience + time.Second - 1) / time.Second)
	return core
}
