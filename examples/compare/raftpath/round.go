package raftpath

import (
	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// parcel is a letter and whom it is for.
type parcel struct {
	to     *peer
	letter *letter
}

// round is what the members of one worker say while a chunk of them runs: it leaves in one piece.
type round struct {
	node   *node
	out    [replicas][]parcel
	dirty  bool
	wake   actor.Wakeups
	orders raft.Orders // the members' scratch
}

// End hands the letters over, then wakes the log: the peers can sync while we do.
func (r *round) End() {
	for i, out := range r.out {
		if len(out) == 0 {
			continue
		}
		for _, x := range out {
			x.to.ref.Lock()
			x.to.in.any = true
			x.to.in.push(x.letter)
			x.to.ref.Unlock(&r.wake)
		}
		r.wake.Wake()
		clear(out)
		r.out[i] = out[:0]
	}
	if r.dirty {
		r.dirty = false
		r.node.Wake()
	}
}
