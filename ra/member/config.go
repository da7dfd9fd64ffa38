package member

import (
	"iter"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// Position names an entry of a log by index and term.
type Position = raftlog.Position

// Log is where the member's entries can be read once they were appended, durable or not. The entries up to the
// snapshot may be gone.
type Log interface {
	// Append adds entries behind the last one.
	Append(entries []ra.Entry) error
	// Truncate removes the entries from an index on.
	Truncate(from ra.Index)
	// Read appends to into the entries from lo to hi, as many as fit into maxBytes of bodies but at least one. It
	// returns ErrCompacted if entry lo is not kept any more.
	Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error)
	// Term returns the term of an entry that is kept, or of the base.
	Term(i ra.Index) (ra.Term, bool)
	// Base is the position below the first entry that is kept, Last the last index, Snapshot that of the snapshot which
	// stands for what is gone; it is at Base or above.
	Base() (ra.Index, ra.Term)
	Last() ra.Index
	Snapshot() Position
	// NeedsReset reports whether the write-ahead log must be told that a snapshot replaced the whole log, before
	// anything else is ordered.
	NeedsReset() bool
	// Runs yields first index and term of each stretch of entries of one term, above Base, in order.
	Runs() iter.Seq2[ra.Index, ra.Term]
	// Release says that a durable snapshot of this member covers the entries up to an index: they may go.
	Release(upTo ra.Index)
	// Install says that a received snapshot is in force. The entries above it stay if keep.
	Install(p Position, keep bool)
	// Overtaken says at the beginning of a life that a snapshot is in place of which the log was not told. The entries above it
	// stay if the log has its last entry; otherwise nothing stays, and NeedsReset.
	Overtaken(p Position)
	// Bytes is the length of the entries above the snapshot, FirstSegment the lowest index in segments or 0.
	Bytes() int64
	FirstSegment() ra.Index
}

// Store is the node's write-ahead log as a member sees it: orders go in, in order of their Seq, which counts from 1 in
// the life of a Server; Server.Written is called when they are durable.
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

// Batch is what the member's owner does in a batch, so that others need not wait for the end of a long one. Its methods are
// called during Flush.
type Batch interface {
	// Leave lets what was sent and stored so far go its way now: what comes next may take long, and neither the peers nor
	// the disk need wait for it.
	Leave()
	// More takes in what clients have asked for since the batch began, as before a Flush: by Command, Query and the other
	// methods for clients, Down and NodeEvent; no messages of peers. A leader calls it between the pieces in which it
	// applies what is committed.
	More()
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

// Background runs work away from the member's goroutine, and then done on it, before one of the next Flushes. After
// the member has stopped, done need not be called. Work of one member may run at the same time as other work of it.
type Background interface{ Run(work, done func()) }

// Host is the node as the effects of machines reach it. Its methods are called while orders are carried out: they must
// not block, nor call the Server.
type Host interface {
	// Self is the member's own process.
	Self() ra.PID
	// Send sends a message to a process, or fails at once. A PID with Spawn 0 stands for whoever has the name; Node ""
	// is this node.
	Send(to ra.PID, message any) error
	// Monitor brings one Server.Down when the process ends, at once if it has ended. There is at most one real monitor
	// for a pid: Monitor is not called again before Down or Demonitor.
	Monitor(pid ra.PID)
	Demonitor(pid ra.PID)
	// MonitorNode brings Server.NodeEvent, at once with how it is and then at every change.
	MonitorNode(node ra.NodeID)
	DemonitorNode(node ra.NodeID)
	// SetTimer starts the machine's timer of that name, or starts it anew; it brings one Server.Timeout. After SetTimer
	// and CancelTimer no Timeout comes any more that an earlier SetTimer of the name would have brought.
	SetTimer(name string, d time.Duration)
	CancelTimer(name string)
	// Forward passes a command for which nobody waits on to the member that leads (CMD-08, EFF-15). It may be lost.
	Forward(to ra.ServerID, c Command) error
	// WALFill is how much of the node's write-ahead log file is used, from 0 to 1.
	WALFill() float64
}

// Observer hears what a member becomes, on the member's goroutine; nil functions are not called.
type Observer struct {
	// Changed is called when role, leader or term changed, after the orders were carried out.
	Changed func(Status)
	// Committed is called when the commit index moves, before anything of it is applied.
	Committed func(from, to ra.Index)
	// Deleted is called once when the cluster was deleted by consensus and this member is not needed any more (FSM-11,
	// FSM-12): its data may go. Server.Failed is ErrDeleted then. When they are gone, durably, the node answers every
	// raft.Dismissal of the member with a raft.Departure, and should send one to Server.DismissedBy by itself.
	Deleted func()
	// Problem is called with what somebody should know and what does not stop the member, such as an effect that nobody
	// could carry out.
	Problem func(error)
}

// Status is what a member is at a moment.
type Status struct {
	Role    ra.Role
	Leader  ra.UID
	Term    ra.Term
	Commit  ra.Index
	Applied ra.Index
}

// Config is what a Server needs. Raft.Self, ID, Factory, Initial, Log, Store, Net and Timer must be set.
type Config struct {
	// Raft has Self, Limits and Scratch. MachineVersion is filled in by New.
	Raft raft.Config
	// ID is this member's address, Cluster the name of its cluster.
	ID      ra.ServerID
	Cluster string
	// Factory makes the machine. InitialVersion is the version that the first commands are applied with (VER-10).
	Factory        machine.Factory
	InitialVersion machine.Version
	// Initial is the configuration as long as log and snapshots say nothing else: that with which the cluster began, the same
	// for all members, whenever they come.
	Initial []ra.Member
	// State is term and vote as recovered. Applied is known to be committed (LOG-07); up to there the log is replayed
	// without effects (EFF-03).
	State   ra.HardState
	Applied ra.Index
	// Suspect: the log has lost entries that the member may have acknowledged. It runs, and answers local queries from
	// what is left, but takes part in nothing until it is repaired. Epoch is the number of the last order that the
	// write-ahead log has of it. See raft.Restored.
	Suspect bool
	Epoch   uint64

	Log   Log
	Store Store
	Net   Net
	Timer Timer
	// Snapshots is where the node's snapshots are; nil: the member never takes or receives any.
	Snapshots *snapshot.Store
	// Background runs what takes long; nil: it is run at once, on the member's
	// goroutine.
	Background Background
	// Batch is told of what takes long; nil: nobody is, and everything that is committed is applied at once.
	Batch Batch
	// Host carries out effects; nil: those that need it are dropped.
	Host Host
	// Scratch may be shared by members whose batches never overlap, like Raft.Scratch; nil: this member has its own.
	Scratch *Scratch
	Policy  snapshot.Policy

	Observer Observer
	// Tally is where the member counts what it does; nil: nobody wants to know. It outlives the Server.
	Tally *ra.Tally
	// MaxAppendBytes bounds the entries of one message; one entry always fits. 0 means 1 MiB.
	MaxAppendBytes int
	// MaxHeld bounds the commands and queries that wait for a leader to be known, and the queries that wait for their
	// condition. 0 means 4096.
	MaxHeld int
	// ChunkBytes is the length of the pieces in which a snapshot is sent. 0 means 1 MiB.
	ChunkBytes int
}

// settings returns what a Server keeps, with what was left open filled in.
func (c *Config) settings() settings {
	s := settings{
		Raft: c.Raft, ID: c.ID, Cluster: c.Cluster, Origin: snapshot.Origin(c.Initial), Factory: c.Factory, InitialVersion: c.InitialVersion,
		Log: c.Log, Store: c.Store, Net: c.Net, Timer: c.Timer, Snapshots: c.Snapshots, Background: c.Background,
		Host: c.Host, Scratch: c.Scratch, Policy: c.Policy, Observer: c.Observer,
		Tally: c.Tally, Batch: c.Batch, MaxAppendBytes: orElse(c.MaxAppendBytes, 1<<20), MaxHeld: orElse(c.MaxHeld, 4096), ChunkBytes: orElse(c.ChunkBytes, 1<<20),
	}
	if s.Host == nil {
		s.Host = nowhere{}
	}
	return s
}

// orElse returns n, or a default if that is not positive.
func orElse(n, otherwise int) int {
	if n <= 0 {
		return otherwise
	}
	return n
}

// nowhere is the Host of a member that has none.
type nowhere struct{}

func (nowhere) Self() ra.PID                       { return ra.PID{} }
func (nowhere) Send(ra.PID, any) error             { return ra.ErrNoProcess }
func (nowhere) Monitor(ra.PID)                     {}
func (nowhere) Demonitor(ra.PID)                   {}
func (nowhere) MonitorNode(ra.NodeID)              {}
func (nowhere) DemonitorNode(ra.NodeID)            {}
func (nowhere) SetTimer(string, time.Duration)     {}
func (nowhere) CancelTimer(string)                 {}
func (nowhere) Forward(ra.ServerID, Command) error { return ra.ErrNoProcess }
func (nowhere) WALFill() float64                   { return 0 }
