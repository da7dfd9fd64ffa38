package actor

import "github.com/heliopolis-raft/heliopolis/ra"

// Send puts a message into the client lane of a process anywhere, once, and never waits (EFF-05). The error says why
// it is known to be lost: ra.ErrNoProcess, ra.ErrOverloaded or ra.ErrNodeDown; such messages are counted. nil promises
// nothing: a message to another node may be lost on its way.
func (n *Node) Send(pid ra.PID, msg any) error {
	if pid.Node != n.cfg.Name {
		return n.post(pid.Node, sendFrame{pid, msg})
	}
	if r := n.find(pid); r != nil {
		return r.Send(msg)
	}
	if f := n.foreigners.find(pid); f != nil {
		n.system.Root.Send(f.to, msg)
		return nil
	}
	n.counts.deadLetters.Add(1)
	return ra.ErrNoProcess
}

// Send is Node.Send.
func (c *Context) Send(pid ra.PID, msg any) error { return c.Node().Send(pid, msg) }
