package system

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// hosting is what a Node has beside its storage: its members' processes, and the calls to them.
type hosting struct {
	// quit is closed when the members begin to stop because the node is closed.
	quit     chan struct{}
	quitOnce sync.Once

	rounds     []*round // by worker
	supervisor *actor.Supervisor
	callers    *actor.Ref
	board      board
	pending    pending
	calls      callPool
	// links are the ways to the nodes that were up once: ra.NodeID to *actor.Link.
	links sync.Map
	// sweeping: the process callers ticks.
	sweeping atomic.Bool
	counts   counts
	// ends says why members do not run that should: of those that were given up.
	ends   sync.Map // ra.UID to error
	goings goings
	// locks are held while a member is started, stopped or deleted; it has the one of its slot.
	locks [64]turn
	// chores counts goroutines that outlive the call that began them; Close waits for them. choreLock keeps new ones from
	// beginning then.
	chores    sync.WaitGroup
	choreLock sync.Mutex
	quitting  bool
}

// counts counts what is worth knowing and has no other place.
type counts struct {
	// foreign counts messages to members that members do not understand; problems what Observer.Problem told.
	foreign, problems atomic.Int64
}

// The names of the node's own processes.
const (
	supervisorName = reserved + "members"
	callersName    = reserved + "callers"
)

// newRound makes what the members of one worker share during a round.
func (n *Node) newRound(worker int) actor.Round {
	r := newRound(n)
	for len(n.rounds) <= worker {
		n.rounds = append(n.rounds, nil)
	}
	n.rounds[worker] = r
	return r
}

// openHosting prepares for members, and only then lets other nodes see this one: what they send to it would be lost before.
// The actors run, no member does.
func (n *Node) openHosting() (err error) {
	n.quit = make(chan struct{})
	n.pending.begin(n.actors.Incarnation())
	n.board.init(n.defers)
	n.callers, err = n.actors.Spawn(callersName, func() actor.Actor { return &callers{node: n} },
		actor.WithClientLane(maxCallersLane))
	if err != nil {
		return err
	}
	n.supervisor, err = actor.NewSupervisor(n.actors, supervisorName, actor.Supervision{OnGiveUp: n.gaveUp})
	if err != nil {
		return err
	}
	for _, r := range n.registry.all() {
		n.enter(r)
	}
	n.actors.HandleFrames(n.arrivedFrame)
	n.actors.HandleNodes(n.nodeChanged)
	return n.actors.Join()
}

// enter puts the cluster of a member on the board, whether or not the member will be started.
func (n *Node) enter(r *record) {
	if r.reg.cluster == "" {
		return // its registration is damaged
	}
	n.board.open(r.reg.cluster, r.reg.machine).setMembers(n, idsOf(r.reg.initial))
}

// gaveUp is called when a member has failed too often (FAIL-01).
func (n *Node) gaveUp(name string, reason error) {
	if r := n.registry.byName(name); r != nil {
		n.ends.Store(r.uid, reason)
	}
}

// lockOf returns the lock that serializes what is done with a member from outside.
func (n *Node) lockOf(r *record) *turn { return &n.locks[int(r.slot)%len(n.locks)] }

// startMember starts a member that is registered, and returns when its process can be reached. It reads the disk. It
// fails with ra.ErrNameTaken if the member runs, and with the context's error if its turn or the disk is waited for too
// long.
func (n *Node) startMember(ctx context.Context, r *record) error {
	l := n.lockOf(r)
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.Unlock()
	return n.startLocked(ctx, r)
}

// startLocked is startMember for a caller that holds the member's lock.
func (n *Node) startLocked(ctx context.Context, r *record) error {
	if err := n.supervisor.AwaitStopped(ctx, r.id.Name); err != nil {
		return err
	}
	switch {
	case n.isClosing():
		return ra.ErrClosed
	case n.registry.byUID(r.uid) != r: // its name may be another's by now
		return fmt.Errorf("%w: %s", errDeleted, r.id)
	case r.proc.Load() != nil:
		return fmt.Errorf("%w: member %s runs", ra.ErrNameTaken, r.id.Name)
	}
	_ = n.supervisor.Stop(context.Background(), r.id.Name) // it may not know yet that the last life has ended
	first, err := n.load(ctx, r)
	if errors.Is(err, ra.ErrCorrupt) || errors.Is(err, ra.ErrDamaged) {
		return r.setDamaged(err) // entries and states are read in every byte for the first time now
	}
	if err != nil {
		if ctx.Err() == nil { // else the member is not at fault
			n.ends.Store(r.uid, err)
		}
		return err
	}
	p := first
	ref, err := n.supervisor.Start(r.id.Name, func() actor.Actor {
		if p := first; p != nil {
			first = nil
			return p
		}
		return n.reload(r)
	}, actor.OnWorker(n.workerOf(r)), actor.WithClientLane(n.clientLane()))
	if err != nil {
		p.entry.left(p)
		return err
	}
	n.ends.Delete(r.uid)
	return n.awaitBegin(p, ref.Done())
}

// awaitBegin returns when a process can be reached, or could be: a member whose cluster is being deleted may have ended
// since, in good order, and one that fails is the supervisor's. It fails if the process has ended without that.
func (n *Node) awaitBegin(p *process, ended <-chan struct{}) error {
	select {
	case <-p.begun:
		return nil
	case <-ended:
	}
	select { // of two that are ready the first one may have been either
	case <-p.begun:
		return nil
	default:
		return n.whyEnded(nil)
	}
}

func (n *Node) clientLane() int {
	if n.cfg.ClientLane > 0 {
		return n.cfg.ClientLane
	}
	return actor.DefaultClientLane
}

func (n *Node) workerOf(r *record) int { return int(r.slot) % len(n.rounds) }

// load makes a life of a member from disk.
func (n *Node) load(ctx context.Context, r *record) (*process, error) {
	p := &process{node: n, rec: r, begun: make(chan struct{})}
	round := n.rounds[n.workerOf(r)]
	cfg := member.Config{
		Raft:  raft.Config{Limits: &n.limits, Scratch: &round.orders},
		Store: p, Net: p, Timer: p, Batch: p, Host: (*host)(p),
		Scratch:    &round.scratch,
		Observer:   p.observer(),
		Tally:      &r.tally,
		ChunkBytes: n.cfg.Limits.ChunkBytes,
	}
	if err := n.loadServer(ctx, r, &cfg); err != nil {
		return nil, fmt.Errorf("system: start member %s: %w", r.id.Name, err)
	}
	if cfg.Factory == nil {
		return nil, fmt.Errorf("system: start member %s: %w: %q", r.id.Name, ra.ErrUnknownMachine, r.reg.machine)
	}
	var err error
	if p.server, err = n.makeServer(r, &cfg); err != nil {
		return nil, fmt.Errorf("system: start member %s: %w", r.id.Name, err)
	}
	r.tally.Add(ra.CountStarts, 1)
	p.told.Applied = p.server.Status().Applied // what was replayed took no time
	p.entry = n.board.join(n, r.reg.cluster, r.reg.machine, idsOf(p.server.Configuration().Members))
	return p, nil
}

// reload makes a further life of a member, after a failure. If that fails too, the life is a short one.
func (n *Node) reload(r *record) actor.Actor {
	p, err := n.load(context.Background(), r)
	if err != nil {
		return stillborn{err}
	}
	return p
}

// stillborn is a life that cannot begin.
type stillborn struct{ err error }

// Start ends it at once.
func (s stillborn) Start(*actor.Context) error { return s.err }

// Receive is never called.
func (s stillborn) Receive(ctx *actor.Context) {
	for ctx.Next() != nil {
	}
}

// whyEnded returns what callers of a member that has ended are told.
func (n *Node) whyEnded(reason error) error {
	switch {
	case n.isClosing():
		return ra.ErrClosed
	case reason == nil, errors.Is(reason, member.ErrRemoved), errors.Is(reason, member.ErrDeleted):
		return ra.ErrNoProcess
	}
	return fmt.Errorf("%w: %w", ra.ErrNoProcess, reason)
}

// notRunning returns the error of a call to a member that does not run.
func (n *Node) notRunning(r *record) error {
	switch {
	case n.isClosing():
		return ra.ErrClosed
	case r == nil:
		return n.orNameless(ra.ErrNoProcess)
	case r.damaged() != nil:
		return r.damaged()
	}
	if err, ok := n.ends.Load(r.uid); ok {
		return n.whyEnded(err.(error))
	}
	return fmt.Errorf("%w: member %s is stopped", ra.ErrNoProcess, r.id.Name)
}

// ended is called when a process has stopped, by its worker.
func (n *Node) ended(p *process) {
	p.entry.left(p)
	if !p.deleted {
		n.goings.end(p.rec.uid)
		return
	}
	n.chore(func() {
		<-p.ref.Done()
		if err := n.forget(context.Background(), p.rec); err != nil {
			n.logger.Error("data of a deleted member stay", zap.String("member", p.rec.id.Name), zap.Error(err))
		} else {
			n.sayGone(p.rec.uid, &p.herald)
			if len(n.registry.byCluster(p.rec.reg.cluster)) == 0 {
				n.board.leave(p.entry)
			}
		}
		n.goings.end(p.rec.uid)
	})
}

// chore runs f on a goroutine that Close waits for. It reports false if the node is closing too far for that.
func (n *Node) chore(f func()) bool {
	n.choreLock.Lock()
	defer n.choreLock.Unlock()
	if n.quitting {
		return false
	}
	n.chores.Go(f)
	return true
}

// forget deletes what a member that does not run has on this node.
func (n *Node) forget(ctx context.Context, r *record) error {
	l := n.lockOf(r)
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.Unlock()
	if n.registry.byUID(r.uid) != r {
		return nil
	}
	_ = n.supervisor.Stop(ctx, r.id.Name) // the name is free only when the supervisor has let go of it
	if err := n.unregister(ctx, r); err != nil {
		return err
	}
	n.ends.Delete(r.uid)
	return nil
}

// vacate is called when a member was deleted here that others may still count on: by force, or because its start was
// undone (unborn). If it was the cluster's last member here the cluster may go on elsewhere, and stays known then.
func (n *Node) vacate(r *record, unborn bool) {
	e := n.board.get(r.reg.cluster)
	if e == nil || len(n.registry.byCluster(r.reg.cluster)) > 0 {
		return
	}
	if unborn && !e.known.Load() || !unborn && !e.livesOutside(n.Name()) {
		n.board.leave(e)
		return
	}
	e.abandon()
}

// stopMember ends a member's process and returns when it has ended. To stop one that does not run is no error (API-09).
func (n *Node) stopMember(ctx context.Context, r *record) error {
	l := n.lockOf(r)
	if err := l.lock(ctx); err != nil {
		return err
	}
	defer l.Unlock()
	return n.stopLocked(ctx, r)
}

// stopLocked is stopMember for a caller that holds the member's lock.
func (n *Node) stopLocked(ctx context.Context, r *record) error {
	if n.registry.byUID(r.uid) != r {
		return nil // it was deleted, and its name may be another's
	}
	err := n.supervisor.Stop(ctx, r.id.Name)
	if errors.Is(err, ra.ErrNoProcess) {
		n.ends.Delete(r.uid)
		return nil
	}
	return err
}

// stopMembers stops all members in good order, and returns when their processes have ended.
func (n *Node) stopMembers(ctx context.Context) error {
	if n.supervisor == nil {
		return nil // the node was not opened so far
	}
	n.quitOnce.Do(func() { close(n.quit) })
	writing, cancel := farewellTime(ctx)
	defer cancel()
	errs := each(n.registry.all(), runtime.GOMAXPROCS(0)*8, func(r *record) error { return n.restMember(ctx, writing, r) })
	n.pending.close(ra.ErrClosed)
	n.choreLock.Lock()
	n.quitting = true
	n.choreLock.Unlock()
	done := make(chan struct{})
	go func() {
		n.chores.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		errs = append(errs, ctx.Err())
	}
	return errors.Join(errs...)
}

// each calls f for all items, several at a time, and returns the errors by item.
func each[T any](items []T, atOnce int, f func(T) error) []error {
	errs := make([]error, len(items))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(atOnce, len(items)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := next.Add(1) - 1; i < int64(len(items)); i = next.Add(1) - 1 {
				errs[i] = f(items[i])
			}
		}()
	}
	wg.Wait()
	return errs
}

// defers reports whether a machine answers later (MAC-05). It makes one to ask it.
func (n *Node) defers(name string) (yes bool) {
	defer func() { _ = recover() }() // then no member of it will start, either
	f := n.cfg.Machines[name]
	if f == nil {
		return false
	}
	d, ok := machine.As[machine.Deferrer](f(machine.Init{}))
	return ok && d.DefersReplies()
}
