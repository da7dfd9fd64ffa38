package machine

import (
	"io"
	"iter"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Capture is the state of a machine at exactly one index, immutable while the machine goes on. A member keeps at most
// a few at a time.
type Capture interface {
	// WriteTo writes the state for Machine.Restore. It runs on another goroutine, while Apply goes on, perhaps more
	// than once but never twice at the same time. Equal states must give equal bytes. An error abandons the snapshot.
	io.WriterTo
	// Release ends the use of the capture. It is called exactly once, after the last WriteTo, from any goroutine.
	Release()
}

// LiveIndexer is asked of a Capture: LiveIndexes yields the indexes, in ascending order, of the entries up to the
// snapshot that the state still refers to and that shall stay readable in the log after it was truncated (MAC-12).
// It runs where WriteTo runs.
type LiveIndexer interface {
	LiveIndexes() iter.Seq[ra.Index]
}

// SnapshotMeta is what is stored with a snapshot or checkpoint beside the state.
type SnapshotMeta struct {
	// Index and Term are those of the last entry that the state contains; both 0 for the initial state.
	Index ra.Index
	Term  ra.Term
	// Version is the version in force at Index (SNAP-03).
	Version Version
	// Time is Meta.Time at Index, from which the machine's clock goes on.
	Time int64
}

// CaptureBytes returns a capture of a state that is encoded already. It keeps b, which must not change any more.
func CaptureBytes(b []byte) Capture { return bytesCapture(b) }

type bytesCapture []byte

func (c bytesCapture) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c)
	return int64(n), err
}

func (c bytesCapture) Release() {}

// CaptureFunc returns a capture of a state that write can write at any time, for instance because it holds the root of
// a structure that is never changed in place. It has nothing to release.
func CaptureFunc(write func(w io.Writer) error) Capture { return funcCapture(write) }

type funcCapture func(io.Writer) error

func (c funcCapture) WriteTo(w io.Writer) (int64, error) {
	counted := countingWriter{w: w}
	err := c(&counted)
	return counted.n, err
}

func (c funcCapture) Release() {}

// countingWriter counts what went through it.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
