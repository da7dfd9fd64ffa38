package member

import (
	"errors"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// markStep is how far the applied index moves before a busy member notes it again.
const markStep = 64

// orderState is what a member knows of its orders to the write-ahead log. They are numbered from 1 in the life of a
// Server: those of the core, which counts them too, and between them the Server's own, of which the core knows nothing.
//
// Invariants: own rises and lies in (written, last]; the core's number of its newest order is last less all own ones.
type orderState struct {
	last    uint64   // newest order
	written uint64   // durable up to here
	own     []uint64 // the Server's own orders that are not durable yet
	shift   uint64   // how many of its own are durable
	marked  ra.Index // newest applied mark that was ordered

	// backlog holds the orders that the store had no room for, oldest first. While there is one, every further order
	// queues behind it, and the core knows that its storage is down (FSM-04), so that few can come.
	backlog []wal.Op
	// full says that it is the disk that has no room. While it is so commands are refused at once: that may take long.
	full bool
}

// next numbers an order, the core's or the Server's own.
func (n *orderState) next(own bool) uint64 {
	n.last++
	if own {
		n.own = append(n.own, n.last)
	}
	return n.last
}

// confirm takes note that the orders up to seq are durable, and returns the core's number of the newest of them; 0 if
// there is none, or no news.
func (n *orderState) confirm(seq uint64) uint64 {
	if seq <= n.written || seq > n.last {
		return 0
	}
	n.written = seq
	k := 0
	for k < len(n.own) && n.own[k] <= seq {
		k++
	}
	n.own = slices.Delete(n.own, 0, k)
	n.shift += uint64(k)
	return seq - n.shift
}

// beginOrders orders what must come before everything else: that a snapshot stands for a log that does not reach it,
// or does not hold its last entry (LOG-06).
func (s *Server) beginOrders() {
	if s.cfg.Log.NeedsReset() {
		s.orderReset(s.cfg.Log.Snapshot().Index)
	}
}

// Written says that the orders up to number seq are durable. It counts from the next Flush on.
func (s *Server) Written(seq uint64) { s.confirm(seq, false) }

// Acknowledged is Written where what Promise gave for seq was sent in the member's name. It comes before everything else
// that the member is told of since then.
func (s *Server) Acknowledged(seq uint64) { s.confirm(seq, true) }

func (s *Server) confirm(seq uint64, told bool) {
	s.begin()
	if core := s.orders.confirm(seq); core != 0 && s.stopped == nil {
		s.readClock()
		s.stepOwn(raft.Message{Kind: raft.Written, Seq: core, Done: told})
	}
}

// storeOrder puts what the core wants on disk into the node's write-ahead log.
func (s *Server) storeOrder(o *raft.Orders) {
	op := &s.scratch.op
	*op = wal.Op{Truncate: o.Truncate, Entries: o.Append, Repaired: o.Repaired}
	if o.SaveState {
		s.count(ra.CountTermsAndVotes, 1)
		op.State = &o.State
	}
	s.order(op, false)
	*op = wal.Op{}
}

// orderReset tells the write-ahead log that the snapshot at an index replaced the whole log.
func (s *Server) orderReset(index ra.Index) { s.order(&wal.Op{Reset: index}, true) }

// order numbers an order and gives it to the store. The applied index rides along now and then (LOG-07): the entries
// up to it, or the reset that stands for them, were ordered before, so that the mark is never durable without them.
func (s *Server) order(op *wal.Op, own bool) {
	n := &s.orders
	if applied := s.markable(); applied > n.marked && op.Reset == 0 {
		if idle := n.written == n.last; idle || applied-n.marked >= markStep {
			op.Applied, n.marked = applied, applied
		}
	}
	op.Seq = n.next(own)
	s.write(op)
}

// markable returns up to where the log is known to be committed and applied. A member that was restored from a checkpoint which
// is ahead of its log has applied more: what its log has below that need not be what was committed.
func (s *Server) markable() ra.Index { return min(s.status.Applied, s.core.Commit()) }

// Mark returns an order without a number that notes how far the member has applied its log, or nil if there is nothing
// to note (LOG-07). Stored after an orderly Stop it spares the next start to repeat effects.
func (s *Server) Mark() *wal.Op {
	n := &s.orders
	applied := s.markable()
	if applied <= n.marked || len(n.backlog) > 0 {
		return nil
	}
	n.marked = applied
	return &wal.Op{Applied: n.marked}
}

// Backlog returns the orders that are decided and that the store has not taken, oldest first; the one that it refused
// for good is among them. Whoever starts a member anew that failed has them stored before: the log holds their entries
// already.
func (s *Server) Backlog() []wal.Op { return s.orders.backlog }

// write gives an order to the store, or puts it at the end of the backlog.
func (s *Server) write(op *wal.Op) {
	var err error
	if len(s.orders.backlog) == 0 {
		if err = s.cfg.Store.Store(op); err == nil {
			return
		}
	}
	kept := *op
	kept.Entries = slices.Clone(op.Entries)
	if op.State != nil {
		state := *op.State
		kept.State = &state
	}
	s.orders.backlog = append(s.orders.backlog, kept)
	switch {
	case err != nil && !noRoom(err):
		s.fail(err)
	case len(s.orders.backlog) == 1:
		s.orders.full = errors.Is(err, ra.ErrDiskFull)
		s.sent = append(s.sent, raft.Message{Kind: raft.WALDown})
	}
}

// noRoom reports whether the store may take the order later.
func noRoom(err error) bool {
	return errors.Is(err, ra.ErrOverloaded) || errors.Is(err, ra.ErrDiskFull)
}

// Resume gives the store what it had no room for, because it may have some now. It counts from the next Flush on.
func (s *Server) Resume() {
	for len(s.orders.backlog) > 0 {
		err := s.cfg.Store.Store(&s.orders.backlog[0])
		if noRoom(err) {
			s.orders.full = errors.Is(err, ra.ErrDiskFull)
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
		s.orders.backlog[0] = wal.Op{}
		s.orders.backlog = s.orders.backlog[1:]
		if len(s.orders.backlog) == 0 {
			s.orders.backlog, s.orders.full = nil, false
			s.Step(&raft.Message{Kind: raft.WALUp})
		}
	}
}

// Stalled reports whether orders wait for room in the store.
func (s *Server) Stalled() bool { return len(s.orders.backlog) > 0 }
