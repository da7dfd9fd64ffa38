package actor

import (
	"errors"
	"runtime/debug"

	pa "github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
)

// How many client messages one batch holds: minBatch, doubled whenever a full batch left some over, up to maxBatch. What a
// batch brings leaves at its end: log and peers would have nothing to do during a longer one.
const (
	minBatch = 64
	maxBatch = 256
)

// mailbox is a Ref as protoactor sees it: its actor.Mailbox. What comes in here comes from protoactor itself or from
// foreign protoactor actors; our own posts take the methods of Ref.
type mailbox Ref

var _ pa.Mailbox = (*mailbox)(nil)

// PostUserMessage takes a message of a foreign protoactor actor into the client lane; a full lane makes it a dead
// letter, since the sender cannot be told.
func (b *mailbox) PostUserMessage(msg any) {
	r := (*Ref)(b)
	if r.send(unwrap(msg)) != nil {
		r.worker.node.system.DeadLetter.SendUserMessage(r.Protoactor(), msg)
	}
}

// unwrap makes a protoactor message, perhaps in an envelope, one of ours.
func unwrap(msg any) Message {
	_, value, sender := pa.UnwrapEnvelope(msg)
	switch value.(type) {
	case *pa.PoisonPill, pa.AutoRespond:
		return &parcel{value: value, sender: sender, raw: msg}
	}
	if m, ok := value.(Message); ok && sender == nil {
		return m
	}
	return &parcel{value: value, sender: sender}
}

// PostSystemMessage queues a message that overtakes all others. Protoactor sends few of them: started, stop, watch.
func (b *mailbox) PostSystemMessage(msg any) {
	r := (*Ref)(b)
	r.mu.Lock()
	r.sys = append(r.sys, msg)
	r.Unlock(nil)
}

// RegisterHandlers remembers whom to call. The dispatcher is not used: workers run the mailbox.
func (b *mailbox) RegisterHandlers(invoker pa.MessageInvoker, _ pa.Dispatcher) { b.invoker = invoker }

// Start does nothing: Spawn starts the mailbox itself, once the factory has run. Until then posts are only queued.
// Protoactor registers the name before it registers the handlers, so a sender may come in between.
func (b *mailbox) Start() {}

// UserMessageCount returns how many client messages wait.
func (b *mailbox) UserMessageCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.waiting)
}

// begin lets a newly spawned actor run.
func (r *Ref) begin() {
	r.mu.Lock()
	r.started = true
	r.Unlock(nil)
}

// step runs the actor once: all its system messages, then one batch. It reports whether the actor has more to do;
// the caller then still holds the right to schedule it.
func (r *Ref) step(c *Context) (again bool) {
	c.ref, r.soon = r, nil
	r.mu.Lock()
	for len(r.sys) > 0 {
		c.sys, r.sys = r.sys, nil
		r.mu.Unlock()
		for len(c.sys) > 0 {
			msg := c.sys[0]
			c.sys = c.sys[1:]
			r.handleSystem(msg)
		}
		r.mu.Lock()
	}
	work := r.takeBatch(c)
	r.mu.Unlock()
	if work {
		r.runBatch(c)
	}
	return r.settle(c)
}

// settle is the end of step, also of one whose goroutine the actor has ended.
func (r *Ref) settle(c *Context) (again bool) {
	r.mu.Lock()
	if len(c.sys) > 0 {
		r.sys = append(c.sys, r.sys...)
	}
	r.finishBatch(c)
	again = r.busy()
	r.scheduled = again
	r.mu.Unlock()
	return again
}

// open reports whether the actor may be given batches. r.mu is held.
func (r *Ref) open() bool { return !r.suspended && !r.dead }

// busy reports whether anything waits that may be handled. r.mu is held.
func (r *Ref) busy() bool {
	if len(r.sys) > 0 {
		return true
	}
	return r.open() && (r.client.head != nil || r.fired.head != nil || r.ticked || r.inbox != nil && !r.inbox.Empty())
}

// takeBatch moves what waits into c and the actor's own side. It reports whether there was anything. r.mu is held.
func (r *Ref) takeBatch(c *Context) bool {
	if !r.open() {
		return false
	}
	c.ticked, r.ticked = r.ticked, false
	work := c.ticked || r.fired.head != nil
	if r.inbox != nil && !r.inbox.Empty() {
		r.inbox.Take()
		work = true
	}
	if r.client.head != nil {
		c.lane, r.client = r.client, lane{}
		c.left = int(r.batch)
		work = true
	}
	return work
}

// finishBatch puts back what was left over and sets the size of the next batch. r.mu is held.
func (r *Ref) finishBatch(c *Context) {
	r.waiting -= int32(c.taken)
	switch {
	case c.lane.head == nil:
		r.batch = minBatch
	case c.left == 0:
		r.batch = min(2*r.batch, maxBatch)
	}
	r.client.putBack(c.lane)
	c.reset()
}

// runBatch hands the batch to the actor, through protoactor. Messages that protoactor treats in its own way go alone.
func (r *Ref) runBatch(c *Context) {
	if p, ok := c.lane.head.(*parcel); ok && p.raw != nil {
		c.special, c.left = true, 1
		r.invoke(p.raw)
		if c.left == 1 { // nobody took it
			c.Next()
		}
		return
	}
	r.invoke(c)
}

// invoke calls the actor through protoactor. A panic ends the actor, nobody else.
func (r *Ref) invoke(msg any) {
	calm := false
	defer r.recover(msg, &calm)
	r.invoker.InvokeUserMessage(msg)
	calm = true
}

// handleSystem handles what protoactor wants of the mailbox or the actor.
func (r *Ref) handleSystem(msg any) {
	calm := false
	defer r.recover(msg, &calm)
	switch msg.(type) {
	case *pa.SuspendMailbox:
		r.suspend(true)
	case *pa.ResumeMailbox:
		r.suspend(false)
	default:
		r.invoker.InvokeSystemMessage(msg)
	}
	calm = true
}

func (r *Ref) suspend(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.suspended = on
}

// errGoexit is what an actor is taken to have panicked with that has ended the goroutine it ran on.
var errGoexit = errors.New("runtime.Goexit was called")

// recover is deferred around every call of the actor, which is calm if it has returned. Protoactor's guardian answers a
// failure by stopping the actor; to start a new one is the business of our Supervisor.
func (r *Ref) recover(msg any, calm *bool) {
	if *calm {
		return
	}
	v := recover()
	if v == nil {
		v = errGoexit // nothing stops that: see worker.run
	}
	err := &PanicError{Value: v, Stack: debug.Stack()}
	r.fail(err)
	n := r.worker.node
	n.counts.crashes.Add(1)
	n.log.Error("actor panicked", zap.String("name", r.name), zap.Error(err), zap.ByteString("stack", err.Stack))
	r.invoker.EscalateFailure(v, msg)
}
