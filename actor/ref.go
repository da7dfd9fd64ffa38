package actor

import (
	"sync"

	pa "github.com/asynkron/protoactor-go/actor"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Ref is the handle of one life of one process. It stays valid after the process has ended, and then refers to nobody;
// a successor of the same name has another Ref. All methods may be called from any goroutine.
type Ref struct {
	// Never changed once it has started.
	name    string
	spawn   uint64
	worker  *worker
	actor   Actor
	inbox   Inbox // actor, if it is one
	invoker pa.MessageInvoker
	warmer  Warmer // actor, if it is one
	child   *child // what its supervisor knows of it, or nil
	bound   int32  // of the client lane

	// Only its worker touches these. batch is how many client messages it gets at once; begun says that Start was
	// called. soon is the client message that is being warmed, the first of soonLeft that wait; nil if none is.
	batch    uint16
	begun    bool
	soonLeft int32
	soon     Message

	mu sync.Mutex
	// scheduled: somebody holds the right to run it: it is on a ready list, in a Wakeups, or running.
	scheduled bool
	started   bool // may run; before that everything is only queued
	suspended bool // protoactor wants only system messages handled
	dead      bool // takes no more messages
	waiting   int32
	sys       []any
	client    lane
	fired     timerList
	ticked    bool
	reason    error // why it is ending; the first one counts
	ending    bool  // reason is set
	told      bool  // it has ended and everybody knows
	extra     *extra
}

// PID returns the identity of the process, as a value that can be stored and sent.
func (r *Ref) PID() ra.PID {
	n := r.worker.node
	return ra.PID{Node: n.cfg.Name, Name: r.name, Incarnation: n.incarnation, Spawn: r.spawn}
}

// String returns the PID as text.
func (r *Ref) String() string { return r.PID().String() }

// Name returns the name under which the process is or was registered.
func (r *Ref) Name() string { return r.name }

// Worker returns the number of the worker that the actor is pinned to, for Node.Inject; -1 if it has its own.
func (r *Ref) Worker() int { return r.worker.index }

// Protoactor returns the process's address in protoactor, for users' own protoactor actors. Keep it: it remembers
// where it leads.
func (r *Ref) Protoactor() *pa.PID { return r.worker.node.system.NewLocalPID(r.name) }

// Alive reports whether the process has not ended yet.
func (r *Ref) Alive() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.dead
}

// Send puts a message at the end of the client lane. It fails with ra.ErrOverloaded when the lane is full and with
// ra.ErrNoProcess when the process has ended. A nil error means that the message was queued, not that it will be
// handled; see Refuser. A Message is queued without allocating.
func (r *Ref) Send(msg any) error {
	m, ok := msg.(Message)
	if !ok {
		m = &parcel{value: msg}
	}
	return r.send(m)
}

func (r *Ref) send(m Message) error {
	r.mu.Lock()
	if r.dead {
		err := gone(r.name, r.reason)
		r.mu.Unlock()
		return err
	}
	if r.waiting >= r.bound {
		r.mu.Unlock()
		r.worker.node.counts.overloads.Add(1)
		return ra.ErrOverloaded
	}
	r.enqueue(m)
	return nil
}

// enqueue puts m into the client lane whatever the bound, and releases r.mu, which the caller holds.
func (r *Ref) enqueue(m Message) {
	r.waiting++
	r.client.push(m)
	r.Unlock(nil)
}

// Lock lends the mailbox's lock to somebody who posts into the actor's Inbox. Hold it for a few instructions only, and
// call nothing of this package but Unlock or Release meanwhile.
func (r *Ref) Lock() { r.mu.Lock() }

// TryLock is Lock if nobody has the lock, else it reports false.
func (r *Ref) TryLock() bool { return r.mu.TryLock() }

// Unlock ends a post: if the actor was idle it is now ready, and is added to ws, or put on its worker's ready list at
// once if ws is nil. Posts to a process that has ended are forgotten.
func (r *Ref) Unlock(ws *Wakeups) {
	ready := r.claim()
	r.mu.Unlock()
	if !ready {
		return
	}
	if ws != nil {
		ws.add(r)
		return
	}
	r.worker.add(r)
}

// Release unlocks without making the actor ready, for one who posts much and wakes once.
func (r *Ref) Release() { r.mu.Unlock() }

// Wake makes the actor ready, as if something had been posted; it gets a batch only if something waits.
func (r *Ref) Wake(ws *Wakeups) {
	r.mu.Lock()
	r.Unlock(ws)
}

// claimed is claim for one who does not hold the lock.
func (r *Ref) claimed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.claim()
}

// claim takes the right to schedule the actor, if it may run and nobody has it. r.mu is held.
func (r *Ref) claim() bool {
	if r.scheduled || !r.started || (r.suspended || r.dead) && len(r.sys) == 0 {
		return false
	}
	r.scheduled = true
	return true
}

// Stop ends the process: it finishes the batch it is in, its Stop callback runs, and what waits in its client lane is
// refused. nil is a normal end. Stop returns at once; the first reason counts.
func (r *Ref) Stop(reason error) {
	r.fail(reason)
	(*mailbox)(r).PostSystemMessage(&pa.Stop{})
}

// fail notes why the process is ending.
func (r *Ref) fail(reason error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ending {
		r.ending, r.reason = true, reason
	}
}
