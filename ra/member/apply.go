package member

import (
	"fmt"
	"runtime/debug"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// What is applied as one batch is bounded by applyChunk, in bytes, and by applyEntries, so that the effects that wait
// for its end are.
const (
	applyChunk   = 4 << 20
	applyEntries = 4096
)

// apply feeds the machine with everything up to the commit index, and carries out what it asks for.
func (s *Server) apply(commit ra.Index) {
	if commit <= s.status.Commit && commit <= s.status.Applied {
		return
	}
	if f := s.cfg.Observer.Committed; f != nil && commit > s.status.Commit {
		f(s.status.Commit, commit)
	}
	s.status.Commit = max(s.status.Commit, commit)
	deleting := s.deleting
	for s.status.Applied < commit && s.mayApply() {
		first, last := s.status.Applied+1, min(commit, s.status.Applied+applyEntries)
		var err error
		if s.scratch.entries, err = s.cfg.Log.Read(s.scratch.entries[:0], first, last, applyChunk); err != nil {
			s.fail(fmt.Errorf("cannot read committed entry %d: %w", first, err))
			return
		}
		if err := s.applyBatch(s.scratch.entries); err != nil {
			s.Stop(err)
			return
		}
	}
	if s.deleting != deleting {
		s.noteDeletion()
	}
}

// mayApply reports whether the machine can go on: it is neither stuck (VER-07) nor to be deleted.
func (s *Server) mayApply() bool { return !s.stuck && s.deleting == 0 && s.stopped == nil }

// applyBatch applies entries, and then carries out what they ask for (EFF-01).
func (s *Server) applyBatch(entries []ra.Entry) (err error) {
	defer s.contain(&err)
	fx := s.scratch.push()
	for i := range entries {
		s.warmApply(entries[i:])
		if err := s.applyOne(&entries[i], fx); err != nil {
			return err
		}
		if !s.mayApply() {
			break
		}
	}
	s.finish(fx)
	return nil
}

// applyOne applies an entry and notes who is to hear of it.
func (s *Server) applyOne(e *ra.Entry, fx *machine.Effects) error {
	var meta machine.Meta
	first := fx.Len()
	reply, err := s.applyEntry(e, &meta, fx)
	if err != nil || s.stuck {
		return err
	}
	if fx.Wants() != 0 {
		s.wants(e, fx, first)
	}
	caller := s.waiting.applied(e.Index, e.Term)
	if caller != nil || named(&meta) {
		s.noteOutcome(caller, reply, &meta, fx.Len())
	}
	return nil
}

// applyEntry applies one entry to the machine and returns the reply; what it learns of the entry goes into meta. If the
// code cannot do what the entry asks for it sets stuck, and nothing is applied any more (VER-07).
func (s *Server) applyEntry(e *ra.Entry, meta *machine.Meta, fx *machine.Effects) (reply any, err error) {
	meta.Index, meta.Term, meta.Time = e.Index, e.Term, max(s.clock, e.Time())
	kind := e.Kind()
	if kind == ra.KindCommand {
		reply = s.applyCommand(e, meta, fx)
	} else {
		fx.BeginEntry(e.Index)
	}
	switch kind {
	case ra.KindNoop:
		if s.upgrade(e, meta, fx); s.stuck {
			return nil, nil
		}
	case ra.KindConfig:
		if s.members, err = raft.DecodeMembers(e.Payload()); err != nil {
			return nil, fmt.Errorf("%w: configuration at %d: %w", ra.ErrDamaged, e.Index, err)
		}
	case ra.KindDelete:
		s.deleting = e.Index
	case ra.KindDown, ra.KindNode, ra.KindTimeout:
		if _, err := s.machine.ApplyEntry(*meta, kind, e.Payload(), fx); err != nil {
			s.problem(err)
		}
	}
	s.clock, s.status.Applied = meta.Time, e.Index
	s.applied(e)
	return reply, nil
}

// applyCommand applies a user's command. One that cannot be read, on no member, is answered with why.
func (s *Server) applyCommand(e *ra.Entry, meta *machine.Meta, fx *machine.Effects) any {
	payload := e.Payload()
	if e.Flags()&withCaller != 0 {
		var err error
		if payload, err = s.scratch.caller(payload, &meta.From); err != nil {
			fx.BeginEntry(e.Index)
			return err
		}
	}
	meta.Mode = machine.ReplyMode(e.Flags() & modeMask)
	return s.machine.Apply(meta, payload, fx)
}

// upgrade puts the machine version in force that a no-op carries (VER-05 to VER-07).
func (s *Server) upgrade(e *ra.Entry, meta *machine.Meta, fx *machine.Effects) {
	v, ok := raft.DecodeVersion(e.Payload())
	if !ok || machine.Version(v) <= s.machine.Version() {
		return
	}
	if err := s.machine.Upgrade(*meta, machine.Version(v), fx); err != nil {
		s.stuck = true
		s.problem(fmt.Errorf("member: entry %d: %w", e.Index, err))
		return
	}
	s.sent = append(s.sent, raft.Message{Kind: raft.VersionInForce, Version: v})
}

// contain is deferred around everything that runs code of the user, once however deep effects lead to effects. A panic
// becomes an error (FAIL-02), the collectors of effects are given back, and whoever was to hear of an entry that was
// applied hears of it.
func (s *Server) contain(err *error) {
	if v := recover(); v != nil {
		*err = panicError(v)
	}
	s.scratch.popTo(0)
	if *err != nil {
		for i := range s.scratch.outcomes {
			s.tell(&s.scratch.outcomes[i])
		}
	}
	s.scratch.forget()
}

// recoverPanic is deferred where a machine runs that no Server has yet.
func recoverPanic(err *error) {
	if v := recover(); v != nil {
		*err = panicError(v)
	}
}

func panicError(v any) error {
	return fmt.Errorf("member: the machine failed: %w", &machine.PanicError{Value: v, Stack: debug.Stack()})
}
