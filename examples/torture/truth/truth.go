// Package truth is what is known of clusters from outside: it listens to the journal of one worker process after the
// other, and finds every answer that was a lie.
//
// A cluster must have applied each command that was acknowledged exactly once, at the index and in the term that the
// acknowledgement named; none that was refused, none that was never sent, none of an earlier cluster of its name; each
// client's commands in the order in which they were sent; and whatever was read from it once, for ever (I9, I12, I15).
package truth

import (
	"fmt"
	"sync"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// Counts are what was heard and checked.
type Counts struct {
	// Acked, Unknown and Refused count commands by how they ended, and Full and Failed those of the refused ones that ended
	// so because the disk was full or the storage had failed.
	Acked   int64 `json:"acked"`
	Unknown int64 `json:"unknown"`
	Refused int64 `json:"refused"`
	Full    int64 `json:"full"`
	Failed  int64 `json:"failed"`
	// Created and Deleted count clusters. Dumps counts clusters that were compared, and Compared their commands.
	Created  int64 `json:"created"`
	Deleted  int64 `json:"deleted"`
	Dumps    int64 `json:"dumps"`
	Compared int64 `json:"compared"`
}

// Add adds o.
func (c *Counts) Add(o *Counts) {
	c.Acked += o.Acked
	c.Unknown += o.Unknown
	c.Refused += o.Refused
	c.Full += o.Full
	c.Failed += o.Failed
	c.Created += o.Created
	c.Deleted += o.Deleted
	c.Dumps += o.Dumps
	c.Compared += o.Compared
}

// Truth is what is known of all slots. Its methods may be called by any goroutine.
type Truth struct {
	mu     sync.Mutex
	slots  []known
	counts Counts
	// highest is the highest number of a client heard of.
	highest uint32
}

// known is what is known of one slot.
type known struct {
	slot journal.Slot
	// read is what was read from the present cluster last.
	read []byte
	// What was heard since: how far clients may have sent, and what became of single commands.
	sent    map[uint32]uint32
	acked   map[command]place
	refused map[command]bool
	since   Answers
}

// Answers is what a cluster did since Mark: commands that it acknowledged, that it refused because the disk was full, and
// all that ended; how often commands had no answer for long; queries that it answered, and leaders that it elected.
type Answers struct{ Acked, Full, Ended, Waits, Read, Elected int64 }

type command struct{ client, seq uint32 }

type place struct {
	index ra.Index
	term  ra.Term
}

// New returns what is known when nothing was done yet.
func New(slots []journal.Slot) *Truth {
	t := &Truth{slots: make([]known, len(slots))}
	for i, s := range slots {
		t.slots[i].slot = s
		t.slots[i].forget()
	}
	return t
}

// forget drops what was heard since the cluster was read last.
func (k *known) forget() {
	k.sent, k.acked, k.refused = make(map[uint32]uint32), make(map[command]place), make(map[command]bool)
}

// Slots returns the slots as they are to be found by the next process.
func (t *Truth) Slots() []journal.Slot {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]journal.Slot, len(t.slots))
	for i := range t.slots {
		out[i] = t.slots[i].slot
	}
	return out
}

// Counts returns what was heard so far.
func (t *Truth) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}

// Client returns the highest number of a client so far.
func (t *Truth) Client() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.highest
}

// Mark begins to count answers for Waiting.
func (t *Truth) Mark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.slots {
		t.slots[i].since = Answers{}
	}
}

// Waiting returns the names of those live clusters of which enough says that they have not done enough since Mark.
func (t *Truth) Waiting(enough func(*journal.Slot, Answers) bool) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for i := range t.slots {
		if k := &t.slots[i]; k.slot.Status == journal.Live && !enough(&k.slot, k.since) {
			names = append(names, k.slot.Name)
		}
	}
	return names
}

// Take takes an event in. An error says what is not as the library promises.
func (t *Truth) Take(e journal.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case journal.Opened, journal.Ready, journal.Closed, journal.NotOpened:
		return nil
	case journal.Problem:
		return fmt.Errorf("%s", e.Data)
	}
	if int(e.Slot) >= len(t.slots) {
		return fmt.Errorf("truth: an event of slot %d", e.Slot)
	}
	k := &t.slots[e.Slot]
	if err := t.take(k, e); err != nil {
		return fmt.Errorf("%s: %w", k.slot.Name, err)
	}
	return nil
}

// take takes in an event of a slot.
func (t *Truth) take(k *known, e journal.Event) error {
	switch e.Kind {
	case journal.Creating:
		k.slot.Status, k.slot.Nonce, k.read = journal.Half, e.Nonce, nil
		k.forget()
	case journal.Created:
		k.slot.Status, k.slot.Missing = journal.Live, int(e.Seq)
		t.counts.Created++
	case journal.Deleting:
		k.slot.Status = journal.Half
	case journal.Deleted, journal.Purged:
		k.slot.Status = journal.Absent
		t.counts.Deleted++
	case journal.Waits:
		k.since.Waits++
	case journal.Queried:
		k.since.Read++
	case journal.Elected:
		k.since.Elected++
	case journal.Dump:
		return t.dump(k, e)
	default:
		return t.command(k, e)
	}
	return nil
}

// command takes in what was heard of a command.
func (t *Truth) command(k *known, e journal.Event) error {
	c := command{e.Client, e.Seq}
	t.highest = max(t.highest, e.Client)
	switch e.Kind {
	case journal.Sent:
		k.sent[e.Client] = e.Seq
	case journal.Acked:
		if before, ok := k.acked[c]; ok {
			return fmt.Errorf("command %d of client %d was acknowledged twice, at %d and %d", e.Seq, e.Client, before.index, e.Index)
		}
		k.acked[c] = place{e.Index, e.Term}
		k.since.Acked++
		k.since.Ended++
		t.counts.Acked++
	case journal.Unknown:
		k.since.Ended++
		t.counts.Unknown++
	case journal.Refused:
		k.refused[c] = true
		k.since.Ended++
		if e.Reason == journal.DiskFull {
			k.since.Full++
		}
		t.refusal(e.Reason)
	default:
		return fmt.Errorf("truth: event of kind %d", e.Kind)
	}
	return nil
}

// refusal counts a refusal.
func (t *Truth) refusal(why journal.Reason) {
	t.counts.Refused++
	switch why {
	case journal.DiskFull:
		t.counts.Full++
	case journal.StorageFailed:
		t.counts.Failed++
	}
}
