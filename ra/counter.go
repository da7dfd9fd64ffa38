package ra

import "sync/atomic"

// Counter names something that a member counts from the moment on that its node was opened, or the member came to it: through
// all its starts, until it is deleted (API-15, MET-01).
type Counter uint8

// What members count.
const (
	CountStarts             Counter = iota // its process was started
	CountCommands                          // commands that it appended as the leader, clients' and not its own
	CountLocalQueries                      // local and leader queries that it answered
	CountConsistentQueries                 // consistent queries that it answered
	CountPreVotes                          // times that it asked whether it could win an election
	CountElections                         // terms in which it stood for election, alone in its cluster included
	CountLeaderships                       // terms in which it was elected
	CountTermsAndVotes                     // changes of its term or vote that it had written to the log
	CountMessagesSent                      // messages that it sent to the other members
	CountMessagesReceived                  // messages of the other members that it took in; a later one may stand for some that waited
	CountSnapshots                         // snapshots of its own that came into force, promoted checkpoints included
	CountCheckpoints                       // checkpoints that it wrote
	CountSnapshotsSent                     // snapshots that it sent to another member to the end
	CountSnapshotsInstalled                // snapshots of a leader that came into force
	CountSends                             // messages of its machine and notifications that it sent to processes
	CountSendsLost                         // of those, the ones that could not be delivered to anybody

	// Counters is how many counters there are, and none itself.
	Counters
)

// counterNames are the names of the counters, as whoever shows them may want to call them.
var counterNames = [Counters]string{
	"starts", "commands", "local_queries", "consistent_queries", "pre_votes", "elections", "leaderships", "terms_and_votes",
	"messages_sent", "messages_received", "snapshots", "checkpoints", "snapshots_sent", "snapshots_installed", "sends", "sends_lost",
}

// String returns the counter's name, in lower case with underscores.
func (c Counter) String() string { return counterNames[c] }

// Counts is what a member has counted, by Counter.
type Counts [Counters]uint64

// Tally is where a member counts. Its methods may be called by several goroutines at once.
type Tally struct{ counts [Counters]atomic.Uint64 }

// Add counts n more.
func (t *Tally) Add(c Counter, n int) { t.counts[c].Add(uint64(n)) }

// Counts returns what has been counted, one counter after the other and not all at one instant.
func (t *Tally) Counts() (all Counts) {
	for c := range all {
		all[c] = t.counts[c].Load()
	}
	return all
}
