package member

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// Scratch is memory that a member needs only while it takes in and carries out a batch. It belongs to one member from
// the first call of that batch until its Flush returns. The zero Scratch is ready to use.
type Scratch struct {
	// levels are collectors of effects: the first is that of the batch, each further one holds what carrying out an
	// effect of the one before has asked for. depth of them are in use.
	levels []*machine.Effects
	depth  int

	entries []ra.Entry // being applied
	propose []ra.Entry
	read    []ra.Entry // of one effect or view

	// What members gather in a batch.
	commands []Command
	queries  []query
	sent     []raft.Message
	// waiting are lists that members with nothing in the log do not need.
	waiting [][]waiting

	message raft.Message // on its way to the core
	op      wal.Op       // on its way to the store

	outcomes []outcome
	notes    []note
	noteOf   map[ra.PID]int // where the note for a process is in notes

	// pid is the process that encoded stands for, the last one that was decoded: senders send many commands each.
	pid     ra.PID
	encoded []byte
}

// outcome is what became of a command, to be told when the effects before it are carried out (EFF-01).
type outcome struct {
	// effects is the number of the batch's effects that come first.
	effects int
	// caller waits on this member; if it is nil, to waits elsewhere.
	caller Caller
	to     *machine.Caller
	result Result
}

// note is what a process will be told of the batch (EVT-01).
type note struct {
	to       ra.PID
	commands ra.Applied
}

// keepScratch bounds how many items of a kind an idle Scratch keeps memory for.
const keepScratch = 8192

// addOutcome returns a new outcome, to be filled in.
func (x *Scratch) addOutcome() *outcome {
	n := len(x.outcomes)
	x.outcomes = slices.Grow(x.outcomes, 1)[:n+1]
	return &x.outcomes[n]
}

// push returns an empty collector of effects.
func (x *Scratch) push() *machine.Effects {
	if x.depth == len(x.levels) {
		x.levels = append(x.levels, new(machine.Effects))
	}
	x.depth++
	return x.levels[x.depth-1]
}

// popTo takes back the collectors above a depth.
func (x *Scratch) popTo(depth int) {
	for x.depth > depth {
		x.depth--
		x.levels[x.depth].Reset()
	}
}

// addNote adds a command to what its sender will be told.
func (x *Scratch) addNote(to machine.Caller, r ra.Result) {
	at := len(x.notes) - 1
	if at < 0 || x.notes[at].to != to.PID {
		k, known := x.noteOf[to.PID]
		if !known {
			if x.noteOf == nil {
				x.noteOf = map[ra.PID]int{}
			}
			k = len(x.notes)
			x.noteOf[to.PID] = k
			x.notes = append(x.notes, note{to: to.PID})
		}
		at = k
	}
	n := &x.notes[at]
	n.commands = append(n.commands, ra.AppliedCommand{Correlation: to.Correlation, Result: r})
}

// forget lets go of everything that belongs to a batch but its effects.
func (x *Scratch) forget() {
	x.entries, x.propose, x.read = emptied(x.entries), emptied(x.propose), emptied(x.read)
	x.outcomes = emptied(x.outcomes)
	if len(x.notes) > 0 {
		x.notes = emptied(x.notes)
		clear(x.noteOf)
	}
}

// borrow gives a member that has none the memory for a list.
func borrow[T any](mine, shared *[]T) {
	if *mine == nil {
		*mine, *shared = *shared, nil
	}
}

// giveBack takes the memory of a list back that has become empty, unless it is much.
func giveBack[T any](mine, shared *[]T) {
	if len(*mine) > 0 || *mine == nil {
		return
	}
	if n := cap(*mine); n <= keepScratch && n > cap(*shared) {
		*shared = *mine
	}
	*mine = nil
}

// keepLists bounds how many lists of waiting calls a Scratch keeps.
const keepLists = 16

// keepWaiting takes the memory of an empty list of waiting calls back.
func (x *Scratch) keepWaiting(list []waiting) []waiting {
	if len(list) > 0 || list == nil {
		return list
	}
	if cap(list) <= keepScratch && len(x.waiting) < keepLists {
		x.waiting = append(x.waiting, list)
	}
	return nil
}

// lendWaiting returns an empty list of waiting calls.
func (x *Scratch) lendWaiting() []waiting {
	n := len(x.waiting)
	if n == 0 {
		return nil
	}
	list := x.waiting[n-1]
	x.waiting = x.waiting[:n-1]
	return list
}

// emptied returns list without its items, and without its memory if that is much.
func emptied[T any](list []T) []T {
	if cap(list) > keepScratch {
		return nil
	}
	clear(list)
	return list[:0]
}

// caller reads the sender that a command's payload begins with, and returns the rest. Senders send many commands each.
func (x *Scratch) caller(payload []byte, from *machine.Caller) ([]byte, error) {
	if n := len(x.encoded); n > 0 && len(payload) >= n+8 && bytes.Equal(payload[:n], x.encoded) {
		*from = machine.Caller{PID: x.pid, Correlation: binary.LittleEndian.Uint64(payload[n:])}
		return payload[n+8:], nil
	}
	read, rest, err := machine.DecodeCaller(payload)
	if err != nil {
		return nil, err
	}
	*from, x.pid = read, read.PID
	x.encoded = append(x.encoded[:0], payload[:len(payload)-len(rest)-8]...)
	return rest, nil
}
