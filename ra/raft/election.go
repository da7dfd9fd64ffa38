package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// electionTimeout starts an election, unless the timer was cancelled meanwhile.
func (r *Raft) electionTimeout(*Message) {
	if !r.timerArmed {
		return
	}
	r.timerArmed = false
	if r.grantDue {
		r.armTimer(Long) // whom it votes for waits for this disk, and has not heard yet
		return
	}
	r.pledged = false
	switch {
	case r.suspect != nil:
		r.announce()
	case r.mayLead():
		r.startPreVote(false)
	default:
		r.missLeader()
	}
}

// missLeader is what a member does that knows no leader and may not stand for election: it asks all the same, until
// it hears from one, and counts no answers. If there is a leader, it sees that it is not known here. And whoever takes
// this member for the leader, because it led until it was demoted and word of its end was lost, sees that it is none
// (I18).
func (r *Raft) missLeader() {
	if r.leader == "" && r.at >= 0 && !r.walDown {
		r.token++
		r.askMembers(Message{Kind: PreVoteRequest, Token: r.token, Version: r.local})
		r.armTimer(Long)
	}
}

// campaignNow starts an election because the user wants one (QRY-11).
func (r *Raft) campaignNow(*Message) {
	r.silent = false
	r.startPreVote(false)
}

// followerTimeoutNow starts an election because the leader hands over to this member (ELE-20).
func (r *Raft) followerTimeoutNow(m *Message) {
	if r.leader == "" || r.leader == m.From {
		r.startPreVote(true)
	}
}

// startPreVote asks the voters whether they would elect this member, in a round of its own (thesis 9.6). Nothing is
// stored: neither term nor vote change (ELE-01 stores a vote, which could cost the term's real election its vote).
func (r *Raft) startPreVote(handOver bool) {
	if !r.mayLead() || r.walDown {
		return
	}
	r.role, r.await = ra.PreVote, waiting{}
	r.setLeader("")
	r.token++
	r.votes = memberSet(0).with(r.at)
	r.force = handOver
	r.cancelTimer()
	r.armTimer(Long)
	r.askMembers(Message{Kind: PreVoteRequest, Token: r.token, Version: r.local, Force: handOver})
	if r.config().quorumOf(r.votes) {
		r.startElection(Short)
	}
}

// askMembers sends a request for votes to all others (ELE-05). Only voters' answers count, but a leader that was
// demoted must hear that somebody has missed it.
func (r *Raft) askMembers(m Message) {
	end := r.log.end()
	m.Index, m.LogTerm, m.Protocol = end.Index, end.Term, r.protocol
	c := r.config()
	for i := range c.Members {
		if i != r.at {
			m.To = c.Members[i].UID
			r.send(m)
		}
	}
}

// answerPreVote says whether this member would vote for the sender in the term after the sender's. It adopts no term.
// Members answer whatever their own membership is: the sender counts those that its configuration calls voters, and
// one that was promoted may not know it yet.
func (r *Raft) answerPreVote(m *Message) {
	granted := r.wouldElect(m)
	r.send(Message{Kind: PreVoteReply, To: m.From, Token: m.Token, Reject: !granted})
}

// wouldElect decides a pre-vote, and arms the own timer if this member is the better candidate (ELE-02, TIM-03).
func (r *Raft) wouldElect(m *Message) bool {
	if m.Term < r.state.Term || m.Protocol > r.protocol {
		return false
	}
	r.suspects = r.suspects.without(r.config().find(m.From))
	if m.From == r.leader { // whoever asks for votes does not lead
		r.loseLeader("", Long)
	}
	if r.leader != "" && !r.leaderLost && !m.Force {
		// The leader is well as far as can be seen from here (I19). It hears of the doubt: if it leads no more, it
		// will say so.
		r.ackDue = true
		if r.config().find(r.leader) >= 0 {
			return false
		}
		// It is known by its messages alone, so that nobody here watches its process, and its end would not be noticed.
	}
	if r.awaitsElection(m) {
		return false
	}
	if !r.isUpToDate(m) || !r.versionWelcome(m.Version) {
		if r.leader == "" || r.leaderLost {
			r.armTimer(Long)
		}
		return false
	}
	return !r.walDown && r.suspect == nil
}

// awaitsElection reports whether somebody else than the sender may be about to win the present term: this member, if nobody
// has refused its vote, or whom it has voted for not long ago. To open another term meanwhile would undo what disks are
// still storing: where that takes long, nobody would ever be elected. It ends by itself: a refusal, and a time.
func (r *Raft) awaitsElection(m *Message) bool {
	switch {
	case m.Force || m.Term != r.state.Term:
		return false
	case r.role == ra.Candidate:
		return !r.refused
	}
	return r.pledged && m.From != r.state.Vote
}

// isUpToDate reports whether the sender's log is at least as complete as this one (Raft paper 5.4.1).
func (r *Raft) isUpToDate(m *Message) bool {
	end := r.log.end()
	return m.LogTerm > end.Term || m.LogTerm == end.Term && m.Index >= end.Index
}

// versionWelcome reports whether a leader with that machine version could be followed (VER-12).
func (r *Raft) versionWelcome(version uint32) bool {
	return version == r.version || r.version <= version && version <= r.local
}

// countPreVote counts the answer to the present round, and goes on to the election with a majority (ELE-04).
func (r *Raft) countPreVote(m *Message) {
	switch {
	case m.Token != r.token:
		return
	case m.Reject:
		r.force = false // nothing may come of the hand-over
		return
	}
	r.votes = r.votes.with(r.config().find(m.From))
	if r.config().quorumOf(r.votes) {
		r.startElection(Short)
	}
}

// startElection opens a new term with a vote for this member (ELE-05). Requests leave, and the own vote counts, only
// when term and vote are durable: otherwise a crash could let this member vote again in the term it may have won.
func (r *Raft) startElection(class TimerClass) {
	r.role = ra.Candidate
	r.setLeader("")
	r.setState(ra.HardState{Term: r.state.Term + 1, Vote: r.self})
	r.votes, r.refused = 0, false
	r.requestsDue = true
	r.cancelTimer()
	r.armTimer(class)
}

// candidateWritten sends the vote requests once the own vote is durable.
func (r *Raft) candidateWritten(m *Message) {
	r.disk.confirm(m.Seq)
	if !r.requestsDue || !r.stateDurable() {
		return
	}
	r.requestsDue = false
	r.askMembers(Message{Kind: VoteRequest})
	r.addVote(r.at)
}

// candidateTimeout asks for votes again, in the same term as long as nobody has refused: who is silent may be storing its
// vote just now, and another term would make its disk begin anew. Else others are asked first whether they would elect this
// member, as one of them may be winning. The disk may not even have stored the present term. The timer of a candidate is
// always armed.
func (r *Raft) candidateTimeout(*Message) {
	r.timerArmed = false
	if !r.requestsDue && r.refused {
		r.startPreVote(false)
		return
	}
	if !r.requestsDue {
		r.askMembers(Message{Kind: VoteRequest})
	}
	r.armTimer(Medium)
}

// countVote counts a vote of this term.
func (r *Raft) countVote(m *Message) {
	switch {
	case r.requestsDue:
	case m.Reject:
		r.refused = true
	default:
		r.addVote(r.config().find(m.From))
	}
}

// addVote adds the vote of the member at position i. A majority makes this member the leader.
func (r *Raft) addVote(i int) {
	r.votes = r.votes.with(i)
	if r.config().quorumOf(r.votes) {
		r.becomeLeader()
	}
}

// answerVote grants the vote of this term to the first candidate whose log is as complete as this one (ELE-06). The
// answer leaves when the vote is durable; a refusal promises nothing and leaves at once.
func (r *Raft) answerVote(m *Message) {
	free := r.state.Vote == "" || r.state.Vote == m.From
	if !free || r.leader != "" || m.Protocol > r.protocol || !r.isUpToDate(m) || r.walDown || r.suspect != nil {
		r.refuseVote(m)
		return
	}
	r.grantDue = true
	if r.state.Vote == m.From {
		return // asked again: its time goes on
	}
	r.setState(ra.HardState{Term: r.state.Term, Vote: m.From})
	r.pledged = true
	r.cancelTimer()
	r.armTimer(Long)
}

// refuseVote refuses a vote of the present term.
func (r *Raft) refuseVote(m *Message) {
	r.send(Message{Kind: VoteReply, To: m.From, Reject: true})
}

// candidateAppend follows the leader that another member has become (FSM-08).
func (r *Raft) candidateAppend(m *Message) { r.concede(m, (*Raft).followerAppend) }

// candidateHeartbeat does the same for a round of queries.
func (r *Raft) candidateHeartbeat(m *Message) { r.concede(m, (*Raft).followerHeartbeat) }

// candidateSnapshot does the same for a snapshot.
func (r *Raft) candidateSnapshot(m *Message) { r.concede(m, (*Raft).followerSnapshot) }

// concede makes this member a follower of the sender, and handles the message as one. But who hands over to this member goes on
// leading until the others have answered, with queries and word of what is committed: as long as nobody has refused that is no
// reason to give up, and lost.
func (r *Raft) concede(m *Message, as handler) {
	if r.role == ra.PreVote && r.force {
		return
	}
	r.becomeFollower(m.Term, m.From)
	if r.role == ra.Follower {
		as(r, m)
	}
}
