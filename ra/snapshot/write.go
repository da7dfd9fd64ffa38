package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

const (
	// window is how far back the compression looks: it decides the memory of writers and readers.
	window = 1 << 20
	// maxWindow is what a reader accepts of others.
	maxWindow = 8 << 20
	// writeStep is how much is gathered before it is written.
	writeStep = 128 << 10
)

// encoders keeps encoders for later, which are large, by level. It is not part of a Store: the runtime keeps a pool, and
// whatever it is part of, for two collections longer than anybody uses it.
var encoders [maxLevel + 1]sync.Pool

func getEncoder(level int, w io.Writer) (*zstd.Encoder, error) {
	if z, ok := encoders[level].Get().(*zstd.Encoder); ok {
		z.Reset(w)
		return z, nil
	}
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
}

func putEncoder(level int, z *zstd.Encoder) {
	z.Reset(nil)
	encoders[level].Put(z)
}

// encoding is a snapshot that is being encoded: header, meta, compressed state, footer. What is encoded gathers in buf, and
// goes to f in large pieces; without f it may not be more than one of them.
type encoding struct {
	level int
	f     vfs.File
	buf   []byte
	off   int64 // of buf, from the beginning of the snapshot
	crc   uint32
	z     *zstd.Encoder
	head  uint32
	from  int64 // of the compressed state
	raw   int64
}

// begin encodes what comes before the state.
func (w *encoding) begin(meta []byte) error {
	head := encodeHead(meta)
	w.head = binary.LittleEndian.Uint32(head[8:])
	if err := w.append(head); err != nil {
		return err
	}
	var err error
	w.z, err = getEncoder(w.level, (*compressed)(w))
	w.from, w.crc = w.pos(), 0
	return err
}

// Write encodes a part of the state.
func (w *encoding) Write(p []byte) (int, error) {
	n, err := w.z.Write(p)
	w.raw += int64(n)
	return n, err
}

// end encodes what comes behind the state.
func (w *encoding) end() error {
	if err := w.z.Close(); err != nil {
		return err
	}
	foot := footer{state: w.crc, head: w.head, packed: uint64(w.pos() - w.from), raw: uint64(w.raw)}
	if err := w.append(foot.encode()); err != nil {
		return err
	}
	w.release()
	return nil
}

// release gives the encoder back.
func (w *encoding) release() {
	if w.z != nil {
		putEncoder(w.level, w.z)
		w.z = nil
	}
}

// compressed is an encoding as its encoder sees it: it takes what was compressed, and keeps the checksum.
type compressed encoding

// Write implements io.Writer.
func (w *compressed) Write(p []byte) (int, error) {
	w.crc = ra.ExtendChecksum(w.crc, p)
	return len(p), (*encoding)(w).append(p)
}

func (w *encoding) append(p []byte) error {
	w.buf = append(w.buf, p...)
	if len(w.buf) < writeStep {
		return nil
	}
	return w.flush()
}

// pos returns the length so far.
func (w *encoding) pos() int64 { return w.off + int64(len(w.buf)) }

func (w *encoding) flush() error {
	if w.f == nil {
		return fmt.Errorf("%w: snapshot of more than %d bytes", ra.ErrTooLarge, writeStep)
	}
	if _, err := w.f.WriteAt(w.buf, w.off); err != nil {
		return err
	}
	w.off += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// Writer writes one snapshot aside (SNAP-02). It ends with Commit or Abort; after an error only Abort is left.
type Writer struct {
	s    *Store
	id   id
	temp string
	w    encoding
	err  error
	// recovery: it is a recovery checkpoint.
	recovery bool
}

// Create begins a snapshot of a member. The state is what is written to the Writer.
func (s *Store) Create(uid ra.UID, meta Meta) (*Writer, error) {
	return s.begin(s.now(uid, meta.Index, meta.Term), &meta)
}

// begin begins a snapshot or checkpoint.
func (s *Store) begin(n id, meta *Meta) (*Writer, error) {
	encoded, err := meta.encode()
	if err != nil {
		return nil, err
	}
	w := &Writer{s: s, id: n, w: encoding{level: s.cfg.Level}}
	if w.w.f, w.temp, err = s.create(w.id, tempSuffix); err != nil {
		return nil, err
	}
	if err = w.w.begin(encoded); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	return w, nil
}

// Write appends to the state.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

// Commit makes the snapshot durable and puts it in place of the older one of the member. It returns ErrStale if a newer
// one came first. After an error nothing is left of the snapshot, and the older one is in place (SNAP-06).
func (w *Writer) Commit() (Info, error) {
	err := w.err
	if err == nil {
		err = w.finish()
	}
	if err != nil {
		return Info{}, errors.Join(err, w.Abort())
	}
	info := Info{
		UID: w.id.uid, Index: w.id.index, Term: w.id.term, Era: w.id.era, Size: w.w.off, State: w.w.raw, Recovery: w.recovery,
	}
	w.err = ra.ErrClosed
	install := w.s.install
	if w.id.checkpoint {
		install = w.s.installCheckpoint
	}
	if err := install(w.temp, info); err != nil {
		return Info{}, err
	}
	return info, nil
}

// finish writes the footer and makes the content of a snapshot durable.
func (w *Writer) finish() error {
	if err := w.w.end(); err != nil {
		return err
	}
	if err := w.w.flush(); err != nil {
		return err
	}
	if !w.id.checkpoint {
		if err := w.w.f.Sync(); err != nil {
			return err
		}
	}
	f := w.w.f
	w.w.f = nil
	return f.Close()
}

// Abort gives the snapshot up and leaves nothing of it. After Commit it does nothing.
func (w *Writer) Abort() error {
	if errors.Is(w.err, ra.ErrClosed) {
		return nil
	}
	w.err = ra.ErrClosed
	w.w.release()
	var err error
	if w.w.f != nil {
		err = w.w.f.Close()
		w.w.f = nil
	}
	return errors.Join(err, w.s.discard(w.temp))
}
