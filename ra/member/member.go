// Package member acts: it carries out the orders of the Raft core for one member, on its log, its network, its timer
// and its machine.
//
// A Server is a plain object. It has no goroutine, no lock and no clock of its own: whoever owns it steps what
// happened and then flushes, one at a time. On a node that owner is an actor, in the simulator a seeded scheduler.
//
// The package makes no compatibility promise.
package member

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// Log is where the member's entries can be read once they were appended, durable or not.
type Log interface {
	// Append adds entries behind the last one.
	Append(entries []ra.Entry)
	// Truncate removes the entries from an index on.
	Truncate(from ra.Index)
	// Read appends to into the entries from lo to hi, as many as fit into maxBytes of bodies but at least one. It
	// returns ErrCompacted if entry lo is not kept any more.
	Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error)
}

// Store is the node's write-ahead log as a member sees it: orders go in, in order of their Seq; Written messages come
// back when they are durable.
type Store interface {
	// Store takes an order, and keeps nothing of it. It fails with ra.ErrOverloaded or ra.ErrDiskFull when there is no
	// room for it just now; whoever owns the member calls Server.Resume when there is again. Every other error means
	// that the member must stop.
	Store(op *wal.Op) error
}

// Net carries messages to peers. Messages may be lost.
type Net interface {
	// NewMessage returns an empty message, perhaps used before; its Entries may have capacity.
	NewMessage() *raft.Message
	// Send sends a message made by NewMessage to the member m.To, and owns it from then on.
	Send(m *raft.Message)
}

// Timer is the member's one election timer and its share of the node's tick.
type Timer interface {
	// Arm sets the timer anew, to a random length of the class; it brings one raft.ElectionTimeout.
	Arm(class raft.TimerClass)
	// Cancel cancels it. An ElectionTimeout that is under way may still come.
	Cancel()
	// Tick asks for a raft.Tick every second, or for none.
	Tick(on bool)
	// Now is the wall clock in milliseconds since 1970.
	Now() int64
}

// Machine applies what was committed.
type Machine interface {
	// Apply applies one entry and returns the reply to who proposed it. Entries come in order, each once.
	Apply(e *ra.Entry) any
	// Query answers a question about the state.
	Query(question any) any
}

// Observer hears of changes of role, leader and term; nil functions are not called.
type Observer struct {
	// Changed is called when any of them changed, after the orders were carried out.
	Changed func(Status)
	// Committed is called when the commit index moves, before anything of it is applied.
	Committed func(from, to ra.Index)
}

// Status is what a member is at a moment.
type Status struct {
	Role    ra.Role
	Leader  ra.UID
	Term    ra.Term
	Commit  ra.Index
	Applied ra.Index
}

// Config is what a Server needs. All fields but Observer and the limits must be set.
type Config struct {
	Raft     raft.Config
	Restored raft.Restored
	// Applied is the index that the machine's state stands for.
	Applied ra.Index
	Log     Log
	Store   Store
	Net     Net
	Timer   Timer
	Machine Machine

	Observer Observer
	// MaxAppendBytes bounds the entries of one message; one entry always fits. 0 means 1 MiB.
	MaxAppendBytes int
	// MaxHeld bounds the commands and queries that wait for a leader to be known. 0 means 4096.
	MaxHeld int
}

// Server is one running member. It must not be copied, and is not safe for concurrent use.
type Server struct {
	cfg  Config
	core *raft.Raft

	// What the batch that is being gathered brought.
	commands []Command
	queries  []query
	// What carrying out the last orders showed; the core is told before the next ones.
	sent []raft.Message

	// held waits for a leader to be known (CMD-03).
	heldCommands []Command
	heldQueries  []query

	// backlog holds the orders that the store had no room for, oldest first. While there is one, every further order
	// queues behind it, and the core knows that its storage is down (FSM-04), so that few can come.
	backlog []wal.Op

	waiting   waitlist
	rounds    []query // in order of their number: waiting for the proof of leadership
	lastQuery uint64

	status  Status
	ticking bool
	stopped error
	entries []ra.Entry // scratch
	propose []ra.Entry // scratch

	clockRead bool // in this batch
}

// New makes a running member of what was restored. Carry on with Flush, which arms its timer.
func New(cfg Config) (*Server, error) {
	core, err := raft.New(cfg.Raft, cfg.Restored)
	if err != nil {
		return nil, err
	}
	if cfg.MaxAppendBytes <= 0 {
		cfg.MaxAppendBytes = 1 << 20
	}
	if cfg.MaxHeld <= 0 {
		cfg.MaxHeld = 4096
	}
	s := &Server{cfg: cfg, core: core}
	s.status.Applied = cfg.Applied
	return s, nil
}

// Status returns what the member is now.
func (s *Server) Status() Status { return s.status }

// ErrRemoved is why a member stops that led, and has committed a configuration without itself (FSM-10).
var ErrRemoved = errors.New("member: removed from the cluster")

// Failed returns why the member has stopped, or nil. ErrRemoved is no failure: its owner ends the member's process, so
// that the others see that it leads no more.
func (s *Server) Failed() error { return s.stopped }

// Step takes in a message of a peer or of this node. It counts from the next Flush on.
func (s *Server) Step(m *raft.Message) raft.Result {
	if s.stopped != nil {
		return raft.Result{Refused: raft.Stopped}
	}
	s.readClock()
	return s.core.Step(m)
}

// Command takes in a command. It is proposed, refused or held at the next Flush.
func (s *Server) Command(c Command) { s.commands = append(s.commands, c) }

// Query takes in a consistent query (QRY-06): question is put to the machine when it is proved that this member still
// led after the query came in, and everything committed until then is applied.
func (s *Server) Query(question any, c Caller) {
	s.queries = append(s.queries, query{question: question, caller: c})
}

// Flush ends a batch: everything taken in since the last Flush is decided and carried out.
func (s *Server) Flush() {
	for first := true; first || s.unfinished(); first = false {
		if s.stopped != nil {
			s.refuseAll()
			return
		}
		s.readClock()
		s.tellSent()
		s.release()
		s.proposeCommands()
		s.askQueries()
		s.carryOut(s.core.Orders())
		s.clockRead = false
	}
}

// readClock tells the core the time, once in a batch and before anything that makes an entry (MAC-04).
func (s *Server) readClock() {
	if !s.clockRead {
		s.clockRead = true
		s.core.SetClock(s.cfg.Timer.Now())
	}
}

// Resume gives the store what it had no room for, because it may have some now. It counts from the next Flush on.
func (s *Server) Resume() {
	for len(s.backlog) > 0 {
		err := s.cfg.Store.Store(&s.backlog[0])
		if noRoom(err) {
			return
		}
		if err != nil {
			s.fail(err)
			return
		}
		s.backlog[0] = wal.Op{}
		s.backlog = s.backlog[1:]
		if len(s.backlog) == 0 {
			s.backlog = nil
			s.Step(&raft.Message{Kind: raft.WALUp})
		}
	}
}

// Stalled reports whether orders wait for room in the store.
func (s *Server) Stalled() bool { return len(s.backlog) > 0 }

// unfinished reports whether carrying out the orders gave reason for more.
func (s *Server) unfinished() bool {
	return len(s.sent) > 0 || len(s.commands) > 0 || len(s.queries) > 0 || s.mayRelease()
}

func (s *Server) tellSent() {
	for i := range s.sent {
		s.core.Step(&s.sent[i])
	}
	clear(s.sent)
	s.sent = s.sent[:0]
}

// Stop ends the member's part on this node: whoever waits for it is told that the outcome is unknown.
func (s *Server) Stop(cause error) {
	if s.stopped == nil {
		s.stopped = cause
	}
	s.refuseAll()
}

// fail stops the member because it must not go on: an invariant is broken or its log cannot be read.
func (s *Server) fail(err error) {
	s.Stop(fmt.Errorf("%w: %w", ra.ErrDamaged, err))
}
