package actor

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// chunk is how many ready actors a worker runs before it ends the round. Measured best between 64 and 256: shorter
// rounds wake the log and the peers too often, longer ones keep them waiting.
const chunk = 128

// wokenRoom is how many woken workers wait for a goroutine without whoever woke them waiting, too.
const wokenRoom = 64

// Round is what the actors of one worker share while they run: outboxes by node, a flag that the log has work.
type Round interface {
	// End flushes it all. It is called on the worker's goroutine after each chunk of actors, before any of them runs
	// again, and must not block. It may return an actor with an own worker that is to run now. That one is woken like
	// any other if there is more to do here; else it runs on this very goroutine, which saves waking another one.
	//
	// What may wait for a moment, if last is not set, may stay, which End reports. The next round comes at once if there is
	// more to do. Else all other goroutines run once, since they may bring something, and if they do not End is called with
	// last set. That nothing stays for more than a few rounds is for End to see to.
	End(last bool) (next *Ref, kept bool)
}

// Job is work for a worker that is not an actor: it posts to many actors and adds those that became ready to w. So a
// list of any length is handed to a worker in one operation.
type Job interface {
	// Run is called once for each Inject, on the worker's goroutine, at the start of a round.
	Run(w *Wakeups)
}

// worker is a list of actors that are ready to run, one after the other. It is played by a goroutine, as a role: one that
// has nothing to do is parked, and its goroutine waits for any other one of the node to be woken, or plays next at once.
// There are as many goroutines as workers, so that each can be played at any time, whatever the others block in.
type worker struct {
	node  *Node
	index int // -1 for an actor's own worker
	round Round
	yield bool // call Gosched once after waking from idleness
	ctx   Context
	// heir is set for an actor's own worker, which ends with the actor: it then runs what protoactor still wants of
	// the dead actor, to answer a late watch for instance.
	heir *worker

	// Only the goroutine that plays the worker touches these.
	local readyList // taken from ready, run chunk by chunk
	again readyList // ran, and has more to do
	spare []Job
	wake  Wakeups
	// next is a worker that was woken and that the same goroutine is going to play when there is nothing to do here.
	next *worker
	// kept says that some of the round's output has not left.
	kept bool
	// turn is the actors of this round, of whom the first done have run, and the next one perhaps just does.
	turn []*Ref
	done int
	// tickers are the actors here that want to know of ticks; tickWaits says that a tick was injected and did not run.
	tickers   *Ticker
	tickWaits atomic.Bool

	mu     sync.Mutex
	ready  readyList
	jobs   []Job
	parked bool // nobody plays it; whoever clears it sees to it that somebody does
	closed bool
}

func newWorker(n *Node, index int) *worker {
	w := &worker{node: n, index: index}
	w.ctx.worker = w
	return w
}

// start adds the worker to those of its node, and a goroutine.
func (w *worker) start() {
	w.node.running.Add(1)
	go w.run(false)
}

// run plays w, and then whoever is woken, until the end of one: so there are always as many goroutines as workers, also if
// an actor ends the one that it runs on, by runtime.Goexit. Then another one goes on in the middle of the round.
func (w *worker) run(resume bool) {
	n := w.node
	defer func() {
		if w != nil {
			go w.run(true)
			return
		}
		n.running.Done()
	}()
	if resume {
		w.resume()
	}
	for w != nil {
		w = w.play()
	}
}

// resume finishes a round whose goroutine has ended.
func (w *worker) resume() {
	if w.done < len(w.turn) {
		w.settled(w.turn[w.done].settle(&w.ctx))
	}
	w.runJobs()
	w.runTurn()
}

// play does all that is to do on w, and returns the worker to be played next, nil if w has ended.
func (w *worker) play() *worker {
	for {
		w.mu.Lock()
		if w.idle() && w.kept {
			w.mu.Unlock()
			w.lastChance()
			w.mu.Lock()
		}
		if w.idle() {
			return w.leave()
		}
		w.spare, w.jobs = w.jobs, w.spare[:0]
		w.takeReady()
		w.mu.Unlock()
		if w.next != nil {
			w.node.woken <- w.next
			w.next = nil
		}
		w.runJobs()
		w.runChunk()
	}
}

// leave parks w, so that any goroutine may play it next, and waits for the next one to be played. It returns nil if w is
// closed, which ends it. It is called with w.mu held, which it releases.
func (w *worker) leave() (next *worker) {
	n, ended := w.node, w.closed
	next, w.next = w.next, nil
	w.parked = !ended
	w.mu.Unlock()
	if ended {
		if next != nil {
			n.woken <- next
		}
		return nil
	}
	if next != nil {
		return next
	}
	if next = <-n.woken; next.yield {
		runtime.Gosched()
	}
	return next
}

// lastChance lets others bring work, whose output what was kept can leave with. If there is none it leaves now.
func (w *worker) lastChance() {
	runtime.Gosched()
	w.mu.Lock()
	idle := w.idle()
	w.mu.Unlock()
	if idle {
		w.endRound(true)
	}
}

func (w *worker) idle() bool {
	return w.local.empty() && w.ready.empty() && len(w.jobs) == 0
}

// takeReady refills the local list when it is used up. w.mu is held.
func (w *worker) takeReady() {
	if w.local.empty() {
		w.local, w.ready = w.ready, w.local
	}
}

func (w *worker) runJobs() {
	if len(w.spare) == 0 {
		return
	}
	for i, j := range w.spare {
		if j != nil { // else it ran, and another one ended the goroutine
			w.spare[i] = nil
			j.Run(&w.wake)
		}
	}
	w.wake.Wake()
	w.mu.Lock()
	w.takeReady()
	w.mu.Unlock()
}

// runChunk is one round. Actors that have more to do are put back only when the round has ended: nobody runs again
// before the outputs of its last batch are on their way.
func (w *worker) runChunk() {
	w.turn, w.done = w.local.take(chunk), 0
	if len(w.turn) >= crowd {
		warmFirst(w.turn)
	}
	w.runTurn()
}

// runTurn is what is left of the round.
func (w *worker) runTurn() {
	refs := w.turn
	crowded := len(refs) >= crowd
	for w.done < len(refs) {
		if crowded {
			warmAhead(refs, w.done)
		}
		w.settled(refs[w.done].step(&w.ctx))
	}
	w.turn = nil
	if w.local.empty() {
		w.local.reset()
	}
	if w.round != nil {
		w.endRound(false)
	}
	if !w.again.empty() {
		w.join(&w.again)
	}
}

// settled takes note that the next actor of the round has run, and whether it has more to do.
func (w *worker) settled(again bool) {
	if again {
		w.again.push(w.turn[w.done])
	}
	w.done++
}

func (w *worker) endRound(last bool) {
	next, kept := w.round.End(last)
	w.kept = kept && !last
	w.follow(next)
}

// follow makes r ready. If nobody plays its worker, w's goroutine is going to, unless it has more to do before.
func (w *worker) follow(r *Ref) {
	if r == nil || !r.claimed() {
		return
	}
	t := r.worker.lockTaker()
	t.ready.push(r)
	if !t.parked {
		t.mu.Unlock()
		return
	}
	t.parked = false
	t.mu.Unlock()
	w.next = t
}

// join puts a list of actors at the end of the ready list and wakes the worker if it sleeps.
func (w *worker) join(l *readyList) {
	w = w.lockTaker()
	w.ready.join(l)
	w.unlockAndSignal()
}

// add is join for one actor.
func (w *worker) add(r *Ref) {
	w = w.lockTaker()
	w.ready.push(r)
	w.unlockAndSignal()
}

// lockTaker locks and returns who takes ready actors: the worker, or its heir when it has ended.
func (w *worker) lockTaker() *worker {
	w.mu.Lock()
	if w.closed && w.heir != nil {
		w.mu.Unlock()
		return w.heir.lockTaker()
	}
	return w
}

func (w *worker) inject(j Job) {
	w.mu.Lock()
	w.jobs = append(w.jobs, j)
	w.unlockAndSignal()
}

// close lets the worker end when it has nothing left to do.
func (w *worker) close() {
	w.mu.Lock()
	w.closed = true
	w.unlockAndSignal()
}

// unlockAndSignal releases w.mu, which the caller holds, and has w played if nobody does. That does not block for long:
// there is a goroutine for each worker, so that as many as have been woken are waiting, or about to.
func (w *worker) unlockAndSignal() {
	parked := w.parked
	w.parked = false
	w.mu.Unlock()
	if parked {
		w.node.woken <- w
	}
}

// Inject hands a job to a worker, which runs it at the start of its next round. Jobs are few: whoever injects one waits
// until it ran before injecting it again. The worker is one of the node's, from 0 to Workers()-1. A closed node never
// runs the job.
func (n *Node) Inject(worker int, j Job) { n.workers[worker].inject(j) }

// readyList is a list of actors, in order, whose first done were taken out. An actor is on at most one list, the one
// whose holder has the right to schedule it. It is no linked list, since who runs soon is looked at ahead (see warmAhead).
type readyList struct {
	refs []*Ref
	done int
}

func (l *readyList) empty() bool { return l.done == len(l.refs) }

func (l *readyList) push(r *Ref) { l.refs = append(l.refs, r) }

// take takes out the next actors, up to n of them. What it returns is valid until the list is reset or pushed to.
func (l *readyList) take(n int) []*Ref {
	rest := l.refs[l.done:]
	rest = rest[:min(n, len(rest))]
	l.done += len(rest)
	return rest
}

// reset empties the list, and keeps its memory.
func (l *readyList) reset() {
	clear(l.refs)
	l.refs, l.done = l.refs[:0], 0
}

// join moves all of o to the end of l.
func (l *readyList) join(o *readyList) {
	l.refs = append(l.refs, o.refs[o.done:]...)
	o.reset()
}

// Wakeups collects actors that became ready, so that they are handed to their workers in one operation. The zero value
// is empty and ready for use; Wake empties it again, and keeps its memory. It belongs to one goroutine. An actor in it
// does not run before Wake is called.
type Wakeups struct {
	lists []workerList // the first used of them; the others have memory only
	used  int
}

type workerList struct {
	worker *worker
	list   readyList
}

func (ws *Wakeups) add(r *Ref) { ws.of(r.worker).push(r) }

// of returns the list for a worker. Those who collect do so for few workers.
func (ws *Wakeups) of(w *worker) *readyList {
	for i := range ws.lists[:ws.used] {
		if l := &ws.lists[i]; l.worker == w {
			return &l.list
		}
	}
	if ws.used == len(ws.lists) {
		ws.lists = append(ws.lists, workerList{})
	}
	l := &ws.lists[ws.used]
	l.worker = w
	ws.used++
	return &l.list
}

// Wake lets all the actors run: one operation and at most one signal for each worker.
func (ws *Wakeups) Wake() {
	for i := range ws.lists[:ws.used] {
		l := &ws.lists[i]
		l.worker.join(&l.list)
		l.worker = nil // it may end
	}
	ws.used = 0
}
