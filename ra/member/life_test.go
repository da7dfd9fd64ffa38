package member

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// put appends an entry to the log that the next member begins with.
func (w *world) put(kind ra.Kind, flags uint8, time int64, payload []byte) {
	e := ra.Seal(ra.NewBody(payload), ra.Header{Index: ra.Index(len(w.log)) + 1, Term: 1, Kind: kind, Flags: flags, Time: time})
	w.log = append(w.log, e)
}

// FAIL-02, I15: a panic in Apply stops that member only, with the panic as the reason; what was applied before it in
// the batch is answered, of the rest nobody knows.
func TestApplyPanics(t *testing.T) {
	w := newWorld(t, acts{"bad": func(machine.Meta, *machine.Effects) any { panic("oh") }}).begin()
	w.leadAlone()
	before, bad, after := w.do("x"), w.do("bad"), w.do("y")
	w.commit()
	w.calls.want(before, nil)
	for _, n := range []int{bad, after} {
		var p *machine.PanicError
		if err := w.calls.results[n].Err; !ra.MayHaveBeenApplied(err) || !errors.As(err, &p) || p.Value != "oh" {
			t.Errorf("call %d ended with %v", n, err)
		}
	}
	var p *machine.PanicError
	if !errors.As(w.Failed(), &p) || errors.Is(w.Failed(), ra.ErrDamaged) || w.Status().Applied != 2 {
		t.Errorf("%+v, stopped: %v", w.Status(), w.Failed())
	}
	late := w.do("z")
	w.Flush()
	w.calls.want(late, ra.ErrNoProcess)
}

// FAIL-02: so does one in EnterState, in Tick and in a LogFunc.
func TestCallbacksPanic(t *testing.T) {
	oh := func(fx *machine.Effects) { panic("oh") }
	w := newWorld(t, nil)
	w.script.enter[ra.PreVote] = oh
	w.begin("b", "c")
	w.step(raft.Message{Kind: raft.Campaign})
	logs := newWorld(t, acts{"x": asks(func(fx *machine.Effects) {
		fx.Log(nil, func([]machine.LogEntry, *machine.Effects) { panic("oh") })
	})}).begin()
	logs.leadAlone()
	logs.do("x")
	logs.commit()
	for _, failed := range []error{w.Failed(), logs.Failed()} {
		var p *machine.PanicError
		if !errors.As(failed, &p) {
			t.Errorf("stopped: %v", failed)
		}
	}
	if logs.Server.scratch.depth != 0 {
		t.Error("the scratch is still in use")
	}
}

// FAIL-02: a machine that panics while it is restored or replayed keeps its member from starting.
func TestPanicsAtStart(t *testing.T) {
	apply := newWorld(t, acts{"bad": func(machine.Meta, *machine.Effects) any { panic("oh") }})
	apply.put(ra.KindCommand, 0, 0, []byte("bad"))
	enter := newWorld(t, nil)
	enter.script.enter[ra.Recovered] = func(*machine.Effects) { panic("oh") }
	for _, w := range []*world{apply, enter} {
		cfg := w.config(func(machine.Init) machine.Machine { return &w.script })
		cfg.State.Term, cfg.Applied = 1, 1
		var p *machine.PanicError
		if _, err := New(cfg); !errors.As(err, &p) {
			t.Errorf("starts with %v", err)
		}
	}
	cfg := apply.config(func(machine.Init) machine.Machine { return nil })
	if _, err := New(cfg); !errors.Is(err, ra.ErrUnknownMachine) {
		t.Errorf("starts without a machine: %v", err)
	}
	cfg = apply.config(func(machine.Init) machine.Machine { panic("oh") })
	var p *machine.PanicError
	if _, err := New(cfg); !errors.As(err, &p) {
		t.Errorf("starts although the factory panics: %v", err)
	}
}

// MAC-04, I14: the machine's clock never falls, along the log and over a restart; Meta is complete.
func TestMeta(t *testing.T) {
	var metas []machine.Meta
	see := func(m machine.Meta, _ *machine.Effects) any { metas = append(metas, m); return nil }
	w := newWorld(t, acts{"x": see})
	from := sender("c", 9)
	e, err := NewCommand([]byte("x"), machine.ModeNotify, from)
	if err != nil {
		t.Fatal(err)
	}
	w.put(ra.KindCommand, 0, 100, []byte("x"))
	w.put(ra.KindNoop, 0, 300, nil)
	w.put(ra.KindCommand, e.Flags(), 200, e.Payload())
	w.begin()
	w.now = 250
	w.leadAlone()
	w.do("x")
	w.commit()
	want := []machine.Meta{
		{Index: 1, Term: 1, Time: 100},
		{Index: 3, Term: 1, Time: 300, Mode: machine.ModeNotify, From: from},
		{Index: 5, Term: 2, Time: 300, Mode: machine.ModeConsensus},
	}
	if !slices.Equal(metas, want) {
		t.Errorf("got  %+v\nwant %+v", metas, want)
	}
}

// I5: what is committed at once and is more than is read at once is applied without a gap.
func TestApplyInPieces(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	word := strings.Repeat("x", applyChunk/3)
	for range 8 {
		w.do(word)
	}
	w.commit()
	if st := w.Status(); len(w.script.applied) != 8 || st.Applied != st.Commit {
		t.Errorf("%d commands applied, %+v", len(w.script.applied), st)
	}
}

// A command whose sender cannot be read, which no member can, is not shown to the machine and answered with why.
func TestUnreadableCommand(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	w.Command(Command{Proposal: raft.NewProposal(ra.KindCommand, withCaller, []byte("short")), Caller: w.calls.caller(1)})
	w.commit()
	if r := w.calls.results[1]; r.Err != nil || !errors.Is(r.Reply.(error), ra.ErrCorrupt) {
		t.Errorf("ended with %+v", r)
	}
	w.want()
}

// VER-05, VER-08, VER-09: a no-op that raises the version upgrades the machine at its index, live and in replay; one
// that does not is not seen.
func TestUpgrade(t *testing.T) {
	w := newWorld(t, nil)
	w.script.version = 3
	w.put(ra.KindNoop, 0, 0, raft.EncodeVersion(2))
	w.put(ra.KindNoop, 0, 0, raft.EncodeVersion(1))
	w.put(ra.KindNoop, 0, 0, nil)
	w.begin()
	w.want("enter recover", "upgrade 0 to 2 at 1", "enter recovered", "enter follower")
	w.step(raft.Message{Kind: raft.Campaign})
	w.commit()
	w.want("enter candidate", "enter leader", "upgrade 2 to 3 at 4") // the leader of one: VER-02
	if o, err := w.Server.Overview(); err != nil || o.MachineVersion != 3 || w.Server.machine.Version() != 3 {
		t.Errorf("version %d is in force, %v", o.MachineVersion, err)
	}
}

// VER-07: a member with old code applies nothing from a version on that it does not have, and goes on replicating.
func TestVersionThatIsTooHigh(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.follow("x")
	w.step(raft.Message{Kind: raft.Append, From: "b", Term: 1, Index: 1, LogTerm: 1, Last: 3, Commit: 3, Entries: []ra.Entry{
		ra.Seal(ra.NewBody(raft.EncodeVersion(1)), ra.Header{Index: 2, Term: 1, Kind: ra.KindNoop}),
		ra.Seal(ra.NewBody([]byte("y")), ra.Header{Index: 3, Term: 1, Kind: ra.KindCommand}),
	}})
	w.synced()
	if got := w.took(); len(got) != 2 || got[0] != "apply x" {
		t.Errorf("happened: %q", got)
	}
	if st := w.Status(); st.Applied != 1 || st.Commit != 3 || w.lastTo(raft.AppendReply, "b").Index != 3 || w.Failed() != nil {
		t.Errorf("%+v, stopped: %v", st, w.Failed())
	}
	w.begin("b", "c") // with the same code
	w.want("enter recover", "apply x", "problem member: entry 2: "+machine.ErrVersion.Error()+": 1, highest is 0",
		"enter recovered", "enter follower")
	w.script.version = 1
	w.begin("b", "c")
	w.want("enter recover", "apply x", "upgrade 0 to 1 at 2", "apply y", "enter recovered", "enter follower")
}

// MEM-07, FSM-02: configurations are found in the log at a restart, those that are not committed too; what a snapshot
// would hold is the committed one.
func TestConfigurationsAreFoundInTheLog(t *testing.T) {
	w := newWorld(t, nil)
	member := func(uid ra.UID) ra.Member {
		return ra.Member{ID: ra.ServerID{Name: "m", Node: ra.NodeID(uid)}, UID: uid}
	}
	w.put(ra.KindConfig, 0, 0, raft.EncodeMembers(nil, []ra.Member{member("a"), member("b")}))
	w.put(ra.KindConfig, 0, 0, raft.EncodeMembers(nil, []ra.Member{member("a"), member("b"), member("c")}))
	cfg := w.config(func(machine.Init) machine.Machine { return &w.script })
	cfg.State.Term, cfg.Applied = 1, 1
	w.start(cfg)
	if c := w.Configuration(); c.Index != 2 || len(c.Members) != 3 || len(w.Server.members) != 2 {
		t.Errorf("in force is %v, committed %v", c, w.Server.members)
	}
}

// A log that begins behind what the machine's state stands for cannot be replayed.
func TestLogWithAHoleBelow(t *testing.T) {
	w := newWorld(t, nil)
	cfg := w.config(func(machine.Init) machine.Machine { return &w.script })
	cfg.Log = cutLog{log{w.host}}
	if _, err := New(cfg); !errors.Is(err, ra.ErrDamaged) {
		t.Errorf("starts: %v", err)
	}
	w.put(ra.KindCommand, 0, 0, []byte("x"))
	w.host.read = errDisk
	cfg.Log = log{w.host}
	if _, err := New(cfg); !errors.Is(err, errDisk) {
		t.Errorf("starts: %v", err)
	}
}

// cutLog is a log whose entries up to 5 are gone.
type cutLog struct{ log }

func (cutLog) Base() (ra.Index, ra.Term) { return 5, 1 }
func (cutLog) Last() ra.Index            { return 5 }
func (cutLog) Snapshot() Position        { return Position{Index: 5, Term: 1} }

// MEM-01, MEM-07: who asks for a change of the members hears when it is committed and applied, or why not.
func TestChange(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	other := ra.Member{ID: ra.ServerID{Name: "m", Node: "b"}, UID: "b", Membership: ra.NonVoter}
	before := w.do("x")
	w.Flush()
	w.Change(raft.Set, other, scribe{w, 50})
	after := w.do("y")
	w.Change(raft.Set, other, scribe{w, 51})
	w.commit()
	w.want("reply 51 error "+ra.ErrChangeNotPermitted.Error(), "apply x", "apply y", "reply 1 1", "reply 50 <nil>", "reply 2 2")
	if r := w.calls.results[50]; r.Index != 3 || len(w.Server.members) != 2 {
		t.Errorf("%d, %d: ended with %+v", before, after, r)
	}
	w.Change(raft.Remove, ra.Member{UID: "unknown"}, scribe{w, 52})
	w.want("reply 52 error " + ra.ErrNotMember.Error())
}

// MAC-05: whether replies are deferred is the machine's to say.
func TestDefersReplies(t *testing.T) {
	w := newWorld(t, nil).begin()
	if w.Server.DefersReplies() {
		t.Error("replies are deferred")
	}
	w.script.deferred = true
	if !w.Server.DefersReplies() {
		t.Error("replies are not deferred")
	}
	if newHost(t).Server.DefersReplies() {
		t.Error("a machine that does not say defers replies")
	}
}
