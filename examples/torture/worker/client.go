package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// client sends commands to one cluster. No command is sent twice, whatever becomes of it: so each is there once if it
// was acknowledged, not at all if it was refused, and at most once otherwise.
type client struct {
	s      *slot
	node   *system.Node
	id     uint32
	random *rand.Rand
	// seq is the last command that was announced, acked the last that was acknowledged.
	seq, acked uint32
}

// mostAtOnce bounds the commands of a client that are on their way.
const mostAtOnce = 32

func newClient(s *slot, seed uint64) *client {
	c := &client{s: s, id: s.w.clients.number(), random: rand.New(rand.NewPCG(seed, 0))}
	c.node = s.w.nodes[c.random.IntN(len(s.w.nodes))]
	return c
}

// cluster returns the handle on the cluster, of a node that need not have a member.
func (c *client) cluster() (*system.Cluster, error) {
	if h, err := c.node.Cluster(c.s.Name); err == nil {
		return h, nil
	}
	return c.s.handle()
}

// announce says that the next n commands may be sent from now on, and returns the number of the first.
func (c *client) announce(n int) uint32 {
	first := c.seq + 1
	c.seq += uint32(n)
	c.s.tell(journal.Event{Kind: journal.Sent, Client: c.id, Seq: c.seq})
	return first
}

// encode returns the bytes of a command.
func (c *client) encode(seq uint32) []byte {
	return journal.Command{Nonce: c.s.Nonce, Client: c.id, Seq: seq}.Encode()
}

// note tells what became of a command, and reports whether it was acknowledged.
func (c *client) note(seq uint32, r ra.Result, err error) bool {
	e := journal.Event{Client: c.id, Seq: seq}
	switch {
	case err == nil:
		e.Kind, e.Index, e.Term = journal.Acked, r.Index, r.Term
		c.acked = max(c.acked, seq)
	case ra.MayHaveBeenApplied(err):
		e.Kind = journal.Unknown
	default:
		e.Kind, e.Reason = journal.Refused, journal.Why(err)
	}
	c.s.tell(e)
	return err == nil
}

// stream sends n commands through a pipeline, some at a time.
func (c *client) stream(ctx context.Context, n int) {
	h, err := c.cluster()
	if err != nil {
		c.s.w.problem("%s: %v", c.s.Name, err)
		return
	}
	p := h.NewPipeline(mostAtOnce)
	defer func() { _ = p.Close(context.Background()) }() // all ends were received
	for n > 0 && ctx.Err() == nil {
		burst := min(1+c.random.IntN(mostAtOnce), n)
		if !c.burst(p, burst) {
			wait(ctx, pause)
		}
		c.check(h)
		n -= burst
	}
}

// burst sends n commands and hears what became of all of them, however long that takes: until there is space on a disk again that is
// full. It reports whether all were acknowledged.
func (c *client) burst(p *system.Pipeline, n int) bool {
	first := c.announce(n)
	for i := range uint32(n) {
		if err := p.Submit(context.Background(), uint64(first+i), c.encode(first+i)); err != nil {
			c.s.w.problem("%s: submit: %v", c.s.Name, err)
			return false
		}
	}
	good := true
	patience := time.NewTicker(callTime)
	defer patience.Stop()
	for n > 0 {
		select {
		case e := <-p.Events():
			n--
			good = c.note(uint32(e.Correlation), e.Result, e.Err) && good
		case <-patience.C:
			c.s.tell(journal.Event{Kind: journal.Waits})
		}
	}
	return good
}

// call sends n commands, each after the one before.
func (c *client) call(ctx context.Context, n int) {
	h, err := c.cluster()
	if err != nil {
		c.s.w.problem("%s: %v", c.s.Name, err)
		return
	}
	for range n {
		if ctx.Err() != nil {
			return
		}
		seq := c.announce(1)
		bounded, cancel := context.WithTimeout(context.Background(), callTime)
		r, err := h.Process(bounded, c.encode(seq))
		cancel()
		if !c.note(seq, r, err) {
			wait(ctx, pause)
		}
	}
}

// check now and then asks the cluster for what it knows of this client, which must be at least what was acknowledged.
func (c *client) check(h *system.Cluster) {
	if c.random.IntN(8) > 0 {
		return
	}
	bounded, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	acked := c.acked
	seen, err := system.Ask[uint32](bounded, h.ConsistentQuery, newest(c.id))
	switch {
	case err != nil:
	case seen < acked:
		c.s.w.problem("%s: a consistent query saw command %d of client %d, acknowledged was %d", c.s.Name, seen, c.id, acked)
	default:
		c.s.tell(journal.Event{Kind: journal.Queried})
	}
}
