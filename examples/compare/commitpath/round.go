package commitpath

import (
	"slices"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// letter is a message between two nodes: entries and a commit index for a follower, or an acknowledgement for a
// leader.
type letter struct {
	to      *member
	entries *appendMessage
	commit  ra.Index
	from    int
	acked   ra.Index
}

// round is what the members of one worker say while a chunk of them runs: it leaves in one piece.
type round struct {
	node  *node
	out   [replicas][]letter
	dirty bool
	// pressing: some of it may not wait.
	pressing bool
	wake     actor.Wakeups
	// spare are commands to be given back, as many as spares.
	spare  *command
	spares int
}

// together is how many commands are given back at a time.
const together = 16

// giveBack takes in a command that nobody needs any more.
func (r *round) giveBack(c *command) {
	c.rest, r.spare = r.spare, c
	if r.spares++; r.spares == together {
		r.release()
	}
}

// release gives back what giveBack has taken in.
func (r *round) release() {
	if r.spare != nil {
		commands.Put(r.spare)
		r.spare, r.spares = nil, 0
	}
}

// End hands the letters over, then wakes the log: the peers can sync while we do. Nothing but word of new commit indexes may
// wait for what the answers that were just given bring.
func (r *round) End(last bool) (*actor.Ref, bool) {
	r.release()
	if !last && !r.pressing && !r.dirty {
		return nil, slices.ContainsFunc(r.out[:], func(out []letter) bool { return len(out) > 0 })
	}
	r.pressing = false
	for i, out := range r.out {
		if len(out) == 0 {
			continue
		}
		for j := range out {
			warmReceivers(out, j)
			out[j].deliver(&r.wake)
		}
		r.wake.Wake()
		clear(out)
		r.out[i] = out[:0]
	}
	if !r.dirty {
		return nil, false
	}
	r.dirty = false
	return r.node.Log(), false
}

// deliver posts the letter into its receiver's inbox.
func (l *letter) deliver(ws *actor.Wakeups) {
	m := l.to
	m.ref.Lock()
	in := &m.in
	in.any = true
	in.commit = max(in.commit, l.commit)
	in.acked[l.from] = max(in.acked[l.from], l.acked)
	switch {
	case l.entries == nil:
	case in.tail == nil:
		in.head, in.tail = l.entries, l.entries
	default:
		in.tail.next = l.entries
		in.tail = l.entries
	}
	m.ref.Unlock(ws)
}
