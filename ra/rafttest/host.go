package rafttest

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// peerHost is the node as the effects of the machines reach it: it looks at what is sent, and lets nothing else happen.
type peerHost struct{ *peer }

var _ member.Host = peerHost{}

// sending is a message that the machine of a member sends for the command at an index.
type sending struct{ index ra.Index }

// Send takes a message. I16: only leaders send, in the order of the entries, each once in a leadership, and nothing that
// was known to be applied when the member started.
func (p peerHost) Send(_ ra.PID, message any) error {
	m, ok := message.(sending)
	if !ok {
		return nil
	}
	t, st := p.cluster.truth, p.server.Status()
	switch {
	case p.leading == 0 || st.Role == ra.Follower:
		t.breach("I16", "%s sends for index %d as %s", p.uid, m.index, st.Role)
	case m.index <= p.sent:
		t.breach("I16", "%s sends for index %d after %d in one leadership", p.uid, m.index, p.sent)
	case m.index <= p.known:
		t.breach("I16", "%s sends for index %d, which was applied up to %d in an earlier life", p.uid, m.index, p.known)
	case int(m.index) > len(t.committed):
		t.breach("I16", "%s sends for index %d, which is not committed", p.uid, m.index)
	}
	p.peer.sent = m.index
	p.sim.done.Effects++
	return nil
}

// The others do nothing.

func (p peerHost) Self() ra.PID                              { return ra.PID{Node: p.id().Node, Name: p.id().Name} }
func (p peerHost) Monitor(ra.PID)                            {}
func (p peerHost) Demonitor(ra.PID)                          {}
func (p peerHost) MonitorNode(ra.NodeID)                     {}
func (p peerHost) DemonitorNode(ra.NodeID)                   {}
func (p peerHost) SetTimer(string, time.Duration)            {}
func (p peerHost) CancelTimer(string)                        {}
func (p peerHost) Forward(ra.ServerID, member.Command) error { return nil }
func (p peerHost) WALFill() float64                          { return 0 }
