package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// maxPromised bounds the orders under way of a follower that gives a Promise.
const maxPromised = 4

// Promise is what a follower says to its leader when orders of its become durable and nothing else happens to it: as
// long as it is told of nothing else, whoever learns that the orders are durable can say it in the follower's name, and
// tell the follower itself later. So an acknowledgement costs no activation. The zero value promises nothing.
//
// It is no other rule than Written's, only known in advance: between two batches nothing that the answer is made of can
// change. Whatever else happens to the follower withdraws the Promise before it is decided; see Raft.Promise.
type Promise struct {
	from, to ra.UID
	term     ra.Term
	commit   ra.Index
	matched  Position
	durable  ra.Index
	episode  uint64
	version  uint32
	orders   [maxPromised]write
	count    int
}

// Given reports whether anything is promised.
func (p *Promise) Given() bool { return p.count > 0 }

// Leader returns who waits for the acknowledgement.
func (p *Promise) Leader() ra.UID { return p.to }

// Ack fills in what the follower says when the orders up to number seq are durable, and reports whether it says
// anything. told is the number of the last Ack that was sent, 0 before. Other fields of m stay.
func (p *Promise) Ack(seq, told uint64, m *Message) bool {
	durable := p.upTo(seq)
	if durable <= p.upTo(told) {
		return false
	}
	m.Kind, m.From, m.To, m.Term = AppendReply, p.from, p.to, p.term
	m.Index, m.Last, m.LogTerm, m.Commit = min(durable, p.matched.Index), p.matched.Index, p.matched.Term, p.commit
	m.Token, m.Version = p.episode, p.version
	return true
}

// upTo returns how far the log is durable when the orders up to number seq are.
func (p *Promise) upTo(seq uint64) ra.Index {
	durable := p.durable
	for i := range p.orders[:p.count] {
		if p.orders[i].seq <= seq {
			durable = max(durable, p.orders[i].last)
		}
	}
	return durable
}

// Promise fills in what Written would bring about, as of the last Orders, if that is an acknowledgement and no more; else
// nothing is promised. It holds until the next Step. The orders are numbered shift higher than here. Once an Ack was
// sent, the next Step must be a Written with that Seq and Done.
func (r *Raft) Promise(p *Promise, shift uint64) {
	p.count = 0
	n := len(r.disk.writes)
	if n == 0 || n > maxPromised || r.role != ra.Follower || r.leader == "" || r.walDown || r.failed != nil || !r.stateDurable() {
		return
	}
	if r.suspect != nil { // more may follow than an acknowledgement
		return
	}
	p.from, p.to, p.term = r.self, r.leader, r.state.Term
	term, _ := r.log.at(r.matched)
	p.commit, p.matched, p.durable, p.episode = r.commit, Position{r.matched, term}, r.disk.index, r.episode
	p.version = r.local
	for i, w := range r.disk.writes {
		p.orders[i] = write{seq: w.seq + shift, last: w.last}
	}
	p.count = n
}
