package member

import (
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Overview describes a member for people (QRY-09).
type Overview struct {
	ID      ra.ServerID
	Cluster string
	Status  Status
	Core    raft.Status
	// MachineVersion is in force, LocalVersion is the highest that the code can do.
	MachineVersion, LocalVersion machine.Version
	// Machine is what the machine says of itself, Aux what its aux handler does, nil if nothing (MAC-11).
	Machine, Aux map[string]any
	// LogBytes is the length of the log above the snapshot.
	LogBytes int64
	// Waiting counts the commands that are in the log and not applied, Held, with queries, those that wait for a leader to
	// be known, Queries those that wait for leadership to be proved or for their condition.
	Waiting, Held, Queries int
	// Monitors counts the processes and nodes that machine and aux handler watch, Timers the machine's, Unsent the
	// commands whose senders could not be notified yet.
	Monitors, Timers, Unsent int
	// Stalled: orders wait for room in the write-ahead log. Stuck: the machine's code is too old for the log (VER-07).
	Stalled, Stuck bool
}

// Durable returns the last index that the core knows to be durable here; see raft.Raft.Durable.
func (s *Server) Durable() ra.Index { return s.core.Durable() }

// Stuck reports whether the machine's code is too old for the log (VER-07).
func (s *Server) Stuck() bool { return s.stuck }

// AppliedTime returns when the last applied entry was made, in milliseconds since 1970 by its leader's clock.
func (s *Server) AppliedTime() int64 { return s.clock }

// Overview describes the member. If its machine or aux handler panics in it, the error is that, and the rest is there.
func (s *Server) Overview() (Overview, error) {
	o := Overview{
		ID: s.cfg.ID, Cluster: s.cfg.Cluster, Status: s.status, Core: s.core.Status(),
		MachineVersion: s.machine.Version(), LocalVersion: s.machine.Local(), LogBytes: s.cfg.Log.Bytes(),
		Waiting: s.waiting.len(),
		Stalled: s.Stalled(), Stuck: s.stuck,
	}
	err := s.askMachine(&o)
	if r := s.rare; r != nil {
		o.Held, o.Queries = s.held(), len(r.rounds)+len(r.waiting)
		o.Monitors = len(r.watch.processes) + len(r.watch.nodes)
		o.Timers, o.Unsent = len(r.timers), r.unsentCommands
	}
	return o, err
}

// askMachine adds what machine and aux handler say of themselves.
func (s *Server) askMachine(o *Overview) (err error) {
	defer recoverPanic(&err)
	o.Machine = s.machine.Overview()
	if aux, ok := s.aux.(machine.Overviewer); ok {
		o.Aux = aux.Overview()
	}
	return nil
}

// DefersReplies reports whether the machine answers some commands later (MAC-05): then those that are waited for must
// carry their callers. It may change with the machine's version.
func (s *Server) DefersReplies() bool { return s.machine.DefersReplies() }
