package raft

import (
	"fmt"
	"strings"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// PeerStatus is what a leader knows of a peer (QRY-08).
type PeerStatus struct {
	UID ra.UID
	// Match is durable at the peer, Next will be sent next, CommitSent is the newest commit index sent.
	Match, Next, CommitSent ra.Index
	Query                   uint64
	// Status is replicating, probing, sending_snapshot, snapshot_backoff or disconnected.
	Status string
	// Suspect: the peer has lost entries, and does not count until it has them again.
	Suspect bool
	// Version is that of the machine which the peer can run, 0 if it has not been heard yet (VER-03).
	Version uint32
}

// Status describes a member, for people, tests and overviews (QRY-09).
type Status struct {
	UID      ra.UID
	Role     ra.Role
	State    ra.HardState
	Leader   ra.UID
	Last     Position
	Snapshot Position
	Durable  ra.Index
	Commit   ra.Index
	// Configuration is the one in force. It must not be changed.
	Configuration   Configuration
	ChangePermitted bool
	// Suspect: this member has lost entries that it may have acknowledged, and takes part in nothing.
	Suspect bool
	// Waiting says what a member in the role AwaitCondition waits for.
	Waiting string
	// Peers are those of a leader, without itself, in order of UID; nil in other roles.
	Peers []PeerStatus
}

// Role returns what this member is doing.
func (r *Raft) Role() ra.Role { return r.role }

// State returns term and vote. They may not be durable yet.
func (r *Raft) State() ra.HardState { return r.state }

// Commit returns the commit index.
func (r *Raft) Commit() ra.Index { return r.commit }

// Durable returns the last index that this member knows to be durable here. It may have been told later than its log knows.
func (r *Raft) Durable() ra.Index { return r.disk.index }

// TermAt returns the term of the entry at i, and whether it is known: the log may not reach there. Of entries that are not
// kept any more it is known as far as they had the term of the last of them.
func (r *Raft) TermAt(i ra.Index) (ra.Term, bool) { return r.log.had(i) }

// Status returns a description. It allocates.
func (r *Raft) Status() Status {
	s := Status{
		UID: r.self, Role: r.role, State: r.state, Leader: r.leader, Last: r.log.end(), Snapshot: r.snapshot,
		Durable: r.disk.index, Commit: r.commit, Configuration: *r.config(), Suspect: r.suspect != nil,
	}
	if r.role == ra.AwaitCondition {
		s.Waiting = awaitNames[r.await.reason]
	}
	if r.lead == nil {
		return s
	}
	s.ChangePermitted = r.changePermitted()
	for i := range r.lead.peers {
		if i == r.at {
			continue
		}
		p := &r.lead.peers[i]
		name := statusNames[p.status]
		if r.down.has(i) {
			name = "disconnected"
		}
		s.Peers = append(s.Peers, PeerStatus{
			UID: p.uid, Match: p.match, Next: p.next, CommitSent: p.commit, Query: p.query, Status: name,
			Suspect: p.suspect, Version: p.version,
		})
	}
	return s
}

var awaitNames = [...]string{"missing", "term_mismatch", "storage", "hand_over"}

// String returns one line, with one more for each peer of a leader.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v", s.UID, s.Role)
	if s.Waiting != "" {
		fmt.Fprintf(&b, "(%s)", s.Waiting)
	}
	b.WriteString(word(s.Suspect, " suspect"))
	fmt.Fprintf(&b, " term=%d vote=%s leader=%s last=%v durable=%d commit=%d",
		s.State.Term, orNone(s.State.Vote), orNone(s.Leader), s.Last, s.Durable, s.Commit)
	if s.Snapshot.Index > 0 {
		fmt.Fprintf(&b, " snapshot=%v", s.Snapshot)
	}
	fmt.Fprintf(&b, " members=%v", s.Configuration)
	for _, p := range s.Peers {
		fmt.Fprintf(&b, "\n  %s %s match=%d next=%d commit=%d query=%d%s",
			p.UID, p.Status, p.Match, p.Next, p.CommitSent, p.Query, word(p.Suspect, " suspect"))
	}
	return b.String()
}

// String returns index/term.
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Index, p.Term) }

// String returns index:{members}; promotable members have a "+", non-voters a "-" behind.
func (c Configuration) String() string { return fmt.Sprintf("%d:%s", c.Index, c.names()) }

// names returns the members.
func (c Configuration) names() string {
	names := make([]string, len(c.Members))
	for i, m := range c.Members {
		names[i] = string(m.UID) + [...]string{"", "+", "-"}[min(m.Membership, ra.NonVoter)]
	}
	return "{" + strings.Join(names, " ") + "}"
}

func orNone(uid ra.UID) ra.UID {
	if uid == "" {
		return "-"
	}
	return uid
}
