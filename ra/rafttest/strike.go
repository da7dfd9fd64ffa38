package rafttest

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Strike is one misfortune at one operation of the disk of one node, counted over the whole schedule, restarts included.
type Strike struct {
	Node int
	// At is the operation, from 1: of those that change the disk, for StrikeOnce and StrikeSticky of all.
	At   int
	Kind StrikeKind
	// Model says what a crash leaves, and Nested at which change of the recovery from it the node crashes once more; 0 is
	// never.
	Model  vfs.CrashModel
	Nested int
}

// StrikeKind says what a Strike does.
type StrikeKind uint8

const (
	// StrikeCrash: the node crashes before the operation.
	StrikeCrash StrikeKind = iota
	// StrikeOnce: the operation fails, a write after half of it; whoever tries again succeeds. A sync that fails takes what
	// was written with it.
	StrikeOnce
	// StrikeFull: the operation fails for want of space.
	StrikeFull
	// StrikeSticky: the operation fails, and all of its kind on files of that node after it, until the node is started
	// again.
	StrikeSticky

	strikeKinds
)

// String names the kind.
func (k StrikeKind) String() string {
	return [...]string{"crash", "once", "full", "sticky", "?"}[min(k, strikeKinds)]
}

// String describes the strike for a failure's report.
func (s *Strike) String() string {
	text := fmt.Sprintf("%s of n%d at operation %d", s.Kind, s.Node, s.At)
	if s.Kind == StrikeCrash {
		text += fmt.Sprintf(" (%s, nested %d)", s.Model, s.Nested)
	}
	return text
}

// strike returns the schedule's strike if it is this node's.
func (n *node) strike() *Strike {
	if s := n.sim.opts.Strike; s != nil && s.Node == n.id {
		return s
	}
	return nil
}

// struck returns the error that strikes the present operation, if any; a crash is made ready.
func (n *node) struck(op vfs.Op) *vfs.Fault {
	s := n.strike()
	if s == nil || n.sim.healing {
		return nil
	}
	if s.Kind == StrikeCrash {
		if n.changes+1 == s.At && n.fuse.left == 0 {
			n.light(1, s.Model)
		}
		return nil
	}
	if s.Kind == StrikeFull && op.Changes() && n.changes+1 == s.At {
		return s.fault()
	}
	if s.Kind != StrikeFull && n.operations == s.At {
		n.sticky, n.stickyStart = op, n.starts
		return s.fault()
	}
	if s.Kind == StrikeSticky && n.sticky == op && n.stickyStart == n.starts {
		return s.fault()
	}
	return nil
}

// fault is the error that the strike brings.
func (s *Strike) fault() *vfs.Fault {
	if s.Kind == StrikeFull {
		return &vfs.Fault{Err: syscall.ENOSPC, Short: true}
	}
	return &vfs.Fault{Short: true}
}

// deliberate reports whether an error is, or comes from, one that the simulator made.
func deliberate(err error) bool {
	return errors.Is(err, vfs.ErrInjected) || vfs.IsFull(err) || errors.Is(err, ra.ErrDiskFull)
}
