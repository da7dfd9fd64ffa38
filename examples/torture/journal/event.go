// Package journal is what a worker process and who watches it say to each other: a plan goes in, events come out.
//
// Every event is written to a pipe before the worker goes on, so that whatever the worker knew when it was killed is
// known outside: the pipe belongs to the kernel, and no fault of the disk touches it.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Kind says what happened.
type Kind uint8

// The kinds of events.
const (
	// Opened: all nodes are open.
	Opened Kind = iota + 1
	// NotOpened: a node could not be opened. Data is the error.
	NotOpened
	// Dump: Data is all that a cluster has applied, as AppendRecord writes it, read after all that was acknowledged before
	// the process began; and all its members are equal to that.
	Dump
	// Ready: everything that was there is verified, and commands begin.
	Ready
	// Creating and Created: a cluster with this Nonce is about to be started under its name, and has been, but for
	// Seq members.
	Creating
	Created
	// Deleting and Deleted: likewise for its end. Purged: whatever had the name is gone.
	Deleting
	Deleted
	Purged
	// Sent: the client may send commands up to Seq from now on.
	Sent
	// Acked: the command is applied at Index, in an entry of Term.
	Acked
	// Refused: the command was not applied, and never will be; Reason says why. Unknown: it may have been.
	Refused
	Unknown
	// Waits: commands of a client have no answer for long.
	Waits
	// Queried: a consistent query was answered, as it should be. Elected: the cluster has a new leader, as was asked for.
	Queried
	Elected
	// Problem: something is not as the library promises. Data says what.
	Problem
	// Closed: all nodes were closed in good order.
	Closed

	maxKind = Closed
)

// Reason is why a command was refused, as far as campaigns tell reasons apart.
type Reason uint8

// The reasons.
const (
	OtherReason Reason = iota
	DiskFull
	StorageFailed
)

// Why returns the reason in an error of a command.
func Why(err error) Reason {
	switch {
	case errors.Is(err, ra.ErrDiskFull):
		return DiskFull
	case errors.Is(err, ra.ErrStorageFailed):
		return StorageFailed
	}
	return OtherReason
}

// Event is one thing that happened in a worker. Which fields mean something depends on the kind.
type Event struct {
	Kind   Kind
	Reason Reason
	// Slot is the number of the cluster's name in the plan, and Nonce the number that this cluster of that name has.
	Slot  uint16
	Nonce uint64
	// Client and Seq name a command.
	Client, Seq uint32
	Index       ra.Index
	Term        ra.Term
	Data        []byte
}

const (
	headerLen = 40
	// maxData bounds the data of an event that is read.
	maxData = 256 << 20
)

// append appends the event as it is written.
func (e *Event) append(b []byte) []byte {
	le := binary.LittleEndian
	b = append(b, byte(e.Kind), byte(e.Reason))
	b = le.AppendUint16(b, e.Slot)
	b = le.AppendUint32(b, e.Client)
	b = le.AppendUint32(b, e.Seq)
	b = le.AppendUint32(b, uint32(len(e.Data)))
	b = le.AppendUint64(b, e.Nonce)
	b = le.AppendUint64(b, uint64(e.Index))
	b = le.AppendUint64(b, uint64(e.Term))
	return append(b, e.Data...)
}

// Writer writes events, each with one write, for any number of goroutines.
type Writer struct {
	mu  sync.Mutex
	out io.Writer
	buf []byte
	err error
}

// NewWriter returns a Writer to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write writes an event. When it returns the event is out of this process's hands. After the first error, which it
// returns each time, nothing more is written.
func (w *Writer) Write(e Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.buf = e.append(w.buf[:0])
		_, w.err = w.out.Write(w.buf)
	}
	return w.err
}

// Read reads the next event. It returns io.EOF when there is none, also if the writer died in the middle of it.
func Read(in io.Reader) (Event, error) {
	var h [headerLen]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return Event{}, ended(err)
	}
	le := binary.LittleEndian
	e := Event{
		Kind: Kind(h[0]), Reason: Reason(h[1]), Slot: le.Uint16(h[2:]), Client: le.Uint32(h[4:]), Seq: le.Uint32(h[8:]),
		Nonce: le.Uint64(h[16:]), Index: ra.Index(le.Uint64(h[24:])), Term: ra.Term(le.Uint64(h[32:])),
	}
	n := le.Uint32(h[12:])
	if e.Kind == 0 || e.Kind > maxKind || n > maxData {
		return Event{}, fmt.Errorf("journal: no event: % x", h)
	}
	if n > 0 {
		e.Data = make([]byte, n)
		if _, err := io.ReadFull(in, e.Data); err != nil {
			return Event{}, ended(err)
		}
	}
	return e, nil
}

// ended makes one error of all that mean that the writer is gone.
func ended(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return io.EOF
	}
	return err
}
