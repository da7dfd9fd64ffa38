package member

import (
	"fmt"
	"runtime/debug"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// applyChunk bounds the bytes that are read from the log at once to be applied.
const applyChunk = 4 << 20

// applyEntry applies one entry to the machine and returns the reply. If the code cannot do what the entry asks for it
// sets stuck, and nothing is applied any more (VER-07).
func (s *Server) applyEntry(e *ra.Entry, fx *machine.Effects) (reply any, err error) {
	meta := machine.Meta{Index: e.Index, Term: e.Term, Time: max(s.clock, e.Time())}
	switch e.Kind() {
	case ra.KindCommand:
		reply, err = s.applyCommand(e, meta, fx)
	case ra.KindNoop:
		if err = s.upgrade(e, meta, fx); s.stuck {
			return nil, err
		}
	case ra.KindConfig:
		s.members, err = raft.DecodeMembers(e.Payload())
	default:
		reply, err = s.machine.ApplyEntry(meta, e.Kind(), e.Payload(), fx)
	}
	s.clock, s.status.Applied = meta.Time, e.Index
	return reply, err
}

func (s *Server) applyCommand(e *ra.Entry, meta machine.Meta, fx *machine.Effects) (any, error) {
	payload, mode, from, err := DecodeCommand(e)
	if err != nil {
		return nil, err
	}
	meta.Mode, meta.From = mode, from
	return s.machine.Apply(meta, payload, fx), nil
}

// upgrade puts the machine version in force that a no-op carries (VER-05 to VER-07).
func (s *Server) upgrade(e *ra.Entry, meta machine.Meta, fx *machine.Effects) error {
	v, ok := raft.DecodeVersion(e.Payload())
	if !ok || machine.Version(v) <= s.machine.Version() {
		return nil
	}
	if machine.Version(v) > s.machine.Local() {
		s.stuck = true
		return nil
	}
	s.sent = append(s.sent, raft.Message{Kind: raft.VersionInForce, Version: v})
	return s.machine.Upgrade(meta, machine.Version(v), fx)
}

// recoverPanic turns a panic of the machine into an error that wraps a *machine.PanicError (FAIL-02).
func recoverPanic(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("member: machine failed: %w", &machine.PanicError{Value: v, Stack: debug.Stack()})
	}
}

// apply feeds the machine with everything up to the commit index, and answers who waits for it.
func (s *Server) apply(commit ra.Index) {
	if commit <= s.status.Commit && commit <= s.status.Applied {
		return
	}
	if f := s.cfg.Observer.Committed; f != nil && commit > s.status.Commit {
		f(s.status.Commit, commit)
	}
	s.status.Commit = max(s.status.Commit, commit)
	for s.status.Applied < commit && !s.stuck {
		var err error
		s.scratch.entries, err = s.cfg.Log.Read(s.scratch.entries[:0], s.status.Applied+1, commit, applyChunk)
		if err != nil {
			s.fail(fmt.Errorf("cannot read committed entry %d: %w", s.status.Applied+1, err))
			return
		}
		if err := s.applyAll(s.scratch.entries); err != nil {
			s.Stop(err)
			return
		}
		clear(s.scratch.entries)
	}
	s.afterApply()
}

// applyAll applies entries and carries out what they ask for.
func (s *Server) applyAll(entries []ra.Entry) (err error) {
	defer recoverPanic(&err)
	fx := s.scratch.push()
	defer s.scratch.pop()
	for i := range entries {
		e := &entries[i]
		first := fx.Len()
		reply, err := s.applyEntry(e, fx)
		if err != nil {
			return err
		}
		if s.stuck {
			return nil
		}
		if fx.Wants() != 0 {
			s.wants(e, fx, first)
		}
		done(s.waiting.applied(e.Index, e.Term), Result{Reply: reply, Index: e.Index, Term: e.Term, Leader: s.core.Leader()})
	}
	return nil
}

// push returns an empty collector of effects.
func (x *Scratch) push() *machine.Effects {
	if x.depth == len(x.levels) {
		x.levels = append(x.levels, new(machine.Effects))
	}
	x.depth++
	return x.levels[x.depth-1]
}

// pop takes the collector back.
func (x *Scratch) pop() {
	x.depth--
	x.levels[x.depth].Reset()
}
