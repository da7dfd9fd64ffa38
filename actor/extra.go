package actor

// extra is what only some actors need, so that the others pay one pointer for it.
type extra struct {
	// timers are the named timers that are set or have fired. Only the actor's worker touches them.
	timers map[string]*Timer
	// monitors are what the actor watches. Guarded by the lock of the node's monitors.
	monitors *monitor
	// watchesNodes says that the actor has called MonitorNode. Only the actor's worker touches it.
	watchesNodes bool
	// done is closed when the actor has ended. Guarded by the actor's lock.
	done chan struct{}
}

// extras returns r's extra, made on first use.
func (r *Ref) extras() *extra {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.extrasLocked()
}

func (r *Ref) extrasLocked() *extra {
	if r.extra == nil {
		r.extra = &extra{}
	}
	return r.extra
}

// closed is what Done returns for actors that have ended.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done returns a channel that is closed when the process has ended, its name is free, and all that were to be told
// have been told.
func (r *Ref) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told {
		return closed
	}
	x := r.extrasLocked()
	if x.done == nil {
		x.done = make(chan struct{})
	}
	return x.done
}

// finished closes the channel that Done has handed out.
func (r *Ref) finished() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = true
	if x := r.extra; x != nil && x.done != nil {
		close(x.done)
	}
	r.extra = nil
}
