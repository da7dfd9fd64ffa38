package system

import (
	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra/warm"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// How many peers of a member, and entries of a letter, are loaded.
const (
	warmPeers   = 4
	warmEntries = 4
)

var _ actor.Warmer = (*process)(nil)

// Warm loads what the next batch will need (actor.Warmer).
func (p *process) Warm(step int) {
	if step == 0 {
		warm.Value(p)
		return
	}
	p.warmLetters(step)
	switch step {
	case 1:
		warm.Value(p.rec)
		warm.Slice(p.peers.list, warmPeers)
	case 2:
		warm.Value(p.rec.writer)
	}
	p.server.Warm(step - 1)
	if step > 1 {
		p.rec.log.Warm(step - 2)
	}
}

// warmLetters loads one more of the letters that wait, in each step, and the entries of the one before.
func (p *process) warmLetters(step int) {
	if step == 1 {
		p.soon, p.soonLeft = nil, 0
		if !p.ref.TryLock() {
			return
		}
		p.soon, p.soonLeft = p.in.head, p.in.letters
		p.ref.Release()
	} else if p.soon != nil {
		warm.Slice(p.soon.Entries, warmEntries)
		if p.soonLeft--; p.soonLeft > 0 { // there is a next one, which does not change any more
			p.soon = p.soon.next
		} else {
			p.soon = nil
		}
	}
	warm.Value(p.soon)
}

// warmReceivers loads what it takes to post the letters behind the first done ones. Who posts many calls it before each.
func (n *Node) warmReceivers(letters []*letter, done int) {
	next := letters[done:warm.Group(done, len(letters))]
	for _, l := range next {
		warm.Value(&l.To)
		warm.Value(&l.slot)
	}
	for step := range recordSteps {
		for _, l := range next {
			if r := n.registry.at(l.slot); r != nil {
				r.Warm(step)
			}
		}
	}
}

// warmOwners loads what it takes to tell the members of the acknowledgements behind the first done ones.
func warmOwners(acks []wal.Ack, done int) {
	next := acks[done:warm.Group(done, len(acks))]
	for i := range next {
		warm.Value(&next[i].Writer.Owner)
	}
	for step := range recordSteps {
		for i := range next {
			next[i].Writer.Owner.(*record).Warm(step)
		}
	}
}

// recordSteps is how many steps a record has.
const recordSteps = 3

// Warm loads what a post to the member will need.
func (r *record) Warm(step int) {
	if step == 0 {
		warm.Value(&r.uid)
		warm.Value(&r.proc)
		return
	}
	p := r.proc.Load()
	switch {
	case p == nil:
	case step == 1:
		warm.Value(&p.ref)
		warm.Value(&p.in)
		warm.Value(&p.patience)
	default:
		p.ref.Warm()
	}
}
