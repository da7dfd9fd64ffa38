package member

import (
	"cmp"
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

// leaveFrom is how many entries are so many that nobody should wait for them to be applied who need not.
const leaveFrom = 16

// advance takes note of the commit index and feeds the machine with what is committed. A leader takes a piece of it, as long
// as a message's entries: Flush comes back for the rest when clients have had a word, unless there are queries that must see
// all of it. No message of a peer comes in between, so that what a leadership has committed is applied in it.
func (s *Server) advance(o *raft.Orders) {
	s.lagging = false
	if o.Commit <= s.status.Commit && o.Commit <= s.status.Applied {
		return
	}
	if f := s.cfg.Observer.Committed; f != nil && o.Commit > s.status.Commit {
		f(s.status.Commit, o.Commit)
	}
	s.status.Commit = max(s.status.Commit, o.Commit)
	upTo := o.Commit
	if s.cfg.Batch != nil {
		if upTo >= s.status.Applied+leaveFrom {
			s.cfg.Batch.Leave()
		}
		if s.leading && o.QueriesReady == 0 {
			upTo = min(upTo, s.status.Applied+ra.Index(s.limits().MaxEntriesPerAppend))
		}
	}
	s.apply(upTo)
	s.lagging = s.status.Applied < o.Commit && s.mayApply()
}

// limits returns those of the core.
func (s *Server) limits() *raft.Limits { return cmp.Or(s.cfg.Raft.Limits, &raft.DefaultLimits) }

// endTerm applies what is left of a leadership that o ends, as what was committed in it: with its effects.
func (s *Server) endTerm(o *raft.Orders) {
	if s.lagging && (o.Role != ra.Leader || o.Term != s.ledTerm) {
		s.lagging = false
		s.apply(min(o.Commit, s.status.Commit))
	}
}

// apply feeds the machine with everything up to an index that is committed, and carries out what it asks for.
func (s *Server) apply(upTo ra.Index) {
	deleting := s.deleting
	for s.status.Applied < upTo && s.mayApply() {
		first, last := s.status.Applied+1, min(upTo, s.status.Applied+applyEntries)
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
	err = errGoexit
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
	kind := e.Kind()
	meta.Version = s.machine.Version()
	if kind == ra.KindCommand {
		meta.Mode = machine.ReplyMode(e.Flags() & modeMask)
	}
	meta.Index, meta.Term, meta.Time = e.Index, e.Term, max(s.clock, e.Time())
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
// becomes an error (FAIL-02), as runtime.Goexit is already, the collectors of effects are given back, and whoever was to hear of
// an entry that was applied hears of it.
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

// errGoexit is what it is called if code of the user ends the goroutine. Nothing stops that, so it stands where an error is due
// before that code is called.
var errGoexit = failure(&machine.PanicError{Value: "runtime.Goexit"})

func panicError(v any) error { return failure(&machine.PanicError{Value: v, Stack: debug.Stack()}) }

func failure(p *machine.PanicError) error { return fmt.Errorf("member: the machine failed: %w", p) }
