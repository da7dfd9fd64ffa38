// Package member acts: it carries out the orders of the Raft core for one member, on its log, its network, its timer
// and its machine.
//
// A Server is a plain object. It has no goroutine, no lock and no clock of its own: whoever owns it tells it what
// happened and then flushes, one at a time. On a node that owner is an actor, in the simulator a seeded scheduler.
//
// The package makes no compatibility promise.
package member

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// Why a member stops that is not needed any more. They are no failures.
var (
	// ErrRemoved: it led, and has committed a configuration without itself (FSM-10). Its owner ends the member's
	// process, so that the others see that it leads no more.
	ErrRemoved = errors.New("member: removed from the cluster")
	// ErrDeleted: the cluster was deleted by consensus (FSM-11, FSM-12). Its owner deletes the member's data.
	ErrDeleted = fmt.Errorf("%w: it was deleted", ra.ErrUnknownCluster)
)

// Server is one running member. It must not be copied, and is not safe for concurrent use. Nodes have many of them that
// are idle, so it is kept small: what is needed within a batch only is in the Scratch, what few members have in rare.
type Server struct {
	cfg      settings
	core     *raft.Raft
	restored *raft.Restored // until the first batch; see begin
	scratch  *Scratch
	rare     *rare // nil until something of it is needed

	machine *machine.Bound
	aux     machine.AuxHandler // nil if the machine has none
	// clock is Meta.Time of the last entry applied, members is the newest configuration applied.
	clock   int64
	members []ra.Member
	// deleting is the index of the entry that deletes the cluster, once it is applied. Nothing is applied behind it.
	deleting ra.Index

	// What the batch that is being gathered brought; the memory is lent by the Scratch.
	commands []Command
	queries  []query
	// What carrying out the last orders showed; the core is told before the next ones.
	sent []raft.Message
	// later runs before the next batch is decided: what follows from work in the background that has ended.
	later []func()

	orders  orderState
	snaps   snapshots
	waiting waitlist

	status  Status
	ledTerm ra.Term
	stopped error
	damage  error // found in what the member needs: it stops at the end of the batch

	// stuck: the next entry raises the machine's version above what the code can do (VER-07).
	stuck bool
	// leading: this member leads, or waits as the leader, in ledTerm. entered is the role that the machine was told of.
	leading bool
	entered ra.Role
	// lagging: of what is committed some is left to be applied before this Flush ends.
	lagging bool
	// ticking: the core has a tick. clockRead: it was told the time in this batch.
	ticking, clockRead bool
}

// settings is what a Server keeps of its Config.
type settings struct {
	Raft           raft.Config
	ID             ra.ServerID
	Cluster        string
	Origin         ra.UID // of the cluster, see snapshot.Origin
	Factory        machine.Factory
	InitialVersion machine.Version
	Log            Log
	Store          Store
	Net            Net
	Timer          Timer
	Snapshots      *snapshot.Store
	Background     Background
	Batch          Batch
	Host           Host
	Scratch        *Scratch
	Policy         snapshot.Policy
	Observer       Observer
	Tally          *ra.Tally
	MaxAppendBytes int
	MaxHeld        int
	ChunkBytes     int
}

// Status returns what the member is now.
func (s *Server) Status() Status { return s.status }

// Core describes the member as the algorithm sees it (QRY-08, QRY-09). It allocates.
func (s *Server) Core() raft.Status { return s.core.Status() }

// Configuration returns the configuration in force. It must not be changed.
func (s *Server) Configuration() raft.Configuration { return s.core.Configuration() }

// Failed returns why the member has stopped, or nil. ErrRemoved and ErrDeleted are no failures. A panic of the machine
// is a *machine.PanicError (FAIL-02); everything else wraps ra.ErrDamaged.
func (s *Server) Failed() error { return s.stopped }

// begin opens the first batch. The core is made anew, because its scratch belongs to this member only from now on,
// while New may run anywhere.
func (s *Server) begin() {
	if s.restored == nil || s.stopped != nil {
		return
	}
	core, err := raft.New(s.cfg.Raft, *s.restored)
	s.restored = nil
	if err != nil {
		s.fail(err)
		return
	}
	s.core = core
	if s.scratch = s.cfg.Scratch; s.scratch == nil {
		s.scratch = new(Scratch)
	}
	s.beginOrders()
	s.early()
}

// early carries out what the machine asked for while the member was restored.
func (s *Server) early() {
	r := s.rare
	if r == nil || r.early == nil {
		return
	}
	fx := r.early
	r.early = nil
	if err := s.performContained(fx); err != nil {
		s.Stop(err)
	}
	fx.Reset()
}

// Step takes in a message of a peer or of this node, except Written, Change and Query, which have methods of their
// own. It counts from the next Flush on.
func (s *Server) Step(m *raft.Message) raft.Result {
	s.begin()
	if s.stopped != nil {
		return raft.Result{Refused: raft.Stopped}
	}
	if m.Kind == raft.Dismissal || m.Kind == raft.Departure {
		s.hearOfEnd(m)
		return raft.Result{}
	}
	s.readClock()
	if m.Kind == raft.ElectionTimeout {
		s.noteTimeout()
	}
	return s.core.Step(m)
}

// count counts what the member has done.
func (s *Server) count(c ra.Counter, n int) {
	if s.cfg.Tally != nil {
		s.cfg.Tally.Add(c, n)
	}
}

// stepOwn steps a message of the member's own making, which the core does not keep, without allocating it.
func (s *Server) stepOwn(m raft.Message) raft.Result {
	s.scratch.message = m
	result := s.core.Step(&s.scratch.message)
	s.scratch.message.Entries = nil
	return result
}

// Flush ends a batch: everything taken in since the last Flush is decided and carried out.
func (s *Server) Flush() {
	s.begin()
	for first := true; first || s.unfinished(); first = false {
		if s.stopped != nil {
			s.refuseAll()
			break
		}
		if s.lagging {
			s.cfg.Batch.More()
		}
		s.readClock()
		if s.tellSent(); s.stopped != nil {
			break
		}
		if first {
			s.payOwed()
		}
		s.release()
		s.proposeCommands()
		s.askQueries()
		s.carryOut(s.core.Orders())
		s.clockRead = false
	}
	if s.damage != nil && s.stopped == nil {
		s.fail(s.damage)
	}
	s.giveBack()
}

// giveBack gives memory that is not needed between batches back to the Scratch.
func (s *Server) giveBack() {
	if x := s.scratch; x != nil {
		giveBack(&s.commands, &x.commands)
		giveBack(&s.queries, &x.queries)
		giveBack(&s.sent, &x.sent)
		s.waiting.list = x.keepWaiting(s.waiting.list)
	}
}

// readClock tells the core the time, once in a batch and before anything that makes an entry (MAC-04).
func (s *Server) readClock() {
	if !s.clockRead {
		s.clockRead = true
		s.core.SetClock(s.cfg.Timer.Now())
	}
}

// unfinished reports whether carrying out the orders gave reason for more.
func (s *Server) unfinished() bool {
	return s.lagging || len(s.sent) > 0 || len(s.commands) > 0 || len(s.queries) > 0 || len(s.later) > 0 || s.mayRelease()
}

// tellSent tells the core what the last orders led to.
func (s *Server) tellSent() {
	for len(s.later) > 0 {
		done := s.later[0]
		s.later = s.later[1:]
		done()
	}
	s.later = nil
	for i := range s.sent {
		s.core.Step(&s.sent[i])
	}
	clear(s.sent)
	s.sent = s.sent[:0]
}

// background runs work elsewhere, or here if there is no elsewhere. If the member lives then, done follows at the
// beginning of one of the next Flushes.
func (s *Server) background(work, done func()) {
	then := func() { s.later = append(s.later, done) }
	if s.cfg.Background != nil {
		s.cfg.Background.Run(work, then)
		return
	}
	work()
	then()
}

// Stop ends the member's part on this node: whoever waits for it is told that the outcome is unknown.
func (s *Server) Stop(cause error) {
	if s.stopped == nil {
		s.stopped = cause
		s.stopSnapshots()
		s.leading = false
		s.endLeadership()
		if s.rare != nil {
			s.unwatch(auxOwns)
		}
	}
	s.refuseAll()
}

// fail stops the member because it must not go on: an invariant is broken or its log cannot be read.
func (s *Server) fail(err error) {
	s.Stop(fmt.Errorf("%w: %w", ra.ErrDamaged, err))
}

// problem tells the observer of something that does not stop the member.
func (s *Server) problem(err error) {
	if f := s.cfg.Observer.Problem; f != nil && err != nil {
		f(err)
	}
}
