package rafttest

import "github.com/heliopolis-raft/heliopolis/ra/raft"

// promised is what a member left with its node between two batches, as on a real node its mailbox has it: the
// acknowledgement of what is about to become durable.
type promised struct {
	raft.Promise
	told   uint64        // what was sent up to here, and the member does not know yet; 0 for nothing
	expect *raft.Message // what the batch under way has to send, and nothing else
}

// wrote lets a member know that its orders up to seq are durable. Every other time its promise does, and the member
// hears of it by and by; the other times what it does must be what it had promised.
func (p *peer) wrote(seq uint64) {
	if seq <= p.promise.told {
		return // late news
	}
	m := p.NewMessage()
	if p.open || !p.promise.Given() || !p.promise.Ack(seq, p.promise.told, m) {
		canWait := p.patient.Written
		p.hear()
		p.server.Written(seq)
		p.patient.alone = canWait
		p.end()
		return
	}
	if m.To != p.promise.Leader() {
		p.cluster.truth.breach("promise", "%s promised %+v to %s", p.uid, m, p.promise.Leader())
	}
	if seq%2 == 0 {
		p.promise.told = seq
		p.Send(m)
		return
	}
	p.hear()
	p.promise.expect = m
	p.server.Written(seq)
	p.flush()
	if p.promise.expect != nil {
		p.cluster.truth.breach("promise", "%s did not say %+v", p.uid, m)
	}
}

// hear tells the member what was said in its name. It comes before everything else that it is told, and ends the promise
// and the patience.
func (p *peer) hear() {
	told := p.promise.told
	p.promise, p.patient = promised{}, patient{}
	if told != 0 {
		p.server.Acknowledged(told)
	}
}

// keeps compares what a member sends with what it had promised, if it had.
func (p *peer) keeps(m *raft.Message) {
	if want := p.promise.expect; want != nil {
		if p.promise.expect = nil; m.Kind != want.Kind || m.From != want.From || m.To != want.To || m.Term != want.Term ||
			m.Index != want.Index || m.Last != want.Last || m.LogTerm != want.LogTerm || m.Commit != want.Commit || m.Token != want.Token || m.Version != want.Version || m.Reject {
			p.cluster.truth.breach("promise", "%s says %+v, and had promised %+v", p.uid, m, want)
		}
	}
}
