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
// Invariants: base.Index <= last; the first run, if any, starts at base.Index+1; starts and terms of runs grow.
// There are as many runs as leaderships left entries in the kept part of the log.
type terms struct {
	base Position // the entry before the first kept one; its term is known, those below it are not
	last ra.Index
	runs []TermRun
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

// has reports whether the log holds p for certain.
func (t *terms) has(p Position) bool {
	term, known := t.at(p.Index)
	return known && term == p.Term
}

// append adds n entries of one term. The caller has checked that the term does not fall.
func (t *terms) append(n int, term ra.Term) {
	if n == 0 {
		return
	}
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
	term, known := t.at(i)
	if !known {
		return
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

// reset makes the log empty after p.
func (t *terms) reset(p Position) {
	t.base, t.last, t.runs = p, p.Index, t.runs[:0]
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
