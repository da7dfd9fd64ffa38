package system

import (
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// round is what the members of one worker share while a chunk of them runs. What they say leaves in one piece at its
// end: one frame for each node, one wake-up of the log.
type round struct {
	node *Node
	out  map[ra.NodeID]*outbox
	full []*outbox // those that have something
	// words wait for the next round, older have done so. turn counts the rounds.
	words, older []word
	turn         int
	// dirty: the log was given orders.
	dirty bool
	// clock is the time at which it was first asked for in this round, 0 before.
	clock int64
	// orders and scratch are memory that a member uses only during its own batch.
	orders  raft.Orders
	scratch member.Scratch
	// spare are calls to be given back, as many as spares.
	spare  *call
	spares int
}

// outbox gathers what the members of one worker say to one node. link is nil for their own node.
type outbox struct {
	frame
	link *actor.Link
}

// word is a letter that brings word of a commit index and nothing else. It may wait for a moment: the answers that have just
// been given often bring the next command, which takes along what the word says. letter is nil if that has happened.
type word struct {
	out    *outbox
	letter *letter
}

// firstTurn is a turn in which no peer has a word that waits.
const firstTurn = 2

func newRound(n *Node) *round {
	return &round{node: n, out: make(map[ra.NodeID]*outbox), turn: firstTurn}
}

// to returns the outbox for a node. Members keep what they get.
func (r *round) to(node ra.NodeID) *outbox {
	o := r.out[node]
	if o == nil {
		o = &outbox{frame: frame{from: r.node.Name(), life: r.node.actors.Incarnation()}}
		if node != r.node.Name() {
			o.link = r.node.actors.Link(node)
		}
		r.out[node] = o
	}
	return o
}

func (r *round) send(o *outbox, l *letter) {
	if o.empty() {
		r.full = append(r.full, o)
	}
	o.letters = append(o.letters, l)
}

// write sends a letter to a peer, or if it is only word of a commit index keeps it for a round. What says more takes the place
// of such a word that waits.
func (r *round) write(to *peer, l *letter) {
	w := r.waiting(to)
	if w != nil && (l.Kind != raft.Append || l.Term != w.letter.Term) {
		w = nil
	}
	switch {
	case !l.bare():
		if w != nil {
			w.letter.free()
			w.letter = nil
		}
		r.send(to.out, l)
	case w != nil:
		w.letter.free()
		w.letter = l
	default:
		to.wordTurn, to.wordAt = r.turn, len(r.words)
		r.words = append(r.words, word{to.out, l})
	}
}

// waiting returns the word to a peer that waits, nil if there is none.
func (r *round) waiting(to *peer) (w *word) {
	switch to.wordTurn {
	case r.turn:
		w = &r.words[to.wordAt]
	case r.turn - 1:
		w = &r.older[to.wordAt]
	}
	if w == nil || w.letter == nil {
		return nil
	}
	return w
}

// pass puts the words that have waited for a round into the outboxes; the others have from now on.
func (r *round) pass() {
	for _, w := range r.older {
		if w.letter != nil {
			r.send(w.out, w.letter)
		}
	}
	clear(r.older)
	r.older, r.words = r.words, r.older[:0]
	r.turn++
}

func (r *round) answer(node ra.NodeID, a answer) {
	o := r.to(node)
	if o.empty() {
		r.full = append(r.full, o)
	}
	o.answers = append(o.answers, a)
}

// now is the wall clock in milliseconds since 1970, read once a round.
func (r *round) now() int64 {
	if r.clock == 0 {
		r.clock = time.Now().UnixMilli()
	}
	return r.clock
}

// End sends what has gathered, then wakes the log: the peers can store while we do (REP-01). Words of this round stay.
func (r *round) End(last bool) (log *actor.Ref, kept bool) {
	r.clock = 0
	r.releaseCalls()
	r.pass()
	if last {
		r.pass()
	}
	return r.flush(), len(r.older) > 0
}

// giveBack takes in a call that nobody needs any more.
func (r *round) giveBack(c *call) {
	c.rest, r.spare = r.spare, c
	if r.spares++; r.spares == callsTogether {
		r.releaseCalls()
	}
}

func (r *round) releaseCalls() {
	if r.spare != nil {
		r.node.calls.pool.Put(r.spare)
		r.spare, r.spares = nil, 0
	}
}

// flush sends what is in the outboxes and returns the log, if that is to be woken.
func (r *round) flush() (log *actor.Ref) {
	for i, o := range r.full {
		o.leave(r.node)
		r.full[i] = nil
	}
	r.full = r.full[:0]
	if r.dirty {
		r.dirty, log = false, r.node.wal.ref
	}
	return log
}

// leave is End in the middle of a round, before a member that takes long. Word of a commit index goes, too: who hears of it
// early applies while others have nothing to do.
func (r *round) leave() {
	r.clock = 0
	r.pass()
	r.pass()
	if log := r.flush(); log != nil {
		log.Wake(nil)
	}
}

// leave sends the frame and empties it.
func (o *outbox) leave(n *Node) {
	if o.link == nil {
		n.arrived(o.from, &o.frame)
	} else if o.link.Send(&o.frame) != nil {
		o.lose()
	}
	o.reset()
}
