// Package ra is what every caller meets: the names of the field (Index, Term, ServerID, UID, PID, Role, Membership),
// the log entry, and the errors.
//
// The package has no behaviour of its own and imports nothing of this module; every other package imports it.
package ra

import (
	"fmt"
	"strconv"
)

// Index is a position in one member's log. The first command of a cluster has an index above 0; index 0 is the empty
// log (REP-16).
type Index uint64

// Term is a period of leadership: at most one leader is elected in a term (Raft thesis, section 3.3). Terms only grow.
type Term uint64

// UID is the identity of one incarnation of a member on disk and on the wire (ID-02): unique, never reused, made of
// the characters A-Z a-z 0-9 _ - =, at most MaxNameLen long. A cluster that is deleted and created again under its
// old name has new UIDs, so that nothing left over from the old one can be taken for the new one (ID-04).
type UID string

// NodeID names a node: one running process, or one of several nodes that share a process.
type NodeID string

// ServerID is the address of a member as users know it: its local name and the node that it lives on (ID-01).
type ServerID struct {
	Name string
	Node NodeID
}

// String returns name@node.
func (id ServerID) String() string { return id.Name + "@" + string(id.Node) }

// PID identifies one life of one process (an actor), wherever it runs. It is a value: two PIDs are the same process
// exactly if they are equal. A process that is started again under its old name has another PID.
type PID struct {
	// Node is where the process lives, and Name what it is registered as there.
	Node NodeID
	Name string
	// Incarnation is drawn at random each time the node is opened.
	Incarnation uint64
	// Spawn counts the processes started in that incarnation, from 1; 0 is no process.
	Spawn uint64
}

// IsZero reports whether p is no process at all.
func (p PID) IsZero() bool { return p.Spawn == 0 && p.Name == "" }

// String returns name@node#spawn, for people.
func (p PID) String() string {
	return p.Name + "@" + string(p.Node) + "#" + strconv.FormatUint(p.Spawn, 10)
}

// Role is what a member is doing just now (FSM-01).
type Role uint8

// The roles. Only the first six take part in the algorithm; see FSM-02, FSM-05, FSM-10 to FSM-12 for the others.
const (
	Follower Role = iota
	PreVote
	Candidate
	Leader
	AwaitCondition
	ReceiveSnapshot
	Recover
	Recovered
	TerminatingLeader
	TerminatingFollower
	EOL
)

var roleNames = [...]string{
	"follower", "pre_vote", "candidate", "leader", "await_condition", "receive_snapshot",
	"recover", "recovered", "terminating_leader", "terminating_follower", "eol",
}

// String returns the role's name as ra spells it.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("role(%d)", uint8(r))
}

// Membership is the kind of a member (MEM-04): only voters count towards a quorum, vote and lead.
type Membership uint8

// The kinds of membership.
const (
	Voter Membership = iota
	Promotable
	NonVoter
)

// String returns the membership's name as ra spells it.
func (m Membership) String() string {
	switch m {
	case Voter:
		return "voter"
	case Promotable:
		return "promotable"
	case NonVoter:
		return "non_voter"
	}
	return fmt.Sprintf("membership(%d)", uint8(m))
}

// Member is one member of a cluster's configuration.
type Member struct {
	ID         ServerID
	UID        UID
	Membership Membership
}

// HardState is what a member must never forget (Raft thesis, figure 3.1): its term and the member it voted for in
// that term. The zero Vote means that it has voted for nobody. Term and vote are always stored together (ELE-10).
type HardState struct {
	Term Term
	Vote UID
}
