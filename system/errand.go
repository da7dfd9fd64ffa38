package system

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// errandKind is what a node does for another node.
type errandKind uint8

const (
	errandStart   errandKind = iota // registers and starts new members
	errandStop                      // stops members; their data stay
	errandRestart                   // starts stopped members
	errandRevive                    // starts members of a cluster, unless they run
	errandDelete                    // stops members and deletes their data
	errandGone                      // waits until members that run have deleted themselves (FSM-12)
)

// errand is what one node asks another to do with its members. The result is a list of errors, one for each.
type errand struct {
	id    uint64
	kind  errandKind
	start []registration // for errandStart
	names []errandFor    // for the others; those to be deleted have a uid only if their start is undone
	// until is when whoever asked stops waiting; zero: never.
	until time.Time
}

// errandFor names a member: by its local name, by its uid if that matters, and for errandRevive by what it belongs to.
type errandFor struct {
	name             string
	uid              ra.UID
	cluster, machine string
}

func (e *errand) len() int { return max(len(e.start), len(e.names)) }

// maxErrand is how long a node works for another one whose caller has no deadline.
const maxErrand = time.Minute

// run does an errand on the node named, and returns an error for each member; nil for those that went well.
func (n *Node) run(ctx context.Context, at ra.NodeID, e *errand) []error {
	if n.isClosing() {
		return repeat(ra.ErrClosed, e.len())
	}
	if at == n.Name() {
		return n.runHere(ctx, e)
	}
	if err := ctx.Err(); err != nil { // it would begin when nobody waits any more, perhaps behind what is asked next
		return repeat(n.noAnswer("node "+string(at)+" was not asked", err), e.len())
	}
	link := n.linkTo(at)
	if link == nil {
		return repeat(fmt.Errorf("%w: %s", ra.ErrNodeDown, at), e.len())
	}
	c := n.newCall(callErrand)
	id, err := n.pending.add(c, at)
	if err != nil {
		c.free()
		return repeat(err, e.len())
	}
	sent := *e
	sent.id = id
	sent.until, _ = ctx.Deadline()
	if err := link.Send(&sent); err != nil && n.pending.remove(c) {
		c.free()
		return repeat(fmt.Errorf("%w: %s", err, at), e.len())
	}
	r, err := c.wait(ctx)
	if errs, ok := r.Reply.([]error); ok && err == nil {
		return errs
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = n.noAnswer("node "+string(at), err)
	}
	return repeat(err, e.len())
}

func repeat(err error, times int) []error {
	errs := make([]error, times)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// sentFor does an errand for another node.
func (n *Node) sentFor(from ra.NodeID, e *errand) {
	begun := n.chore(func() {
		until := e.until
		if until.IsZero() {
			until = time.Now().Add(maxErrand)
		}
		ctx, cancel := context.WithDeadline(context.Background(), until)
		defer cancel()
		errs := n.runHere(ctx, e)
		for i, err := range errs {
			errs[i] = abroad(err)
		}
		n.sendAnswer(from, answer{id: e.id, result: ra.Result{Reply: errs}})
	})
	if !begun {
		n.sendAnswer(from, answer{id: e.id, err: abroad(ra.ErrClosed)})
	}
}

// runHere does an errand on this node, for several members at a time.
func (n *Node) runHere(ctx context.Context, e *errand) []error {
	if n.isClosing() {
		return repeat(ra.ErrClosed, e.len())
	}
	atOnce := runtime.GOMAXPROCS(0) * 8
	if e.kind == errandStart {
		return n.startNew(ctx, e.start)
	}
	writing, cancel := farewellTime(ctx)
	defer cancel()
	return each(e.names, atOnce, func(f errandFor) error {
		r := n.registry.byName(f.name)
		if e.kind == errandRevive {
			return n.revive(ctx, r, f)
		}
		if r != nil && f.uid != "" && r.uid != f.uid {
			r = nil
		}
		if r != nil && e.kind == errandStop {
			return n.restMember(ctx, writing, r)
		}
		return n.runOne(ctx, e.kind, r, f.uid != "")
	})
}

// runOne does an errand for one member but a stop; nil is one that is not registered. unborn: the start of it is undone.
func (n *Node) runOne(ctx context.Context, kind errandKind, r *record, unborn bool) error {
	switch {
	case r == nil && kind == errandRestart:
		return ra.ErrNoProcess
	case r == nil:
		return nil // API-09, API-10: to stop or delete what is not there is no error
	}
	switch kind {
	case errandRestart:
		return n.startMember(ctx, r)
	case errandDelete:
		return n.deleteMember(ctx, r, unborn)
	default:
		return n.awaitGone(ctx, r)
	}
}

// deleteMember stops a member and deletes its data (API-10).
func (n *Node) deleteMember(ctx context.Context, r *record, unborn bool) error {
	err := n.stopMember(ctx, r)
	if err == nil {
		err = n.forget(ctx, r)
	}
	if err == nil {
		n.vacate(r, unborn)
	}
	return err
}

// awaitGone returns when a member that runs, or is just being deleted, has no data here any more.
func (n *Node) awaitGone(ctx context.Context, r *record) error {
	for {
		gone, err := n.goings.await(n, r)
		if gone == nil {
			return err
		}
		select {
		case <-gone:
		case <-n.quit:
			return ra.ErrClosed
		case <-ctx.Done():
			return n.noAnswer("member "+r.id.Name+" is still there", ctx.Err())
		}
	}
}

// goings tells who waits for it that members end. Members that delete themselves are in it from before their process
// ends until their data are gone.
type goings struct {
	mu      sync.Mutex
	members map[ra.UID]*going
}

type going struct {
	deleting bool
	over     chan struct{}
}

// of returns what stands for a member. g.mu is held.
func (g *goings) of(uid ra.UID) *going {
	m := g.members[uid]
	if m == nil {
		m = &going{over: make(chan struct{})}
		if g.members == nil {
			g.members = make(map[ra.UID]*going)
		}
		g.members[uid] = m
	}
	return m
}

// begin says that a member's process is about to end, and that its data will be deleted.
func (g *goings) begin(uid ra.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.of(uid).deleting = true
}

// end says that a member has ended, and is deleted if begin was called.
func (g *goings) end(uid ra.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if m := g.members[uid]; m != nil {
		close(m.over)
		delete(g.members, uid)
	}
}

// await returns a channel that is closed when the member has ended; nil if it is gone, or not going to be.
func (g *goings) await(n *Node, r *record) (<-chan struct{}, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.members[r.uid]
	switch {
	case n.registry.byUID(r.uid) != r:
		return nil, nil
	case (m == nil || !m.deleting) && r.proc.Load() == nil:
		return nil, fmt.Errorf("%w: member %s is stopped and keeps its data", ra.ErrNoProcess, r.id.Name)
	}
	return g.of(r.uid).over, nil
}

// startNew registers and starts new members. Nothing stays of those that cannot be started.
func (n *Node) startNew(ctx context.Context, regs []registration) []error {
	errs := make([]error, len(regs))
	var known []registration
	var at []int
	for i, g := range regs {
		if n.cfg.Machines[g.machine] == nil {
			errs[i] = fmt.Errorf("%w: %q", ra.ErrUnknownMachine, g.machine)
			continue
		}
		known, at = append(known, g), append(at, i)
	}
	records, failed := n.registerAll(ctx, known)
	started := each(records, runtime.GOMAXPROCS(0), func(r *record) error {
		if r == nil {
			return nil
		}
		err := n.startMember(ctx, r)
		if errors.Is(err, ra.ErrNameTaken) && r.proc.Load() != nil {
			return nil // somebody who looked for the cluster started it
		}
		if err != nil {
			err = errors.Join(err, n.forget(context.WithoutCancel(ctx), r))
			n.vacate(r, true)
		}
		return err
	})
	for k, i := range at {
		errs[i] = errors.Join(failed[k], started[k])
	}
	return errs
}
