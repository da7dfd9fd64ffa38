package wal

import (
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Span is what one member has in one file.
type Span struct {
	UID ra.UID
	// First and Last are the lowest and the highest index of entries in the file that were still valid at its end; both 0
	// if there are none. Some of the entries between them may stand in an earlier file.
	First, Last ra.Index
	// Truncated is the lowest index from which on the file removes entries of earlier files, 0 if it removes none.
	Truncated ra.Index
	// Reset is the index of the last Reset in the file, 0 if there is none.
	Reset ra.Index
	// Deleted says that the member was deleted.
	Deleted bool
	// Seq is the number of the member's last order in the file, 0 if there is none.
	Seq uint64

	before uint64 // the number of its order before the first one in the file
}

// apply notes one row. at is the member's last order before it, as far as that is known.
func (s *Span) apply(r *row, at uint64) {
	if s.Seq == 0 {
		s.before = r.before(at)
	}
	if r.seqHi != 0 {
		s.Seq = r.seqHi
	}
	if r.flags&rowReset != 0 {
		s.First, s.Last, s.Truncated, s.Reset = 0, 0, 0, r.reset
	}
	if r.flags&rowTruncate != 0 {
		s.truncate(r.truncate)
	}
	if r.flags&rowEntries != 0 {
		if s.First == 0 {
			s.First = r.first
		}
		s.Last = r.last()
	}
	if r.flags&rowDelete != 0 {
		*s = Span{UID: s.UID, Deleted: true, Seq: s.Seq}
	}
}

// truncate removes what is known from index from on.
func (s *Span) truncate(from ra.Index) {
	if s.First != 0 && from > s.First {
		s.Last = min(s.Last, from-1)
		return
	}
	s.First, s.Last = 0, 0
	if s.Truncated == 0 || from < s.Truncated {
		s.Truncated = from
	}
}

// file is the file that is being written.
type file struct {
	f      vfs.File
	header fileHeader
	size   int64 // prepared length: up to there writing needs no space
	off    int64 // where the next batch begins; everything before is durable
	chain  uint32
	// nextChain becomes chain when the batch that was encoded last is durable.
	nextChain uint32
	spans     []Span // by member number
	table     []byte // for encoding
	echo      echo
}

func (f *file) left() int64 { return f.size - f.off }
func (f *file) empty() bool { return f.off == headerSize }

// bind gives the row its member's number in this file, and the member a number if it has none yet.
func (f *file) bind(r *row) {
	w := r.writer
	r.flags &^= rowBind
	if w.fileSeq != f.header.seq {
		w.fileSeq, w.number, w.span = f.header.seq, uint32(len(f.spans)), len(f.spans)
		f.spans = append(f.spans, Span{UID: w.uid})
		r.flags |= rowBind
		r.uid = w.uid
	}
	r.number = w.number
}

// write encodes b, writes it and syncs.
func (f *file) write(b *Batch, seq uint64, flags uint32) error {
	out := b.encode(f, seq, flags)
	if err := vfs.WriteSync(f.f, out, f.off); err != nil {
		return err
	}
	f.off += int64(len(out))
	f.chain = f.nextChain
	f.echo.push()
	return nil
}

// markSize is how long a batch without rows is that would be written now.
func (f *file) markSize() int64 { return int64(alignUp(2 * (batchFixed + f.echo.size()))) }
