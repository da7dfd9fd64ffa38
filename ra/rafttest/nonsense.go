package rafttest

import (
	"math"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// stranger is nobody's UID.
const stranger ra.UID = "stranger"

// nonsenseOneIn: how often a message that a member takes in comes behind one that makes no sense.
const nonsenseOneIn = 32

// nonsense has the member take in what makes no sense to it, just before a message that does: what strangers say, what
// cannot be read as what a leader or a follower sends, orders of its own node that are malformed or come too late. All of
// that must be without effect, so that the run is the same as one in which it does not come (TestNonsense); requests must
// be refused (I15).
func (p *peer) nonsense(before *raft.Message) {
	if p.sim.opts.sober || !p.sim.jester.oneIn(nonsenseOneIn) {
		return
	}
	if m := p.sim.jester.draw(p, before); m != nil {
		request := m.Kind == raft.Propose || m.Kind == raft.Change || m.Kind == raft.Query
		got := p.server.Step(m)
		if got.Index != 0 || request != (got.Refused != raft.Accepted) && p.server.Failed() == nil {
			p.cluster.truth.breach("I15", "%s takes on %v: %+v", p.uid, m, got)
		}
	}
}

// jester draws nonsense. Its dice are its own: what it draws changes nothing in the rest of the run.
type jester struct{ dice }

// draw returns a message without sense for a member that is about to hear another one, or nil.
func (j jester) draw(p *peer, before *raft.Message) *raft.Message {
	core := p.server.Core()
	switch j.IntN(6) {
	case 0:
		return j.request(&core)
	case 1:
		return j.ownNode()
	case 2:
		return j.fromStranger(&core)
	case 3:
		return j.misdirected(before)
	}
	switch {
	case before.Term != core.State.Term:
	case before.Kind == raft.Append && before.From == core.Leader && core.Role != ra.Leader:
		return j.garbledAppend(before)
	case before.Kind == raft.AppendReply && !before.Reject && core.Leader == core.UID:
		m := *before
		m.Last += 1 << 40 // above all that was sent
		if m.Index > 0 && j.oneIn(2) {
			m.Last = m.Index - 1 // below what is durable
		}
		return &m
	}
	return nil
}

// request returns a request that nobody can take on.
func (j jester) request(core *raft.Status) *raft.Message {
	switch j.IntN(3) {
	case 0:
		return &raft.Message{Kind: raft.Query} // queries are numbered from 1
	case 1:
		good := raft.NewProposal(ra.KindCommand, 0, []byte("12345678"))
		return &raft.Message{Kind: raft.Propose, Entries: pick(j.dice,
			[]ra.Entry{{}}, []ra.Entry{good, {}}, []ra.Entry{good, {Body: ra.Seal(good.Body, ra.Header{Index: 1, Term: 1, Kind: ra.KindCommand}).Body}},
			[]ra.Entry{raft.NewProposal(ra.KindConfig, 0, []byte{0})}, tooMany)}
	}
	who := core.Configuration.Members[0]
	unnamed, odd := who, who
	unnamed.UID = ""
	odd.UID, odd.Membership = stranger, ra.NonVoter+1
	nameless := ra.Member{UID: stranger}
	return pick(j.dice,
		&raft.Message{Kind: raft.Change},
		&raft.Message{Kind: raft.Change, Members: []ra.Member{who, who}},
		&raft.Message{Kind: raft.Change, Members: []ra.Member{who}}, // what it is already
		&raft.Message{Kind: raft.Change, Op: raft.Remove + 1, Members: []ra.Member{who}},
		&raft.Message{Kind: raft.Change, Op: raft.Remove, Members: []ra.Member{nameless}},
		&raft.Message{Kind: raft.Change, Members: []ra.Member{unnamed}},
		&raft.Message{Kind: raft.Change, Members: []ra.Member{odd}},
		&raft.Message{Kind: raft.Change, Members: []ra.Member{nameless}},
	)
}

// tooMany are more entries than a leader may have uncommitted.
var tooMany = make([]ra.Entry, raft.DefaultLimits.MaxUncommitted+1)

// ownNode returns news of the member's own node that are about nothing that it has under way.
func (j jester) ownNode() *raft.Message {
	return pick(j.dice,
		&raft.Message{Kind: raft.SnapshotStored}, &raft.Message{Kind: raft.LogTruncated}, &raft.Message{Kind: raft.SnapshotTaken},
		&raft.Message{Kind: raft.Sent, To: stranger, Index: 1, Last: 2},
		&raft.Message{Kind: math.MaxUint8},
	)
}

// fromStranger returns what only a leader says, in the member's own term, by somebody else than the one that is known.
func (j jester) fromStranger(core *raft.Status) *raft.Message {
	switch core.Role {
	case ra.Follower, ra.AwaitCondition, ra.ReceiveSnapshot, ra.Leader:
	default:
		return nil
	}
	if core.Leader == "" {
		return nil
	}
	return &raft.Message{
		Kind: pick(j.dice, raft.Append, raft.Heartbeat, raft.InstallSnapshot, raft.StepDown, raft.TimeoutNow, raft.SuspectReply),
		From: stranger, To: core.UID, Term: core.State.Term, Index: core.Commit + 1, LogTerm: core.State.Term, Chunk: 1, Query: 1,
		Commit: core.Last.Index, Done: true, Token: 1,
	}
}

// misdirected returns a peer's message as if it were another member's, or came from the member itself or from nobody.
func (j jester) misdirected(m *raft.Message) *raft.Message {
	if !m.Kind.FromPeer() || m.Kind == raft.Dismissal || m.Kind == raft.Departure {
		return nil
	}
	wrong := *m
	*pick(j.dice, &wrong.To, &wrong.From) = pick(j.dice, "", m.To+"'")
	if wrong.From != m.From {
		wrong.From = pick(j.dice, "", m.To)
	}
	return &wrong
}

// garbledAppend returns a leader's append with something in it that no leader sends.
func (j jester) garbledAppend(before *raft.Message) *raft.Message {
	m := *before
	m.Entries = slices.Clone(m.Entries)
	if len(m.Entries) == 0 || j.oneIn(4) {
		m.Index, m.LogTerm, m.Entries = 0, 1, nil
		return &m
	}
	e := &m.Entries[j.IntN(len(m.Entries))]
	switch j.IntN(5) {
	case 0:
		e.Index++
	case 1:
		e.Term = m.Term + 1
	case 2:
		e.Term = 0
	case 3:
		e.Body = e.Body[:j.IntN(2)]
	case 4:
		*e = ra.Seal(ra.NewBody(j.garbledMembers()), ra.Header{Index: e.Index, Term: e.Term, Kind: ra.KindConfig})
	}
	if e.Term == 0 && m.LogTerm == 0 && e == &m.Entries[0] {
		return nil // before the first entry there is no term to fall below
	}
	return &m
}

// garbledMembers returns what is no configuration.
func (j jester) garbledMembers() []byte {
	id := ra.ServerID{Name: "a", Node: "n"}
	a, b := ra.Member{ID: id, UID: "a"}, ra.Member{ID: id, UID: "b"}
	good := raft.EncodeMembers(nil, []ra.Member{a, b})
	odd := slices.Clone(good)
	odd[1] = byte(ra.NonVoter) + 1
	return pick(j.dice,
		nil, []byte{raft.MaxMembers + 1}, good[:1], good[:len(good)-1], append(slices.Clone(good), 0), odd,
		raft.EncodeMembers(nil, []ra.Member{b, a}), raft.EncodeMembers(nil, []ra.Member{a, a}), raft.EncodeMembers(nil, []ra.Member{{}}),
	)
}
