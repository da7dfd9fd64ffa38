package wal

import (
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Registration is what makes a uid known to the node (ID-02, ID-04): the name that it is reached by and the owner's own
// description of it. Both are durable, and found again by recovery, from the acknowledgement on.
type Registration struct {
	// Name is a name that ra.CheckName accepts.
	Name string
	// Config is opaque here, at most MaxConfig bytes.
	Config []byte
}

// MaxConfig bounds the configuration in a Registration, in bytes.
const MaxConfig = 1 << 20

// Op is one durable order of a member. What it orders takes effect in the order of the fields, all of it or nothing.
type Op struct {
	// Seq is the number of the order: one more than that of the member's order before it. The first order of a member has
	// Seq 1 and a Register. Only an order that has nothing but Applied has no number: it is never acknowledged.
	Seq uint64
	// Register makes the member known; see Registration. A further one replaces the configuration.
	Register *Registration
	// Reset, if not 0, drops the whole log: a durable snapshot stands for everything up to this index, and the next
	// entry is the one behind it.
	Reset ra.Index
	// Truncate, if not 0, removes all entries from this index on.
	Truncate ra.Index
	// Entries are appended. They must follow each other and what the log has.
	Entries []ra.Entry
	// State, if not nil, replaces term and vote, which always go together (ELE-10).
	State *ra.HardState
	// Applied, if not 0, is a hint how far the member has applied its log (LOG-07). It rides along.
	Applied ra.Index
	// Damaged, if not nil, adds to the member's mark what was found damaged elsewhere, in its segments or snapshot.
	Damaged *Mark
	// Repaired takes back what the mark of a damaged member says; see Mark.
	Repaired bool
	// Era, if its number is not 0, begins an era of the member; see Era. The number only ever rises.
	Era Era
	// Delete forgets the member for good. No order may follow.
	Delete bool
}

// numbered reports whether the order needs a Seq.
func (op *Op) numbered() bool {
	return op.Register != nil || op.Reset != 0 || op.Truncate != 0 || len(op.Entries) > 0 || op.State != nil ||
		op.Damaged != nil || op.Repaired || op.Era.Number != 0 || op.Delete
}

// Writer is one member as the log knows it. Its Owner may be set by whoever made it; everything else belongs to the log.
type Writer struct {
	// Owner leads the receiver of an Ack back to the member.
	Owner any

	uid ra.UID

	// What the batch that is being filled needs, under the lock of whoever fills it.
	seq        uint64   // last order accepted
	last       ra.Index // last index accepted
	lastTerm   ra.Term  // of the entry there, 0 if not known
	gen        uint64   // the batch in which slot and ack are valid
	slot       int      // the member's newest row there
	ack        int      // its place in the list of acknowledgements
	registered bool
	deleted    bool
	adrift     bool // the log is damaged: it may be truncated anywhere
	mark       Mark // as of the last order accepted

	// What the committing side needs.
	fileSeq uint64 // the file in which number and span are valid
	number  uint32
	span    int
	live    live
	begun   uint64 // the last file in which the member has a numbered row that is durable
	before  uint64 // its last order before that row
}

// UID returns the member's identity.
func (w *Writer) UID() ra.UID { return w.uid }

// Seq returns the number of the last order that a batch accepted from the member. The next one has one more. Only
// whoever fills the batch may ask.
func (w *Writer) Seq() uint64 { return w.seq }

// Last returns the last index that a batch accepted from the member, under the same condition.
func (w *Writer) Last() ra.Index { return w.last }

// check refuses an order that does not follow the one before it. Such an order is a mistake of the member, and taking
// it would tear a hole into its log (WAL-06); the member must stop, the log and the other members go on.
func (w *Writer) check(op *Op) error {
	switch {
	case w.deleted:
		return fmt.Errorf("%w: member %s is deleted", ErrOrder, w.uid)
	case !w.registered && op.Register == nil:
		return fmt.Errorf("%w: member %s is not registered", ErrOrder, w.uid)
	case !op.numbered():
		return nil
	case op.Seq != w.seq+1:
		return fmt.Errorf("%w: member %s has Seq %d after %d", ErrOrder, w.uid, op.Seq, w.seq)
	case op.Register != nil:
		if err := op.Register.check(); err != nil {
			return err
		}
	}
	return w.checkIndexes(op)
}

// checkIndexes refuses entries that would leave a gap, and a vote that is no uid.
func (w *Writer) checkIndexes(op *Op) error {
	if op.State != nil && len(op.State.Vote) > ra.MaxNameLen {
		return fmt.Errorf("%w: member %s votes for a uid of %d bytes", ErrOrder, w.uid, len(op.State.Vote))
	}
	last := w.last
	if op.Reset != 0 {
		last = op.Reset
	}
	if op.Truncate != 0 {
		if op.Truncate > last+1 && !w.adrift {
			return fmt.Errorf("%w: member %s truncates from %d, its last index is %d", ErrOrder, w.uid, op.Truncate, last)
		}
		last = op.Truncate - 1
	}
	for i := range op.Entries {
		last++
		e := &op.Entries[i]
		if e.Index != last || len(e.Body) < ra.MinHeaderLen || len(e.Body) > ra.MaxHeaderLen+ra.MaxPayload {
			return fmt.Errorf("%w: member %s appends entry %d of %d bytes where %d is due", ErrOrder, w.uid, e.Index, len(e.Body), last)
		}
	}
	return nil
}

// check refuses a registration that could not be written.
func (r *Registration) check() error {
	if err := ra.CheckName(r.Name); err != nil {
		return err
	}
	if len(r.Config) > MaxConfig {
		return fmt.Errorf("%w: configuration of %d bytes, allowed are %d", ra.ErrTooLarge, len(r.Config), MaxConfig)
	}
	return nil
}
