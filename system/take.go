package system

import (
	"fmt"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// takeCall hands a call to the Server, unless its caller has given up.
func (p *process) takeCall(c *call) {
	if !c.take(p) {
		return
	}
	switch c.kind {
	case callCommand:
		p.server.Command(member.Command{Proposal: c.entry, Caller: c})
	case callForward:
		p.server.Command(member.Command{Proposal: c.entry})
		c.free()
	case callConsistent:
		p.server.Query(c.question, c)
	case callLocal, callLeader:
		p.ask(c, c.question)
	case callAwait:
		p.await(c)
	case callAux:
		p.server.AuxCall(c.question, p.auxCaller(c), c)
	case callAuxCast:
		p.server.AuxCast(c.question)
		c.free()
	case callConsAux:
		p.server.ConsistentAux(c.question, p.auxCaller(c), c)
	default:
		p.takeControl(c)
	}
}

// ask puts a question to the machine when the call's condition holds.
func (p *process) ask(c *call, question any) {
	c.number = 0
	if number := p.server.LocalQuery(question, c.when, c.kind == callLeader, c); number != 0 {
		c.number = number // it waits for its condition, so c is still this query's
	}
}

// auxCaller is who an aux handler answers that answers later: nobody, as aux calls are answered in place.
func (p *process) auxCaller(*call) machine.Caller { return machine.Caller{} }

func (p *process) takeControl(c *call) {
	switch c.kind {
	case callCampaign:
		p.server.Step(&raft.Message{Kind: raft.Campaign})
		p.reply(c, nil, nil)
	case callTransfer:
		p.transfer(c)
	case callChange:
		p.change(c)
	case callOverview:
		p.reply(c, p.overview(), nil)
	case callMembers:
		p.reply(c, p.members(), nil)
	case callRoll:
		p.roll(c)
	default:
		p.reply(c, nil, fmt.Errorf("system: call of unknown kind %d", c.kind))
	}
}

// membersReply answers callMembers.
type membersReply struct {
	// now is the configuration in force; initial and version are those that the cluster began with.
	now, initial []ra.Member
	version      machine.Version
}

func (p *process) members() membersReply {
	return membersReply{now: slices.Clone(p.server.Configuration().Members), initial: p.rec.reg.initial, version: p.rec.reg.version}
}

// roll answers with a configuration that is committed: who asks will take a member that is in it for added, and one that
// is not for removed.
func (p *process) roll(c *call) {
	switch {
	case p.server.Status().Role != ra.Leader:
		p.reply(c, nil, p.notLeader())
	case !p.server.Core().ChangePermitted:
		p.reply(c, nil, ra.ErrChangeNotPermitted)
	default:
		p.reply(c, p.members(), nil)
	}
}

// reply answers a control call.
func (p *process) reply(c *call, value any, err error) {
	s := p.server.Status()
	c.answer(ra.Result{Reply: value, Index: s.Applied, Term: s.Term, Leader: p.serverID(s.Leader)}, err)
}

// byID returns the member of the configuration with that address.
func (p *process) byID(id ra.ServerID) (ra.Member, bool) {
	for _, m := range p.server.Configuration().Members {
		if m.ID == id {
			return m, true
		}
	}
	return ra.Member{}, false
}

// notLeader returns the error of a request that only the leader takes.
func (p *process) notLeader() error {
	return &ra.NotLeaderError{Member: p.rec.id, Leader: p.serverID(p.server.Status().Leader)}
}

// transfer offers leadership to a member (QRY-12).
func (p *process) transfer(c *call) {
	to, ok := p.byID(c.member.ID)
	if !ok {
		p.reply(c, nil, fmt.Errorf("%w: %s", ra.ErrNotMember, c.member.ID))
		return
	}
	switch refused := p.server.Step(&raft.Message{Kind: raft.Transfer, To: to.UID}).Refused; refused {
	case raft.Accepted:
		p.reply(c, nil, nil)
	case raft.NotLeader:
		p.reply(c, nil, p.notLeader())
	default:
		p.reply(c, nil, fmt.Errorf("%w: transfer to %s", transferErrors[refused], to.ID))
	}
}

var transferErrors = map[raft.Refusal]error{
	raft.AlreadyLeader: ra.ErrAlreadyLeader,
	raft.NotMember:     ra.ErrNotMember,
	raft.NotVoter:      ra.ErrNonVoter,
	raft.NotUpToDate:   ra.ErrNotUpToDate,
	raft.Waiting:       ra.ErrNotUpToDate,
	raft.Malformed:     ra.ErrNotMember,
	raft.Stopped:       ra.ErrNoProcess,
	raft.Overloaded:    ra.ErrOverloaded,
}

// change asks for a change of the configuration. Members are known to users by their addresses, so that is what must be
// unique (MEM-02). A change that is in flight may still come to nothing, so nobody is told that it was made.
func (p *process) change(c *call) {
	known, ok := p.byID(c.member.ID)
	switch {
	case p.server.Status().Role != ra.Leader:
		p.reply(c, nil, p.notLeader())
		return
	case !p.server.Core().ChangePermitted:
		p.reply(c, nil, ra.ErrChangeNotPermitted)
		return
	case c.op == raft.Remove && !ok:
		p.reply(c, nil, fmt.Errorf("%w: %s", ra.ErrNotMember, c.member.ID))
		return
	case c.op == raft.Remove, ok && c.member.UID == "":
		c.member.UID = known.UID
	case ok && known.UID != c.member.UID:
		p.reply(c, nil, fmt.Errorf("%w: %s", ra.ErrAlreadyMember, c.member.ID))
		return
	}
	p.server.Change(c.op, c.member, c)
}
