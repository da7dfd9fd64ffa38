package actor

import "github.com/heliopolis-raft/heliopolis/ra/warm"

// Warmer is an Actor that knows what of its memory a batch will need, see package warm. It is worth while for actors of
// which there are thousands.
type Warmer interface {
	// Warm loads what is step pointers away from the actor. When many actors are ready it is called before a batch with
	// the steps from 0 to 5, in this order and with batches of others in between; only after Start, on the worker's
	// goroutine and without the mailbox's lock. It must be quick and change nothing that matters.
	Warm(step int)
}

const (
	// warmSteps is how often an actor that is about to run is warmed, the Ref itself included, and warmGap how many others
	// run between two steps, so that the loads of one have arrived when the next follows their pointers.
	warmSteps = 7
	warmGap   = 1
	// crowd is how many actors must be ready before they are warmed. The memory of fewer stays in the cache anyway.
	crowd = 16
	// How much is loaded of a client message, and of what protoactor has of an actor.
	warmMessage = 128
	warmInvoker = 128
)

// warmFirst warms the first of some actors that are about to run.
func warmFirst(refs []*Ref) {
	for i := -warmGap * warmSteps; i < 0; i++ {
		warmAhead(refs, i)
	}
}

// warmAhead is called before actor i runs, and warms those behind it, each by one step.
func warmAhead(refs []*Ref, i int) {
	for step := range warmSteps {
		if k := i + warmGap*(warmSteps-step); k >= 0 && k < len(refs) {
			refs[k].warm(step)
		}
	}
}

// warm loads what is step pointers away from the Ref.
func (r *Ref) warm(step int) {
	if step == 0 {
		warm.Value(r)
		return
	}
	r.warmClients(step)
	if step == 1 {
		warm.Pointee(r.invoker, warmInvoker)
	}
	if r.warmer != nil && r.begun {
		r.warmer.Warm(step - 1)
	}
}

// warmClients loads one of the client messages that wait, in each step the next.
func (r *Ref) warmClients(step int) {
	switch {
	case step == 1:
		r.soon = nil
		if r.mu.TryLock() {
			r.soon, r.soonLeft = r.client.head, r.waiting
			r.mu.Unlock()
		}
	case r.soon == nil:
	case r.soonLeft > 1: // its link will not change any more
		r.soon = r.soon.link().next
		r.soonLeft--
	default:
		r.soon = nil
	}
	if r.soon != nil {
		warm.Pointee(r.soon, warmMessage)
	}
}

// Warm loads what a post to the process needs, for who posts to many.
func (r *Ref) Warm() { warm.Value(&r.mu) }
