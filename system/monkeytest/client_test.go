package monkeytest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// client uses clusters, from any node.
type client struct {
	w   *world
	rng *rand.Rand
	// late is for what still goes on when a call has returned.
	late *sync.WaitGroup
	// open counts the calls of Go that have not ended.
	open *atomic.Int64

	s *subject
	h *host
	c *system.Cluster
}

// uses are what a client does, more than once what it does often.
var uses = []func(*client){
	(*client).process, (*client).process, (*client).process, (*client).process, (*client).process,
	(*client).park, (*client).release, (*client).append, (*client).goes, (*client).goes, (*client).pipeline,
	(*client).local, (*client).leader, (*client).consistent, (*client).consistent, (*client).consistent,
	(*client).aux, (*client).look, (*client).look, (*client).watched, (*client).notified, (*client).wrong,
}

// run uses clusters until the context is over.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(c.rng.IntN(40)) * time.Millisecond)
		c.s, c.h = c.w.clusters[c.rng.IntN(len(c.w.clusters))], c.w.any(c.rng)
		if c.h == nil {
			continue
		}
		var err error
		if c.c, err = c.h.node.Cluster(c.s.name); err == nil {
			uses[c.rng.IntN(len(uses))](c)
		}
	}
}

// ctx returns the context of a call.
func (c *client) ctx() (context.Context, context.CancelFunc) {
	d := []time.Duration{0, time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second}[c.rng.IntN(5)]
	ctx, cancel := context.WithTimeout(context.Background(), d+time.Duration(c.rng.IntN(1e6)))
	if c.rng.IntN(20) == 0 {
		time.AfterFunc(time.Duration(c.rng.IntN(50))*time.Millisecond, cancel)
	}
	return ctx, cancel
}

// call makes a call with a context that is drawn.
func (c *client) call(what string, f func(context.Context) error) error {
	ctx, cancel := c.ctx()
	defer cancel()
	return c.w.call(c.s.name, fmt.Sprintf("%s %s", nodeName(c.h.i), what), ctx, f)
}

// ended notes how a command ended.
func (c *client) ended(s *subject, h *host, id uint64, v view, r ra.Result, err error, parked bool) {
	a, ok := r.Reply.(answer)
	switch {
	case err != nil && !ra.MayHaveBeenApplied(err):
		s.past.refuse(id, err)
	case err != nil || h.crashed.Load():
	case !ok:
		c.w.fail("%s: the reply to %d is %v", s.name, id, r.Reply)
	case parked:
		s.past.acknowledged(id, v, a, 0)
	default:
		s.past.acknowledged(id, v, a, r.Index)
	}
}

// say sends a command and waits for the reply.
func (c *client) say(o op, rest []byte, options ...system.ProcessOption) (ra.Result, error) {
	id := c.w.ids.Add(1)
	v := c.s.past.send(id)
	var r ra.Result
	err := c.call(fmt.Sprintf("process %c %d", o, id), func(ctx context.Context) (err error) {
		r, err = c.c.Process(ctx, command(o, id, rest...), options...)
		return err
	})
	c.ended(c.s, c.h, id, v, r, err, o == opPark)
	return r, err
}

func (c *client) process() {
	o := []op{opNote, opNote, opNote, opTimer, opCursor}[c.rng.IntN(5)]
	padding := make([]byte, c.rng.IntN(2)*c.rng.IntN(6<<10))
	switch c.rng.IntN(6) {
	case 0:
		c.say(o, padding, system.ReplyFromLocal())
	case 1:
		c.say(o, padding, system.ReplyFromMember(ra.ServerID{Name: c.s.name, Node: nodeName(c.rng.IntN(len(c.w.hosts)))}))
	default:
		c.say(o, padding)
	}
}

func (c *client) park()    { c.say(opPark, nil) }
func (c *client) release() { c.say(opRelease, nil) }

// append appends a command, and then waits until it is applied here (QRY-04).
func (c *client) append() {
	id := c.w.ids.Add(1)
	c.s.past.send(id)
	var r ra.Result
	err := c.call(fmt.Sprint("append ", id), func(ctx context.Context) (err error) {
		r, err = c.c.Append(ctx, command(opNote, id))
		return err
	})
	if err != nil && !ra.MayHaveBeenApplied(err) {
		c.s.past.refuse(id, err)
	}
	if err != nil {
		return
	}
	c.query("query after append", func(ctx context.Context) (ra.Result, error) {
		return c.c.LocalQuery(ctx, askPast{}, system.AfterApplied(r.Index, r.Term))
	})
}

// goes sends a command and does not wait. How it ended must be told once.
func (c *client) goes() {
	id, s, h := c.w.ids.Add(1), c.s, c.h
	v := s.past.send(id)
	var ends atomic.Int64
	c.open.Add(1)
	c.w.note(s.name, "%s go %d", nodeName(h.i), id)
	c.c.Go(command(opNote, id), func(r ra.Result, err error) {
		if ends.Add(1) > 1 {
			c.w.fail("%s: command %d ended twice", s.name, id)
			return
		}
		c.open.Add(-1)
		if err != nil && !known(err) {
			c.w.fail("%s: go %d: %v", s.name, id, err)
		}
		c.w.note(s.name, "go %d: %v", id, err)
		c.ended(s, h, id, v, r, err, false)
	})
}

// pipeline sends some commands by a pipeline, and looks at the order of their ends.
func (c *client) pipeline() {
	s, h := c.s, c.h
	p := c.c.NewPipeline(1 + c.rng.IntN(8))
	n := 1 + c.rng.IntN(20)
	sent := make(map[uint64]view)
	var mu sync.Mutex
	c.late.Go(func() {
		for e := range p.Events() {
			mu.Lock()
			v, ok := sent[e.Correlation]
			delete(sent, e.Correlation)
			mu.Unlock()
			if !ok {
				c.w.fail("%s: the end of %d comes without being waited for", s.name, e.Correlation)
			}
			c.ended(s, h, e.Correlation, v, e.Result, e.Err, false)
		}
	})
	for range n {
		id := c.w.ids.Add(1)
		mu.Lock()
		sent[id] = s.past.send(id)
		mu.Unlock()
		if err := c.call(fmt.Sprint("submit ", id), func(ctx context.Context) error { return p.Submit(ctx, id, command(opNote, id)) }); err != nil {
			s.past.refuse(id, err)
			mu.Lock()
			delete(sent, id)
			mu.Unlock()
			break
		}
	}
	err := c.call("close pipeline", p.Close)
	if err == nil {
		c.late.Go(func() {
			time.Sleep(time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			if len(sent) > 0 {
				c.w.fail("%s: %d commands of a closed pipeline have no end", s.name, len(sent))
			}
		})
	}
}

// query asks for the past, and returns it unless the call failed.
func (c *client) query(what string, ask func(context.Context) (ra.Result, error)) (answer, bool) {
	var r ra.Result
	err := c.call(what, func(ctx context.Context) (err error) {
		r, err = ask(ctx)
		return err
	})
	a, ok := r.Reply.(answer)
	if err != nil || c.h.crashed.Load() {
		return answer{}, false
	}
	if !ok {
		c.w.fail("%s: %s answers %v", c.s.name, what, r.Reply)
		return answer{}, false
	}
	c.s.past.seen(a)
	return a, true
}

func (c *client) local() {
	c.query("local query", func(ctx context.Context) (ra.Result, error) { return c.c.LocalQuery(ctx, askPast{}) })
}

func (c *client) leader() {
	c.query("leader query", func(ctx context.Context) (ra.Result, error) { return c.c.LeaderQuery(ctx, askPast{}) })
}

func (c *client) consistent() {
	v := c.s.past.present()
	a, ok := c.query("consistent query", func(ctx context.Context) (ra.Result, error) { return c.c.ConsistentQuery(ctx, askPast{}) })
	if ok {
		c.s.past.answered(v, a)
	}
}

// aux speaks to aux handlers.
func (c *client) aux() {
	m := c.member()
	c.call("aux", func(ctx context.Context) error { _, err := m.AuxCommand(ctx, "how many"); return err })
	c.call("consistent aux", func(ctx context.Context) error { _, err := c.c.ConsistentAux(ctx, "how many"); return err })
	c.call("cast", func(context.Context) error { return m.CastAux("hello") })
}

// member returns the handle on a member that may be.
func (c *client) member() *system.Member {
	return c.h.node.Member(ra.ServerID{Name: c.s.name, Node: nodeName(c.rng.IntN(len(c.w.hosts)))})
}

// look looks at numbers.
func (c *client) look() {
	m := c.member()
	c.call("metrics", func(ctx context.Context) error { _, err := m.Metrics(ctx); return err })
	c.call("overview", func(ctx context.Context) error { _, err := m.Overview(ctx); return err })
	c.call("wait for leader", func(ctx context.Context) error { _, err := c.c.WaitLeader(ctx); return err })
	c.query("member query", func(ctx context.Context) (ra.Result, error) { return m.LocalQuery(ctx, askPast{}) })
	c.h.node.Overview()
	c.h.node.Stats()
	c.c.Members()
	c.c.NotStarted()
}
