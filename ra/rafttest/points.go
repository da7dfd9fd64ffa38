package rafttest

import (
	"fmt"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Points are all the strikes that can be tried on a workload: a crash at every change of every disk with every model of what
// a crash leaves, errors once and for a while at every
// operation, and no space at every one that may need some.
type Points struct {
	Workload *Workload
	ops      Operations
	// How many of each kind there are, in this order.
	crashes, errors, full int
}

// AllPoints returns the points of all workloads. It fails if a workload does not do what it is there for.
func AllPoints() ([]*Points, error) {
	var all []*Points
	for _, w := range Workloads() {
		ops, err := w.Measure()
		if err != nil {
			return nil, err
		}
		p := &Points{Workload: w, ops: ops}
		for node := range ops.All {
			p.crashes += ops.Changes[node] * int(vfs.CrashModels)
			p.errors += 2 * ops.All[node]
			p.full += ops.Changes[node]
		}
		all = append(all, p)
	}
	return all, nil
}

// Len is their number.
func (p *Points) Len() int { return p.crashes + p.errors + p.full }

// At returns point number i, from 0. One crash in three is followed by another one in the recovery, at a change that
// depends on i alone.
func (p *Points) At(i int) *Strike {
	if i < p.crashes {
		s := &Strike{Kind: StrikeCrash, Model: vfs.CrashModel(i % int(vfs.CrashModels))}
		s.Node, s.At = locate(p.ops.Changes, i/int(vfs.CrashModels))
		if x := scatter(i); x%3 == 0 {
			s.Nested = 1 + int(x>>8%120)
		}
		return s
	}
	s := &Strike{Kind: StrikeFull}
	if i -= p.crashes; i < p.errors {
		s.Kind = pickKind(i)
		s.Node, s.At = locate(p.ops.All, i/2)
		return s
	}
	s.Node, s.At = locate(p.ops.Changes, i-p.errors)
	return s
}

func pickKind(i int) StrikeKind {
	if i%2 == 0 {
		return StrikeOnce
	}
	return StrikeSticky
}

// locate finds the i-th of all operations: whose it is, and which one from 1.
func locate(ops []int, i int) (node, at int) {
	for i >= ops[node] {
		i -= ops[node]
		node++
	}
	return node, i + 1
}

// scatter makes a number without a pattern of i.
func scatter(i int) uint64 {
	x := (uint64(i) + 1) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return x * 0xbf58476d1ce4e5b9 >> 11
}

// Try runs the workload with point number i. The error says which point it was, and what broke.
func (p *Points) Try(i int) (Outcome, error) {
	strike := p.At(i)
	out, err := p.Workload.Run(strike)
	if err != nil {
		err = fmt.Errorf("workload %s, point %d, %v: %w", p.Workload.Name, i, strike, err)
	}
	return out, err
}
