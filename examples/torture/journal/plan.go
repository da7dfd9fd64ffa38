package journal

import (
	"strconv"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// Status is what is known of a cluster's name.
type Status uint8

// What a name may stand for. Half: the start or the end of a cluster was begun, and nobody knows how far it came.
const (
	Absent Status = iota
	Half
	Live
)

// Slot is a name under which one cluster after the other lives.
type Slot struct {
	Name string
	// Members is how many members its clusters have, Node the number of the node that they begin with.
	Members, Node int
	// Idle clusters get no commands. They are only asked.
	Idle   bool
	Status Status
	// Missing is how many members could not be started with the cluster, because the disk of their node had failed.
	Missing int
	// Nonce is the number of the last cluster that had the name.
	Nonce uint64
}

// Plan is what a worker is told in its first line of input, as JSON.
type Plan struct {
	// Dir holds the data directories of the nodes.
	Dir   string
	Nodes int
	Slots []Slot
	// Client is the number of the first client of this process. It needs two for each slot and each cluster there.
	Client uint32
	Seed   uint64
	// WALFileSize, Buffered and SnapshotEvery (commands) are the settings of nodes and machines. Async has the log written
	// asynchronously, however fast the disk is.
	WALFileSize   int64
	Buffered      bool
	Async         bool
	SnapshotEvery int
	// Load has commands sent; otherwise the process only verifies. Churn has clusters deleted and started again, members
	// stopped and started, and leaders changed meanwhile.
	Load, Churn bool
	// Commands bounds how many commands a client sends to a cluster before that may be deleted, and so its size.
	Commands int
}

// NodeName returns the name of node i, which is also that of its directory.
func NodeName(i int) ra.NodeID { return ra.NodeID("n" + strconv.Itoa(i+1)) }

// Where returns the members of the slot's clusters.
func (s *Slot) Where(nodes int) []ra.ServerID {
	var on []ra.NodeID
	for m := range s.Members {
		on = append(on, NodeName((s.Node+m)%nodes))
	}
	return system.Members(s.Name, on...)
}
