package actor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Supervision says how a Supervisor treats a child that ends abnormally. The zero value works.
type Supervision struct {
	// MaxRestarts within Window is how often a child is started again; when it ends once more it stays down. 0 means
	// 2 (FAIL-01); a negative number means never.
	MaxRestarts int
	// Window is 5 s if 0.
	Window time.Duration
	// Backoff is the time before the first restart in a window; it doubles with each further one. 0 means 10 ms.
	Backoff time.Duration
	// OnRestart, if set, is called when a child was started again.
	OnRestart func(child *Ref)
	// OnGiveUp, if set, is called when a child stays down, with the reason of its last end. It may call Start again.
	OnGiveUp func(name string, reason error)
}

func (s *Supervision) setDefaults() {
	if s.MaxRestarts == 0 {
		s.MaxRestarts = 2
	}
	if s.Window <= 0 {
		s.Window = 5 * time.Second
	}
	if s.Backoff <= 0 {
		s.Backoff = 10 * time.Millisecond
	}
}

// Supervisor keeps processes alive: one that ends with a reason is started again, by a new actor from its factory, so
// nothing of the broken one is used again. Children fail independently of each other. All methods may be called from
// any goroutine, except by the supervisor's own callbacks where noted.
//
// It is an actor itself, on a goroutine of its own since factories may read from disk. Its children live on when it
// ends; they are just not started again.
type Supervisor struct {
	node *Node
	ref  *Ref
	cfg  Supervision

	mu       sync.Mutex
	children map[string]*child
	// leaving are children that were stopped and may not have ended yet, for whoever stops them again.
	leaving map[string]*child
	ended   bool

	// Its internal lane: the children that have ended. Guarded by the lock of ref; a child is in it once at most.
	down *child
	// took are those that the current batch handles.
	took *child
	// waiting are the children by the timers of their restarts. Only the supervisor's goroutine touches it.
	waiting map[*Timer]*child
}

// child is what a supervisor knows of one child through all its lives.
type child struct {
	sup     *Supervisor
	name    string
	factory Factory
	opts    []SpawnOption

	// Guarded by Supervisor.mu. ref is its last life. left: nobody wants it to be started again. spawning is how many
	// lives are just being spawned: two at most, if the first has ended already; settled is closed when there is none.
	ref      *Ref
	left     bool
	spawning int
	settled  chan struct{}

	// next and reason belong to the internal lane while it is in it, and to the supervisor's goroutine afterwards.
	next   *child
	reason error

	// Only the supervisor's goroutine touches these. restarts are the times of its restarts within the window.
	restarts []time.Time
	retry    *Timer
}

// NewSupervisor starts a supervisor, an actor of that name.
func NewSupervisor(n *Node, name string, cfg Supervision) (*Supervisor, error) {
	cfg.setDefaults()
	s := &Supervisor{node: n, cfg: cfg, waiting: make(map[*Timer]*child)}
	s.children, s.leaving = make(map[string]*child), make(map[string]*child)
	ref, err := n.Spawn(name, func() Actor { return (*supervision)(s) }, WithOwnWorker(false))
	if err != nil {
		return nil, err
	}
	s.ref = ref
	return s, nil
}

// Ref returns the supervisor's own process.
func (s *Supervisor) Ref() *Ref { return s.ref }

// Start spawns a process and keeps it alive from then on. A child that stays down, or has ended normally, may be
// started anew. It fails as Node.Spawn does, and with ra.ErrNameTaken while the supervisor has a child of that name
// that lives or is to be started again.
func (s *Supervisor) Start(name string, f Factory, opts ...SpawnOption) (*Ref, error) {
	c := &child{sup: s, name: name, factory: f, opts: opts}
	s.mu.Lock()
	if err := s.admit(c); err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("actor: supervise %q: %w", name, err)
	}
	s.mu.Unlock()
	ref, err := s.spawn(c)
	if err != nil {
		s.release(c)
	}
	return ref, err
}

func (s *Supervisor) admit(c *child) error {
	if s.ended {
		return ra.ErrClosed
	}
	if s.children[c.name] != nil {
		return ra.ErrNameTaken
	}
	s.children[c.name] = c
	c.spawns()
	return nil
}

// spawns takes note that a life of the child is being spawned. Supervisor.mu is held.
func (c *child) spawns() {
	if c.spawning == 0 {
		c.settled = make(chan struct{})
	}
	c.spawning++
}

// spawn starts a life of a child, of which note was taken. It must not hold s.mu, as the factory may do anything.
func (s *Supervisor) spawn(c *child) (*Ref, error) {
	opts := append(c.opts[:len(c.opts):len(c.opts)], func(cfg *spawnConfig) { cfg.child = c })
	ref, err := s.node.Spawn(c.name, c.factory, opts...)
	if s.born(c, ref) {
		ref.Stop(nil)
	}
	return ref, err
}

// born takes note of a life of a child that has begun, or of none if ref is nil. It reports whether it is not wanted any
// more, as Stop came in between. The life may have ended already, and a later one may have been noted.
func (s *Supervisor) born(c *child, ref *Ref) (unwanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.spawning--; c.spawning == 0 {
		close(c.settled)
	}
	if ref == nil {
		return false
	}
	if c.ref == nil || c.ref.spawn < ref.spawn {
		c.ref = ref
	}
	return c.left
}

// release forgets a child.
func (s *Supervisor) release(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.left = true
	if s.children[c.name] == c {
		delete(s.children, c.name)
	}
	if s.leaving[c.name] == c {
		delete(s.leaving, c.name)
	}
}

// Stop ends a child for good and waits until it has ended. It fails with ra.ErrNoProcess if there is no such child, or
// with the context's error; the child then still ends, and a further Stop waits for that. One that is just being started
// ends as soon as it runs. The child itself, its factory and callbacks on its worker must not call it.
func (s *Supervisor) Stop(ctx context.Context, name string) error {
	c, err := s.dismiss(name)
	if err == nil {
		err = s.awaitEnd(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("actor: stop %q: %w", name, err)
	}
	return nil
}

// AwaitStopped waits until a child has ended that Stop was called for, also with a context that was over. Others are left alone.
func (s *Supervisor) AwaitStopped(ctx context.Context, name string) error {
	s.mu.Lock()
	c := s.leaving[name]
	s.mu.Unlock()
	if c == nil {
		return nil
	}
	return s.awaitEnd(ctx, c)
}

// awaitEnd waits until no life of a child is left that was dismissed.
func (s *Supervisor) awaitEnd(ctx context.Context, c *child) error {
	s.mu.Lock()
	settled, ref := c.settled, c.ref
	s.mu.Unlock()
	if ref != nil {
		ref.Stop(nil) // it ends also if ctx is over
	}
	select {
	case <-settled: // no further one is spawned
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	ref = c.ref
	s.mu.Unlock()
	if ref == nil { // the only one could not be spawned
		return nil
	}
	ref.Stop(nil)
	select {
	case <-ref.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dismiss has a child started no more, and returns it.
func (s *Supervisor) dismiss(name string) (*child, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.children[name]
	if c == nil {
		if c = s.leaving[name]; c == nil {
			return nil, ra.ErrNoProcess
		}
		return c, nil
	}
	c.left = true
	delete(s.children, name)
	if c.lives() { // else nobody tells of it any more, if it waited to be started again
		s.leaving[name] = c
	}
	return c, nil
}

// lives reports whether a life of the child has not ended, or is being spawned. Supervisor.mu is held.
func (c *child) lives() bool {
	if c.spawning > 0 || c.ref == nil {
		return c.spawning > 0
	}
	select {
	case <-c.ref.Done():
		return false
	default:
		return true
	}
}

// exited puts a child that has ended into the supervisor's internal lane. It is called on the child's worker.
func (c *child) exited(reason error) {
	s := c.sup
	s.ref.Lock()
	c.reason = reason
	c.next, s.down = s.down, c
	s.ref.Unlock(nil)
}

// supervision is a Supervisor as its mailbox sees it.
type supervision Supervisor

// Empty reports whether no child has ended.
func (s *supervision) Empty() bool { return s.down == nil }

// Take moves the children that have ended aside.
func (s *supervision) Take() { s.took, s.down = s.down, nil }

// Stop lets go of the children.
func (s *supervision) Stop(*Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	clear(s.children)
	clear(s.leaving)
}

// Receive handles ended children and those whose time to be started again has come.
func (s *supervision) Receive(ctx *Context) {
	sup := (*Supervisor)(s)
	for ctx.Next() != nil { // nobody has anything to say to a supervisor
	}
	for c := s.took; c != nil; {
		next := c.next
		c.next = nil
		sup.handleExit(ctx, c)
		c = next
	}
	s.took = nil
	for t := ctx.NextTimer(); t != nil; t = ctx.NextTimer() {
		c := sup.waiting[t]
		delete(sup.waiting, t)
		sup.restart(ctx, c)
	}
}

// handleExit decides what becomes of a child that has ended.
func (s *Supervisor) handleExit(ctx *Context, c *child) {
	if c.reason == nil || s.isLeft(c) {
		s.release(c)
		return
	}
	now := time.Now()
	for len(c.restarts) > 0 && now.Sub(c.restarts[0]) >= s.cfg.Window {
		c.restarts = c.restarts[1:]
	}
	if len(c.restarts) >= s.cfg.MaxRestarts {
		s.giveUp(c)
		return
	}
	delay := s.cfg.Backoff << min(len(c.restarts), 10)
	c.restarts = append(c.restarts, now)
	if c.retry == nil {
		c.retry = &Timer{}
	}
	s.waiting[c.retry] = c
	ctx.Arm(c.retry, delay)
}

// begins takes note that the next life of a child is being spawned, unless it is not wanted any more.
func (s *Supervisor) begins(c *child) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.left {
		c.spawns()
	}
	return !c.left
}

func (s *Supervisor) isLeft(c *child) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.left
}

func (s *Supervisor) giveUp(c *child) {
	s.release(c)
	s.node.log.Error("child stays down", zap.String("name", c.name), zap.Error(c.reason))
	if s.cfg.OnGiveUp != nil {
		s.cfg.OnGiveUp(c.name, c.reason)
	}
}

// restart starts the next life of a child. A failure to do so counts like an end of the child.
func (s *Supervisor) restart(ctx *Context, c *child) {
	if !s.begins(c) {
		s.release(c)
		return
	}
	reason := c.reason // the next life sets it when it ends, which may be at once
	ref, err := s.spawn(c)
	switch {
	case errors.Is(err, ra.ErrClosed):
		s.release(c)
	case err != nil:
		c.reason = err
		s.handleExit(ctx, c)
	default:
		s.node.log.Warn("child was started again", zap.String("name", c.name), zap.Error(reason))
		if s.cfg.OnRestart != nil {
			s.cfg.OnRestart(ref)
		}
	}
}
