package member

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// A cluster that is deleted by consensus must not leave a member behind that never hears of it: when all others are gone
// nobody is left to tell it. So nobody goes by its own knowledge of the commit. A member that has applied the deletion
// becomes a herald: it makes that knowledge durable first, and then dismisses all others, again and again, until the node
// of each has said that nothing is left there. Only then it goes itself. The others go when they are dismissed, whatever
// they know: a herald knows for certain, and what is committed stays so (FSM-11, FSM-12).
//
// Only members of the configuration in force are heralds: whoever was removed may be deleted by its user at any time.
// There may be several heralds. One that is dismissed by another gives way only to one of a lower UID. So as long as a
// member has data, and another one is gone, a herald is left: of all that there ever were the one with the lowest UID
// stays until all others are gone.

// aloneTicks is how long a follower that has applied the deletion of its cluster waits for a leader that dismisses it
// before it becomes a herald.
const aloneTicks = 30

// ending is what a member knows and does about the deletion of its cluster.
type ending struct {
	// proposed is the term in which this member, as the leader, has proposed to delete the cluster; 0: in none.
	proposed ra.Term
	// order is the Server's own order that makes it durable that the deletion is committed; 0 if that is not given.
	order uint64
	// herald: it is durable. due: it is time to dismiss the others, again. sworn: this member may have dismissed others, in
	// an earlier life perhaps, and what it said may still arrive.
	herald, due, sworn bool
	// gone are the others of which nothing is left.
	gone []ra.UID
	// alone counts the ticks without a leader since the deletion was applied.
	alone int
	// by is the herald that has dismissed this member, empty if none has.
	by ra.UID
}

// proposedEnd reports whether this member has proposed to delete the cluster and leads since. Nobody joins or leaves
// behind that, so that all heralds know the same members.
func (s *Server) proposedEnd() bool {
	return s.leading && s.rare != nil && s.rare.end.proposed == s.core.Term()
}

// restoreEnd takes up in a new life what the one before has left. That life may have been a herald's, but what it noted
// of how far it had applied need not be durable for that: it is noted again.
func (s *Server) restoreEnd() {
	if s.deleting != 0 {
		s.needRare().end.sworn = true
	}
}

// noteDeletion is called when the batch that held the deletion of the cluster is done: the machine hears of its end
// (FSM-11). Nothing is applied or taken in any more.
func (s *Server) noteDeletion() {
	s.enter(ra.EOL)
	if s.stopped == nil {
		s.enter(s.role(s.core.Role()))
	}
}

// ends reports whether the member is about to go because its cluster is deleted.
func (s *Server) ends() bool {
	return s.deleting != 0 || s.rare != nil && s.rare.end.by != ""
}

// finishDeletion brings the end one step further.
func (s *Server) finishDeletion() {
	e := &s.needRare().end
	if e.order != 0 && !e.herald && s.orders.written >= e.order {
		e.herald, e.due, e.sworn = true, true, true
	}
	switch {
	case e.by != "" || !s.isMember(s.cfg.Raft.Self) || s.othersGone(e):
		s.depart() // who was removed has no part in this: its user may have deleted it already
	case e.herald:
		s.dismissOthers(e)
	case e.order == 0 && (s.leading || e.sworn || e.alone >= aloneTicks):
		// Term and vote are what they were: with them the mark is an order that is confirmed.
		state := s.core.State()
		s.order(&wal.Op{State: &state, Applied: s.deleting}, true)
		e.order = s.orders.last
	}
}

// depart ends the member. Its owner deletes its data.
func (s *Server) depart() {
	if s.deleting == 0 {
		if s.enter(ra.EOL); s.stopped != nil {
			return // the machine has failed
		}
	}
	s.Stop(ErrDeleted)
	if f := s.cfg.Observer.Deleted; f != nil {
		f()
	}
}

// isMember reports whether somebody is in the configuration in force.
func (s *Server) isMember(uid ra.UID) bool {
	return slices.ContainsFunc(s.core.Configuration().Members, func(m ra.Member) bool { return m.UID == uid })
}

// othersGone reports whether nothing is left of all other members.
func (s *Server) othersGone(e *ending) bool {
	for _, m := range s.core.Configuration().Members {
		if m.UID != s.cfg.Raft.Self && !slices.Contains(e.gone, m.UID) {
			return false
		}
	}
	return true
}

// dismissOthers tells those who are not gone that they are to go, if it is time.
func (s *Server) dismissOthers(e *ending) {
	if !e.due {
		return
	}
	e.due = false
	for _, other := range s.core.Configuration().Members {
		if other.UID == s.cfg.Raft.Self || slices.Contains(e.gone, other.UID) {
			continue
		}
		m := s.cfg.Net.NewMessage()
		*m = raft.Message{
			Kind: raft.Dismissal, From: s.cfg.Raft.Self, To: other.UID, Term: s.core.Term(), Entries: m.Entries[:0],
		}
		s.cfg.Net.Send(m)
	}
}

// hearOfEnd takes in what others say of the end of the cluster. Whoever is gone has nothing to say any more, even if it
// comes late.
func (s *Server) hearOfEnd(m *raft.Message) {
	self := s.cfg.Raft.Self
	if m.To != self || m.From == self || m.From == "" {
		return
	}
	e := &s.needRare().end
	switch known := slices.Contains(e.gone, m.From); {
	case known:
	case m.Kind == raft.Departure && s.deleting != 0 && s.isMember(m.From):
		e.gone = append(e.gone, m.From)
	case m.Kind == raft.Dismissal && (!e.sworn || m.From < self):
		e.by = m.From
	}
}

// DismissedBy returns the herald that waits for the data of this member to be gone; empty if nobody does. See
// Observer.Deleted.
func (s *Server) DismissedBy() ra.UID {
	if s.rare == nil {
		return ""
	}
	return s.rare.end.by
}

// tickDeletion counts how long there has been no leader, and has the others dismissed again.
func (s *Server) tickDeletion() {
	if s.deleting == 0 {
		return
	}
	e := &s.needRare().end
	e.due = e.herald
	if s.core.Leader() == "" {
		e.alone++
	} else {
		e.alone = 0
	}
}
