package system

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Cluster is a handle on a cluster, as one node knows it. Its methods may be called from any goroutine. Keep it: to look
// a cluster up costs more than to use it.
//
// Every blocking call returns soon after its context is done. An error of a command says whether the command may have
// been applied: see ra.MayHaveBeenApplied.
type Cluster struct {
	node  *Node
	entry *entry
	// notStarted is what StartCluster has to tell.
	notStarted []*MemberError
}

// Cluster returns the handle on a cluster that has, or had since the node was opened, members here or was started from
// here. If it has moved away since, its calls look for it on all nodes that are up when nobody answers whom this node
// knows. It fails with ra.ErrUnknownCluster; with ra.ErrDamaged, too, if the node has lost a part of its log in which the
// cluster may have stood, or has what is left of a member that may have been its. StartOrRestartCluster finds one whose
// members are all elsewhere.
func (n *Node) Cluster(name string) (*Cluster, error) {
	if n.isClosing() {
		return nil, ra.ErrClosed
	}
	e := n.board.get(name)
	if e == nil {
		return nil, n.orLostOf(name, fmt.Errorf("%w: %s", ra.ErrUnknownCluster, name))
	}
	return &Cluster{node: n, entry: e}, nil
}

// Clusters returns the names of the clusters that the node knows, sorted.
func (n *Node) Clusters() []string { return n.board.names() }

// Name returns the cluster's name.
func (c *Cluster) Name() string { return c.entry.cluster }

// current returns the cluster's entry on the board; that of its successor, if it was deleted and started again.
func (c *Cluster) current() (*entry, error) {
	if !c.entry.removed.Load() {
		return c.entry, nil
	}
	if c.node.isClosing() {
		return nil, ra.ErrClosed
	}
	if e := c.node.board.get(c.entry.cluster); e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("%w: %s", ra.ErrUnknownCluster, c.entry.cluster)
}

// Leader returns the member that leads, as far as this node knows.
func (c *Cluster) Leader() (ra.ServerID, bool) {
	e, err := c.current()
	if err != nil {
		return ra.ServerID{}, false
	}
	if s := e.standing.Load(); s.leader != nil {
		return s.leader.id, true
	}
	return ra.ServerID{}, false
}

// Members returns the cluster's members, as far as this node knows, sorted. Without a member here they may be old, until a
// call has noticed.
func (c *Cluster) Members() []ra.ServerID {
	e, err := c.current()
	if err != nil {
		return nil
	}
	return e.ids()
}

func (e *entry) ids() []ra.ServerID {
	members := e.standing.Load().members
	ids := make([]ra.ServerID, len(members))
	for i, r := range members {
		ids[i] = r.id
	}
	return ids
}

// WaitLeader returns when the node knows who leads.
func (c *Cluster) WaitLeader(ctx context.Context) (ra.ServerID, error) {
	e, err := c.current()
	if err != nil {
		return ra.ServerID{}, err
	}
	for e.visited() && leaderOf(e) == nil {
		if c.node.answers(ctx, e, nil) == nil {
			break
		}
		select {
		case <-time.After(settle):
		case <-e.await():
		case <-c.node.quit:
			return ra.ServerID{}, ra.ErrClosed
		case <-ctx.Done():
			return ra.ServerID{}, c.node.noLeader(e, ctx.Err())
		}
	}
	return e.waitLeader(ctx, c.node)
}

// noLeader is the error of who has waited in vain for a leader to be known.
func (n *Node) noLeader(e *entry, cause error) error {
	return n.noAnswer("cluster "+e.cluster+" has no leader that is known", cause)
}

// Process has a command applied and returns the machine's reply (CMD-01). It finds the leader, follows redirects, and
// sends the command again if it certainly was not applied, all until ctx is done. If the command may have been applied
// the error is a *ra.UncertainError; all other errors say that it was not. It fails with ra.ErrOverloaded if the leader's
// client lane is full.
//
// The leader replies, unless an option, of several the last, names another member.
func (c *Cluster) Process(ctx context.Context, command []byte, options ...ProcessOption) (ra.Result, error) {
	e, err := c.current()
	if err != nil {
		return ra.Result{}, err
	}
	return c.node.process(ctx, e, &request{kind: callCommand, command: command}, options)
}

// Append has a command appended to the leader's log, and returns where it stands there, Index and Term, without waiting
// until it is durable or applied (CMD-06). Nobody hears the machine's reply, and if the leader is lost the command may be
// lost, too. Whether it was applied a query tells that waits for it, see AfterApplied: it fails with ra.ErrSuperseded if
// another command was committed in its place.
//
// Append finds the leader as Process does, and fails as Process does: if the command may have been appended with a
// *ra.UncertainError. All other errors say that it was not, and never will be applied.
func (c *Cluster) Append(ctx context.Context, command []byte) (ra.Result, error) {
	e, err := c.current()
	if err != nil {
		return ra.Result{}, err
	}
	return c.node.do(ctx, e, &request{kind: callCommand, command: command, append: true})
}

// Go is Process without waiting: done is called exactly once, with the reply or an error, on a worker of the node, where
// it must not block, or before Go returns. The command is sent once, to the leader if it is known: nothing is tried again.
func (c *Cluster) Go(command []byte, done func(ra.Result, error)) {
	e, err := c.current()
	if err != nil {
		done(ra.Result{}, err)
		return
	}
	k := c.node.newCall(callCommand)
	k.done, k.lost = done, e // first of all: the call may be answered as soon as it is in the table
	if err = c.node.propose(e, command, machine.ModeConsensus, k); err == nil {
		err = c.node.submitFirst(e, k)
	}
	if err != nil && k.discard() {
		done(ra.Result{}, err)
	}
}

// submitFirst hands a call to the leader, or else to a member that may know it.
func (n *Node) submitFirst(e *entry, c *call) error {
	to := e.first()
	if to == nil {
		return fmt.Errorf("%w: %s", ra.ErrUnknownCluster, e.cluster)
	}
	err := n.submitTo(to, c)
	if err != nil {
		n.missed(e, err)
	}
	return err
}

// PipelineCommand sends a command and does not wait (CMD-08). If from is somebody, that process is told what became of
// the command by a ra.Event with ra.Applied or ra.Rejected; otherwise nobody is, and a member that does not lead passes
// the command on. nil means that the command was queued at a member.
func (c *Cluster) PipelineCommand(command []byte, from machine.Caller) error {
	e, err := c.current()
	if err != nil {
		return err
	}
	k, err := c.node.pipelined(command, from)
	if err != nil {
		return err
	}
	if err := c.node.submitFirst(e, k); err != nil {
		k.free()
		return err
	}
	return nil
}

// pipelined makes the call of a command for which nobody waits.
func (n *Node) pipelined(command []byte, from machine.Caller) (*call, error) {
	if len(command) > n.cfg.MaxCommand {
		return nil, fmt.Errorf("%w: command of %d bytes, allowed are %d", ra.ErrTooLarge, len(command), n.cfg.MaxCommand)
	}
	mode := machine.ModeNone
	if !from.IsZero() {
		mode = machine.ModeNotify
	}
	entry, err := member.NewCommand(command, mode, from)
	if err != nil {
		return nil, err
	}
	k := n.newCall(callForward)
	k.entry = entry
	return k, nil
}

// cast sends a call for which nobody waits.
func (n *Node) cast(to ra.ServerID, c *call) error {
	if err := n.submit(to, c); err != nil {
		c.free()
		return err
	}
	return nil
}

// Stop stops all members of the cluster. Their data stay, see Restart. The error has a *MemberError for each
// that cannot be reached, or that is not known to have stopped when ctx ends: those stop all the same, soon, unless they are on
// other nodes and ctx was over from the beginning.
func (c *Cluster) Stop(ctx context.Context) error { return c.everywhere(ctx, errandStop) }

// Restart starts the members of the cluster that are stopped. The error has a *MemberError for each that cannot be started.
func (c *Cluster) Restart(ctx context.Context) error { return c.everywhere(ctx, errandRestart) }

// everywhere does an errand for each member.
func (c *Cluster) everywhere(ctx context.Context, kind errandKind) error {
	e, err := c.current()
	if err != nil {
		return err
	}
	visited := e.visited()
	why := make(map[ra.ServerID]error)
	c.node.runOnce(ctx, kind, e.ids(), why)
	if visited && e.visited() {
		c.node.seek(ctx, e) // some may be where this node does not know them
		c.node.runOnce(ctx, kind, e.ids(), why)
	}
	var failed []*MemberError
	for _, id := range e.ids() {
		err := why[id]
		if kind == errandRestart && errors.Is(err, ra.ErrNameTaken) {
			continue // runs already
		}
		if err != nil {
			failed = append(failed, &MemberError{Member: id, Err: err})
		}
	}
	return joined(failed)
}

// runOnce does an errand for those of the members for which why does not say how it went.
func (n *Node) runOnce(ctx context.Context, kind errandKind, ids []ra.ServerID, why map[ra.ServerID]error) {
	ids = slices.DeleteFunc(ids, func(id ra.ServerID) bool { _, done := why[id]; return done })
	for i, err := range n.runAll(ctx, kind, ids) {
		why[ids[i]] = err
	}
}

// Delete deletes the cluster by consensus: every member deletes its data when it learns of it, those that are stopped
// or out of reach when they run again (API-11, FSM-11, FSM-12). It returns when all have done so, after which the name is
// free; or, if one of them is stopped or out of reach, when the decision is made. A cluster that cannot decide anything any more,
// as one whose machine panics at a command, is deleted member by member, by force: Member.Delete.
func (c *Cluster) Delete(ctx context.Context) error {
	e, err := c.current()
	if err != nil {
		return err
	}
	visited := e.visited()
	if _, err := c.node.do(ctx, e, &request{kind: callCommand, delete: true}); err != nil {
		return err
	}
	if visited {
		c.node.seek(ctx, e) // for those that are to go
	}
	here, cancel := context.WithCancel(ctx)
	defer cancel()
	each(e.ids(), len(e.ids()), func(id ra.ServerID) error {
		err := c.node.runAll(here, errandGone, []ra.ServerID{id})[0]
		if errors.Is(err, ra.ErrNoProcess) || errors.Is(err, ra.ErrNodeDown) {
			cancel() // the leader waits for that one, however long it takes
		}
		return nil
	})
	c.node.board.leave(e)
	if err := ctx.Err(); err != nil {
		return c.node.noAnswer("cluster "+e.cluster+" is deleted, if everywhere is not known", err)
	}
	return nil
}

// TransferLeadership hands leadership to a member (QRY-12). It returns when the hand-over has begun; the member still has
// to win its election.
func (c *Cluster) TransferLeadership(ctx context.Context, to ra.ServerID) error {
	e, err := c.current()
	if err != nil {
		return err
	}
	_, err = c.node.do(ctx, e, &request{kind: callTransfer, member: ra.Member{ID: to}})
	return err
}

// AddMember starts a new member and adds it to the cluster (MEM-02). It returns when the change is committed; the new
// member may still lack entries. A promotable member becomes a voter by itself when it has caught up (MEM-04). If the
// change is refused nothing stays of the new member. If it is not known whether it was made (ra.MayHaveBeenApplied) the
// member stays where it was started: call again, and ra.ErrAlreadyMember says that it was made, ra.ErrNameTaken that it
// was not, so that the member is to be deleted (Member.Delete) before it is added anew. One that is in the cluster
// already gets the new membership; it fails with ra.ErrAlreadyMember if it has that, or is a voter and would become one
// again.
func (c *Cluster) AddMember(ctx context.Context, id ra.ServerID, membership ra.Membership) error {
	e, err := c.current()
	if err != nil {
		return err
	}
	if membership > ra.NonVoter {
		return fmt.Errorf("%w: a member cannot be %s", ra.ErrInvalid, membership)
	}
	n := c.node
	if id.Node == "" {
		id.Node = n.Name()
	}
	if err := cmp.Or(ra.CheckName(id.Name), ra.CheckName(string(id.Node))); err != nil {
		return err
	}
	members, err := n.roll(ctx, e)
	if err != nil {
		return err
	}
	m := ra.Member{ID: id, UID: newUID(e.cluster), Membership: membership}
	for _, other := range members.now {
		if other.ID == id {
			return c.changeMembership(ctx, e, other, membership)
		}
	}
	// What stands before the first change in the log is the same for all members, whenever they came: a snapshot of those
	// indexes carries it (MEM-07).
	reg := registration{
		uid: m.UID, id: id, cluster: e.cluster, machine: e.machine, initial: members.initial, version: members.version,
	}
	if errs := n.run(ctx, id.Node, &errand{kind: errandStart, start: []registration{reg}}); errs[0] != nil {
		return errs[0]
	}
	err = n.change(ctx, e, raft.Set, m)
	if err != nil && !ra.MayHaveBeenApplied(err) {
		n.seeTo(ctx, func() { n.cleanUp(ctx, id.Node, []errandFor{{name: id.Name, uid: m.UID}}) })
	}
	return err
}

// change changes the members of a cluster.
func (n *Node) change(ctx context.Context, e *entry, op raft.ChangeOp, m ra.Member) error {
	_, err := n.do(ctx, e, &request{kind: callChange, op: op, member: m})
	if err == nil && e.visited() {
		n.refresh(ctx, e)
	}
	return err
}

// changeMembership makes a member a voter or none (MEM-02).
func (c *Cluster) changeMembership(ctx context.Context, e *entry, m ra.Member, to ra.Membership) error {
	if m.Membership == to || m.Membership == ra.Voter && to == ra.Promotable {
		return fmt.Errorf("%w: %s", ra.ErrAlreadyMember, m.ID)
	}
	m.Membership = to
	return c.node.change(ctx, e, raft.Set, m)
}

func leaderOf(e *entry) *route { return e.standing.Load().leader }

// RemoveMember removes a member from the cluster's configuration (MEM-03). It returns when that is committed. The member
// itself is not touched, nor told: Member.Delete deletes its data, also of one that a crash left behind. If it is not
// known whether the change was made (ra.MayHaveBeenApplied) call again, and ra.ErrNotMember says that it was.
func (c *Cluster) RemoveMember(ctx context.Context, id ra.ServerID) error {
	e, err := c.current()
	if err != nil {
		return err
	}
	err = c.node.change(ctx, e, raft.Remove, ra.Member{ID: id})
	if !errors.Is(err, ra.ErrNotMember) {
		return err
	}
	members, rollErr := c.node.roll(ctx, e)
	if rollErr != nil {
		return rollErr
	}
	if members.has(id) {
		return fmt.Errorf("%w: %s was added just now", ra.ErrChangeNotPermitted, id)
	}
	return err
}

// roll returns the members of a cluster as they are, for who acts on what they are not: the configuration is committed,
// and the leader that said so leads, as another answer of its term proves that was asked for later.
func (n *Node) roll(ctx context.Context, e *entry) (membersReply, error) {
	for at := leaderOf(e); ; {
		known, err := n.do(ctx, e, &request{kind: callRoll, at: at})
		if err != nil {
			return membersReply{}, err
		}
		proof, err := n.do(ctx, e, &request{kind: callConsistent, question: noQuestion, at: n.route(known.Leader)})
		if err != nil {
			return membersReply{}, err
		}
		if members, ok := known.Reply.(membersReply); ok && proof.Term == known.Term {
			return members, nil
		}
		at = n.route(proof.Leader)
	}
}

// has reports whether a member has that address.
func (m *membersReply) has(id ra.ServerID) bool {
	return slices.ContainsFunc(m.now, func(other ra.Member) bool { return other.ID == id })
}
