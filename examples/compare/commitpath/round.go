package commitpath

import (
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
	// words are leaders whose followers are to be told of a new commit index, older those of the round before.
	words, older []*member
	wake         actor.Wakeups
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

// End hands the letters over, then wakes the log: the peers can sync while we do. Word of a new commit index waits for a
// round: the answers that were just given often bring the next command, which takes it along.
func (r *round) End(last bool) (*actor.Ref, bool) {
	r.release()
	r.tellOlder()
	r.older, r.words = r.words, r.older
	if last {
		r.tellOlder()
	}
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
		return nil, len(r.older) > 0
	}
	r.dirty = false
	return r.node.Log(), len(r.older) > 0
}

func (r *round) tellOlder() {
	for _, m := range r.older {
		m.tell(r)
	}
	clear(r.older)
	r.older = r.older[:0]
}

// deliver posts the letter into its receiver's inbox.
func (l *letter) deliver(ws *actor.Wakeups) {
	m := l.to
	m.ref.Lock()
	in := &m.in
	if m.leads() {
		m.unlock(in.has(l.from, l.acked), ws)
		return
	}
	in.commit = max(in.commit, l.commit)
	switch {
	case l.entries == nil:
	case in.tail == nil:
		in.head, in.tail = l.entries, l.entries
	default:
		in.tail.next = l.entries
		in.tail = l.entries
	}
	m.unlock(true, ws)
}
