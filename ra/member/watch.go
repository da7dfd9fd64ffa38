package member

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// owners is a set of machine.Owner.
type owners uint8

func setOf(o machine.Owner) owners { return 1 << o }

const (
	machineOwns = owners(1 << machine.ForMachine)
	auxOwns     = owners(1 << machine.ForAux)
)

// watchlist is the processes and nodes that machine and aux handler monitor. There is one real monitor for each,
// however many of the two ask (EFF-50), and it goes with the last.
type watchlist struct {
	processes map[ra.PID]owners
	nodes     map[ra.NodeID]watchedNode
}

// watchedNode is a monitored node: for whom, and how it was when it was last heard of.
type watchedNode struct {
	owners owners
	known  bool
	up     bool
}

// monitor starts to watch a process.
func (s *Server) monitor(pid ra.PID, o machine.Owner) {
	w := &s.needRare().watch
	if w.processes == nil {
		w.processes = map[ra.PID]owners{}
	}
	before := w.processes[pid]
	w.processes[pid] = before | setOf(o)
	if before == 0 {
		s.cfg.Host.Monitor(pid)
	}
}

// demonitor ends the monitors of some owners of a process (QRK-09).
func (s *Server) demonitor(pid ra.PID, o owners) {
	if s.rare == nil {
		return
	}
	w := &s.rare.watch
	before := w.processes[pid]
	switch left := before &^ o; {
	case left == before:
	case left != 0:
		w.processes[pid] = left
	default:
		delete(w.processes, pid)
		s.cfg.Host.Demonitor(pid)
	}
}

// monitorNode starts to watch a node. An owner that comes second is told at once how the node is (EFF-51).
func (s *Server) monitorNode(node ra.NodeID, o machine.Owner) {
	w := &s.needRare().watch
	if w.nodes == nil {
		w.nodes = map[ra.NodeID]watchedNode{}
	}
	n := w.nodes[node]
	before := n.owners
	n.owners |= setOf(o)
	w.nodes[node] = n
	switch {
	case before == 0:
		s.cfg.Host.MonitorNode(node)
	case n.owners != before && n.known:
		s.nodeIs(machine.NodeEvent{Node: node, Up: n.up}, setOf(o))
	}
}

// demonitorNode ends the monitors of some owners of a node.
func (s *Server) demonitorNode(node ra.NodeID, o owners) {
	if s.rare == nil {
		return
	}
	w := &s.rare.watch
	n, watched := w.nodes[node]
	switch before := n.owners; {
	case !watched:
	case before&^o == 0:
		delete(w.nodes, node)
		s.cfg.Host.DemonitorNode(node)
	default:
		n.owners &^= o
		w.nodes[node] = n
	}
}

// unwatch ends all monitors of some owners. The order of a map decides nothing here: each monitor ends by itself.
func (s *Server) unwatch(o owners) {
	for pid := range s.rare.watch.processes {
		s.demonitor(pid, o)
	}
	for node := range s.rare.watch.nodes {
		s.demonitorNode(node, o)
	}
}

// Down says that a process ended that Host.Monitor was called for: its monitor is spent. What follows from it comes
// with the next Flush.
func (s *Server) Down(d machine.Down) {
	s.begin()
	if s.stopped != nil || s.rare == nil {
		return
	}
	w := &s.rare.watch
	watching := w.processes[d.PID]
	delete(w.processes, d.PID)
	s.dropUnsent(d.PID)
	if watching&machineOwns != 0 && s.leading {
		payload, err := machine.AppendDown(nil, d)
		s.proposeOwn(ra.KindDown, payload, err)
	}
	if watching&auxOwns != 0 {
		s.auxEvent(machine.AuxEvent{Kind: machine.AuxDown, Down: d})
	}
}

// NodeEvent says how a node is that Host.MonitorNode was called for. What follows from it comes with the next Flush.
// The peers on that node are another matter: see raft.NodeDown and raft.NodeUp.
func (s *Server) NodeEvent(e machine.NodeEvent) {
	s.begin()
	if s.stopped != nil || s.rare == nil {
		return
	}
	n, watched := s.rare.watch.nodes[e.Node]
	if !watched || n.known && n.up == e.Up {
		return
	}
	n.known, n.up = true, e.Up
	s.rare.watch.nodes[e.Node] = n
	s.nodeIs(e, n.owners)
}

// nodeIs tells owners how a node is.
func (s *Server) nodeIs(e machine.NodeEvent, to owners) {
	if to&machineOwns != 0 && s.leading {
		payload, err := machine.AppendNode(nil, e)
		s.proposeOwn(ra.KindNode, payload, err)
	}
	if to&auxOwns != 0 {
		s.auxEvent(machine.AuxEvent{Kind: machine.AuxNode, Node: e})
	}
}

// setTimer sets a timer of the machine. Only a leader has any (QRK-06).
func (s *Server) setTimer(name string, d time.Duration) {
	if !s.leading {
		return
	}
	r := s.needRare()
	if r.timers == nil {
		r.timers = map[string]struct{}{}
	}
	r.timers[name] = struct{}{}
	s.cfg.Host.SetTimer(name, d)
}

// cancelTimer stops a timer of the machine.
func (s *Server) cancelTimer(name string) {
	if s.rare == nil {
		return
	}
	if _, set := s.rare.timers[name]; set {
		delete(s.rare.timers, name)
		s.cfg.Host.CancelTimer(name)
	}
}

// Timeout says that the machine's timer of that name ran out, which Host.SetTimer started. It counts only in the
// leadership that set the timer (EFF-40, QRK-06).
func (s *Server) Timeout(name string) {
	s.begin()
	if s.stopped != nil || s.rare == nil || !s.leading {
		return
	}
	if _, set := s.rare.timers[name]; !set {
		return
	}
	delete(s.rare.timers, name)
	payload, err := machine.AppendTimeout(nil, name)
	s.proposeOwn(ra.KindTimeout, payload, err)
}

// endLeadership drops what only a leader has: the machine's monitors (EFF-52) and timers (QRK-06), and what it still
// owed to the log and to the senders of commands (EVT-01).
func (s *Server) endLeadership() {
	r := s.rare
	if r == nil {
		return
	}
	s.unwatch(machineOwns)
	for name := range r.timers {
		s.cfg.Host.CancelTimer(name)
	}
	r.timers, r.owed, r.unsent, r.unsentCommands = nil, nil, nil, 0
}

// dropUnsent forgets what a process that is down was to be told (EVT-01).
func (s *Server) dropUnsent(pid ra.PID) {
	if n := s.pendingFor(pid); n != nil {
		s.rare.unsentCommands -= len(n.commands)
		n.commands = nil
		last := len(s.rare.unsent) - 1
		*n = s.rare.unsent[last]
		s.rare.unsent[last] = note{}
		s.rare.unsent = s.rare.unsent[:last]
	}
}
