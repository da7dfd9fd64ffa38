package member

import (
	"errors"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// orderState is what a member knows of its orders to the write-ahead log.
type orderState struct {
	// backlog holds the orders that the store had no room for, oldest first. While there is one, every further order
	// queues behind it, and the core knows that its storage is down (FSM-04), so that few can come.
	backlog []wal.Op
}

// beginOrders orders what must come before everything else.
func (s *Server) beginOrders() {}

// Written says that the orders up to number seq are durable. It counts from the next Flush on.
func (s *Server) Written(seq uint64) { s.writtenOrder(seq) }

// writtenOrder tells the core which of its own orders are durable.
func (s *Server) writtenOrder(seq uint64) {
	s.Step(&raft.Message{Kind: raft.Written, Seq: seq})
}

// Backlog returns the orders that are decided and that the store has not taken, oldest first.
func (s *Server) Backlog() []wal.Op { return s.orders.backlog }

// Mark returns an order without a number that notes how far the member has applied its log, or nil if there is nothing
// to note (LOG-07).
func (s *Server) Mark() *wal.Op {
	if s.status.Applied == 0 {
		return nil
	}
	return &wal.Op{Applied: s.status.Applied}
}

// storeOrder puts what the core wants on disk into the node's write-ahead log.
func (s *Server) storeOrder(o *raft.Orders) {
	op := &wal.Op{Seq: o.Seq, Truncate: o.Truncate, Entries: o.Append}
	if o.SaveState {
		op.State = &o.State
	}
	s.write(op)
}

// write gives an order to the store, or puts it at the end of the backlog.
func (s *Server) write(op *wal.Op) {
	var err error
	if len(s.orders.backlog) == 0 {
		if err = s.cfg.Store.Store(op); err == nil {
			return
		}
	}
	if err != nil && !noRoom(err) {
		s.fail(err)
		return
	}
	kept := *op
	kept.Entries = slices.Clone(op.Entries)
	if op.State != nil {
		state := *op.State
		kept.State = &state
	}
	s.orders.backlog = append(s.orders.backlog, kept)
	if len(s.orders.backlog) == 1 {
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
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
		s.orders.backlog[0] = wal.Op{}
		s.orders.backlog = s.orders.backlog[1:]
		if len(s.orders.backlog) == 0 {
			s.orders.backlog = nil
			s.Step(&raft.Message{Kind: raft.WALUp})
		}
	}
}

// Stalled reports whether orders wait for room in the store.
func (s *Server) Stalled() bool { return len(s.orders.backlog) > 0 }
