package system

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// ProcessOption says which member replies to a command (CMD-07). The zero ProcessOption is the leader.
//
// All members come to the same reply, so what is chosen is when the call returns: when that member has applied the
// command, too, so that its state contains it, as Cluster.LocalQuery or Member.LocalQuery show it. A member that is
// down, or cut off, is waited for until the context is done, the node is closed, or no member of the cluster runs. Then the
// call fails with a *ra.UncertainError around the error of the context, ra.ErrClosed or ra.ErrNoProcess, which says where
// the command stands: the leader has applied it.
type ProcessOption struct {
	local, named bool
	member       ra.ServerID
}

// ReplyFromLocal has the voter reply that lives on the node of the caller. If none does the leader replies.
func ReplyFromLocal() ProcessOption { return ProcessOption{local: true} }

// ReplyFromMember has the member with that address reply, voter or not; without a node in id, one on the node of the
// caller. If the cluster has no such member the leader replies. If id can be no member's, Process fails with
// ra.ErrInvalidName and does not send the command.
func ReplyFromMember(id ra.ServerID) ProcessOption { return ProcessOption{named: true, member: id} }

// check returns an error if nobody can be meant.
func (o *ProcessOption) check() error {
	if !o.named {
		return nil
	}
	if err := ra.CheckName(o.member.Name); err != nil {
		return err
	}
	if o.member.Node == "" {
		return nil
	}
	return ra.CheckName(string(o.member.Node))
}

// process carries out the request of a command, and has the reply come from whom the options name.
func (n *Node) process(ctx context.Context, e *entry, q *request, options []ProcessOption) (ra.Result, error) {
	if len(options) == 0 {
		return n.do(ctx, e, q)
	}
	o := options[len(options)-1]
	if err := o.check(); err != nil {
		return ra.Result{}, err
	}
	if o.named && o.member.Node == "" {
		o.member.Node = n.Name()
	}
	r, err := n.do(ctx, e, q)
	if err != nil || !o.local && !o.named {
		return r, err
	}
	h := handover{try: try{node: n, entry: e}, option: o, answer: r, patience: recheck}
	return h.run(ctx)
}

// recheck is how often it is looked at whether the member that is waited for is still one, and how long it is asked the
// first time.
const recheck = time.Second

// handover is the leader's answer on its way to the caller, by way of the member that is to reply.
type handover struct {
	try    // for its pauses
	option ProcessOption
	answer ra.Result
	// looked is when the cluster was last asked for its members, and patience how long the member is asked. That grows,
	// so that a member on another node, which goes on waiting, is asked few times.
	looked   time.Time
	patience time.Duration
}

// run returns the answer when the member has applied the command, or is found not to be one.
func (h *handover) run(ctx context.Context) (ra.Result, error) {
	for to := h.guess(); to != nil; {
		err := h.ask(ctx, to)
		if err == nil {
			break
		}
		h.last = fmt.Errorf("system: it is applied, but %s has not replied: %w", to.id, err)
		if to, err = h.next(ctx, to); err != nil {
			return ra.Result{}, &ra.UncertainError{Index: h.answer.Index, Term: h.answer.Term, Cause: err}
		}
	}
	return h.answer, nil
}

// guess returns the way to the member that is to reply, or nil for the leader. Whether there is such a member and has a
// vote will be seen if it does not reply.
func (h *handover) guess() *route {
	if h.option.named {
		return h.node.route(h.option.member)
	}
	if r := h.entry.nearest(); r != nil {
		return r
	}
	for _, rec := range h.node.registry.byCluster(h.entry.cluster) {
		return &route{id: rec.id, rec: rec} // it is stopped
	}
	return nil
}

// ask returns when the member has applied the command, or with the reason why that is not known.
func (h *handover) ask(ctx context.Context, to *route) error {
	ctx, cancel := context.WithTimeout(ctx, h.patience)
	defer cancel()
	_, err := h.node.once(ctx, h.entry, &request{
		kind: callAwait, question: await{cluster: h.entry.cluster, voter: h.option.local},
		when: member.Condition{Index: h.answer.Index},
	}, to)
	if ctx.Err() != nil {
		h.patience = min(2*h.patience, time.Hour)
	}
	return err
}

// next returns the member to ask now that one has not replied; nil if the leader is to reply. It fails when the caller's
// time is over, the node closes, or nobody runs any more.
func (h *handover) next(ctx context.Context, to *route) (*route, error) {
	if now := time.Now(); ctx.Err() == nil && now.Sub(h.looked) >= recheck {
		h.looked = now
		members, err := h.members(ctx)
		switch {
		case err != nil:
			return nil, err
		case members != nil:
			if to = h.among(members); to == nil {
				return nil, nil
			}
		}
	}
	h.tries++
	return to, h.pause(ctx)
}

// members returns the configuration as somebody knows it who has applied the command, first of all the one who answered;
// nil if there is no such answer soon. It fails if no member is left who could give one.
func (h *handover) members(ctx context.Context) ([]ra.Member, error) {
	ctx, cancel := context.WithTimeout(ctx, recheck)
	defer cancel()
	q := request{kind: callMembers}
	if h.answer.Leader != (ra.ServerID{}) {
		q.at = h.node.route(h.answer.Leader)
	}
	r, err := h.node.do(ctx, h.entry, &q)
	switch m, ok := r.Reply.(membersReply); {
	case err == nil && ok && r.Index >= h.answer.Index:
		return m.now, nil
	case ctx.Err() == nil && errors.Is(err, ra.ErrNoProcess):
		return nil, err
	}
	return nil, nil
}

// among returns the way to the one of the members that is to reply, one that runs if possible; nil if none of them is.
func (h *handover) among(members []ra.Member) (to *route) {
	for _, m := range members {
		is := h.option.named && m.ID == h.option.member || h.option.local && m.ID.Node == h.node.Name() && m.Membership == ra.Voter
		if is && (to == nil || to.stale()) {
			to = h.node.route(m.ID)
		}
	}
	return to
}

// await is the question of a callAwait: it is answered when the member has applied the entry that the call names.
type await struct {
	cluster string
	voter   bool // only a voter may answer
}

// await answers, or says that it is not who is meant.
func (p *process) await(c *call) {
	q, _ := c.question.(await)
	m, known := p.byID(p.rec.id)
	switch {
	case p.rec.reg.cluster != q.cluster:
		p.reply(c, nil, fmt.Errorf("%w: %s is one of cluster %s", ra.ErrNotMember, p.rec.id, p.rec.reg.cluster))
	case q.voter && (!known || m.Membership != ra.Voter):
		p.reply(c, nil, fmt.Errorf("%w: %s", ra.ErrNonVoter, p.rec.id))
	default:
		p.ask(c, nothing)
	}
}

// nothing is what a member is asked that need only have applied something.
var nothing machine.QueryFunc = func(machine.QueryContext, any) (any, error) { return nil, nil }
