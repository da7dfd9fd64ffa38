package raftlog

import (
	"cmp"
	"errors"
	"iter"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// Home is the storage of a node, as a Flush needs it.
type Home struct {
	WAL       *wal.Log
	Segments  *segment.Set
	Snapshots *snapshot.Store
	// Find returns the log of a member, nil if the node has no such member any more.
	Find func(ra.UID) *Log
}

// Flush is the way of one full file of the write-ahead log into segments (LOG-01, SEG-01): Prepare, Write, Tell and
// Release, in this order and by one goroutine. Members may go on between the steps. When a step fails the same step may be
// tried again, or all of them with a new Flush: what was done twice does no harm.
type Flush struct {
	home   Home
	file   *wal.Closed
	spans  []wal.Span // sorted by uid
	ranges []segment.Range
}

// NewFlush begins the flush of a file, which must be the oldest that was not released.
func NewFlush(home Home, file *wal.Closed) *Flush {
	f := &Flush{home: home, file: file, spans: slices.Clone(file.Spans)}
	slices.SortFunc(f.spans, func(a, b wal.Span) int { return cmp.Compare(a.UID, b.UID) })
	return f
}

// Prepare asks the members what the file holds of them.
func (f *Flush) Prepare() error {
	f.ranges = make([]segment.Range, len(f.spans))
	for i := range f.spans {
		var err error
		if f.ranges[i], err = f.rangeOf(&f.spans[i]); err != nil {
			return err
		}
	}
	return nil
}

// rangeOf returns what one span brings to segments. Nobody needs anything of a member that is deleted: where its span
// says so that is noted, and elsewhere there is a later file that says it.
func (f *Flush) rangeOf(s *wal.Span) (segment.Range, error) {
	log := f.home.Find(s.UID)
	switch {
	case s.Deleted:
		return segment.Range{UID: s.UID, Cut: 1}, nil
	case log == nil:
		return segment.Range{UID: s.UID}, nil
	}
	return log.Range(s)
}

// Write makes the file's entries durable in segments.
func (f *Flush) Write() error {
	_, err := f.home.Segments.Flush(f.all())
	return err
}

func (f *Flush) all() iter.Seq[segment.Range] { return slices.Values(f.ranges) }

// Tell lets the members' logs know.
func (f *Flush) Tell() error {
	deleted := false
	for i := range f.spans {
		if err := f.tell(&f.spans[i]); err != nil {
			return err
		}
		deleted = deleted || f.spans[i].Deleted
	}
	if deleted {
		return f.sweep()
	}
	return nil
}

// sweep brings off the disk what deleted members have in packs. That takes space first, and gives it back with the file.
func (f *Flush) sweep() error {
	err := f.home.Snapshots.Sweep()
	if errors.Is(err, ra.ErrDiskFull) {
		f.home.WAL.MakeRoom()
		err = f.home.Snapshots.Sweep()
	}
	return err
}

func (f *Flush) tell(s *wal.Span) error {
	if s.Deleted {
		// The file is the last to say so. What is left of the member must be gone before it is.
		if err := f.home.Snapshots.Remove(s.UID); err != nil {
			return err
		}
		f.home.Segments.Forget(s.UID)
		return nil
	}
	if log := f.home.Find(s.UID); log != nil {
		log.Flushed(s)
	}
	return nil
}

// Release hands the file back to the write-ahead log.
func (f *Flush) Release() error { return f.home.WAL.Release(f.file) }
