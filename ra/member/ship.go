package member

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// lease says who cleans up something that works in the background use one after another: the member if no work runs,
// or else the work that runs, when it ends. So nothing is left open or half made if the member stops in between.
type lease struct{ state atomic.Uint32 }

const (
	leaseFree uint32 = iota
	leaseUsed
	leaseOver
)

// use begins a work. The member calls it, and only if none runs and the lease was not given up.
func (l *lease) use() { l.state.Store(leaseUsed) }

// end ends a work and reports whether the thing is still wanted. If it is not, the work cleans up.
func (l *lease) end() bool { return l.state.CompareAndSwap(leaseUsed, leaseFree) }

// over reports whether the thing is not wanted any more.
func (l *lease) over() bool { return l.state.Load() == leaseOver }

// giveUp says that the thing is not wanted any more, and reports whether the caller has to clean up.
func (l *lease) giveUp() bool { return l.state.Swap(leaseOver) == leaseFree }

// transfer is a snapshot on its way to one peer. There is at most one for each peer, with one open file and one chunk
// in memory.
type transfer struct {
	want raft.Message // the chunk that the core has ordered last
	busy bool         // a work runs
	// replaced says that a snapshot is in place of which the core has not heard yet; it will be told with it.
	replaced bool

	lease lease
	// The works' own: what is open, and whether the peer has been sent all of it.
	source *snapshot.Source
	whole  bool
}

// errReplaced says that the snapshot that was ordered is not there any more.
var errReplaced = errors.New("member: the snapshot was replaced")

// chunk is what a work has read.
type chunk struct {
	order raft.Message
	at    Position // of the snapshot that is there
	err   error
	// decayed: the snapshot was, and is out of the way.
	decayed bool
}

// withhold reports whether a message is not to be sent now. An InstallSnapshot needs its chunk first; the answer to one
// waits until the chunk that it speaks of is stored.
func (s *Server) withhold(m *raft.Message) bool {
	switch m.Kind {
	case raft.InstallSnapshot:
		s.ship(m)
		return true
	case raft.InstallSnapshotReply:
		return s.holdReply(m)
	}
	return false
}

// ship reads the chunk that an InstallSnapshot of the core needs, and sends it when it is there.
func (s *Server) ship(order *raft.Message) {
	if s.cfg.Snapshots == nil {
		s.sent = append(s.sent, raft.Message{Kind: raft.ReadFailed})
		return
	}
	t := s.transferTo(order.To)
	if t == nil {
		t = new(transfer)
		s.snaps.transfers = append(s.snaps.transfers, t)
	}
	t.want, t.replaced = *order, false
	if !t.busy {
		s.readChunk(t)
	}
}

// transferTo returns the transfer to a peer, nil if there is none.
func (s *Server) transferTo(to ra.UID) *transfer {
	for _, t := range s.snaps.transfers {
		if t.want.To == to {
			return t
		}
	}
	return nil
}

// readChunk has the chunk read that is wanted.
func (s *Server) readChunk(t *transfer) {
	t.busy = true
	t.lease.use()
	c := &chunk{order: t.want}
	store, uid, size := s.cfg.Snapshots, s.cfg.Raft.Self, s.cfg.ChunkBytes
	s.background(func() {
		t.read(c, store, uid, size)
		if !t.lease.end() {
			t.close()
		}
	}, func() {
		t.busy = false
		if slices.Contains(s.snaps.transfers, t) {
			s.shipped(t, c)
		}
	})
}

// read completes a chunk's message. A peer that begins again gets what is in place by now: the file that is open may be
// one that has decayed and is out of the way.
func (t *transfer) read(c *chunk, store *snapshot.Store, uid ra.UID, size int) {
	m := &c.order
	want := Position{Index: m.Index, Term: m.LogTerm}
	if t.source != nil && (t.at() != want || m.Chunk == 1) {
		t.close()
	}
	if t.source == nil {
		if t.open(c, store, uid, size); c.err != nil {
			return
		}
	}
	if c.at = t.at(); c.at != want || m.Chunk > t.source.Chunks() {
		c.err = errReplaced
		return
	}
	m.Version = t.source.Meta().MachineVersion
	m.Data, m.Done, c.err = t.source.ReadChunk(m.Chunk)
	t.whole = t.whole || m.Done
}

// open opens the snapshot that is in place. If the peer had all of one before and could not use it, the fault may be on
// this side: all of it is read first. One that has decayed is moved out of the way.
func (t *transfer) open(c *chunk, store *snapshot.Store, uid ra.UID, size int) {
	info, _ := store.Newest(uid)
	if t.whole {
		t.whole, c.err = false, store.Check(uid)
	}
	if c.err == nil {
		if source, err := store.OpenSource(uid, size); err == nil {
			t.source = source
		} else {
			c.err = err
		}
	}
	if !errors.Is(c.err, ra.ErrCorrupt) {
		return
	}
	switch failed := store.Condemn(info); {
	case failed == nil:
		c.decayed, c.at.Index = true, info.Index
	case errors.Is(failed, snapshot.ErrNone):
		c.err = errReplaced
	default:
		c.err = failed
	}
}

// at returns the position of the snapshot that is open.
func (t *transfer) at() Position {
	meta := t.source.Meta()
	return Position{Index: meta.Index, Term: meta.Term}
}

// close closes the file.
func (t *transfer) close() {
	if t.source != nil {
		_ = t.source.Close() // it was only read
		t.source = nil
	}
}

// shipped sends a chunk that was read, unless another is wanted by now, or tells the core why there is none.
func (s *Server) shipped(t *transfer, c *chunk) {
	want := &t.want
	same := want.Index == c.order.Index && want.LogTerm == c.order.LogTerm && want.Chunk == c.order.Chunk && want.Term == c.order.Term
	switch {
	case !same:
		s.readChunk(t)
	case errors.Is(c.err, errReplaced):
		s.shipReplaced(t, c)
	case c.decayed && s.Rescue(c.at.Index), errors.Is(c.err, snapshot.ErrNone) && s.snaps.underWay():
		s.problem(c.err)
		t.replaced = true // the end of that work brings the next one
	case c.err != nil:
		s.problem(c.err)
		s.damaged(c.err)
		s.sent = append(s.sent, raft.Message{Kind: raft.ReadFailed})
	default:
		s.snaps.ready = append(s.snaps.ready, c.order)
	}
}

// shipReplaced tells the core that it must begin again with the snapshot that is there now. It cannot before it has
// heard of that one.
func (s *Server) shipReplaced(t *transfer, c *chunk) {
	if c.at.Index > s.snaps.last.Index {
		if s.snaps.underWay() {
			t.replaced = true // the end of that work brings the news
			return
		}
		s.adoptNewest()
	}
	s.tellReplaced(t)
}

func (s *Server) tellReplaced(t *transfer) {
	t.replaced = false
	s.sent = append(s.sent, raft.Message{Kind: raft.Sent, To: t.want.To, Chunk: t.want.Chunk, Reject: true})
}

// reviewTransfers ends the transfers that the core has ended, and tells it of those that had to wait for news of a
// snapshot.
func (s *Server) reviewTransfers() {
	if len(s.snaps.transfers) == 0 {
		return
	}
	peers := s.core.Status().Peers
	s.snaps.transfers = slices.DeleteFunc(s.snaps.transfers, func(t *transfer) bool {
		sending := slices.ContainsFunc(peers, func(p raft.PeerStatus) bool { return p.UID == t.want.To && p.Status == sendingSnapshot })
		if !sending {
			s.endTransfer(t)
		}
		return !sending
	})
	for _, t := range s.snaps.transfers {
		if t.replaced && !s.snaps.underWay() {
			s.tellReplaced(t)
		}
	}
}

// sendingSnapshot is how the core calls the state of a peer that is being sent a snapshot.
const sendingSnapshot = "sending_snapshot"

// endTransfer closes the file of a transfer, now or when the work that reads it has ended.
func (s *Server) endTransfer(t *transfer) {
	if t.lease.giveUp() {
		s.cfg.Background.Run(t.close, func() {})
	}
}

// sendReady sends the messages that had to wait for the background, if this member still says so.
func (s *Server) sendReady() {
	for i := range s.snaps.ready {
		if s.snaps.ready[i].Term == s.core.Term() {
			m := s.cfg.Net.NewMessage()
			entries := m.Entries[:0]
			*m = s.snaps.ready[i]
			m.Entries = entries
			if m.Kind == raft.InstallSnapshot && m.Done {
				s.count(ra.CountSnapshotsSent, 1)
			}
			s.cfg.Net.Send(m)
		}
	}
	clear(s.snaps.ready)
	s.snaps.ready = s.snaps.ready[:0]
}
