package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// becomeFollower adopts term if it is higher, and leader, and gives up whatever role this member has. Without a
// leader the election timer runs (FSM-09). The reception of a snapshot that is being put in force goes on.
func (r *Raft) becomeFollower(term ra.Term, leader ra.UID) {
	if term > r.state.Term {
		r.setState(ra.HardState{Term: term})
	}
	r.setLeader(leader)
	if r.lead != nil {
		r.endLeadership()
	}
	if r.role == ra.ReceiveSnapshot {
		if r.receiving.installing {
			return
		}
		r.abortSnapshot()
	}
	r.enterFollower()
}

// enterFollower changes the role to follower, and to that of one whose storage is down if it is.
func (r *Raft) enterFollower() {
	if r.role != ra.Follower {
		r.role, r.await = ra.Follower, waiting{}
		r.cancelTimer()
	}
	if r.leader != "" && !r.leaderLost {
		r.cancelTimer()
	} else {
		r.armTimer(Long)
	}
	if r.walDown {
		r.enterAwait(awaitStorage)
	}
}

// setLeader takes note of who leads this term.
func (r *Raft) setLeader(leader ra.UID) {
	r.leader, r.leaderLost, r.pledged = leader, false, false
}

// follow takes note of a message from the leader of this term: no election is needed (TIM-02).
func (r *Raft) follow(leader ra.UID) bool {
	if r.leader != "" && r.leader != leader {
		if r.config().find(leader) >= 0 {
			r.fail("term %d has two leaders, %s and %s", r.state.Term, r.leader, leader)
		}
		return false
	}
	r.setLeader(leader)
	r.silent = false
	r.suspects = 0
	r.cancelTimer()
	if r.suspect != nil && r.suspect.goal.Index == 0 {
		r.ackDue = true // it may not know
	}
	return true
}

// followerAppend takes entries from the leader (REP-09).
func (r *Raft) followerAppend(m *Message) {
	if r.follow(m.From) {
		r.acceptAppend(m)
	}
}

// fit says whether the entries of an append can follow the log.
type fit uint8

const (
	fits        fit = iota
	fitMissing      // the log ends before
	fitConflict     // another entry is there
)

// fit compares the entry before those of an append with the log. Below the log's base all is committed and fits, unless
// it cannot have been there.
func (r *Raft) fit(m *Message) fit {
	if m.Index > r.log.last {
		return fitMissing
	}
	if r.log.excludes(Position{m.Index, m.LogTerm}) {
		return fitConflict
	}
	return fits
}

// acceptAppend appends what is new of an append that fits, and moves the commit index as far as the log is known to be
// the leader's. Entries go only for one that conflicts (REP-09; unlike ra, an append without entries cuts nothing).
func (r *Raft) acceptAppend(m *Message) {
	if !validEntries(m) {
		return
	}
	if f := r.fit(m); f != fits {
		r.rejectAppend(m, f)
		return
	}
	news := r.newEntries(m.Entries)
	if len(news) > 0 {
		if news[0].Index <= r.log.last {
			r.truncateLog(news[0].Index)
		}
		r.appendEntries(news)
	}
	r.matched = max(r.matched, m.Index+ra.Index(len(m.Entries)))
	r.setCommit(min(m.Commit, r.matched))
	// New entries are acknowledged when they are durable (REP-08), a bare commit index not at all.
	if len(news) == 0 && (m.Force || len(m.Entries) > 0) {
		r.ackDue = true
	}
}

// validEntries reports whether an append's entries can be what a leader of its term sent: gapless, of terms that do
// not fall, with bodies and configurations that can be read.
func validEntries(m *Message) bool {
	term := m.LogTerm
	if m.Index == 0 && term != 0 {
		return false
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Index != m.Index+ra.Index(i)+1 || e.Term < term || !e.HasHeader() {
			return false
		}
		term = e.Term
		if e.Kind() == ra.KindConfig {
			if _, err := DecodeMembers(e.Payload()); err != nil {
				return false
			}
		}
	}
	return term <= m.Term
}

// newEntries returns the entries from the first on that the log does not have.
func (r *Raft) newEntries(entries []ra.Entry) []ra.Entry {
	for len(entries) > 0 && entries[0].Index <= r.log.last {
		if r.log.excludes(Position{entries[0].Index, entries[0].Term}) {
			break
		}
		entries = entries[1:]
	}
	return entries
}

// rejectAppend says where the log may fit, once, and waits for an append that does (FSM-03, REP-10).
func (r *Raft) rejectAppend(m *Message, f fit) {
	if f == fitConflict && m.Index <= r.commit {
		r.fail("leader %s has term %d at committed index %d", m.From, m.LogTerm, m.Index)
		return
	}
	r.sendReject(m.Index, m.LogTerm)
	reason := awaitMissing
	if f == fitConflict {
		reason = awaitConflict
	}
	r.enterAwait(reason)
	r.await.index, r.await.term = m.Index, m.LogTerm
}

// sendReject tells the leader that its entry at i, of term, is not in the log, and which is the last one that may be
// in both. That is not below what is committed here: i is above, and a leader that has that has no older term behind it.
func (r *Raft) sendReject(i ra.Index, term ra.Term) {
	hint := r.log.lastWithin(i-1, term)
	r.send(Message{
		Kind: AppendReply, To: r.leader, Reject: true, Index: hint.Index, LogTerm: hint.Term, Last: i,
		Suspect: r.suspect != nil, Token: r.episode, Version: r.local,
	})
}

// truncateLog removes the entries from i on, in the log, in what is or will be durable, and in the configurations.
func (r *Raft) truncateLog(i ra.Index) {
	if i <= r.commit {
		r.fail("entries from %d on would be removed, but %d is committed", i, r.commit)
		return
	}
	o := r.out
	fresh := r.log.last + 1 - ra.Index(len(o.Append)) // index of the first entry of this batch
	o.Append = o.Append[:max(i, fresh)-fresh]
	if i <= r.ordered {
		o.Truncate, r.ordered = i, i-1
	}
	r.log.truncate(i)
	r.disk.truncate(i)
	r.matched = min(r.matched, i-1)
	r.dropConfigs(i)
}

// appendEntries adds valid entries that follow the log. Configurations in them take effect (MEM-06).
func (r *Raft) appendEntries(entries []ra.Entry) {
	if r.failed != nil {
		return
	}
	r.out.Append = append(r.out.Append, entries...)
	for i := range entries {
		e := &entries[i]
		r.log.append(1, e.Term)
		if e.Kind() == ra.KindConfig {
			members, err := DecodeMembers(e.Payload())
			if err != nil {
				r.fail("configuration at %d: %w", e.Index, err)
				return
			}
			r.setConfig(e.Index, members)
		}
	}
}

// written takes note that orders are on disk. New durable entries are acknowledged (REP-08), unless that was done.
func (r *Raft) written(m *Message) {
	before := r.disk.index
	if r.disk.confirm(m.Seq) && r.disk.index > before && !m.Done {
		r.ackDue = true
	}
	if r.suspect != nil {
		r.endSuspicion()
	}
}

// followerHeartbeat confirms a round of queries (REP-32).
func (r *Raft) followerHeartbeat(m *Message) {
	if r.follow(m.From) && r.suspect == nil {
		r.queryDue = max(r.queryDue, m.Query)
	}
}

// followerStepDown forgets a leader that leads no more.
func (r *Raft) followerStepDown(m *Message) {
	if m.From == r.leader {
		r.loseLeader("", Medium)
	}
}

// leaderDown reacts to the end of the leader's process: it is forgotten, so that nobody is redirected to it (TIM-02).
func (r *Raft) leaderDown(m *Message) {
	if m.From == r.leader && r.leader != "" {
		r.loseLeader("", ReallyShort)
	}
}

// leaderUnreachable reacts to a broken connection to the leader's process (TIM-02).
func (r *Raft) leaderUnreachable(m *Message) {
	if m.From == r.leader && r.leader != "" {
		r.loseLeader(r.leader, Short)
	}
}

// loseLeader takes note that the leader may be gone and starts the election timer anew. A member that waits for
// entries stops waiting (FSM-03).
func (r *Raft) loseLeader(known ra.UID, class TimerClass) {
	r.leader, r.leaderLost = known, known != ""
	if r.role == ra.ReceiveSnapshot {
		if r.receiving.installing {
			return
		}
		r.abortSnapshot()
	}
	r.enterFollower()
	r.cancelTimer()
	r.armTimer(class)
}

// nodeDown takes note that a member's node is suspected (TIM-02).
func (r *Raft) nodeDown(m *Message) {
	r.markNode(m.From, true)
	if m.From == r.leader && r.leader != "" && !r.leaderLost {
		r.loseLeader(r.leader, Long)
	}
}

// nodeUp takes note that a member's node is back. If it is the leader's, no election is needed for all that is known here
// (TIM-02). But it may have stepped down unheard: it is told that this member follows it, and says so then. The shell
// monitors the leader's process again and tells if that is gone.
func (r *Raft) nodeUp(m *Message) {
	r.markNode(m.From, false)
	if m.From == r.leader && r.leader != "" {
		r.leaderLost = false
		r.cancelTimer()
		r.ackDue = true
	}
}

// markNode keeps which members' nodes are suspected.
func (r *Raft) markNode(uid ra.UID, down bool) {
	i := r.config().find(uid)
	switch {
	case i < 0 || i == r.at:
	case down:
		r.down = r.down.with(i)
	default:
		r.down = r.down.without(i)
	}
}

// versionInForce takes note of the machine version that is in force.
func (r *Raft) versionInForce(m *Message) { r.version = m.Version }

// refuseNotLeader refuses a request that only a leader can take.
func (r *Raft) refuseNotLeader(*Message) { r.result.Refused = NotLeader }
