package rafttest

import (
	"iter"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// peerLog is the member's log: the shipping one, with an ear on what goes in.
type peerLog struct{ *peer }

// Append adds entries to the log.
func (p peerLog) Append(entries []ra.Entry) error {
	last := p.log.Last()
	prev, _ := p.log.Term(last)
	for i := range entries {
		e := &entries[i]
		if last++; e.Index != last {
			p.cluster.truth.breach("I3", "%s appends index %d where %d is due", p.uid, e.Index, last)
		}
		p.cluster.truth.appended(p.uid, e, prev)
		prev = e.Term
	}
	return p.log.Append(entries)
}

// Truncate removes entries from the log.
func (p peerLog) Truncate(from ra.Index) {
	if commit := p.server.Status().Commit; from <= commit {
		p.cluster.truth.breach("I4", "%s removes index %d, committed up to %d", p.uid, from, commit)
	}
	p.sim.done.Truncations++
	p.log.Truncate(from)
}

// Release lets the log go up to a snapshot of the member's own. It must be durable, and of something committed.
func (p peerLog) Release(upTo ra.Index) {
	if at := p.cluster.truth.members[p.uid].snap; at.Index < upTo {
		p.cluster.truth.breach("I9", "%s lets go of the log up to %d, its durable snapshot is at %d", p.uid, upTo, at.Index)
	}
	p.log.Release(upTo)
}

// Install puts a received snapshot in force.
func (p peerLog) Install(at member.Position, keep bool) {
	t := p.cluster.truth
	t.covers(p.uid, raft.Position(at))
	if d := t.members[p.uid]; d.snap.Index < at.Index {
		t.breach("I9", "%s puts a snapshot at %d in force, its durable one is at %d", p.uid, at.Index, d.snap.Index)
	}
	if term, ok := p.log.Term(at.Index); keep && (!ok || term != at.Term) {
		t.breach("I3", "%s keeps its log above a snapshot at %d of term %d, of which it has term %d", p.uid, at.Index, at.Term, term)
	}
	if !keep && p.log.Last() > at.Index {
		t.removes(p.uid, p.term, at.Index+1)
	}
	p.log.Install(at, keep)
}

// Overtaken has the log begin with a snapshot of which the last life did not tell it.
func (p peerLog) Overtaken(at member.Position) {
	t := p.cluster.truth
	t.covers(p.uid, raft.Position(at))
	if d := t.members[p.uid]; d.snap.Index < at.Index {
		t.breach("I9", "%s begins with a snapshot at %d, its durable one is at %d", p.uid, at.Index, d.snap.Index)
	}
	if !p.log.Holds(at) && p.log.Last() > at.Index {
		t.removes(p.uid, p.term, at.Index+1)
	}
	p.log.Overtaken(at)
}

// Read reads entries of the log.
func (p peerLog) Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error) {
	return p.log.Read(into, lo, hi, maxBytes)
}

// The others do what the log does.

func (p peerLog) Term(i ra.Index) (ra.Term, bool)    { return p.log.Term(i) }
func (p peerLog) Base() (ra.Index, ra.Term)          { return p.log.Base() }
func (p peerLog) Last() ra.Index                     { return p.log.Last() }
func (p peerLog) Runs() iter.Seq2[ra.Index, ra.Term] { return p.log.Runs() }
func (p peerLog) Snapshot() member.Position          { return p.log.Snapshot() }
func (p peerLog) NeedsReset() bool                   { return p.log.NeedsReset() }
func (p peerLog) Bytes() int64                       { return p.log.Bytes() }
func (p peerLog) FirstSegment() ra.Index             { return p.log.FirstSegment() }

// termAt returns the term of an entry of the member's log: 0 where there is none, unknown where it is compacted.
func (p *peer) termAt(i ra.Index) (ra.Term, bool) {
	if i < 1 || i > p.log.Last() {
		return 0, true
	}
	return p.log.Term(i)
}
