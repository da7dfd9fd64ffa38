package system

import (
	"sync"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// letter is a message of the algorithm on its way between two members. It is a plain value but for the bodies of its
// entries, which are shared and never change; so it can be encoded as it stands. Letters are pooled: whoever holds one
// last gives it back.
type letter struct {
	raft.Message
	// slot is where the receiver's record is on its node, 0 if the sender does not know yet.
	slot uint32
	// fromSlot and fromSpawn are the sender's record and process, from which the receiver learns where to answer and
	// what to monitor (TIM-06). fromNode and fromLife are filled in on arrival, from the frame.
	fromSlot  uint32
	fromSpawn uint64
	fromNode  ra.NodeID
	fromLife  uint64

	next *letter // in the receiver's inbox
}

var letters = sync.Pool{New: func() any { return new(letter) }}

func newLetter() *letter { return letters.Get().(*letter) }

// free gives the letter back. It keeps the room for entries, unless that is unusually much.
func (l *letter) free() {
	room := l.Entries
	clear(room)
	if cap(room) > 4*raft.DefaultLimits.MaxEntriesPerAppend {
		room = nil
	}
	*l = letter{Message: raft.Message{Entries: room[:0]}}
	letters.Put(l)
}

// supersedes reports whether l says all that an older letter of the same sender says. Acknowledgements are numbers
// that only grow, so that of many that wait for a busy leader the last one counts (REP-07).
func (l *letter) supersedes(older *letter) bool {
	return l.Kind == raft.AppendReply && older.Kind == raft.AppendReply && !l.Reject && !older.Reject &&
		l.From == older.From && l.Term == older.Term && l.fromSpawn == older.fromSpawn && l.Token == older.Token &&
		l.Last >= older.Last && l.Index >= older.Index && l.Commit >= older.Commit
}

// canWait reports whether a leader of that patience need not take the letter in at once.
func (l *letter) canWait(p *raft.Patience) bool {
	return p.CanWait(&l.Message)
}

// bare reports whether the letter brings word of a commit index and nothing else.
func (l *letter) bare() bool { return l.Kind == raft.Append && len(l.Entries) == 0 }

// frame is everything that the members of one worker have to say to one node at the end of a round. Who gets it takes
// the letters and answers out before the handler returns; the sender uses the frame again.
type frame struct {
	// from and life are the sending node and its incarnation.
	from    ra.NodeID
	life    uint64
	letters []*letter
	answers []answer

	wake actor.Wakeups // of the receiving node's actors
}

func (f *frame) empty() bool { return len(f.letters)+len(f.answers) == 0 }

func (f *frame) reset() {
	clear(f.letters)
	clear(f.answers)
	f.letters, f.answers = f.letters[:0], f.answers[:0]
}

// lose gives back the letters of a frame that could not be sent. Messages may be lost: the core sends again what
// matters.
func (f *frame) lose() {
	for _, l := range f.letters {
		l.free()
	}
}
