package wal

import (
	"errors"
	"slices"
)

// A copy of a log that is opened too goes on in its own way. What both had before is the same, and so are the numbers of what
// they write from then on: a file of the one fits into the other by its name and by the log that it is of. What tells them
// apart is the random id of each WAL file, which the header of the next file names, and for the newest ones the mark and the
// state file. If two of these contradict each other, files of two futures are mixed, and nobody knows which of them this log
// is: it may be that all but one are another's. So nothing counts from there on, not even as a proof that its member had
// nothing in what is lost, since orders of two futures may well seem to follow on each other.

// word says that a WAL file of this log has an id. The mark gives one, and each state file.
type word struct{ file, id uint64 }

// errFork says that a file is sound, and perhaps of another future of the log.
var errFork = corruptf("perhaps of another future of the log")

// hear takes down what the mark and the state files say. A state file counts for nothing if the mark, or the file itself, shows
// that the WAL file which it names has another id. Its word stands.
func (r *recovery) hear() {
	for _, h := range r.marks {
		if h.log == r.l.id {
			r.floor.raise(h.file, h.batch)
			r.words = append(r.words, word{h.file, h.id})
			r.marked = true
		}
	}
	var words []word
	for i := range r.found {
		s := &r.found[i]
		if s.stateFile == nil {
			continue
		}
		words = append(words, word{s.current, s.currentID})
		if h := r.own(s.current); r.denied(s.current, s.currentID) || h != nil && h.id != s.currentID {
			s.stateFile = nil
		}
	}
	r.words = append(r.words, words...)
}

// denied reports whether somebody says that the WAL file of that number has another id.
func (r *recovery) denied(file, id uint64) bool {
	return slices.ContainsFunc(r.words, func(w word) bool { return w.file == file && w.id != id })
}

// vouched reports whether somebody knows the file, or one that goes on from it.
func (r *recovery) vouched(h *fileHeader) bool {
	for next := h; next != nil; h, next = next, r.own(next.seq+1) {
		if next != h && !next.follows(h) {
			return false
		}
		if slices.Contains(r.words, word{next.seq, next.id}) {
			return true
		}
	}
	return false
}

// own returns the header of a WAL file of this log that is what its name says; nil if there is none.
func (r *recovery) own(seq uint64) *fileHeader {
	if r.bad[seq] != nil {
		return nil
	}
	return r.there(seq)
}

// there returns that header also if the file is perhaps of another future.
func (r *recovery) there(seq uint64) *fileHeader {
	if err := r.bad[seq]; err != nil && !errors.Is(err, errFork) {
		return nil
	}
	if h := r.headers[seq]; h != nil && h.seq == seq {
		return h
	}
	return nil
}

// fork finds the first file that is perhaps of another future. Neither it nor what is behind counts, up to a file that recovery
// made when the one before it could not be read: that one goes on from whatever counted then. If a file does not go on from
// the one before it, and nobody says which of them is the stranger, neither counts. Nor do those behind a gap that nobody knows,
// up to the next gap.
func (r *recovery) fork() {
	lost, unknown, counts := false, false, r.replay.state != nil
	for _, seq := range r.inv.files {
		h, before := r.own(seq), r.there(seq-1)
		if h == nil || seq <= r.l.states.released {
			continue
		}
		if before == nil {
			unknown = counts && seq-1 > r.l.states.released && !r.vouched(h)
		}
		switch {
		case r.denied(seq, h.id):
			lost = true
		case h.prevID == 0:
			lost, unknown = false, false
			if before != nil {
				r.bad[seq-1] = errFork
			}
		case r.denied(seq-1, h.prevID):
			lost = true
		case before != nil && !h.follows(before):
			lost = true
			r.bad[seq-1] = errFork
		}
		if lost || unknown {
			r.bad[seq] = errFork
			r.next = max(r.next, h.firstBatch)
		}
		counts = counts || !lost && !unknown
	}
}

// follows reports whether the file goes on from the other one.
func (h *fileHeader) follows(before *fileHeader) bool {
	return h.prevID == before.id && h.prevSeq == before.seq
}
