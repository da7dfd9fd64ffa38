package actor

import (
	"math/bits"
	"sync"
	"time"
)

// TimerResolution is the step of the node's clock for timers: a timer never fires early, and up to one step late, plus
// what its worker needs to come round to it.
const TimerResolution = 10 * time.Millisecond

// A wheel has wheelLevels rings of 64 slots. A slot of ring l covers 64^l ticks, so that four rings reach 46 hours
// ahead; what is due later waits in the last slot and is put back in.
const (
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 4
	wheelReach  = 1<<(wheelBits*wheelLevels) - 1
	// expiring is the level of a timer that is due and waits to be handed to its actor.
	expiring = wheelLevels
	// expireAtOnce is how many due timers are handed over in one go.
	expireAtOnce = 512
)

// wheel is the node's clock for timers: a hierarchical timing wheel (Varghese and Lauck 1987), with constant cost to
// set and to cancel. It sleeps in the runtime's timer until the next slot that holds anything, so that a node without
// timers has no goroutine and no tick.
//
// Lock order: wheel.mu, then Ref.mu.
type wheel struct {
	mu     sync.Mutex
	closed bool
	start  time.Time
	alarm  *time.Timer // calls run
	// wakeAt is the tick that the alarm is set for; 0 if it is not.
	wakeAt int64
	// now is the last tick that was dealt with: every timer in the rings is due later.
	now   int64
	count int
	slots [wheelLevels][wheelSlots]*Timer
	// used has a bit for each slot that is not empty.
	used [wheelLevels]uint64
	due  *Timer

	// tick is called, under the lock, when the timer that belongs to no actor expires.
	tick func(ws *Wakeups)
}

func (w *wheel) init(tick func(*Wakeups)) {
	w.start = time.Now()
	w.tick = tick
}

// elapsed returns the current tick, rounded down.
func (w *wheel) elapsed() int64 { return int64(time.Since(w.start) / TimerResolution) }

// set arms t to fire in d, whatever it was set to before. w.mu is held.
func (w *wheel) set(t *Timer, d time.Duration) {
	w.remove(t)
	if w.closed {
		return
	}
	if w.count == 0 {
		w.now = w.elapsed()
	}
	due := time.Since(w.start) + max(d, 0)
	if due < 0 { // beyond what a Duration can hold
		due = 1<<63 - 1
	}
	// Rounded up, so that it does not fire early.
	t.due = max(int64((due-1)/TimerResolution)+1, w.now+1)
	w.insert(t)
	w.count++
	if at, _ := w.next(); w.wakeAt == 0 || at < w.wakeAt {
		w.setAlarm(at)
	}
}

// insert links t where its due tick belongs, as seen from w.now.
func (w *wheel) insert(t *Timer) {
	at := t.due
	if at-w.now > wheelReach { // waits in the farthest slot
		at = w.now + wheelReach
	}
	level := uint8(0)
	for (at-w.now)>>(wheelBits*(level+1)) != 0 {
		level++
	}
	t.level, t.slot = level, uint8(at>>(wheelBits*level))%wheelSlots
	t.linkAt(&w.slots[level][t.slot])
	w.used[level] |= 1 << t.slot
}

// remove takes t out of the wheel, if it is in.
func (w *wheel) remove(t *Timer) bool {
	if t.at == nil {
		return false
	}
	t.unlink()
	w.count--
	if t.level != expiring && w.slots[t.level][t.slot] == nil {
		w.used[t.level] &^= 1 << t.slot
	}
	return true
}

// next returns the next tick at which a slot must be looked at; ok is false if there is none.
func (w *wheel) next() (at int64, ok bool) {
	for level, used := range w.used {
		if used == 0 {
			continue
		}
		shift := wheelBits * level
		following := w.now>>shift + 1
		ahead := bits.TrailingZeros64(bits.RotateLeft64(used, -int(following%wheelSlots)))
		if t := (following + int64(ahead)) << shift; !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// turn moves the wheel to tick at, which next returned: outer slots that begin there are spread over the inner rings,
// and what is due there becomes expiring.
func (w *wheel) turn(at int64) {
	w.now = at
	for level := wheelLevels - 1; level >= 0; level-- {
		shift := wheelBits * level
		if at&(1<<shift-1) != 0 {
			continue
		}
		slot := at >> shift % wheelSlots
		list := w.slots[level][slot]
		w.slots[level][slot] = nil
		w.used[level] &^= 1 << slot
		for list != nil {
			t := list
			list = t.next
			w.moveIn(t)
		}
	}
}

// moveIn puts a timer of a slot that was emptied where it now belongs.
func (w *wheel) moveIn(t *Timer) {
	if t.due > w.now {
		w.insert(t)
		return
	}
	t.level = expiring
	t.linkAt(&w.due)
}

// run is called by the alarm. The lock is given up between portions, so that no actor waits long to set a timer.
func (w *wheel) run() {
	var ws Wakeups
	for more := true; more; {
		w.mu.Lock()
		more = w.advance(&ws)
		w.mu.Unlock()
		ws.Wake()
	}
}

// advance hands over a portion of the due timers, or turns the wheel to the next slot. It reports whether there is more
// to do now; if not it has set the alarm for the next slot.
func (w *wheel) advance(ws *Wakeups) bool {
	w.wakeAt = 0
	if w.closed {
		return false
	}
	for range expireAtOnce {
		if w.due == nil {
			break
		}
		t := w.due
		w.remove(t)
		w.expire(t, ws)
	}
	if w.due != nil {
		return true
	}
	at, ok := w.next()
	switch {
	case !ok:
		return false
	case at <= w.elapsed():
		w.turn(at)
		return true
	}
	w.setAlarm(at)
	return false
}

func (w *wheel) expire(t *Timer, ws *Wakeups) {
	if t.ref == nil {
		w.tick(ws)
		return
	}
	t.ref.timerFired(t, ws)
}

func (w *wheel) setAlarm(at int64) {
	w.wakeAt = at
	d := time.Until(w.start.Add(time.Duration(at) * TimerResolution))
	if w.alarm == nil {
		w.alarm = time.AfterFunc(d, w.run)
	} else {
		w.alarm.Reset(d)
	}
}

// armed returns the number of timers that are set.
func (w *wheel) armed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// close stops the clock for good. Timers that are set do not fire.
func (w *wheel) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.alarm != nil {
		w.alarm.Stop()
	}
}
