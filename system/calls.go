package system

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// callKind is what a call asks of a member.
type callKind uint8

const (
	callCommand    callKind = iota // entry
	callForward                    // entry, nobody waits
	callConsistent                 // question
	callLocal                      // question, condition
	callLeader                     // question, condition
	callAwait                      // question is an await, condition (CMD-07)
	callAux                        // question is the aux command
	callAuxCast                    // question is the aux command, nobody waits
	callConsAux                    // question is the aux command (QRY-07)

	// The rest may pass a full client lane.
	callCampaign // QRY-11
	callTransfer // member
	callChange   // change, member
	callOverview // QRY-09
	callMembers  // QRY-08
	callRoll     // callMembers for who is about to change them
	callMetrics  // QRY-10, answered by the member's node
	callSeek     // for a cluster, answered by the node, see whereabouts

	callErrand // to a node, see errand
)

// isControl reports whether calls of this kind go by the internal lane.
func (k callKind) isControl() bool { return k >= callCampaign }

// What a call goes through. Only whoever waits for a call abandons it, and only a call that was not taken is certainly
// without effect then.
const (
	callQueued    uint32 = iota
	callTaken            // a Server has it
	callAnswered         // result and err are set, or about to be
	callAbandoned        // nobody waits any more; whoever comes by frees it
)

// call is one request on its way to a member, and the way back of the answer: to the goroutine that waits, a function,
// or another node. Calls are pooled; a call belongs to whoever may still have to answer it.
type call struct {
	actor.Item
	kind     callKind
	op       raft.ChangeOp
	state    atomic.Uint32
	entry    ra.Entry
	question any
	when     member.Condition
	member   ra.Member

	// proc is who took the call, and number the query's, to be cancelled.
	proc   *process
	number uint64
	// shared: somebody may still come by when the call has been answered, so it is not used again.
	shared bool

	// id, if not 0, is the call's number in the node's table of calls that are answered from elsewhere; peer is the node
	// that is to answer.
	id   uint64
	node *Node
	peer ra.NodeID
	// age is in ticks, under the lock of the table.
	age int
	// lost, if set, is the cluster that an error without a second attempt may be news of.
	lost *entry

	// Where the answer goes: back to the node that asked, to the function done, or to who waits on ready.
	backNode ra.NodeID
	backID   uint64
	done     func(ra.Result, error)
	ready    chan struct{}
	result   ra.Result
	err      error

	// rest are further calls that were given back together with this one.
	rest *call
}

// callPool is a node's calls to be used again. Each node has its own, since the channels in them belong to the bubble of
// the test that made them, if it has one (testing/synctest). Workers give them back several at a time: what leaves one
// processor for another is paid for once then.
type callPool struct{ pool sync.Pool }

// callsTogether is how many calls are given back at a time.
const callsTogether = 16

func (n *Node) newCall(kind callKind) *call {
	c, ok := n.calls.pool.Get().(*call)
	if !ok {
		c = &call{node: n, ready: make(chan struct{}, 1)}
	}
	if c.rest != nil {
		n.calls.pool.Put(c.rest)
		c.rest = nil
	}
	c.kind = kind
	return c
}

// free gives the call back.
func (c *call) free() {
	if c.shared {
		return
	}
	c.reset()
	c.node.calls.pool.Put(c)
}

// reset makes the call as good as new.
func (c *call) reset() {
	if c.done == nil {
		c.state.Store(callQueued)
	}
	if c.kind != callCommand { // what commands do not have
		c.op, c.question, c.when, c.member, c.number = 0, nil, member.Condition{}, ra.Member{}, 0
	}
	if c.id != 0 || c.peer != "" || c.backID != 0 {
		c.age, c.id, c.peer, c.backNode, c.backID = 0, 0, "", "", 0
	}
	if c.done == nil {
		c.result, c.err = ra.Result{}, nil
	}
	c.entry, c.proc, c.done, c.lost = ra.Entry{}, nil, nil, nil
}

// take is called by who hands the call to a Server. It reports false, and the call is gone, if nobody waits any more. A call
// with a function is never abandoned: it stays in its first state.
func (c *call) take(p *process) bool {
	c.proc = p
	if c.done != nil {
		return true
	}
	if c.state.CompareAndSwap(callQueued, callTaken) {
		return true
	}
	c.free()
	return false
}

// Done takes the Server's answer (member.Caller).
func (c *call) Done(r member.Result) {
	result := ra.Result{Reply: r.Reply, Index: r.Index, Term: r.Term}
	if r.Leader != "" {
		result.Leader = c.proc.serverID(r.Leader)
	}
	if c.done != nil && c.id == 0 && !c.shared { // nobody but this worker knows it any more
		done, round := c.done, c.proc.round
		c.miss(r.Err)
		c.reset()
		round.giveBack(c)
		done(result, r.Err)
		return
	}
	c.answer(result, r.Err)
}

// miss lets the node know that the cluster may have to be looked for anew, if an error is news of that.
func (c *call) miss(err error) {
	if err != nil && c.lost != nil {
		c.node.missed(c.lost, err)
	}
}

// Refuse is called if the member's process ended before it took the call. It was certainly not applied.
func (c *call) Refuse(err error) { c.answer(ra.Result{}, err) }

// answer ends the call, exactly once.
func (c *call) answer(r ra.Result, err error) {
	if c.id != 0 && !c.node.pending.remove(c) {
		return // somebody else is answering
	}
	c.finish(r, err)
}

// finish is answer for a call that is in no table, or was taken out.
func (c *call) finish(r ra.Result, err error) {
	if c.backID != 0 {
		c.answerBack(answer{id: c.backID, result: r, err: abroad(err)})
		c.free()
		return
	}
	if done := c.done; done != nil {
		c.miss(err)
		c.free()
		done(r, err)
		return
	}
	c.result, c.err = r, err
	if c.state.Swap(callAnswered) == callAbandoned || c.kind == callForward || c.kind == callAuxCast {
		c.free()
		return
	}
	c.ready <- struct{}{}
}

// abroad returns the error as another node's caller is told it: that this node is being closed is to them as if it were
// down. ra.ErrClosed would speak of their own.
func abroad(err error) error {
	if errors.Is(err, ra.ErrClosed) && !ra.MayHaveBeenApplied(err) {
		return fmt.Errorf("%w: it is being closed", ra.ErrNodeDown)
	}
	return err
}

// answerBack sends the answer to the node that asked: with the round if there is one.
func (c *call) answerBack(a answer) {
	if p := c.proc; p != nil && p.ctx != nil {
		p.round.answer(c.backNode, a)
		return
	}
	c.node.sendAnswer(c.backNode, a)
}

// wait returns the answer, and frees the call. If ctx is done first the call is abandoned: the error is that of ctx if
// the call is certainly without effect, otherwise a *ra.UncertainError around it.
func (c *call) wait(ctx context.Context) (ra.Result, error) {
	if ctx.Done() == nil {
		<-c.ready
		return c.collect()
	}
	select {
	case <-c.ready:
		return c.collect()
	case <-ctx.Done():
		return c.abandon(ctx.Err())
	}
}

func (c *call) collect() (ra.Result, error) {
	r, err := c.result, c.err
	c.free()
	return r, err
}

// abandon gives up waiting.
func (c *call) abandon(cause error) (ra.Result, error) {
	uncertain := cause
	if c.changes() {
		uncertain = &ra.UncertainError{Cause: cause}
	}
	if c.peer != "" {
		if c.node.pending.remove(c) {
			c.free()
			return ra.Result{}, uncertain
		}
	} else {
		if c.id != 0 {
			c.node.pending.remove(c)
		}
		if c.state.CompareAndSwap(callQueued, callAbandoned) {
			return ra.Result{}, cause
		}
		if c.state.Load() == callTaken {
			cancel := c.cancelQuery() // before c is given up
			if c.state.CompareAndSwap(callTaken, callAbandoned) {
				cancel()
				return ra.Result{}, uncertain
			}
		}
	}
	<-c.ready // it is being answered just now
	return c.collect()
}

// changes reports whether the call may change something in the cluster.
func (c *call) changes() bool {
	return c.kind == callCommand || c.kind == callForward || c.kind == callChange
}

// cancelQuery returns what lets the member forget a query that waits for its condition (QRK-13). Such calls are shared,
// so this one is still the same when the member comes round to it; others are soon somebody else's.
func (c *call) cancelQuery() func() {
	p := c.proc
	if !c.shared || c.kind == callCommand {
		return func() {}
	}
	return func() {
		p.finished(func() {
			if c.number != 0 {
				p.server.CancelQuery(c.number)
			}
		}, nil)
	}
}
