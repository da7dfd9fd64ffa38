package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// A member whose disk has lost entries is suspect, if its term and vote are sound. It may have acknowledged what it lost,
// and a leader may have committed that by counting on it. So until it has all of that again it is no part of any
// majority: it grants no vote and no pre-vote, stands for no election, confirms no query, and what it acknowledges is
// marked, and moves the leader's window but not its commit index.
//
// It is sound again when, in a term that is at least its durable one, it holds its leader's log durably up to where
// that ended when the leader heard of the loss (the goal). Why that is enough: what was committed because of its word
// was acknowledged in a term t that is at most its durable one. A leader of a later term has all of that in its log,
// since the majority that elected it had a member in common with the one that committed, other than this member, which
// did not vote meanwhile. The leader of t itself had it in its log before it was acknowledged, and so before the goal
// was set. A leader does not remove entries.
//
// Messages may be late by any time. So that nothing that was said before a loss, or before a repair, is taken for news,
// what a member says of its log carries the number of its episode, which rises each time that it becomes suspect or
// sound, across all its lives.

// suspicion is the state of a member that is suspect.
type suspicion struct {
	goal  Position // of this term's leader; 0: not known
	order uint64   // the durable order that ends the suspicion, 0 if that is not given
}

// episodeOf returns the number of the episode that begins when the order of that number is durable. Those of a suspect
// member are odd.
func episodeOf(order uint64, suspect bool) uint64 {
	if suspect {
		return 2*order + 1
	}
	return 2 * order
}

// beginEpisode begins a life.
func (r *Raft) beginEpisode(s *Restored) {
	r.epoch, r.episode = s.Epoch, episodeOf(s.Epoch, s.Suspect)
	if s.Suspect {
		r.suspect = new(suspicion)
		r.silent = false
	}
}

// announce tells all members that this one is suspect, again and again until a leader is known. Whoever takes it for the
// leader learns that it is none.
func (r *Raft) announce() {
	if r.leader != "" && !r.leaderLost || r.walDown {
		return
	}
	c := r.config()
	for i := range c.Members {
		if i != r.at {
			r.send(Message{Kind: SuspectNotice, To: c.Members[i].UID, Index: r.disk.index, Token: r.episode})
		}
	}
	r.armTimer(Long)
}

// followerTick has a suspect member tell its leader how far it is, in case one of the two does not know.
func (r *Raft) followerTick(*Message) {
	if r.suspect != nil && r.leader != "" {
		r.ackDue = true
	}
}

// suspectReply takes the leader's answer: the goal.
func (r *Raft) suspectReply(m *Message) {
	if r.suspect == nil || m.Token != r.episode || m.Index == 0 || !r.follow(m.From) {
		return
	}
	r.suspect.goal = Position{m.Index, m.LogTerm}
	r.ackDue = true
}

// heal orders the end of the suspicion to be stored when the goal is reached. The term is durable.
func (r *Raft) heal() {
	s := r.suspect
	if s.order == 0 && s.goal.Index != 0 && min(r.disk.index, r.matched) >= s.goal.Index && !r.log.excludes(s.goal) {
		r.out.Repaired = true
	}
}

// endSuspicion ends the suspicion once that is durable. Whatever happened since it was ordered, the goal was reached.
func (r *Raft) endSuspicion() {
	order := r.suspect.order
	if order == 0 || r.disk.written < order {
		return
	}
	r.suspect, r.episode = nil, episodeOf(r.epoch+order, false)
	r.ackDue = true
	if r.role == ra.Follower {
		r.enterFollower()
	}
}

// hearSuspect takes note that another member is suspect. If it was taken for the leader, it is none. A leader that is
// well hears of the doubt, as in wouldElect.
func (r *Raft) hearSuspect(m *Message) {
	r.suspects = r.suspects.with(r.config().find(m.From))
	switch {
	case m.Term < r.state.Term:
	case m.From == r.leader:
		r.loseLeader("", Long)
	case r.leader != "" && !r.leaderLost:
		r.ackDue = true
	}
}

// leaderSuspect takes note that a peer is suspect: less of it is counted, and it is told the goal. The commit index
// stays. A leader of a term below the peer's cannot help it and, like one that is asked for a vote (ELE-03), steps down
// for one that can.
func (r *Raft) leaderSuspect(m *Message) {
	if m.Term > r.state.Term {
		r.becomeFollower(m.Term, "")
		return
	}
	p := r.peerOf(m)
	if m.Token != p.episode && !r.newEpisode(p, m) || !p.suspect {
		return
	}
	if p.match = min(p.match, m.Index); p.status <= probing {
		p.probe()
		p.next = max(p.match, min(m.Index, r.log.last)) + 1
	}
	r.answerSuspect(p)
}

// newEpisode takes note of what a message says of its sender's episode, if that is a newer one than was heard of. It
// returns false for a message of an older one, which says nothing of the sender any more.
func (r *Raft) newEpisode(p *peer, m *Message) bool {
	if m.Token < p.episode {
		return false
	}
	p.episode, p.suspect = m.Token, m.Suspect || m.Kind == SuspectNotice
	if p.suspect {
		p.goal, p.match = r.log.end(), min(p.match, m.Index)
		r.answerSuspect(p)
	}
	return true
}

// answerSuspect tells a peer its goal.
func (r *Raft) answerSuspect(p *peer) {
	r.send(Message{Kind: SuspectReply, To: p.uid, Token: p.episode, Index: p.goal.Index, LogTerm: p.goal.Term})
}

// QuorumDamaged reports whether so many voters are suspect, as far as this member knows, that the others are no
// majority: nobody can be elected until somebody accepts a loss. It is false while a leader is known.
func (r *Raft) QuorumDamaged() bool {
	if r.leader != "" || r.suspect == nil && r.suspects == 0 {
		return false
	}
	c, sound := r.config(), 0
	for i := range c.Members {
		suspect := r.suspects.has(i) || i == r.at && r.suspect != nil
		if c.isVoter(i) && !suspect {
			sound++
		}
	}
	return sound < majority(c.voters())
}
