package member

import (
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Command takes in a command. It is proposed, refused, held or passed on to the leader at the next Flush.
func (s *Server) Command(c Command) { s.commands = append(s.commands, c) }

// Change asks for a change of one member of the configuration (MEM-01 to MEM-04). The caller hears when the change is
// committed and applied here, or why it was refused.
func (s *Server) Change(op raft.ChangeOp, m ra.Member, c Caller) {
	result := s.Step(&raft.Message{Kind: raft.Change, Op: op, Members: []ra.Member{m}})
	if result.Refused != raft.Accepted {
		done(c, Result{Leader: s.core.Leader(), Err: s.refusal(result.Refused)})
		return
	}
	if c != nil {
		s.waiting.add(result.Index, s.core.Term(), c)
	}
}

// AuxCall gives a command to the aux handler, at once and whatever the role (QRY-13). A handler that answers later does
// so to from. It fails with machine.ErrNoAux if the machine has none.
func (s *Server) AuxCall(command any, from machine.Caller, c Caller) {
	done(c, Result{Err: machine.ErrNoAux})
}

// AuxCast gives a command to the aux handler, at once; nobody waits.
func (s *Server) AuxCast(command any) {}

// ConsistentAux is AuxCall once it is proved that this member leads (QRY-07).
func (s *Server) ConsistentAux(command any, from machine.Caller, c Caller) {
	done(c, Result{Err: machine.ErrNoAux})
}

// Down says that a process ended that Host.Monitor was called for. What follows from it comes with the next Flush.
func (s *Server) Down(d machine.Down) {}

// NodeEvent says how a node is that Host.MonitorNode was called for. What follows from it comes with the next Flush.
// The peers on that node are another matter: see raft.NodeDown and raft.NodeUp.
func (s *Server) NodeEvent(e machine.NodeEvent) {}

// Timeout says that the machine's timer of that name ran out, which Host.SetTimer started.
func (s *Server) Timeout(name string) {}

// MachineTick is to be called about once a second while WantsTick.
func (s *Server) MachineTick() {}

// WantsTick reports whether the member has something to do each second, beside what raft.Tick is for.
func (s *Server) WantsTick() bool { return false }
