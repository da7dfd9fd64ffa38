package actor

import (
	"fmt"
	"math"
	"runtime/debug"
	"sync"

	pa "github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// SpawnOption changes how one actor is spawned.
type SpawnOption func(*spawnConfig)

type spawnConfig struct {
	clientLane int
	worker     int
	own, yield bool
	child      *child // of a supervisor
}

// WithClientLane bounds the client messages that wait for this actor. It is at least 1.
func WithClientLane(messages int) SpawnOption {
	return func(c *spawnConfig) { c.clientLane = messages }
}

// OnWorker pins the actor to a worker of the node, modulo their number. Without it actors take turns.
func OnWorker(worker int) SpawnOption {
	return func(c *spawnConfig) { c.worker = worker }
}

// WithOwnWorker gives the actor a worker of its own, so that it may block, in a file sync for instance, and keeps nobody
// waiting. If yield is set a goroutine that was woken for it lets all others run once before it takes a batch: the batch
// gets larger and, with few processors, the whole faster.
func WithOwnWorker(yield bool) SpawnOption {
	return func(c *spawnConfig) { c.own, c.yield = true, yield }
}

// Spawn starts a process under a name, which ra.CheckName must allow. It fails with ra.ErrNameTaken if a process of
// that name lives, and with ra.ErrClosed if the node was closed; the factory is not run then. A factory that panics or
// returns nil fails the spawn.
func (n *Node) Spawn(name string, f Factory, opts ...SpawnOption) (*Ref, error) {
	r, err := n.register(name, opts)
	if err != nil {
		return nil, fmt.Errorf("actor: spawn %q: %w", name, err)
	}
	err = r.build(f)
	if err != nil {
		r.child = nil // its supervisor learns of it by the error
		r.Stop(err)
	}
	r.begin()
	if err != nil {
		return nil, fmt.Errorf("actor: spawn %q: %w", name, err)
	}
	return r, nil
}

// register makes a process without behaviour: its name is taken, and it does not run yet.
func (n *Node) register(name string, opts []SpawnOption) (*Ref, error) {
	if err := ra.CheckName(name); err != nil {
		return nil, err
	}
	r := n.newRef(name, opts)
	if err := n.names.take(r); err != nil {
		return nil, err
	}
	if err := n.spawn.register(n, r); err != nil {
		n.names.free(r)
		n.names.leave()
		return nil, ra.ErrNameTaken // by a foreign protoactor actor
	}
	if r.worker.heir != nil {
		r.worker.start()
	}
	return r, nil
}

func (n *Node) newRef(name string, opts []SpawnOption) *Ref {
	spawn := n.spawns.Add(1)
	cfg := spawnConfig{clientLane: n.cfg.ClientLane, worker: int(spawn % uint64(len(n.workers)))}
	for _, o := range opts {
		o(&cfg)
	}
	bound := int32(min(max(cfg.clientLane, 1), math.MaxInt32))
	r := &Ref{name: name, spawn: spawn, bound: bound, batch: minBatch, child: cfg.child}
	if cfg.own {
		r.worker = newWorker(n, -1)
		r.worker.yield, r.worker.heir = cfg.yield, n.workers[0]
	} else {
		r.worker = n.workers[uint(cfg.worker)%uint(len(n.workers))]
	}
	return r
}

// build runs the factory.
func (r *Ref) build(f Factory) error {
	r.actor = vacant{}
	var a Actor
	if err := contained(func() { a = f() }); err != nil {
		return err
	}
	if a == nil {
		return fmt.Errorf("actor: factory made no actor")
	}
	r.actor = a
	r.inbox, _ = a.(Inbox)
	r.warmer, _ = a.(Warmer)
	return nil
}

// contained calls f on a goroutine of its own, which is all that ends with it if it calls runtime.Goexit, and returns when that
// has ended. A panic, and Goexit, is a *PanicError.
func contained(f func()) (err error) {
	done := make(chan struct{})
	go func() {
		calm := false
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			} else if !calm {
				err = &PanicError{Value: errGoexit, Stack: debug.Stack()}
			}
		}()
		f()
		calm = true
	}()
	<-done
	return err
}

// vacant is the behaviour of a process whose factory failed, for the short time until it ends.
type vacant struct{}

func (vacant) Receive(ctx *Context) {
	for ctx.Next() != nil {
	}
}

// spawner registers processes in protoactor's registry. Protoactor wants a Props value for each, which says how to
// make actor and mailbox. With one Props a process that would be a third of an idle actor's memory, so all share one,
// whose producers hand out the process that is just being spawned, one at a time.
type spawner struct {
	mu      sync.Mutex
	current *Ref
}

func (s *spawner) props() *pa.Props {
	return pa.PropsFromProducer(
		func() pa.Actor { return (*shell)(s.current) },
		pa.WithMailbox(func() pa.Mailbox { return (*mailbox)(s.current) }),
	)
}

func (s *spawner) register(n *Node, r *Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = r
	_, err := n.root.SpawnNamed(n.props, r.name)
	s.current = nil
	return err
}

// shell is a Ref as protoactor's context sees it: its actor.Actor.
type shell Ref

// Receive passes on what protoactor brings: our batches, the actor's life cycle, and messages that come alone.
func (s *shell) Receive(ctx pa.Context) {
	r := (*Ref)(s)
	switch msg := ctx.Message().(type) {
	case *Context:
		r.actor.Receive(msg)
	case *pa.Started:
		r.start()
	case *pa.Stopping:
		r.stop()
	case *pa.Stopped:
		r.finish()
	default:
		r.actor.Receive(&r.worker.ctx)
	}
}

// start calls the actor's Start.
func (r *Ref) start() {
	r.begun = true
	s, ok := r.actor.(Starter)
	if !ok {
		return
	}
	if err := s.Start(&r.worker.ctx); err != nil {
		r.Stop(err)
	}
}

// stop calls the actor's Stop, unless the node was closed before the actor began. A panic in it must not keep
// protoactor from ending the actor, so it is caught here.
func (r *Ref) stop() {
	s, ok := r.actor.(Stopper)
	if !ok || !r.begun {
		return
	}
	r.fail(nil) // a stop by foreign hands gave no reason
	if err := contained(func() { s.Stop(&r.worker.ctx, r.reason) }); err != nil {
		r.worker.node.log.Error("actor panicked in Stop", zap.String("name", r.name), zap.Error(err))
	}
}

// finish ends the process for good: nothing gets in any more, and what waited is refused.
func (r *Ref) finish() {
	n := r.worker.node
	r.mu.Lock()
	r.dead, r.ending = true, true
	rest := r.client
	r.client, r.waiting = lane{}, 0
	x := r.extra
	r.mu.Unlock()
	if x != nil {
		n.dropTimers(x)
		n.forget(x)
		if x.watchesNodes {
			n.peers.forget(r)
		}
	}
	n.names.free(r)
	n.refuse(rest, gone(r.name, r.reason))
	n.ended(r.PID(), r.reason)
	if r.child != nil {
		r.child.exited(r.reason)
	}
	r.finished()
	n.names.leave()
	if r.worker.heir != nil {
		n.dropTicking(r.worker)
		r.worker.close()
	}
}

// refuse tells the senders of messages that nobody will handle, or counts the messages as dead letters.
func (n *Node) refuse(l lane, err error) {
	for l.head != nil {
		m := l.pop()
		if p, ok := m.(*parcel); ok {
			n.refuseOne(p.value, err)
		} else {
			n.refuseOne(m, err)
		}
	}
}

// refuseOne refuses one message. A panic in foreign code must not keep the others waiting, nor the process from ending.
func (n *Node) refuseOne(msg any, err error) {
	f, ok := msg.(Refuser)
	if !ok {
		n.counts.deadLetters.Add(1)
		return
	}
	if failed := contained(func() { f.Refuse(err) }); failed != nil {
		n.log.Error("message panicked in Refuse", zap.Error(failed))
	}
}
