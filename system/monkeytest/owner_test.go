package monkeytest

import (
	"context"
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// owner is a process of a client.
type owner struct{}

func (owner) Receive(ctx *actor.Context) {
	for ctx.Next() != nil {
	}
}

// owner starts a process on the client's node, and stops it when f has returned and some time has passed.
func (c *client) owner(f func(ra.PID)) {
	ref, err := c.h.node.Actors().Spawn(fmt.Sprint("owner-", c.w.ids.Add(1)), func() actor.Actor { return owner{} })
	if err != nil {
		return
	}
	f(ref.PID())
	time.AfterFunc(time.Duration(c.rng.IntN(3000))*time.Millisecond, func() { ref.Stop(nil) })
}

// watched has a process watched that ends.
func (c *client) watched() {
	c.owner(func(pid ra.PID) {
		b, err := machine.AppendCaller(nil, machine.Caller{PID: pid})
		if err != nil {
			c.w.fail("%v", err)
		}
		c.say(opWatch, b)
	})
}

// notified sends a command of which a process is to hear.
func (c *client) notified() {
	c.owner(func(pid ra.PID) {
		id := c.w.ids.Add(1)
		c.s.past.send(id)
		c.call(fmt.Sprint("notify ", id), func(context.Context) error {
			return c.c.PipelineCommand(command(opNote, id), machine.Caller{PID: pid, Correlation: id})
		})
	})
}

// wrong makes calls that must be refused.
func (c *client) wrong() {
	refused := func(what string, f func(context.Context) error) {
		if c.call(what, f) == nil {
			c.w.fail("%s: %s succeeds", c.s.name, what)
		}
	}
	refused("too large a command", func(ctx context.Context) error { _, err := c.c.Process(ctx, make([]byte, 9<<10)); return err })
	refused("a reply from nowhere", func(ctx context.Context) error {
		_, err := c.c.Process(ctx, command(opNote, 0), system.ReplyFromMember(ra.ServerID{Name: "/"}))
		return err
	})
	refused("a member on no node", func(ctx context.Context) error {
		return c.c.AddMember(ctx, ra.ServerID{Name: c.s.name, Node: "n99"}, ra.Voter)
	})
	refused("no member", func(ctx context.Context) error { return c.c.RemoveMember(ctx, ra.ServerID{Name: "nobody", Node: "n1"}) })
	refused("a senseless question", func(ctx context.Context) error { _, err := c.c.LocalQuery(ctx, 7); return err })
	refused("no machine", func(ctx context.Context) error {
		_, err := c.h.node.StartCluster(ctx, system.ClusterConfig{Name: "other", Machine: "none"})
		return err
	})
	refused("no cluster", func(context.Context) error { _, err := c.h.node.Cluster("nowhere"); return err })
}
