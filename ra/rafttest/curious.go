package rafttest

import (
	"errors"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// curiousOneIn: how often a message that a member takes in comes behind a question.
const curiousOneIn = 64

// wish is a local query that waits for a certain entry, as somebody asks it who was told where his command stands, and
// wants to see on a member of his choice what it did (QRY-04).
type wish struct {
	peer  *peer
	at    position
	ended bool
}

// wonder has somebody put such a question to the member now and then, about any entry that there ever was, whether it will
// be committed or not. Questions change nothing, so that the run is the same as one without (TestNonsense).
func (p *peer) wonder() {
	order, d := p.cluster.truth.order, p.sim.onlooker
	if p.sim.opts.sober || len(order) == 0 || !d.oneIn(curiousOneIn) {
		return
	}
	lo := 0
	if d.oneIn(2) {
		lo = max(0, len(order)-8)
	}
	w := &wish{peer: p, at: order[lo+d.IntN(len(order)-lo)]}
	p.wishes = append(p.wishes, w)
	p.server.LocalQuery(nil, member.Condition{Index: w.at.index, Term: w.at.term}, false, w)
}

// Done hears the answer. I15: one at most, and that it was another entry only if it was. I13: what is seen holds the entry.
func (w *wish) Done(r member.Result) {
	p, t, i := w.peer, w.peer.cluster.truth, w.at.index
	if w.ended {
		t.breach("I15", "who asked %s for %+v is answered twice", p.uid, w.at)
	}
	w.ended = true
	is := int(i) <= len(t.committed) && t.committed[i-1] == w.at
	switch base, _ := p.log.Base(); {
	case r.Err == nil && !is:
		t.breach("I15", "%s answers as if %+v were committed", p.uid, w.at)
	case r.Err == nil && r.Reply.(ra.Index) < i:
		t.breach("I13", "who asked %s for %+v sees index %d", p.uid, w.at, r.Reply)
	case errors.Is(r.Err, ra.ErrSuperseded) && is:
		t.breach("I15", "%s takes %+v for superseded, which is committed", p.uid, w.at)
	case errors.Is(r.Err, ra.ErrCompacted) && i >= base && i <= p.log.Last():
		t.breach("I15", "%s does not know any more of %+v, its log is that behind %d", p.uid, w.at, base)
	}
}

// fulfilled looks for questions that wait though the member has applied what they wait for.
func (p *peer) fulfilled(applied ra.Index) {
	left := p.wishes[:0]
	for _, w := range p.wishes {
		if !w.ended && w.at.index <= applied {
			p.cluster.truth.breach("I15", "%s has applied %d, and does not answer who asked for %+v", p.uid, applied, w.at)
		}
		if !w.ended {
			left = append(left, w)
		}
	}
	p.wishes = left
}
