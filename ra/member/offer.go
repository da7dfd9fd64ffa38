package member

import (
	"errors"
	"io"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// Offer is a snapshot that a member offers for a pack, where it is written together with those of others. AddTo or Decline
// must be called once, on any goroutine, then Taken once on the member's; after the member has stopped Taken need not be
// called.
type Offer struct {
	s     *Server
	w     *writing
	limit int64
}

// Offer asks the member for a snapshot of its present state because what its log has is about to be copied into segments:
// one that is short beside that spares the copy. It returns nil if the member has none to offer: its machine asks for
// snapshots itself, one is being written, or it would be too long.
func (s *Server) Offer() *Offer {
	s.begin()
	n := &s.snaps
	if s.cfg.Snapshots == nil || s.stopped != nil || n.asks || n.unfit {
		return nil
	}
	index := s.status.Applied
	limit := s.cfg.Policy.Packed(s.policyState(), index)
	if limit == 0 || !s.knows(index) {
		return nil
	}
	w := s.prepare(index, nil, false)
	if w == nil {
		n.unfit = true
		return nil
	}
	return &Offer{s, w, limit}
}

// UID returns whose snapshot it is.
func (o *Offer) UID() ra.UID { return o.w.uid }

// AddTo adds the snapshot to a pack and lets go of the state. It reports whether that was possible.
func (o *Offer) AddTo(p *snapshot.Pack) bool {
	defer o.Decline()
	o.w.err = p.Add(o.w.uid, o.w.meta, o.limit, func(out io.Writer) error { return o.w.pour(out) })
	return o.w.err == nil
}

// Decline takes the place of AddTo if there is no pack.
func (o *Offer) Decline() { o.w.state.Release() }

// Taken tells the member whether the snapshot is durable in a pack, and in force. If it is not that may be because a newer
// one came first.
func (o *Offer) Taken(info snapshot.Info, inForce bool) {
	s, w := o.s, o.w
	s.snaps.writing = nil
	switch {
	case inForce:
		s.inPlace(info)
	case w.err == nil:
		s.adoptNewest()
	default:
		s.snaps.unfit = true
		if !errors.Is(w.err, ra.ErrTooLarge) {
			s.untaken(w.meta.Index, w.err)
		}
	}
}
