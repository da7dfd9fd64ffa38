package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// awaitReason is what a member in the role AwaitCondition waits for.
type awaitReason uint8

const (
	awaitMissing  awaitReason = iota // an append that fits: entries before the last one are missing (FSM-03)
	awaitConflict                    // an append that fits: the last one met another entry (FSM-03)
	awaitStorage                     // the write-ahead log (FSM-04)
	awaitHandOver                    // the election of the member that leadership goes to (FSM-05)
)

// waiting is the state of a member in the role AwaitCondition.
type waiting struct {
	reason awaitReason
	ticks  int
	index  ra.Index // position that did not fit
	term   ra.Term
	to     ra.UID // whom leadership goes to
}

// enterAwait changes the role to AwaitCondition. Each reason has its way out: an event, or ticks.
func (r *Raft) enterAwait(reason awaitReason) {
	r.role, r.await = ra.AwaitCondition, waiting{reason: reason}
	r.cancelTimer()
}

// awaitLeading returns the handler that does one thing in a leader that waits and another in a follower that does.
func awaitLeading(leader, follower handler) handler {
	return func(r *Raft, m *Message) {
		if r.lead != nil {
			leader(r, m)
		} else {
			follower(r, m)
		}
	}
}

// awaitAppend takes an append that fits at last. One that does not is dropped, as the leader knows already; but it is
// news further down, where the leader tries next if its first guess was wrong, or if entries were only missing so far.
// And a leader that asks for an answer has not heard, or has given up what it was told about. Who waits for storage notes
// who leads, which others may have to be told, and no more.
func (r *Raft) awaitAppend(m *Message) {
	if !r.follow(m.From) || r.await.reason == awaitStorage || !validEntries(m) {
		return
	}
	f := r.fit(m)
	if f == fits {
		r.enterFollower()
		r.acceptAppend(m)
	} else if m.Force || m.Index < r.await.index || f == fitConflict && r.await.reason == awaitMissing {
		r.rejectAppend(m, f)
	}
}

// awaitHeartbeat notes who leads. Who waits for entries does not confirm the round (FSM-03); who waits for storage does,
// since that takes none: queries go on while disks are full.
func (r *Raft) awaitHeartbeat(m *Message) {
	if r.await.reason == awaitStorage {
		r.followerHeartbeat(m)
	} else {
		r.follow(m.From)
	}
}

// awaitSnapshot takes a snapshot instead of the entries that were missing.
func (r *Raft) awaitSnapshot(m *Message) {
	if r.await.reason != awaitStorage {
		r.followerSnapshot(m)
	} else {
		r.follow(m.From)
	}
}

// awaitPreVote answers in place; a leader that hands over elects its successor (ELE-20).
func (r *Raft) awaitPreVote(m *Message) {
	if r.lead != nil && m.Term > r.state.Term {
		r.becomeFollower(m.Term, "")
	}
	r.answerPreVote(m)
}

// awaitVote ends the wait of a follower and answers (FSM-03). A leader has voted for itself.
func (r *Raft) awaitVote(m *Message) {
	if r.lead == nil {
		r.enterFollower()
	}
	r.answerVote(m)
}

// awaitWAL starts to wait for the write-ahead log. A candidate gives up, a leader keeps its term (FSM-04).
func (r *Raft) awaitWAL(*Message) {
	r.walDown = true
	if r.lead != nil {
		r.enterAwait(awaitStorage)
	} else {
		r.enterFollower()
	}
}

// walUp ends the wait for the write-ahead log.
func (r *Raft) walUp(*Message) {
	r.walDown = false
	if r.role != ra.AwaitCondition || r.await.reason != awaitStorage {
		return
	}
	r.endAwait()
	if r.role == ra.Follower && r.leader != "" && !r.leaderLost {
		// Appends were dropped meanwhile. If there were any, the leader learns here where to go on, and not only by
		// its tick.
		r.sendReject(r.log.last+1, r.log.lastTerm())
	}
}

// endAwait goes back to leading or following.
func (r *Raft) endAwait() {
	if r.lead != nil {
		r.role, r.await = ra.Leader, waiting{}
	} else {
		r.enterFollower()
	}
}

// awaitTick counts the time of the wait, and ends it when it is over.
func (r *Raft) awaitTick(m *Message) {
	if r.lead != nil {
		r.leaderTick(m)
	} else {
		r.followerTick(m)
	}
	r.await.ticks++
	switch r.await.reason {
	case awaitStorage:
		if r.lead != nil && r.await.ticks >= r.limits.StorageTicks {
			// Until somebody takes over, which nobody can who has no room either, it answers queries (FAIL-07).
			r.lead.successor = r.bestVoter(r.await.ticks)
		} else if r.lead == nil && r.leader == "" {
			r.denyLeading() // it cannot campaign, which would show it
		}
	case awaitHandOver:
		if r.await.ticks >= r.limits.AwaitTicks {
			r.endAwait()
		} else { // the offer, or entries without which nobody votes for the successor, may have been lost
			r.lead.successor = r.await.to
		}
	default:
		if r.await.ticks >= r.limits.AwaitTicks && r.leader != "" {
			r.sendReject(r.await.index, r.await.term)
			r.endAwait()
		}
	}
}

// refuseWaiting refuses a request in a member that waits: it may soon be the leader again (CMD-12).
func (r *Raft) refuseWaiting(*Message) {
	r.result.Refused = NotLeader
	if r.lead != nil {
		r.result.Refused = Waiting
	}
}
