package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// peerStatus is how a leader deals with a peer.
type peerStatus uint8

const (
	replicating peerStatus = iota // appends go out without waiting for the answers to those before
	probing                       // one empty append at a time, until it is known where the logs agree
	sending                       // a snapshot goes out, chunk by chunk
	backoff                       // a snapshot could not be sent or was refused; wait
)

var statusNames = [...]string{"replicating", "probing", "sending_snapshot", "snapshot_backoff"}

// peer is what a leader knows of one member, itself included (REP-02).
//
// Invariants: match < next <= last+1; match <= sent. match rises only by answers of this term.
type peer struct {
	uid       ra.UID
	voter     bool
	status    peerStatus
	probed    bool  // probing: the append is out
	moved     bool  // something was confirmed since the last tick
	poke      bool  // owes an append, even an empty one, that is answered at once
	failures  uint8 // transfers of a snapshot that failed in a row
	chunk     uint32
	ticks     int      // sending: since the last progress; backoff: still to wait
	match     ra.Index // durable there
	next      ra.Index // to be sent next
	sent      ra.Index // sent at most, in this leadership; what is above cannot be confirmed
	bytes     int      // about the size of what is sent and not confirmed
	query     uint64   // newest round confirmed
	commit    ra.Index // newest commit index sent
	committed ra.Index // commit index that the peer has said to have
	version   uint32   // of the machine, that the peer has said to be able to run; 0 before
	snapshot  Position // sending: which

	// suspect: what it has confirmed counts for nothing until it says that it holds the log durably up to goal. episode
	// is the newest that was heard of.
	suspect bool
	goal    Position
	episode uint64
}

// follow makes the peers those of c, with what is known of them.
func (l *leadership) follow(c *Configuration, last ra.Index) {
	peers := make([]peer, len(c.Members))
	for i := range c.Members {
		peers[i] = peer{uid: c.Members[i].UID, next: last + 1, sent: last}
		for k := range l.peers {
			if l.peers[k].uid == peers[i].uid {
				peers[i] = l.peers[k]
			}
		}
		peers[i].voter = c.isVoter(i)
	}
	l.peers = peers
	l.acked, l.confirmed, l.heard = true, true, true
}

// peerOf returns the peer that sent m, which admit has found to be a member.
func (r *Raft) peerOf(m *Message) *peer { return &r.lead.peers[r.config().find(m.From)] }

// runs takes note of the newest version of the machine that a peer can run.
func (l *leadership) runs(p *peer, version uint32) { p.version, l.heard = version, true }

// probe finds out where the logs agree. It begins at the end of what was sent, or what the peer was taken to have: if
// that is so nothing is sent twice, and no snapshot because this log begins later than what is known of the peer. If
// not, the peer's answer says where to go on.
func (p *peer) probe() {
	p.status, p.probed, p.bytes = probing, false, 0
}

// replicate sends a peer what it can be sent now (REP-03, REP-04). Nothing is sent to a node that is suspected.
func (r *Raft) replicate(i int) {
	p := &r.lead.peers[i]
	if i == r.at || r.down.has(i) {
		return
	}
	switch p.status {
	case probing:
		if !p.probed {
			p.probed = true
			r.sendAppend(p, p.next-1, true)
		}
	case replicating:
		if p.next > r.log.last && (p.commit < r.commit || p.poke) {
			r.sendAppend(p, r.log.last, p.poke)
		}
		for p.status == replicating && p.next <= r.log.last && r.windowOpen(p) {
			room := r.limits.MaxInflightEntries - int(p.next-1-p.match)
			n := min(room, r.limits.MaxEntriesPerAppend, int(r.log.last+1-p.next))
			r.sendAppend(p, p.next-1+ra.Index(n), p.poke)
		}
	}
}

// windowOpen reports whether more may be sent to p before it confirms something.
func (r *Raft) windowOpen(p *peer) bool {
	inflight := int(p.next - 1 - p.match)
	return inflight == 0 || inflight < r.limits.MaxInflightEntries && p.bytes < r.limits.MaxInflightBytes
}

// sendAppend sends p the entries from next to last, or a snapshot if they are not kept (REP-06). now asks for an
// answer at once.
func (r *Raft) sendAppend(p *peer, last ra.Index, now bool) {
	term, known := r.log.at(p.next - 1)
	if !known {
		r.startSnapshot(p)
		return
	}
	r.send(Message{
		Kind: Append, To: p.uid, Index: p.next - 1, LogTerm: term, Last: last, Commit: r.commit, Force: now,
	})
	p.next, p.sent = last+1, max(p.sent, last)
	p.commit, p.poke = r.commit, false
}

// appendReply takes a peer's answer (REP-07). It can only confirm what was sent in this leadership: the term is this
// one, and nothing above what was sent is believed, nor that a peer has another entry than this log there: one that has
// committed more than the log that a loss was accepted for takes it for granted that its leader has that.
func (r *Raft) appendReply(m *Message) {
	p := r.peerOf(m)
	if m.Version > p.version { // a late answer of an earlier life may say less
		r.lead.runs(p, m.Version)
	}
	if m.Token != p.episode && !r.newEpisode(p, m) {
		return
	}
	if m.Reject {
		r.appendRejected(p, m)
		return
	}
	if m.Index > m.Last || m.Last > p.sent || r.log.excludes(Position{m.Last, m.LogTerm}) {
		return
	}
	if !p.suspect || m.Index > p.match { // a suspect peer answers every second
		p.moved = true
	}
	p.confirm(m.Index)
	p.committed = max(p.committed, min(m.Commit, r.commit))
	r.lead.acked = true
	switch {
	case p.status == replicating:
		p.next = max(p.next, m.Last+1)
	case p.status == probing || m.Last >= r.log.base.Index:
		p.status, p.failures = replicating, 0
		p.next = max(m.Last, p.match) + 1
	}
}

// confirm raises match. The bytes under way shrink by the same part as the entries, so that none are left when all
// is confirmed.
func (p *peer) confirm(i ra.Index) {
	if i <= p.match {
		return
	}
	if i+1 >= p.next {
		p.bytes = 0
	} else {
		p.bytes -= int(uint64(p.bytes) * uint64(i-p.match) / uint64(p.next-1-p.match))
	}
	p.match = i
	p.next = max(p.next, i+1)
}

// appendRejected goes back to where the logs may agree (REP-11). Answers to appends that were given up since are
// ignored. A peer that has less than it had confirmed lost it: then less is counted.
func (r *Raft) appendRejected(p *peer, m *Message) {
	stale := p.status == replicating && (m.Last < p.match || m.Last >= p.next) ||
		p.status == probing && m.Last != p.next-1
	if stale || p.status > probing || m.Index >= m.Last {
		return
	}
	hint := r.log.lastWithin(m.Index, m.LogTerm)
	agree := hint.Index
	if hint.Index > m.Index || hint.Term > m.LogTerm { // only below what is kept here: send a snapshot
		agree = min(m.Index, r.log.base.Index-1)
	}
	if m.Index < p.match {
		p.match, agree = m.Index, m.Index
	}
	p.probe()
	p.next = max(agree, p.match) + 1
}

// sent takes note of what the shell really sent: less if the entries were many bytes, nothing if they are compacted.
func (r *Raft) sent(m *Message) {
	i := r.config().find(m.To)
	if i < 0 || i == r.at {
		return
	}
	p := &r.lead.peers[i]
	switch {
	case m.Chunk > 0:
		if m.Reject && p.status == sending {
			r.startSnapshot(p)
		}
	case m.Reject:
		if p.status <= probing {
			r.startSnapshot(p)
		}
	case p.status == replicating && m.Last < p.next:
		p.bytes += max(m.Bytes, 0)
		if m.Index < m.Last {
			p.next = max(p.match, m.Index) + 1
		}
	}
}

// startSnapshot begins to send the newest snapshot (SNX-01), unless it is the one that was being sent.
func (r *Raft) startSnapshot(p *peer) {
	if r.snapshot.Index == 0 || p.status == sending && p.snapshot == r.snapshot {
		p.retreat()
		return
	}
	p.status, p.snapshot, p.chunk, p.ticks, p.bytes = sending, r.snapshot, 1, 0, 0
	p.sent = max(p.sent, p.snapshot.Index)
	r.sendChunk(p)
}

// sendChunk sends the chunk that is under way.
func (r *Raft) sendChunk(p *peer) {
	r.send(Message{Kind: InstallSnapshot, To: p.uid, Index: p.snapshot.Index, LogTerm: p.snapshot.Term, Chunk: p.chunk})
}

// Waits between attempts to send a snapshot, in ticks (SNX-06): doubled each time from the first up to the last.
const (
	firstBackoff = 5
	lastBackoff  = 60
	resendTicks  = 5 // a chunk that was not answered is sent again
)

// retreat gives up sending a snapshot for a while.
func (p *peer) retreat() {
	p.status, p.ticks = backoff, min(firstBackoff<<min(p.failures, 4), lastBackoff)
	p.failures = min(p.failures+1, 4)
}

// snapshotReply goes on with the next chunk. The end of the transfer is an AppendReply: the peer confirms the snapshot
// like any other entries when it is in force (SNX-05).
func (r *Raft) snapshotReply(m *Message) {
	p := r.peerOf(m)
	switch {
	case p.status != sending:
	case m.Reject && m.Index >= p.snapshot.Index: // has all of it
		p.probe()
		p.next = max(p.match, min(m.Index, r.log.last)) + 1
	case m.Reject:
		p.retreat()
	case m.Index == p.snapshot.Index && (m.Chunk >= p.chunk || m.Chunk == 0):
		p.chunk, p.ticks = m.Chunk+1, 0
		r.sendChunk(p)
	}
}

// leaderTick repeats what may have been lost (REP-14, REP-34), and lets time pass for the transfers of snapshots.
func (r *Raft) leaderTick(*Message) {
	for i := range r.lead.peers {
		if i != r.at && !r.down.has(i) {
			r.tickPeer(&r.lead.peers[i])
		}
	}
	if r.lead.querySent > r.lead.queryDone {
		r.sendHeartbeats()
	}
	if r.lead.leaving {
		r.lead.successor = r.bestVoter(0)
	}
}

// tickPeer lets a second pass for one peer.
func (r *Raft) tickPeer(p *peer) {
	if p.suspect {
		p.poke = true
		r.answerSuspect(p)
	}
	switch p.status {
	case replicating:
		if p.match+1 < p.next && !p.moved {
			p.probe()
		} else if p.committed < r.commit {
			p.poke = true
		}
	case probing:
		p.probed = false
	case sending:
		if p.ticks++; p.ticks >= r.limits.SnapshotTicks {
			p.retreat()
		} else if p.ticks%resendTicks == 0 {
			r.sendChunk(p)
		}
	case backoff:
		if p.ticks--; p.ticks <= 0 {
			p.probe()
		}
	}
	p.moved = false
}

// leaderNeedsTick reports whether something that was sent may have to be sent again.
func (r *Raft) leaderNeedsTick() bool {
	if r.askedQuery > r.lead.queryDone || r.lead.leaving {
		return true
	}
	for i := range r.lead.peers {
		p := &r.lead.peers[i]
		behind := p.status != replicating || p.match < r.log.last || p.committed < r.commit || p.suspect
		if behind && i != r.at && !r.down.has(i) {
			return true
		}
	}
	return false
}
