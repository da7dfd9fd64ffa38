package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// request is what a caller wants of a cluster, whichever member it takes to get it. A call is made of it for each
// attempt.
type request struct {
	kind     callKind
	op       raft.ChangeOp
	delete   bool // the command is the one that deletes the cluster
	append   bool // the answer comes when the command is appended (CMD-06)
	command  []byte
	question any
	when     member.Condition
	member   ra.Member
	// at, if set, is the member to ask first; fixed: no other one will do.
	at    *route
	fixed bool
}

// call makes a call of the request.
func (n *Node) call(e *entry, q *request) (*call, error) {
	c := n.newCall(q.kind)
	c.op, c.question, c.when, c.member = q.op, q.question, q.when, q.member
	if q.when != (member.Condition{}) {
		c.shared = true
	}
	if q.kind != callCommand {
		return c, nil
	}
	if q.delete {
		c.entry = raft.NewProposal(ra.KindDelete, 0, nil)
		return c, nil
	}
	mode := machine.ModeConsensus
	if q.append {
		mode = machine.ModeAfterAppend
	}
	if err := n.propose(e, q.command, mode, c); err != nil {
		c.discard()
		return nil, err
	}
	return c, nil
}

// propose encodes a command.
func (n *Node) propose(e *entry, command []byte, mode machine.ReplyMode, c *call) error {
	if len(command) > n.cfg.MaxCommand {
		return fmt.Errorf("%w: command of %d bytes, allowed are %d", ra.ErrTooLarge, len(command), n.cfg.MaxCommand)
	}
	var from *machine.Caller
	if e.defers.Load() && mode == machine.ModeConsensus {
		caller, err := n.caller(c)
		if err != nil {
			return err
		}
		from = &caller
	}
	body, err := member.DraftCommand(command, mode, from)
	c.entry.Body = body
	return err
}

// discard frees a call that nobody took. It reports false if the call was answered all the same, because it was in the
// table when the node was closed.
func (c *call) discard() bool {
	if c.id != 0 && !c.node.pending.remove(c) {
		return false
	}
	c.free()
	return true
}

// do carries out a request: it finds the member to ask, follows redirects, and tries again what was certainly not
// applied, until ctx is done (QRK-12: one deadline for it all).
func (n *Node) do(ctx context.Context, e *entry, q *request) (ra.Result, error) {
	to := q.at
	if to == nil {
		to = e.first()
	}
	if to == nil {
		return ra.Result{}, fmt.Errorf("%w: %s", ra.ErrUnknownCluster, e.cluster)
	}
	r, err := n.once(ctx, e, q, to)
	if err == nil {
		return r, nil
	}
	return n.doAgain(ctx, e, *q, to, err)
}

// doAgain goes on after a first attempt that failed.
func (n *Node) doAgain(ctx context.Context, e *entry, q request, to *route, err error) (ra.Result, error) {
	t := try{node: n, entry: e, request: q}
	for {
		if err = t.judge(ctx, to, err); err != nil {
			return ra.Result{}, err
		}
		to = t.target()
		var r ra.Result
		if r, err = n.once(ctx, e, &t.request, to); err == nil {
			if l := leaderOf(e); l != nil && e.isForeign(l.id) && e.visited() {
				n.search(e) // the members are others by now
			}
			return r, nil
		}
	}
}

// first returns the member to ask first: the leader, or else one that runs here, or else any. It returns nil if none is
// known.
func (e *entry) first() *route {
	s := e.standing.Load()
	if s.leader != nil {
		return s.leader
	}
	if len(s.members) == 0 {
		return nil
	}
	if r := e.nearest(); r != nil {
		return r
	}
	return s.members[0]
}

// once is one attempt.
func (n *Node) once(ctx context.Context, e *entry, q *request, to *route) (ra.Result, error) {
	if err := ctx.Err(); err != nil {
		return ra.Result{}, err
	}
	c, err := n.call(e, q)
	if err != nil {
		return ra.Result{}, err
	}
	if err := n.submitTo(to, c); err != nil {
		c.discard()
		return ra.Result{}, err
	}
	return c.wait(ctx)
}

// try is the state of a request that takes several attempts.
type try struct {
	node    *Node
	entry   *entry
	request request
	// next is the member to ask next, if one is known to be the right one; else they are asked in turn.
	next *route
	turn int
	// asked is the member that was asked last.
	asked *route
	// began is when the first attempt failed, and tries how many did; dead is how many of the last ones found no process;
	// sought is when other nodes were last asked for the cluster.
	began, sought time.Time
	tries, dead   int
	last          error
	// why says of the members that were found not to run, since one last did, what keeps them from it.
	why map[ra.ServerID]error
}

// target returns the member to ask next.
func (t *try) target() *route {
	if t.next != nil {
		return t.next
	}
	s := t.entry.standing.Load()
	if s.leader != nil && t.dead == 0 {
		return s.leader
	}
	if len(s.members) == 0 {
		return t.asked
	}
	t.turn++
	return s.members[t.turn%len(s.members)]
}

// settle is how long members of which none runs are asked again: the supervisor may be starting one anew.
const settle = 250 * time.Millisecond

// judge returns the error to be given to the caller, or nil when it is time for another attempt.
func (t *try) judge(ctx context.Context, to *route, err error) error {
	t.asked = to
	switch {
	case ctx.Err() != nil:
		return t.giveUp(ctx, err)
	case ra.MayHaveBeenApplied(err), t.node.isClosing():
		return err
	}
	if t.tries++; t.tries == 1 {
		t.began = time.Now()
	}
	t.last, t.next = err, nil
	var redirect *ra.NotLeaderError
	switch {
	case errors.As(err, &redirect):
		return t.redirected(ctx, redirect)
	case t.request.kind == callCommand && errors.Is(err, ra.ErrSuperseded), errors.Is(err, ra.ErrChangeNotPermitted):
		t.alive()
	case errors.Is(err, ra.ErrNoProcess), errors.Is(err, ra.ErrDamaged):
		t.died(to, err)
		if t.hopeless(err) && !t.found(ctx) {
			return t.nobody(err)
		}
	case errors.Is(err, ra.ErrNodeDown):
		t.died(to, err)
		t.found(ctx)
	default:
		return err
	}
	if t.request.fixed {
		t.next = to
	}
	return t.pause(ctx)
}

// redirected follows a redirect. One that was told of by the same member before is old news, so it has to wait.
func (t *try) redirected(ctx context.Context, e *ra.NotLeaderError) error {
	t.alive()
	if t.request.fixed {
		return e
	}
	if e.Leader == (ra.ServerID{}) || e.Leader == e.Member {
		return t.pause(ctx)
	}
	t.entry.hint(t.node, e.Leader, 0)
	t.next = t.node.route(e.Leader)
	if t.tries > 2 {
		return t.pause(ctx)
	}
	return nil
}

// alive takes note that somebody of the cluster runs.
func (t *try) alive() { t.dead, t.why = 0, nil }

// died takes note that a member cannot be asked.
func (t *try) died(to *route, err error) {
	t.dead++
	if t.why == nil {
		t.why = make(map[ra.ServerID]error)
	}
	t.why[to.id] = err
}

// nobody returns why no member can be asked, the last one with that error: a *MemberError for each if there are several.
func (t *try) nobody(err error) error {
	if len(t.why) < 2 {
		return err
	}
	var failed []*MemberError
	for id, why := range t.why {
		failed = append(failed, &MemberError{Member: id, Err: why})
	}
	slices.SortFunc(failed, func(a, b *MemberError) int { return cmp.Compare(a.Member.String(), b.Member.String()) })
	return joined(failed)
}

// hopeless reports whether all members have been found not to run, for long enough. A member that runs here, and may not
// have heard yet that it has other peers by now, is a hope.
func (t *try) hopeless(err error) bool {
	if !t.request.fixed && !errors.Is(err, ra.ErrDamaged) && t.entry.busy() {
		return false
	}
	members := len(t.entry.standing.Load().members)
	if t.request.fixed || errors.Is(err, ra.ErrDamaged) && members <= 1 {
		members = 1
	}
	return t.dead > members && time.Since(t.began) >= settle || t.request.fixed
}

// found asks other nodes where a cluster is of which nobody is found whom a visitor knows. It reports whether a member runs
// somewhere.
func (t *try) found(ctx context.Context) bool {
	tried := t.dead > len(t.entry.standing.Load().members) && time.Since(t.began) >= settle
	if !tried || time.Since(t.sought) < seekTime || t.request.fixed || !t.entry.visited() {
		return false
	}
	t.sought = time.Now()
	if !t.node.seek(ctx, t.entry) {
		return false
	}
	t.alive()
	t.began = time.Now()
	return true
}

// pause waits a little, longer with each attempt, or until the board has news.
func (t *try) pause(ctx context.Context) error {
	const longest = 64 * time.Millisecond
	d := min(time.Millisecond<<min(t.tries, 10), longest)
	timer := time.NewTimer(d/2 + rand.N(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.entry.await():
	case <-t.node.quit:
		return ra.ErrClosed
	case <-ctx.Done():
		return t.giveUp(ctx, ctx.Err())
	}
	return nil
}

// giveUp returns the error for a request whose time is over: ra.ErrNoAnswer, with what the last attempt said. If the command
// may have been applied that is the cause of a *ra.UncertainError.
func (t *try) giveUp(ctx context.Context, err error) error {
	var uncertain *ra.UncertainError
	switch over := errors.Is(err, ctx.Err()); {
	case errors.As(err, &uncertain) && over:
		return &ra.UncertainError{Index: uncertain.Index, Term: uncertain.Term, Cause: t.noAnswer(ctx.Err())}
	case uncertain != nil:
		return err
	case !over:
		t.last = err
	}
	return t.noAnswer(ctx.Err())
}

// noAnswer returns the error for a request that nobody has answered in time.
func (t *try) noAnswer(cause error) error {
	if t.last != nil {
		cause = fmt.Errorf("%w: %w", cause, t.last)
	}
	if t.entry.cluster == "" {
		return t.node.noAnswer(fmt.Sprint("member ", t.asked.id), cause)
	}
	return t.node.noAnswer("cluster "+t.entry.cluster, cause)
}

// noAnswer returns ra.ErrNoAnswer, of whom and why. That the disk of this node is full is a reason in itself.
func (n *Node) noAnswer(of string, cause error) error {
	if n.wal.isFull() {
		cause = fmt.Errorf("%w: %w on node %s", cause, ra.ErrDiskFull, n.Name())
	}
	return fmt.Errorf("%w: %s: %w", ra.ErrNoAnswer, of, cause)
}
