package member

import (
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Command is one proposal on its way to the log.
type Command struct {
	// Proposal was made by raft.NewProposal, in the caller: encoded once, it is what log, peers and disk will hold.
	// Whoever hands a command over gives it away; to propose the same payload again, make another.
	Proposal ra.Entry
	// Caller hears how it ended; nil if nobody waits.
	Caller Caller

	// own: the leader made it, for its machine; see owe.
	own bool
}

// Caller waits for the end of one command or query. Done is called exactly once, on the goroutine that drives the
// member, in the middle of a batch: so it must not block, nor call the Server.
type Caller interface{ Done(Result) }

// Result is how a command or query ended (CMD-01). Err is nil exactly if the command was applied on this member,
// which means that it is durable on a quorum.
type Result struct {
	// Reply is what the machine answered.
	Reply any
	// Index and Term are those of the entry; of the last applied entry for a query.
	Index ra.Index
	Term  ra.Term
	// Leader is the member that leads as far as this one knows, or empty.
	Leader ra.UID
	Err    error
}

// waiting is a command in the log that is not applied yet.
type waiting struct {
	index  ra.Index
	term   ra.Term
	caller Caller
}

// waitlist holds the commands that this member accepted while it led and that are not decided yet, in the order in
// which they were appended: by term, then by index. They stay on it when leadership is lost, because they may still
// be committed; see applied.
type waitlist struct {
	list []waiting
	head int
}

func (w *waitlist) len() int { return len(w.list) - w.head }

func (w *waitlist) add(index ra.Index, term ra.Term, c Caller) {
	w.list = append(w.list, waiting{index, term, c})
}

func (w *waitlist) front() *waiting { return &w.list[w.head] }

func (w *waitlist) pop() Caller {
	c := w.list[w.head].caller
	w.list[w.head] = waiting{}
	w.head++
	switch {
	case w.head == len(w.list):
		w.list, w.head = w.list[:0], 0
	case w.head >= 64 && w.head*2 >= len(w.list):
		n := copy(w.list, w.list[w.head:])
		clear(w.list[n:])
		w.list, w.head = w.list[:n], 0
	}
	return c
}

// applied takes note that the entry (index, term) was applied and returns who waits for it, or nil.
//
// Every command of an older term that is still on the list was overtaken. If its entry stood below this index, another
// was applied in its place, or it would not be on the list. If it stood here or above, a log that holds this entry
// cannot hold it, because terms never fall along a log, and every log holds what is committed sooner or later (thesis
// section 3.5). So it was not applied and never will be. The entry that shows it always comes: the index of the
// command is decided no earlier than an entry of the leader's own, higher term.
func (w *waitlist) applied(index ra.Index, term ra.Term) Caller {
	for w.len() > 0 && w.front().term < term {
		at := *w.front()
		if c := w.pop(); c != nil {
			c.Done(Result{Index: at.index, Term: at.term, Err: supersededError(at, index, term)})
		}
	}
	if w.len() > 0 && w.front().index == index && w.front().term == term {
		return w.pop()
	}
	return nil
}

// skipped takes note that a snapshot replaced everything up to (index, term): whether what stood below was applied
// cannot be said any more.
func (w *waitlist) skipped(index ra.Index, term ra.Term, cause error) {
	for w.len() > 0 && (w.front().index <= index || w.front().term < term) {
		at := *w.front()
		c := w.pop()
		switch {
		case c == nil:
		case at.index > index:
			c.Done(Result{Index: at.index, Term: at.term, Err: supersededError(at, index, term)})
		default:
			c.Done(Result{Index: at.index, Term: at.term, Err: &ra.UncertainError{Index: at.index, Term: at.term, Cause: cause}})
		}
	}
}

// abandon ends all waiting, because the member stops: what was appended may still be applied by others.
func (w *waitlist) abandon(cause error) {
	for w.len() > 0 {
		at := *w.front()
		if c := w.pop(); c != nil {
			c.Done(Result{Index: at.index, Term: at.term, Err: &ra.UncertainError{Index: at.index, Term: at.term, Cause: cause}})
		}
	}
}

func supersededError(at waiting, index ra.Index, term ra.Term) error {
	return fmt.Errorf("%w: it stood at index %d of term %d, committed is index %d of term %d",
		ra.ErrSuperseded, at.index, at.term, index, term)
}
