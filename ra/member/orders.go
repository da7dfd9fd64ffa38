package member

import (
	"errors"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
)

// ErrCompacted is returned by Log.Read for entries that a snapshot replaced.
var ErrCompacted = raftlog.ErrCompacted

// carryOut does what the core decided, in the order that raft.Orders prescribes.
func (s *Server) carryOut(o *raft.Orders) {
	if o.Failed != nil {
		s.fail(o.Failed)
		return
	}
	borrow(&s.sent, &s.scratch.sent)
	if s.store(o); s.stopped != nil {
		return
	}
	s.sendReady()
	if o.Snapshot.Op != raft.SnapshotNone {
		s.snapshotOrder(&o.Snapshot)
	}
	for i := range o.Messages {
		s.send(&o.Messages[i])
	}
	s.endTerm(o)
	s.become(o)
	s.advance(o)
	s.afterBatch()
	s.answerQueries(o)
	s.answerWaiting()
	s.orderTimer(o)
	s.note(o)
	switch {
	case s.stopped != nil:
	case s.ends():
		s.finishDeletion()
	case o.Removed:
		s.Stop(ErrRemoved)
	}
}

// store changes the log and puts the change, with term and vote, into the node's write-ahead log. The messages of the
// same orders do not wait for it: what may not leave before it is durable, the core holds back (REP-01).
func (s *Server) store(o *raft.Orders) {
	if o.Seq == 0 {
		return
	}
	if o.Truncate != 0 {
		s.cfg.Log.Truncate(o.Truncate)
	}
	if len(o.Append) > 0 {
		if err := s.cfg.Log.Append(o.Append); err != nil {
			s.fail(err)
			return
		}
	}
	s.storeOrder(o)
}

// send completes a message and sends it.
func (s *Server) send(order *raft.Message) {
	if s.withhold(order) {
		return
	}
	m := s.cfg.Net.NewMessage()
	entries := m.Entries[:0]
	*m = *order
	m.Entries = entries
	if m.Kind == raft.Append && m.Last > m.Index && (s.cutShort(m.To) || !s.attach(m)) {
		return
	}
	s.cfg.Net.Send(m)
}

// cutShort reports whether an append to a peer took fewer entries than ordered. Those ordered behind it would not fit
// there; the core orders them anew when it has heard.
func (s *Server) cutShort(to ra.UID) bool {
	for i := range s.sent {
		if m := &s.sent[i]; m.Kind == raft.Sent && m.To == to && m.Index < m.Last {
			return true
		}
	}
	return false
}

// attach reads the entries of an append and notes what the core must know of it. It reports whether there is
// something to send.
func (s *Server) attach(m *raft.Message) bool {
	told := raft.Message{Kind: raft.Sent, To: m.To, Last: m.Last}
	var err error
	m.Entries, err = s.cfg.Log.Read(m.Entries, m.Index+1, m.Last, s.cfg.MaxAppendBytes)
	switch {
	case errors.Is(err, ErrCompacted):
		told.Reject = true
	case err != nil && s.rescue(err):
		told.Reject = true // until the snapshot is there, an older one
	case err != nil:
		told = raft.Message{Kind: raft.ReadFailed}
	default:
		m.Last = m.Index + ra.Index(len(m.Entries))
		told.Index = m.Last
		for i := range m.Entries {
			told.Bytes += len(m.Entries[i].Body)
		}
	}
	s.sent = append(s.sent, told)
	return err == nil
}

// orderTimer carries out what is ordered about the election timer and the tick.
func (s *Server) orderTimer(o *raft.Orders) {
	switch o.Timer {
	case raft.TimerArm:
		s.cfg.Timer.Arm(o.Class)
	case raft.TimerCancel:
		s.cfg.Timer.Cancel()
	}
	if o.NeedTick != s.ticking {
		s.ticking = o.NeedTick
		s.cfg.Timer.Tick(s.ticking)
	}
}

// note remembers what the member is now, and tells the observer if it changed.
func (s *Server) note(o *raft.Orders) {
	role := s.role(o.Role)
	changed := s.status.Role != role || s.status.Leader != o.Leader || s.status.Term != o.Term
	s.status.Role, s.status.Leader, s.status.Term = role, o.Leader, o.Term
	if changed && s.cfg.Observer.Changed != nil {
		s.cfg.Observer.Changed(s.status)
	}
}
