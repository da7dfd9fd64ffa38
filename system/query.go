package system

import (
	"context"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// QueryOption changes how a query is asked.
type QueryOption func(*request)

// AfterApplied holds a local or leader query back until the member that answers has applied the entry of that index and
// term, as an earlier Result gave them: so a client reads its own writes on any member (QRY-04). With another entry there
// the query fails with ra.ErrSuperseded, and if a snapshot has taken the entry's place, and its term is not known any more,
// with ra.ErrCompacted. Term 0 stands for any term.
func AfterApplied(index ra.Index, term ra.Term) QueryOption {
	return func(q *request) { q.when = member.Condition{Index: index, Term: term} }
}

// LocalQuery asks a member of this node, or else the nearest, for what it has applied so far, whatever its role: the
// answer may be arbitrarily old (QRY-02). question is a machine.QueryFunc, or a value for the machine's Querier. A query
// that panics fails with a *machine.PanicError.
func (c *Cluster) LocalQuery(ctx context.Context, question any, options ...QueryOption) (ra.Result, error) {
	q := request{kind: callLocal, question: question}
	return c.query(ctx, &q, options)
}

// LeaderQuery asks the leader for what it has applied so far. It does not prove that it still leads, so the answer may
// be old if it does not (QRY-03).
func (c *Cluster) LeaderQuery(ctx context.Context, question any, options ...QueryOption) (ra.Result, error) {
	q := request{kind: callLeader, question: question}
	return c.query(ctx, &q, options)
}

// ConsistentQuery asks the leader, which proves that it led after the query came in: the answer contains everything that
// was answered before (QRY-06). It costs a round of messages, shared by all queries of a batch, and nothing in the log.
func (c *Cluster) ConsistentQuery(ctx context.Context, question any) (ra.Result, error) {
	q := request{kind: callConsistent, question: question}
	return c.query(ctx, &q, nil)
}

func (c *Cluster) query(ctx context.Context, q *request, options []QueryOption) (ra.Result, error) {
	for _, o := range options {
		o(q)
	}
	e, err := c.current()
	if err != nil {
		return ra.Result{}, err
	}
	if q.kind == callLocal {
		q.at = e.nearest()
	}
	return c.node.do(ctx, e, q)
}

// nearest returns a member that runs on this node, or nil.
func (e *entry) nearest() *route {
	for _, r := range e.standing.Load().members {
		if r.rec != nil && !r.stale() {
			return r
		}
	}
	return nil
}

// LocalQuery asks this member, whatever its role (QRY-02).
func (m *Member) LocalQuery(ctx context.Context, question any, options ...QueryOption) (ra.Result, error) {
	q := request{kind: callLocal, question: question, fixed: true}
	for _, o := range options {
		o(&q)
	}
	return m.do(ctx, &q)
}

// AuxCommand gives a command to this member's aux handler and returns what it answers (QRY-13).
func (m *Member) AuxCommand(ctx context.Context, command any) (ra.Result, error) {
	return m.do(ctx, &request{kind: callAux, question: command, fixed: true})
}

// CastAux gives a command to this member's aux handler. Nobody hears what becomes of it.
func (m *Member) CastAux(command any) error {
	c := m.node.newCall(callAuxCast)
	c.question = command
	return m.node.cast(m.id, c)
}

// ConsistentAux gives a command to the leader's aux handler once the leader has proved that it leads (QRY-07).
func (c *Cluster) ConsistentAux(ctx context.Context, command any) (ra.Result, error) {
	q := request{kind: callConsAux, question: command}
	return c.query(ctx, &q, nil)
}
