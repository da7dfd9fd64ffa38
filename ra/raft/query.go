package raft

// query takes note that queries up to a number want a proof of leadership. It begins once an entry of this term is
// committed, since before that the leader may not know what is (thesis 6.4, REP-30); unlike in ra it does not wait
// for a change of membership, whose majorities intersect with those before it.
func (r *Raft) query(m *Message) {
	if m.Query <= r.lead.querySent {
		r.result.Refused = Malformed // a number that is used again would be answered by an old proof
		return
	}
	r.askedQuery = max(r.askedQuery, m.Query)
}

// advanceQueries starts a round of heartbeats for what was asked, and says which rounds a majority has confirmed
// (REP-31, REP-33). A newer round confirms the older ones too.
func (r *Raft) advanceQueries() {
	l := r.lead
	if r.askedQuery > l.querySent && r.commit >= l.first {
		l.querySent, l.confirmed = r.askedQuery, true
		r.sendHeartbeats()
	}
	if !l.confirmed {
		return
	}
	l.confirmed = false
	l.values = l.values[:0]
	for i := range l.peers {
		if p := &l.peers[i]; p.voter && i == r.at {
			l.values = append(l.values, l.querySent)
		} else if p.voter {
			l.values = append(l.values, p.query)
		}
	}
	if n := agreed(l.values); n > l.queryDone {
		l.queryDone = n
		r.out.QueriesReady = n
	}
}

// sendHeartbeats asks the voters that have not confirmed the newest round.
func (r *Raft) sendHeartbeats() {
	for i := range r.lead.peers {
		if p := &r.lead.peers[i]; i != r.at && p.voter && p.query < r.lead.querySent {
			r.send(Message{Kind: Heartbeat, To: p.uid, Query: r.lead.querySent})
		}
	}
}

// heartbeatReply counts a confirmation (REP-33). Numbers of other terms never get here (REP-35). A peer whose commit index
// is lower than it once said has started anew, and takes the heartbeat for a sign of its leader: it asks nobody, and nothing
// but an append can tell it what is committed (I18).
func (r *Raft) heartbeatReply(m *Message) {
	p := r.peerOf(m)
	if m.Commit < p.committed {
		p.committed, p.poke = m.Commit, true
	}
	if m.Query <= r.lead.querySent && m.Query > p.query {
		p.query = m.Query
		r.lead.confirmed = true
	}
}
