package raft

import "github.com/heliopolis-raft/heliopolis/ra"

// TermRun is a stretch of a log: the entries from First up to the next run have Term.
type TermRun struct {
	First ra.Index
	Term  ra.Term
}

// Position names an entry by index and term. Equal positions in two logs mean equal logs up to there (Raft paper,
// log matching property).
type Position struct {
	Index ra.Index
	Term  ra.Term
}

// terms is all that this package knows of the log: its end and the terms of its entries, as runs.
//
// Invariants: base.Index <= last; the first run, if any, starts at base.Index+1; starts and terms of runs grow; the entries
// from since to base.Index, which were here once, had base.Term.
// There are as many runs as leaderships left entries in the kept part of the log.
type terms struct {
	base  Position // the entry before the first kept one; its term is known
	since ra.Index
	last  ra.Index
	runs  []TermRun
}

// lastTerm returns the term of the last entry.
func (t *terms) lastTerm() ra.Term {
	if n := len(t.runs); n > 0 {
		return t.runs[n-1].Term
	}
	return t.base.Term
}

// end returns the position of the last entry.
func (t *terms) end() Position { return Position{t.last, t.lastTerm()} }

// at returns the term of the entry at i, and whether it is known.
func (t *terms) at(i ra.Index) (ra.Term, bool) {
	if i > t.last || i < t.base.Index {
		return 0, false
	}
	for k := len(t.runs) - 1; k >= 0; k-- {
		if t.runs[k].First <= i {
			return t.runs[k].Term, true
		}
	}
	return t.base.Term, true
}

// had returns the term of the entry at i, also of one that is not kept any more, if it is known.
func (t *terms) had(i ra.Index) (ra.Term, bool) {
	if t.since <= i && i < t.base.Index {
		return t.base.Term, true
	}
	return t.at(i)
}

// has reports whether the log holds p for certain.
func (t *terms) has(p Position) bool {
	term, known := t.at(p.Index)
	return known && term == p.Term
}

// excludes reports whether the log holds, or held, another entry than p at its index. Of those that are not kept it is only
// known that their terms are at most that of the base: a leader that has a later one there goes on from less than this
// member has committed, as it may when a loss was accepted.
func (t *terms) excludes(p Position) bool {
	if p.Index < t.base.Index {
		return p.Term > t.base.Term
	}
	term, known := t.at(p.Index)
	return known && term != p.Term
}

// append adds n entries, one at least, of one term. The caller has checked that the term does not fall.
func (t *terms) append(n int, term ra.Term) {
	if len(t.runs) == 0 || t.runs[len(t.runs)-1].Term != term {
		t.runs = append(t.runs, TermRun{First: t.last + 1, Term: term})
	}
	t.last += ra.Index(n)
}

// truncate removes the entries from i on. i must be above base.
func (t *terms) truncate(i ra.Index) {
	t.last = i - 1
	for n := len(t.runs); n > 0 && t.runs[n-1].First >= i; n-- {
		t.runs = t.runs[:n-1]
	}
}

// compact forgets the terms below i, which is in the log.
func (t *terms) compact(i ra.Index) {
	term, _ := t.at(i)
	if term != t.base.Term {
		t.since = t.start(i)
	}
	t.base = Position{i, term}
	gone := 0
	for gone < len(t.runs) && t.runs[gone].First <= i {
		gone++
	}
	if gone > 0 && (gone == len(t.runs) || t.runs[gone].First > i+1) && i < t.last {
		gone-- // this run goes on above i
		t.runs[gone].First = i + 1
	}
	t.runs = append(t.runs[:0], t.runs[gone:]...)
}

// start returns where the run begins that has the entry at i, which is above base.
func (t *terms) start(i ra.Index) (first ra.Index) {
	for k := range t.runs {
		if t.runs[k].First <= i {
			first = t.runs[k].First
		}
	}
	return first
}

// reset makes the log empty after p.
func (t *terms) reset(p Position) {
	t.base, t.since, t.last, t.runs = p, p.Index, p.Index, t.runs[:0]
}

// lastWithin returns the highest position at or below i whose term is at most term, but none below base. It is where
// two logs may agree, if one has an entry of that term after i that the other has not.
func (t *terms) lastWithin(i ra.Index, term ra.Term) Position {
	i = min(i, t.last)
	for k := len(t.runs) - 1; k >= 0; k-- {
		run := t.runs[k]
		if run.First > i {
			continue
		}
		if run.Term <= term {
			return Position{i, run.Term}
		}
		i = run.First - 1
	}
	return t.base
}
