package raft

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// leadership is what a leader knows beyond a follower. It lives from the election to the loss of leadership.
type leadership struct {
	first  ra.Index // the no-op of this term: nothing below is committed by counting
	peers  []peer   // by position in the configuration in force
	values []uint64 // scratch for agreed
	// The durable indexes, or the queries confirmed, have changed since they were last counted.
	acked, confirmed bool
	// querySent is the newest round of heartbeats, queryDone the newest that a majority has answered.
	querySent, queryDone uint64
	// version is that of the newest no-op of this leadership, heard that a peer's version, or who is a peer, has changed.
	version   uint32
	heard     bool
	successor ra.UID // to be sent TimeoutNow at the end of the batch
	leaving   bool   // no voter any more; leads until another does
}

// becomeLeader starts a leadership with a no-op entry, which commits what earlier terms left (ELE-09). It carries the
// machine's version in force; that of the code if nobody else must be able to run it (VER-02). Peers are taken to have the
// whole log until they say otherwise.
func (r *Raft) becomeLeader() {
	r.role = ra.Leader
	r.setLeader(r.self)
	r.cancelTimer()
	r.lead = &leadership{first: r.log.last + 1, queryDone: r.askedQuery, querySent: r.askedQuery}
	r.lead.follow(r.config(), r.log.last)
	r.lead.version = r.version
	if len(r.config().Members) == 1 {
		r.lead.version = max(r.version, r.local)
	}
	r.appendNew(ra.KindNoop, EncodeVersion(r.lead.version))
}

// upgrade orders the highest version of the machine that all members can run, if it is newer than the one in force
// (VER-04). A peer says with each AppendReply, and when it wants to be elected, which one it can run; one that has said
// nothing since its node is back stands in the way.
func (r *Raft) upgrade() {
	l := r.lead
	if !l.heard {
		return
	}
	l.heard = false
	version := r.local
	for i := range l.peers {
		if i != r.at {
			version = min(version, l.peers[i].version)
		}
	}
	if version > max(r.version, l.version) {
		l.version = version
		r.appendNew(ra.KindNoop, EncodeVersion(version))
	}
}

// endLeadership drops what only a leader has. Peers that follow it are told, so that they do not wait for a leader
// that is none. The role is the caller's to change.
func (r *Raft) endLeadership() {
	if r.askedQuery > r.lead.queryDone {
		r.out.QueriesLost = r.askedQuery
	}
	r.lead = nil
	r.denyLeading()
}

// denyLeading tells the others that this member does not lead.
func (r *Raft) denyLeading() {
	c := r.config()
	for i := range c.Members {
		if uid := c.Members[i].UID; i != r.at && uid != r.leader {
			r.send(Message{Kind: StepDown, To: uid})
		}
	}
}

// appendNew appends an entry of this package's own making.
func (r *Raft) appendNew(kind ra.Kind, payload []byte) ra.Index {
	entry := [1]ra.Entry{NewProposal(kind, 0, payload)}
	return r.appendProposals(entry[:])
}

// appendProposals gives entries their places in the log and seals them. It returns the index of the first.
func (r *Raft) appendProposals(entries []ra.Entry) ra.Index {
	first := r.log.last + 1
	out := slices.Grow(r.out.Append, len(entries))
	for i := range entries {
		e := &entries[i]
		h := ra.Header{Index: first + ra.Index(i), Term: r.state.Term, Kind: e.Kind(), Flags: e.Flags(), Time: r.now}
		out = out[:len(out)+1]
		to := &out[len(out)-1]
		to.Index, to.Term, to.Body = h.Index, h.Term, ra.SealBody(e.Body, h)
	}
	r.out.Append = out
	r.log.append(len(entries), r.state.Term)
	return first
}

// propose appends what clients want (REP-01). All of it or nothing is taken.
func (r *Raft) propose(m *Message) {
	if int(r.log.last-r.commit)+len(m.Entries) > r.limits.MaxUncommitted {
		r.result.Refused = Overloaded
		return
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if !ra.IsDraft(e.Body) || !e.Kind().Valid() || e.Kind() == ra.KindConfig {
			r.result.Refused = Malformed
			return
		}
	}
	if len(m.Entries) > 0 {
		r.result.Index = r.appendProposals(m.Entries)
	}
}

// change appends a configuration that differs in one member (thesis 4.1), if the one before it is committed, and
// something of this term is (I8).
func (r *Raft) change(m *Message) {
	if len(m.Members) != 1 {
		r.result.Refused = Malformed
		return
	}
	if !r.changePermitted() {
		r.result.Refused = ChangeNotPermitted
		return
	}
	members, refused := r.config().changed(m.Op, m.Members[0])
	if next := (Configuration{Members: members}); refused == Accepted && next.voters() == 0 {
		refused = Malformed
	}
	if r.result.Refused = refused; refused == Accepted {
		r.result.Index = r.appendConfig(members)
	}
}

// changePermitted reports whether the configuration may change now (MEM-01).
func (r *Raft) changePermitted() bool {
	return r.commit >= r.lead.first && r.config().Index <= r.commit
}

// appendConfig appends a configuration and puts it in force (MEM-06).
func (r *Raft) appendConfig(members []ra.Member) ra.Index {
	i := r.appendNew(ra.KindConfig, EncodeMembers(nil, members))
	r.setConfig(i, members)
	return i
}

// promote makes one promotable member a voter when it has caught up with its own entry (MEM-04).
func (r *Raft) promote() {
	c := r.config()
	for i := range c.Members {
		p := &r.lead.peers[i]
		caughtUp := p.match >= max(c.Index, r.lead.first) && !p.suspect
		if c.Members[i].Membership == ra.Promotable && caughtUp && r.changePermitted() {
			m := c.Members[i]
			m.Membership = ra.Voter
			if members, refused := c.changed(Set, m); refused == Accepted {
				r.appendConfig(members)
			}
			return
		}
	}
}

// closeLeader evaluates once what the batch has brought: commit index, queries, promotions, and what to send.
func (r *Raft) closeLeader() {
	r.advanceCommit()
	r.advanceQueries()
	r.promote()
	r.upgrade()
	for i := range r.lead.peers {
		r.replicate(i)
	}
	if r.isVoter() {
		r.lead.leaving = false
	} else if r.config().Index <= r.commit {
		r.leave()
	}
	if l := r.lead; l != nil && l.successor != "" {
		r.send(Message{Kind: TimeoutNow, To: l.successor})
		l.successor = ""
	}
}

// leave ends a leadership of a member that is no voter by now, which is committed and told to all others. A member
// that was removed stops (FSM-10). One that was demoted leads until a voter has taken over, which it asks for again
// and again: it could not stand for election itself if that went wrong.
func (r *Raft) leave() {
	if r.at < 0 {
		r.out.Removed = true
		r.becomeFollower(r.state.Term, "")
		r.cancelTimer()
	} else if !r.lead.leaving {
		r.lead.leaving = true
		r.lead.successor = r.bestVoter(0)
	}
}

// advanceCommit commits what a majority of the voters has made durable, if it is of this term (Raft paper 5.4.2,
// REP-12). Entries below a configuration that is not committed are counted by the one before it (I6): the newer one
// may not even be durable here.
func (r *Raft) advanceCommit() {
	l := r.lead
	if !l.acked {
		return
	}
	l.acked = false
	i := r.durableIn(r.config())
	if n := len(r.configs); i < r.configs[n-1].Index && n > 1 {
		i = min(r.durableIn(&r.configs[n-2]), r.configs[n-1].Index-1)
	}
	if i >= l.first {
		r.setCommit(i)
	}
}

// durableIn returns the index up to which a majority of the voters of c has the log on disk. This member's own part
// counts as far as it is durable, no more and no less than another's. What members have that are not in force any
// more is not known, and counts as nothing.
func (r *Raft) durableIn(c *Configuration) ra.Index {
	l := r.lead
	l.values = l.values[:0]
	for i := range c.Members {
		if !c.isVoter(i) {
			continue
		}
		k, self := i, i == r.at
		if c != r.config() {
			k, self = r.config().find(c.Members[i].UID), c.Members[i].UID == r.self
		}
		value := ra.Index(0)
		switch {
		case self:
			value = r.disk.index
		case k >= 0 && !l.peers[k].suspect:
			value = l.peers[k].match
		}
		l.values = append(l.values, uint64(value))
	}
	return ra.Index(agreed(l.values))
}

// leaderWritten counts what the leader's own disk has.
func (r *Raft) leaderWritten(m *Message) {
	if r.disk.confirm(m.Seq) {
		r.lead.acked = true
	}
}

// secondLeader reacts to a message that only a leader of this term can send.
func (r *Raft) secondLeader(m *Message) {
	if r.config().find(m.From) >= 0 {
		r.fail("term %d has two leaders, this one and %s", r.state.Term, m.From)
	}
}

// leaderPreVote steps down before a member of a higher term, which could never follow this one (ELE-03), and does not
// stand in the way of one that it asked to take over. Others have only missed that there is a leader, and hear from it.
func (r *Raft) leaderPreVote(m *Message) {
	if m.Term > r.state.Term {
		r.becomeFollower(m.Term, "")
	}
	if m.Force || r.lead == nil {
		r.answerPreVote(m)
		return
	}
	if i := r.config().find(m.From); i >= 0 {
		r.lead.runs(&r.lead.peers[i], m.Version)
	}
	for i := range r.lead.peers {
		p := &r.lead.peers[i]
		p.poke, p.probed = true, false
		if p.status == backoff {
			p.probe()
		}
	}
	if r.lead.querySent > r.lead.queryDone {
		r.sendHeartbeats()
	}
}

// leaderNodeDown takes note that a peer's node is suspected. A leader that suspects too many for a majority steps
// down (I19): the others may have elected another already.
func (r *Raft) leaderNodeDown(m *Message) {
	r.markNode(m.From, true)
	if !r.config().quorumOf(^r.down) {
		r.becomeFollower(r.state.Term, "")
	}
}

// leaderNodeUp starts to send to a peer again.
func (r *Raft) leaderNodeUp(m *Message) {
	r.markNode(m.From, false)
	if i := r.config().find(m.From); i >= 0 {
		p := &r.lead.peers[i]
		p.failures = 0
		p.probe()
		r.lead.runs(p, 0) // until it says so: it may come back with older code
	}
}

// transfer hands leadership over to a voter that has been sent the whole log (ELE-20, QRY-12). The leader waits for
// the election as AwaitCondition and takes no proposals, so that its successor can win.
func (r *Raft) transfer(m *Message) {
	i := r.config().find(m.To)
	switch {
	case i < 0:
		r.result.Refused = NotMember
	case i == r.at:
		r.result.Refused = AlreadyLeader
	case !r.config().isVoter(i):
		r.result.Refused = NotVoter
	case r.down.has(i) || !r.sentAll(&r.lead.peers[i]):
		r.result.Refused = NotUpToDate
	default:
		r.lead.successor = m.To
		r.enterAwait(awaitHandOver)
		r.await.to = m.To
	}
}

// sentAll reports whether p has been sent the log, or will have been when the batch is closed.
func (r *Raft) sentAll(p *peer) bool {
	return p.status == replicating && !p.suspect && int(r.log.last+1-p.next) <= len(r.out.Append)
}

// abdicate gives up leadership of one's own will, because this member cannot do its work: the voter that has most of
// the log is asked to stand for election.
func (r *Raft) abdicate(*Message) {
	if best := r.bestVoter(0); best != "" {
		r.send(Message{Kind: TimeoutNow, To: best})
	}
	r.becomeFollower(r.state.Term, "")
}

// bestVoter returns the other voter that has confirmed most of the log, empty if there is none to be reached. Of several that
// have the same it is another one in each turn.
func (r *Raft) bestVoter(turn int) ra.UID {
	best := -1
	for k := range r.lead.peers {
		i := (k + turn) % len(r.lead.peers)
		p := &r.lead.peers[i]
		if i != r.at && p.voter && !p.suspect && !r.down.has(i) && (best < 0 || p.match > r.lead.peers[best].match) {
			best = i
		}
	}
	if best < 0 {
		return ""
	}
	return r.lead.peers[best].uid
}
