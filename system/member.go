package system

import (
	"cmp"
	"context"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Member is a handle on one member, here or on another node. Its methods may be called from any goroutine.
type Member struct {
	node *Node
	id   ra.ServerID
}

// Member returns the handle on a member; without a node in id, of this node. Whether there is one, the calls tell.
func (n *Node) Member(id ra.ServerID) *Member {
	if id.Node == "" {
		id.Node = n.Name()
	}
	return &Member{node: n, id: id}
}

// ID returns the member's address.
func (m *Member) ID() ra.ServerID { return m.id }

// entry returns the board's entry of the member's cluster if the node knows it, or one for this call.
func (m *Member) entry() *entry {
	if m.id.Node == m.node.Name() {
		if r := m.node.registry.byName(m.id.Name); r != nil {
			return m.node.board.open(r.reg.cluster, r.reg.machine)
		}
	}
	e := &entry{}
	e.standing.Store(&standing{members: []*route{m.node.route(m.id)}})
	return e
}

// check returns why a call to this member cannot even begin.
func (m *Member) check() error {
	if m.node.isClosing() {
		return ra.ErrClosed
	}
	return cmp.Or(ra.CheckName(m.id.Name), ra.CheckName(string(m.id.Node)))
}

// do carries out a request that begins at this member.
func (m *Member) do(ctx context.Context, q *request) (ra.Result, error) {
	if err := m.check(); err != nil {
		return ra.Result{}, err
	}
	q.at = m.node.route(m.id)
	return m.node.do(ctx, m.entry(), q)
}

// Process is Cluster.Process by way of this member: if it does not lead, the call goes on to who does (CMD-03).
func (m *Member) Process(ctx context.Context, command []byte) (ra.Result, error) {
	return m.do(ctx, &request{kind: callCommand, command: command})
}

// Stop stops the member; its data stay. To stop one that does not run is no error (API-09). With
// Config.Snapshots.MinRecovery on its node it leaves its state behind for its next start, if that is written within half
// of the time of ctx (CKPT-10).
func (m *Member) Stop(ctx context.Context) error { return m.errand(ctx, errandStop) }

// Restart starts the member if it was stopped or has failed too often (API-08). It fails with ra.ErrNameTaken if it runs,
// and with ra.ErrNoProcess if there is no such member.
func (m *Member) Restart(ctx context.Context) error { return m.errand(ctx, errandRestart) }

// Delete stops the member and deletes its data, by force: the cluster is not asked, and still counts it as a member
// (API-10). To delete one that does not exist is no error.
func (m *Member) Delete(ctx context.Context) error { return m.errand(ctx, errandDelete) }

func (m *Member) errand(ctx context.Context, kind errandKind) error {
	if err := m.check(); err != nil {
		return err
	}
	return m.node.runAll(ctx, kind, []ra.ServerID{m.id})[0]
}

// TriggerElection has the member stand for election as if its leader were gone (QRY-11).
func (m *Member) TriggerElection(ctx context.Context) error {
	_, err := m.do(ctx, &request{kind: callCampaign, fixed: true})
	return err
}

// Overview describes the member in full (QRY-09). It asks the member. It fails with a *machine.PanicError if the machine panics in
// its own part; then the rest is there, and the member goes on.
func (m *Member) Overview(ctx context.Context) (MemberOverview, error) {
	r, err := m.do(ctx, &request{kind: callOverview, fixed: true})
	reply, _ := r.Reply.(overviewReply)
	return reply.overview, cmp.Or(err, reply.err)
}

// Metrics returns the key numbers of the member without asking it, so also while it is busy or stopped (QRY-10): its node
// answers, at once if it is this one. It fails with ra.ErrNoProcess if no such member is registered there.
func (m *Member) Metrics(ctx context.Context) (Metrics, error) {
	if m.id.Node != m.node.Name() {
		r, err := m.do(ctx, &request{kind: callMetrics, fixed: true})
		metrics, _ := r.Reply.(Metrics)
		return metrics, err
	}
	if err := m.check(); err != nil {
		return Metrics{}, err
	}
	r := m.node.registry.byName(m.id.Name)
	if r == nil {
		return Metrics{}, ra.ErrNoProcess
	}
	return r.metrics(), nil
}
