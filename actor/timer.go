package actor

import "time"

// Timer is a timer of one actor. The zero value is ready for use; actors embed the ones they always have, which then
// cost nothing while they are not set. Only the actor itself sets and cancels it, by Context.Arm and Context.Disarm,
// and it must not be copied.
//
// When it expires the actor is activated and finds it by Context.NextTimer. There it waits in the internal lane, which
// is bounded: a timer is in it once at most. Named timers end with their actor. An embedded one that is set then stays
// on the clock until it expires and finds nobody; an actor with long ones disarms them in Stop.
type Timer struct {
	name string
	ref  *Ref

	// Guarded by the wheel's lock. at is what points to the timer in its list; nil if it is not set.
	at          **Timer
	next        *Timer
	due         int64
	level, slot uint8

	named bool

	// Guarded by the actor's lock. queued: it is in the actor's list of fired timers. fired: nobody has cancelled or
	// set it again since.
	queued, fired bool
	nextFired     *Timer
}

// Name returns the name that it was set by with Context.SetTimer; "" for an embedded one.
func (t *Timer) Name() string { return t.name }

func (t *Timer) linkAt(head **Timer) {
	t.next = *head
	if t.next != nil {
		t.next.at = &t.next
	}
	*head = t
	t.at = head
}

func (t *Timer) unlink() {
	*t.at = t.next
	if t.next != nil {
		t.next.at = t.at
	}
	t.at, t.next = nil, nil
}

// timerList is an actor's list of timers that have fired, in that order.
type timerList struct {
	head, tail *Timer
}

func (l *timerList) push(t *Timer) {
	if l.head == nil {
		l.head = t
	} else {
		l.tail.nextFired = t
	}
	l.tail = t
}

func (l *timerList) pop() *Timer {
	t := l.head
	if t != nil {
		l.head, t.nextFired = t.nextFired, nil
	}
	return t
}

// timerFired puts t into the internal lane.
func (r *Ref) timerFired(t *Timer, ws *Wakeups) {
	r.mu.Lock()
	if r.dead {
		r.mu.Unlock()
		return
	}
	t.fired = true
	if !t.queued {
		t.queued = true
		r.fired.push(t)
	}
	r.Unlock(ws)
}

// Arm sets a timer to fire once, in d; if it was set already, only the new setting counts.
func (c *Context) Arm(t *Timer, d time.Duration) {
	w := &c.Node().wheel
	w.mu.Lock()
	defer w.mu.Unlock()
	t.ref = c.ref // the clock may just be looking at t
	c.ref.retract(t)
	w.set(t, d)
}

// Disarm cancels a timer. If it has fired and NextTimer has not returned it yet, it will not. It reports whether the
// timer was set and had not been returned.
func (c *Context) Disarm(t *Timer) bool {
	w := &c.Node().wheel
	w.mu.Lock()
	defer w.mu.Unlock()
	fired := c.ref.retract(t)
	return w.remove(t) || fired
}

// retract makes NextTimer pass over t if it has fired. It reports whether it had.
func (r *Ref) retract(t *Timer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := t.fired
	t.fired = false
	return was
}

// SetTimer sets the actor's timer of that name to fire once, in d; if it was set already, only the new setting counts
// (EFF-19).
func (c *Context) SetTimer(name string, d time.Duration) {
	x := c.ref.extras()
	t := x.timers[name]
	if t == nil {
		if x.timers == nil {
			x.timers = make(map[string]*Timer)
		}
		t = &Timer{name: name, named: true}
		x.timers[name] = t
	}
	c.Arm(t, d)
}

// CancelTimer cancels the actor's timer of that name. It reports whether it was set.
func (c *Context) CancelTimer(name string) bool {
	x := c.ref.extras()
	t := x.timers[name]
	if t == nil {
		return false
	}
	delete(x.timers, name)
	return c.Disarm(t)
}

// NextTimer returns the next timer that has fired, or nil when there is none. A named one is forgotten by that.
func (c *Context) NextTimer() *Timer {
	t := c.ref.popFired()
	if t != nil && t.named {
		delete(c.ref.extras().timers, t.name)
	}
	return t
}

func (r *Ref) popFired() *Timer {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := r.fired.pop(); t != nil; t = r.fired.pop() {
		t.queued = false
		if t.fired {
			t.fired = false
			return t
		}
	}
	return nil
}

// dropTimers cancels the named timers of an actor that has ended.
func (n *Node) dropTimers(x *extra) {
	w := &n.wheel
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range x.timers {
		w.remove(t)
	}
}
