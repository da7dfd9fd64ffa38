package actor

import (
	"sync"
	"time"
)

// DefaultTick is the interval of ticks, unless configured otherwise. It is ra's tick_interval.
const DefaultTick = time.Second

// Ticker is an actor's subscription to the node's tick. The zero value is ready for use; actors embed it, keep it
// subscribed only while they need it, and cancel it when they stop. It must not be copied.
type Ticker struct {
	ref  *Ref
	at   **Ticker // what points to it in its worker's list; nil if it is not subscribed
	next *Ticker
}

// ticks knows the workers that have subscribers. The interval runs only while there is one.
//
// Lock order: wheel.mu, then ticks.mu, then worker.mu.
type ticks struct {
	mu      sync.Mutex
	every   time.Duration
	timer   Timer
	workers map[*worker]struct{}
}

// Subscribe lets the actor be activated at every tick of the node from now on; Context.Ticked is true then. Ticks that
// the actor did not come round to are one.
func (c *Context) Subscribe(t *Ticker) {
	if t.at != nil {
		return
	}
	w := c.worker
	t.ref = c.ref
	first := w.tickers == nil
	t.link(&w.tickers)
	if first {
		w.node.addTicking(w)
	}
}

// Unsubscribe ends it.
func (c *Context) Unsubscribe(t *Ticker) {
	if t.at != nil {
		t.unlink()
	}
	c.ref.clearTick()
}

// Ticked reports whether the node has ticked since the last batch.
func (c *Context) Ticked() bool { return c.ticked }

func (t *Ticker) link(head **Ticker) {
	t.next = *head
	if t.next != nil {
		t.next.at = &t.next
	}
	*head, t.at = t, head
}

func (t *Ticker) unlink() {
	*t.at = t.next
	if t.next != nil {
		t.next.at = t.at
	}
	t.at, t.next = nil, nil
}

func (r *Ref) clearTick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ticked = false
}

// addTicking puts w on the list of workers with subscribers, and starts the interval with the first one.
func (n *Node) addTicking(w *worker) {
	n.wheel.mu.Lock()
	defer n.wheel.mu.Unlock()
	n.ticks.mu.Lock()
	defer n.ticks.mu.Unlock()
	n.ticks.workers[w] = struct{}{}
	if n.ticks.timer.at == nil {
		n.wheel.set(&n.ticks.timer, n.ticks.every)
	}
}

// tick is called by the wheel, under its lock, when the interval is over. All subscribers of a worker are handed to it
// in one operation. A worker that did not come round to its last tick gets no second one.
func (n *Node) tick(*Wakeups) {
	n.ticks.mu.Lock()
	defer n.ticks.mu.Unlock()
	for w := range n.ticks.workers {
		if !w.tickWaits.Swap(true) {
			w.inject((*tickJob)(w))
		}
	}
	if len(n.ticks.workers) > 0 {
		n.wheel.set(&n.ticks.timer, n.ticks.every)
	}
}

// dropTicking takes w off the list when its last subscriber is gone.
func (n *Node) dropTicking(w *worker) {
	n.ticks.mu.Lock()
	defer n.ticks.mu.Unlock()
	delete(n.ticks.workers, w)
}

// ticking returns the number of workers with subscribers.
func (n *Node) ticking() int {
	n.ticks.mu.Lock()
	defer n.ticks.mu.Unlock()
	return len(n.ticks.workers)
}

// tickJob is a worker whose subscribers are to be told of a tick.
type tickJob worker

// Run tells them. It drops those that have ended without unsubscribing.
func (j *tickJob) Run(ws *Wakeups) {
	w := (*worker)(j)
	w.tickWaits.Store(false)
	for t := w.tickers; t != nil; {
		next := t.next
		t.ref.mu.Lock()
		dead := t.ref.dead
		t.ref.ticked = true
		t.ref.Unlock(ws)
		if dead {
			t.unlink()
		}
		t = next
	}
	if w.tickers == nil {
		w.node.dropTicking(w)
	}
}
