package snapshot

import (
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Source reads a snapshot as it lies on the disk, in chunks for a peer. The file stays readable until Close, also if a
// newer snapshot takes its place.
type Source struct {
	f     vfs.File
	l     *layout
	chunk int
}

// OpenSource opens the snapshot of a member to be sent in chunks of the given number of bytes. It returns ErrNone if
// there is none.
func (s *Store) OpenSource(uid ra.UID, chunk int) (*Source, error) {
	if chunk <= 0 {
		return nil, fmt.Errorf("snapshot: chunks of %d bytes", chunk)
	}
	f, l, err := s.openNewest(uid)
	if err != nil {
		return nil, err
	}
	return &Source{f: f, l: l, chunk: chunk}, nil
}

// Meta returns what the snapshot stands for.
func (c *Source) Meta() Meta { return c.l.meta }

// Chunks returns the number of chunks.
func (c *Source) Chunks() uint32 {
	return uint32((c.l.size + int64(c.chunk) - 1) / int64(c.chunk))
}

// ReadChunk returns a chunk, counted from 1, and whether it is the last one. Chunks may be read in any order and again.
func (c *Source) ReadChunk(number uint32) (data []byte, last bool, err error) {
	if number == 0 || number > c.Chunks() {
		return nil, false, fmt.Errorf("snapshot: chunk %d of %d", number, c.Chunks())
	}
	off := int64(number-1) * int64(c.chunk)
	data, err = readPart(c.f, off, int(min(int64(c.chunk), c.l.size-off)))
	return data, number == c.Chunks(), err
}

// Close closes the file.
func (c *Source) Close() error { return c.f.Close() }

// ErrOrder says that a chunk is not the one that is due. It was not taken; the one that is due is still welcome.
var ErrOrder = errors.New("snapshot: chunk out of order")

// Receiver takes the chunks of a snapshot that a peer sends. It ends with Finish or Abort.
type Receiver struct {
	s    *Store
	id   id
	temp string
	f    vfs.File
	next uint32
	size int64
	done bool
}

// Receive begins to receive a snapshot, which is said to be of the given index and term.
func (s *Store) Receive(uid ra.UID, index ra.Index, term ra.Term) (*Receiver, error) {
	r := &Receiver{s: s, id: s.now(uid, index, term), next: 1}
	var err error
	if r.f, r.temp, err = s.create(r.id, recvSuffix); err != nil {
		return nil, err
	}
	return r, nil
}

// Next returns the number of the chunk that is due, from 1.
func (r *Receiver) Next() uint32 { return r.next }

// Add takes the next chunk. One that is not due is refused with ErrOrder. After any other error only Abort is left.
func (r *Receiver) Add(number uint32, data []byte) error {
	switch {
	case r.done:
		return ra.ErrClosed
	case number != r.next:
		return fmt.Errorf("%w: chunk %d, due is %d", ErrOrder, number, r.next)
	case r.size+int64(len(data)) > r.s.cfg.MaxFile:
		return fmt.Errorf("%w: snapshot of more than %d bytes", ra.ErrTooLarge, r.s.cfg.MaxFile)
	}
	if _, err := r.f.WriteAt(data, r.size); err != nil {
		return err
	}
	r.size += int64(len(data))
	r.next++
	return nil
}

// Finish checks every byte of what arrived, makes it durable and puts it in place of the older snapshot of the member.
// It returns ErrStale if a newer one came first, and an error that wraps ra.ErrCorrupt if what arrived is not the
// snapshot that was announced. After an error nothing is left of it, and the older one is in place.
func (r *Receiver) Finish() (Info, Meta, error) {
	if r.done {
		return Info{}, Meta{}, ra.ErrClosed
	}
	l, err := r.complete()
	if err != nil {
		return Info{}, Meta{}, errors.Join(err, r.Abort())
	}
	r.done = true
	info := l.info(r.id)
	if err := r.s.install(r.temp, info); err != nil {
		return Info{}, Meta{}, err
	}
	return info, l.meta, nil
}

// complete checks the file and makes its content durable.
func (r *Receiver) complete() (*layout, error) {
	l, err := check(r.f, r.id)
	if err != nil {
		return nil, err
	}
	if err := r.f.Sync(); err != nil {
		return nil, err
	}
	f := r.f
	r.f = nil
	return l, f.Close()
}

// Abort gives up what arrived and leaves nothing of it. After Finish it does nothing.
func (r *Receiver) Abort() error {
	if r.done {
		return nil
	}
	r.done = true
	var err error
	if r.f != nil {
		err = r.f.Close()
		r.f = nil
	}
	return errors.Join(err, r.s.discard(r.temp))
}
