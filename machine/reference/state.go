package reference

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// The states are written as numbers, in the shortest form of encoding/binary's uvarints, and texts, which have their
// length in front.

// writer writes a state. After the first error it does nothing.
type writer struct{ w *bufio.Writer }

func newWriter(w io.Writer) *writer { return &writer{w: bufio.NewWriter(w)} }

func (w *writer) uint(n uint64) {
	var b [binary.MaxVarintLen64]byte
	// bufio keeps the error until it is flushed.
	_, _ = w.w.Write(b[:binary.PutUvarint(b[:], n)])
}

func (w *writer) bytes(text string) {
	w.uint(uint64(len(text)))
	_, _ = w.w.WriteString(text)
}

func (w *writer) flush() error { return w.w.Flush() }

// reader reads a state. After the first error it gives zeros.
type reader struct {
	r   *bufio.Reader
	err error
}

func newReader(r *bufio.Reader) *reader { return &reader{r: r} }

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = malformedf("%s", why)
	}
}

func (r *reader) uint() uint64 {
	if r.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(r.r)
	if err != nil {
		r.cut(err)
	}
	return n
}

// maxRows bounds the rows of one state: more is taken for damage.
const maxRows = 1 << 31

// count returns the number of rows that follow.
func (r *reader) count() int64 {
	n := r.uint()
	if n > maxRows {
		r.fail("too many rows")
		return 0
	}
	return int64(n)
}

// bytes returns the next text. It asks for no more memory than there are bytes.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > ra.MaxPayload {
		r.fail("text too long")
	}
	if r.err != nil {
		return nil
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r.r, int64(n)); err != nil {
		r.cut(err)
		return nil
	}
	return b.Bytes()
}

// cut takes in an error of the source; an end is too early.
func (r *reader) cut(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		r.fail("state ends early")
	}
	if r.err == nil {
		r.err = err
	}
}

// end returns the first error, or one if the state goes on.
func (r *reader) end() error {
	if r.err == nil {
		if _, err := r.r.ReadByte(); err == nil {
			r.fail("state goes on after its end")
		} else if !errors.Is(err, io.EOF) {
			r.err = err
		}
	}
	return r.err
}
