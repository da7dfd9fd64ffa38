package rafttest

import (
	"io"
	"iter"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// applied counts the commands that were applied and digests them in their order.
type applied struct {
	count, digest uint64
	last          ra.Index
}

// replica is a peer as its member's machine.
type replica struct{ *peer }

// Apply applies a committed command.
func (p replica) Apply(meta machine.Meta, command []byte, _ *machine.Effects) any {
	if meta.Index <= p.applied.last {
		p.cluster.truth.breach("I14", "%s applies index %d after %d", p.uid, meta.Index, p.applied.last)
	}
	p.applied.last = meta.Index
	p.applied.count++
	p.applied.digest = p.applied.digest*0x100000001b3 ^ uint64(meta.Index)<<32 ^ uint64(ra.Checksum(command))
	p.cluster.book.apply(p.sim, p.cluster, commandID(command), meta.Index)
	return p.applied.count
}

// Query answers a query with the last index applied.
func (p replica) Query(ctx machine.QueryContext, _ any) (any, error) { return ctx.Index, nil }

// Snapshot is never asked for: the member has no place for snapshots.
func (p replica) Snapshot() (machine.Capture, error) { return machine.CaptureBytes(nil), nil }

// Restore is never called.
func (p replica) Restore(io.Reader) error { return nil }

// peerLog is a peer as its member's log, which is all in memory and never cut from below.
type peerLog struct{ *peer }

// Term returns the term of an entry.
func (p peerLog) Term(i ra.Index) (ra.Term, bool) {
	if i == 0 {
		return 0, true
	}
	return p.table.Term(i)
}

// Base is where every log begins.
func (p peerLog) Base() (ra.Index, ra.Term) { return 0, 0 }

// Last returns the last index.
func (p peerLog) Last() ra.Index { return p.table.Last() }

// Runs yields the terms of the log.
func (p peerLog) Runs() iter.Seq2[ra.Index, ra.Term] {
	return func(yield func(ra.Index, ra.Term) bool) {
		term := ra.Term(0)
		for e := range p.table.View(1, p.table.Last()).All() {
			if e.Term != term && !yield(e.Index, e.Term) {
				return
			}
			term = e.Term
		}
	}
}

// Snapshot says that there is none.
func (p peerLog) Snapshot() member.Position { return member.Position{} }

// NeedsReset is false: there is no snapshot that could have replaced the log.
func (p peerLog) NeedsReset() bool { return false }

// Release is never called.
func (p peerLog) Release(ra.Index) {}

// Install is never called.
func (p peerLog) Install(member.Position, bool) {}

// Bytes returns the length of the log.
func (p peerLog) Bytes() int64 { return int64(p.table.Bytes()) }

// FirstSegment says that there are no segments.
func (p peerLog) FirstSegment() ra.Index { return 0 }
