package actor

import (
	"strings"
	"sync"

	pa "github.com/asynkron/protoactor-go/actor"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// foreigner is an actor that a user runs directly on protoactor, so that only protoactor knows when it ends.
type foreigner struct {
	to  *pa.PID
	pid ra.PID
}

// foreigners are the foreign actors that have an identity of ours. One actor of the node watches them all.
type foreigners struct {
	mu      sync.Mutex
	byKey   map[string]*foreigner // address/id
	byPID   map[ra.PID]*foreigner
	watcher *pa.PID // spawned for the first one
}

func (t *foreigners) init() {
	t.byKey = make(map[string]*foreigner)
	t.byPID = make(map[ra.PID]*foreigner)
}

func (t *foreigners) find(pid ra.PID) *foreigner {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byPID[pid]
}

// close ends the watcher.
func (t *foreigners) close(s *pa.ActorSystem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watcher != nil {
		s.Root.Stop(t.watcher)
	}
}

// Wrap gives an actor that runs directly on protoactor an identity of ours: it can be sent to and monitored like any
// process. A process of ours that is named by its protoactor PID gets the identity it has. A foreign actor gets its
// identity when it is first wrapped and is watched from then on; when it has ended and its name is used again, Wrap
// returns another one. A protoactor future gets none, since to watch it would complete it; see Context.Respond.
func (n *Node) Wrap(to *pa.PID) ra.PID {
	if strings.HasPrefix(to.Id, "future$") {
		return ra.PID{}
	}
	if to.Address == n.system.Address() {
		if r := n.names.get(to.Id); r != nil {
			return r.PID()
		}
	}
	t := &n.foreigners
	t.mu.Lock()
	defer t.mu.Unlock()
	key := to.Address + "/" + to.Id
	if f := t.byKey[key]; f != nil {
		return f.pid
	}
	f := &foreigner{to: to, pid: ra.PID{
		Node: n.cfg.Name, Name: to.Id, Incarnation: n.incarnation, Spawn: n.spawns.Add(1),
	}}
	t.byKey[key], t.byPID[f.pid] = f, f
	if t.watcher == nil {
		t.watcher = n.system.Root.Spawn(pa.PropsFromProducer(func() pa.Actor { return (*overseer)(n) }))
	}
	n.system.Root.Send(t.watcher, f)
	return f.pid
}

// overseer is the protoactor actor that watches the foreign ones.
type overseer Node

// Receive watches the foreigners sent to it, and reports their end. Protoactor answers a watch of an actor that has
// ended, too. The end is told by a Down at the end of the lane, so it stays behind what the actor had sent before.
func (o *overseer) Receive(ctx pa.Context) {
	n := (*Node)(o)
	switch msg := ctx.Message().(type) {
	case *foreigner:
		ctx.Watch(msg.to)
	case *pa.Terminated:
		n.foreignEnded(msg)
	}
}

func (n *Node) foreignEnded(msg *pa.Terminated) {
	t := &n.foreigners
	key := msg.Who.Address + "/" + msg.Who.Id
	t.mu.Lock()
	f := t.byKey[key]
	if f == nil {
		t.mu.Unlock()
		return
	}
	delete(t.byKey, key)
	delete(t.byPID, f.pid)
	t.mu.Unlock()
	n.ended(f.pid, foreignReason(msg.Why))
}

// foreignReason says in our words why a foreign actor has ended. Protoactor does not tell a crash from a normal end.
func foreignReason(why pa.TerminatedReason) error {
	switch why {
	case pa.TerminatedReason_NotFound:
		return ra.ErrNoProcess
	case pa.TerminatedReason_AddressTerminated:
		return ra.ErrNodeDown
	}
	return nil
}

// Sender returns who sent the message that Next returned last, if a foreign protoactor actor did and gave itself as
// the sender, and no future; else no process.
func (c *Context) Sender() ra.PID {
	if c.sender == nil {
		return ra.PID{}
	}
	return c.Node().Wrap(c.sender)
}

// Respond answers the message that Next returned last, if a foreign protoactor actor, or a future, asked for it. It
// reports whether there was somebody to answer.
func (c *Context) Respond(msg any) bool {
	if c.sender == nil {
		return false
	}
	c.Node().system.Root.Send(c.sender, msg)
	return true
}
