package member

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// sends returns an act that sends the word to a process.
func sends(word string) func(machine.Meta, *machine.Effects) any {
	return func(_ machine.Meta, fx *machine.Effects) any {
		fx.Send(process("p"), word)
		return word
	}
}

// asks returns an act that asks for effects and replies with nothing.
func asks(f func(fx *machine.Effects)) func(machine.Meta, *machine.Effects) any {
	return func(_ machine.Meta, fx *machine.Effects) any {
		f(fx)
		return nil
	}
}

// EFF-01: the batch is applied, then come the notifications, the aux handler, and entry by entry effects and reply.
func TestOrderOfEffects(t *testing.T) {
	w := newWorld(t, acts{"x": sends("x"), "y": sends("y")})
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
		w.line("aux %v", e.Kind)
		return nil
	}
	w.begin().leadAlone()
	w.do("x")
	w.doAs("n", machine.ModeNotify, sender("c", 7), false)
	w.do("y")
	w.do("z")
	w.doAs("n", machine.ModeNotify, sender("c", 8), false)
	w.doAs("n", machine.ModeNotify, sender("d", 1), false)
	w.commit()
	w.want("apply x", "apply n", "apply y", "apply z", "apply n", "apply n",
		"send c a: applied 7=2 8=5", "send d a: applied 1=6", "aux eval",
		"send p x", "reply 1 x", "send p y", "reply 3 y", "reply 4 4")
}

// EFF-02: a follower applies the same, and carries out only what is not the leader's.
func TestFollowersCarryOutWhatIsForEverybody(t *testing.T) {
	w := newWorld(t, acts{"all": asks(func(fx *machine.Effects) {
		fx.Send(process("p"), 1)
		fx.Monitor(process("p"))
		fx.MonitorNode("n")
		fx.Timer("t", time.Second)
		fx.TimerAt("t", time.UnixMilli(1))
		fx.CancelTimer("t")
		fx.Append([]byte("more"))
		fx.Reply(sender("p", 1), 1)
		fx.Call(func() { w0.line("called") })
		fx.Log(nil, func([]machine.LogEntry, *machine.Effects) { w0.line("log") })
		fx.Aux("for all")
		fx.TryAppend([]byte("more"))
	})})
	w0 = w
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, _ *machine.Effects) any {
		if e.Kind == machine.AuxCast {
			w.line("aux %v", e.Command)
		}
		return nil
	}
	w.begin("b", "c")
	w.follow("all")
	w.want("apply all", "aux for all", "forward more to m@b")
}

// w0 is for acts that are written before their world.
var w0 *world

// follow brings commands from leader b in term 1, committed.
func (w *world) follow(words ...string) {
	w.t.Helper()
	first := ra.Index(len(w.log))
	var entries []ra.Entry
	for i, word := range words {
		e, err := NewCommand([]byte(word), machine.ModeNone, machine.Caller{})
		if err != nil {
			w.t.Fatal(err)
		}
		entries = append(entries, ra.Seal(e.Body, ra.Header{
			Index: first + ra.Index(i) + 1, Term: 1, Kind: ra.KindCommand, Flags: e.Flags(), Time: w.now,
		}))
	}
	last := first + ra.Index(len(words))
	term := ra.Term(0)
	if first > 0 {
		term = w.log[first-1].Term
	}
	w.step(raft.Message{Kind: raft.Heartbeat, From: "b", Term: 1})
	w.took()
	w.step(raft.Message{
		Kind: raft.Append, From: "b", Term: 1, Index: first, LogTerm: term, Last: last, Commit: last, Entries: entries,
	})
}

// EFF-03: what was committed before a restart is replayed without effects and notifications; what comes after has its
// effects. Meta is the same as it was.
func TestReplayHasNoEffects(t *testing.T) {
	w := newWorld(t, acts{"x": sends("x"), "r": asks(func(fx *machine.Effects) { fx.ReleaseCursor() })})
	w.begin().leadAlone()
	w.doAs("x", machine.ModeNotify, sender("c", 7), false)
	w.do("r")
	w.commit()
	w.want("apply x", "apply r", "send c a: applied 7=x", "send p x", "reply 2 <nil>")
	w.stored, w.next = nil, 0
	w.begin()
	w.want("enter recover", "apply x", "apply r", "enter recovered", "enter follower")
	w.leadAlone()
	w.do("x")
	w.commit()
	w.want("apply x", "send p x", "reply 1 x")
}

// EFF-10, EFF-11, EVT-03: messages are sent as they are, as events that name the sender, as casts. A send that fails is
// lost (EFF-05).
func TestSend(t *testing.T) {
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) {
		fx.Send(process("p"), "plain")
		fx.Send(process("p"), "event", machine.AsEvent)
		fx.Send(process("p"), "cast", machine.AsCast)
		fx.Send(process("p"), "both", machine.AsCast, machine.AsEvent)
		fx.Send(process("gone"), "lost")
		fx.Send(ra.PID{Name: "name"}, "by name")
	})}).begin()
	w.refuse[process("gone")] = ra.ErrNodeDown
	w.leadAlone()
	w.do("x")
	w.commit()
	w.want("apply x", "send p plain", "send p a: event", "send p {cast}", "send p {{m@a both}}",
		"cannot send gone lost", "send name by name", "reply 1 <nil>")
	w.MachineTick()
	w.want()
}

// EFF-12, EFF-22: what is local is done by the voter on the node concerned, and by the leader if there is none.
func TestLocalEffects(t *testing.T) {
	on := acts{"x": asks(func(fx *machine.Effects) {
		for _, node := range []ra.NodeID{"a", "b", "elsewhere"} {
			fx.Send(ra.PID{Node: node, Name: "at-" + string(node), Spawn: 1}, "hi", machine.Local)
			fx.LogLocal(node, nil, func([]machine.LogEntry, *machine.Effects) { w0.line("log at %s", node) })
		}
	})}
	w0 = newWorld(t, on).begin("b", "c")
	w0.follow("x")
	w0.want("apply x", "send at-a hi", "log at a")
	w0 = newWorld(t, on).begin("b")
	w0.lead()
	w0.took()
	w0.do("x")
	w0.Flush()
	w0.synced()
	w0.acked(2)
	w0.want("apply x", "send at-a hi", "log at a", "send at-elsewhere hi", "log at elsewhere", "reply 1 <nil>")

	// A member without a vote does nothing for its node: the leader does.
	w0 = newWorld(t, on)
	w0.without("a")
	w0.begin("b", "c")
	w0.follow("x")
	w0.want("apply x")
	w0 = newWorld(t, on)
	w0.without("b")
	w0.begin("b", "c").elect()
	w0.took()
	w0.do("x")
	w0.confirm()
	w0.want("apply x", "send at-a hi", "log at a", "send at-b hi", "log at b", "send at-elsewhere hi", "log at elsewhere",
		"reply 1 <nil>")
}

// EFF-13, FAIL-02: functions are called on the member's goroutine; one that panics stops the member.
func TestCall(t *testing.T) {
	w := newWorld(t, acts{
		"x": asks(func(fx *machine.Effects) { fx.Call(func() { w0.line("called") }) }),
		"p": asks(func(fx *machine.Effects) { fx.Call(func() { panic("oh") }) }),
	})
	w0 = w
	w.begin().leadAlone()
	w.do("x")
	w.commit()
	w.want("apply x", "called", "reply 1 <nil>")
	n := w.do("p")
	w.commit()
	var p *machine.PanicError
	if !errors.As(w.Failed(), &p) || p.Value != "oh" || len(p.Stack) == 0 {
		t.Errorf("stopped: %v", w.Failed())
	}
	w.calls.want(n, nil) // it was applied
}

// EFF-14: commands of the machine's own are appended by the leader, with the mode asked for.
func TestAppend(t *testing.T) {
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) {
		fx.Append([]byte("y"))
		fx.AppendFor([]byte("z"), machine.ModeNotify, sender("c", 5))
		fx.TryAppend([]byte("t"))
		fx.AppendFor([]byte("q"), machine.ModeConsensus, sender("c", 6))
		fx.AppendFor([]byte("i"), machine.ModeAfterAppend, sender("c", 8))
	})}).begin()
	w.leadAlone()
	w.do("x")
	w.commit()
	w.want("apply x", "reply 1 <nil>", "send c a: applied 8=<nil>", "apply y", "apply z", "apply t", "apply q", "apply i",
		"send c a: applied 5=3", "send c a: applied 6=5")
}

// EFF-14: what the machine appends is not lost while its leader can propose nothing.
func TestAppendIsKept(t *testing.T) {
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) {
		fx.Append([]byte("y"))
		fx.TryAppend([]byte("t")) // a client's, and so refused
	})}).begin("b", "c")
	w.elect()
	w.do("x")
	w.Flush()
	w.synced()
	w.step(raft.Message{Kind: raft.Transfer, To: "c"})
	w.took()
	last := ra.Index(len(w.log))
	w.step(raft.Message{Kind: raft.AppendReply, From: "c", Term: 1, LogTerm: 1, Index: last, Last: last})
	w.want("apply x", "reply 1 <nil>")
	for range raft.DefaultLimits.AwaitTicks {
		w.step(raft.Message{Kind: raft.Tick})
	}
	w.confirm()
	w.confirm()
	w.want("enter leader", "apply y")
}

// EFF-15, EVT-02: at a follower a command of the machine's own is a client's: it goes on to the leader, or is rejected.
func TestTryAppendAtAFollower(t *testing.T) {
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) {
		fx.TryAppend([]byte("t"))
		fx.TryAppendFor([]byte("n"), machine.ModeNotify, sender("c", 5))
	})}).begin("b", "c")
	w.follow("x")
	w.want("apply x", "forward t to m@b", "send c a: {Correlation:5 Leader:m@b}")
}

// EFF-21: commands are read back from the log, in the order asked for, without those that are none or not there. Their
// effects are carried out in place.
func TestLog(t *testing.T) {
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) {
		fx.Log([]ra.Index{4, 1, 99, 2, 0}, func(entries []machine.LogEntry, fx *machine.Effects) {
			var words []string
			for _, e := range entries {
				words = append(words, fmt.Sprintf("%s/%d/%d/%d", e.Command, e.Index, e.Term, e.Time))
			}
			fx.Send(process("p"), strings.Join(words, " "))
			fx.Log([]ra.Index{3}, func(entries []machine.LogEntry, fx *machine.Effects) {
				fx.Send(process("p"), string(entries[0].Command))
			})
			fx.Send(process("p"), "last")
		})
	})}).begin()
	w.now = 50
	w.leadAlone()
	w.doAs("a", machine.ModeNotify, sender("c", 1), false)
	w.do("b")
	w.do("x")
	w.commit()
	w.want("apply a", "apply b", "apply x", "send c a: applied 1=1", "reply 2 2",
		"send p x/4/1/50 a/2/1/50", "send p b", "send p last", "reply 3 <nil>")
}

// Effects that lead to effects for ever end.
func TestEffectsThatNeverEnd(t *testing.T) {
	calls := 0
	var again machine.LogFunc
	again = func(_ []machine.LogEntry, fx *machine.Effects) {
		calls++
		fx.Log(nil, again)
	}
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) { fx.Log(nil, again) })}).begin()
	w.leadAlone()
	w.do("x")
	w.commit()
	w.want("apply x", "problem "+ErrTooDeep.Error(), "reply 1 <nil>")
	if calls != maxDepth-1 {
		t.Errorf("%d calls", calls)
	}
}

// EFF-29, MAC-05: a caller that gets nothing now is answered later, by whoever leads then.
func TestDeferredReply(t *testing.T) {
	var kept machine.Caller
	w := newWorld(t, acts{
		"later": func(m machine.Meta, _ *machine.Effects) any { kept = m.From; return machine.NoReply },
		"now":   asks(func(fx *machine.Effects) { fx.Reply(kept, "answer") }),
		"typed": func(m machine.Meta, fx *machine.Effects) any { fx.NoReply(); return "not this" },
	}).begin()
	w.leadAlone()
	n := w.doAs("later", machine.ModeConsensus, sender("calls", 9), true)
	w.doAs("later", machine.ModeNotify, sender("c", 3), false)
	nobody := w.do("later") // who waits here cannot be answered by the machine
	w.doAs("typed", machine.ModeNotify, sender("c", 4), false)
	w.commit()
	w.want("apply later", "apply later", "apply later", "apply typed", "reply 3 <nil>")
	w.calls.wantOpen(n)
	w.calls.want(nobody, nil)
	kept = sender("calls", 9)
	w.do("now")
	w.commit()
	w.want("apply now", "send calls a: applied 9=answer", "reply 5 <nil>")
	for from, want := range []ra.Index{w.Status().Applied, 1, 2} {
		if r := w.lateResult(&machine.Effect{Index: ra.Index(from)}); r.Index != want || r.Term == 0 {
			t.Errorf("an answer from entry %d: %+v", from, r)
		}
	}
}

// CMD-13a: the leader that applies a command answers the sender that the command names, whoever accepted it; the member
// that did also answers who waits there, once.
func TestLeaderAnswersForItsPredecessor(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	e, err := NewCommand([]byte("x"), machine.ModeConsensus, sender("calls", 4))
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewCommand([]byte("n"), machine.ModeNotify, sender("c", 5))
	if err != nil {
		t.Fatal(err)
	}
	w.step(raft.Message{Kind: raft.Append, From: "b", Term: 1, Last: 2, Entries: []ra.Entry{
		ra.Seal(e.Body, ra.Header{Index: 1, Term: 1, Kind: ra.KindCommand, Flags: e.Flags()}),
		ra.Seal(n.Body, ra.Header{Index: 2, Term: 1, Kind: ra.KindCommand, Flags: n.Flags()}),
	}})
	w.synced()
	w.step(raft.Message{Kind: raft.Campaign})
	w.step(raft.Message{Kind: raft.PreVoteReply, From: "c", Term: 1, Token: 1})
	w.synced()
	w.step(raft.Message{Kind: raft.VoteReply, From: "c", Term: 2})
	w.doAs("y", machine.ModeConsensus, sender("calls", 6), true)
	w.Flush()
	w.synced()
	w.took()
	w.step(raft.Message{Kind: raft.AppendReply, From: "c", Term: 2, LogTerm: 2, Index: 4, Last: 4})
	w.want("apply x", "apply n", "apply y", "send c a: applied 5=2", "send calls a: applied 4=1", "reply 1 3")
}

// Refused effects are told to the observer and change nothing else.
func TestBadEffectsAreReported(t *testing.T) {
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) { fx.Send(ra.PID{}, 1) })}).begin()
	w.leadAlone()
	w.do("x")
	w.commit()
	if got := w.took(); len(got) != 3 || !strings.Contains(got[2], machine.ErrBadEffect.Error()) {
		t.Errorf("happened: %q", got)
	}
}

// CMD-06: who asks for no more than the place in the log is told at once.
func TestAfterLogAppend(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.lead()
	w.took()
	n := w.doAs("x", machine.ModeAfterAppend, machine.Caller{}, true)
	w.Flush()
	if r := w.calls.results[n]; r.Err != nil || r.Index != 2 || r.Term != 1 {
		t.Errorf("ended with %+v", r)
	}
	w.synced()
	w.acked(2)
	w.want("reply 1 <nil>", "apply x")
}

// I21: entries that only the library makes are refused from outside, and so are senders that cannot be named.
func TestCommandsFromOutside(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	for i, kind := range []ra.Kind{ra.KindNoop, ra.KindConfig, ra.KindDown, ra.KindTimeout, ra.KindNode, 0, 99} {
		w.Command(Command{Proposal: raft.NewProposal(kind, 0, nil), Caller: w.calls.caller(i)})
		w.calls.want(i, ErrMalformed)
	}
	for i, mode := range []byte{byte(machine.ModeNotify) + 1, modeMask} { // CMD-06
		w.Command(Command{Proposal: raft.NewProposal(ra.KindCommand, mode, nil), Caller: w.calls.caller(50 + i)})
		w.calls.want(50+i, ErrMalformed)
		w.Command(Command{Proposal: raft.NewProposal(ra.KindCommand, mode, nil)})
	}
	if len(w.commands) > 0 {
		t.Errorf("%d commands were taken in", len(w.commands))
	}
	_, noSender := NewCommand(nil, machine.ModeNotify, machine.Caller{})
	_, noMode := NewCommand(nil, machine.ModeNotify+1, sender("c", 1))
	_, longName := NewCommand(nil, machine.ModeNotify, sender(strings.Repeat("n", 256), 1))
	for _, err := range []error{noSender, noMode, longName} {
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("accepted: %v", err)
		}
	}
	if _, err := NewCommand(make([]byte, ra.MaxPayload-20), machine.ModeNotify, sender("c", 1)); !errors.Is(err, ra.ErrTooLarge) {
		t.Errorf("accepted: %v", err)
	}
}

// The sender of a command is found in its entry again, also when senders alternate.
func TestSendersInEntries(t *testing.T) {
	var x Scratch
	for i, from := range []machine.Caller{sender("c", 1), sender("c", 2), sender("d", 3), sender("c", 4), sender("cc", 5)} {
		e, err := NewCommand([]byte("word"), machine.ModeConsensus, from)
		if err != nil {
			t.Fatal(err)
		}
		var got machine.Caller
		if payload, err := x.caller(e.Payload(), &got); string(payload) != "word" || got != from || err != nil {
			t.Errorf("%d: %q %v %v", i, payload, got, err)
		}
	}
	e, _ := NewCommand([]byte("word"), machine.ModeConsensus, sender("c", 1))
	var got machine.Caller
	if _, err := x.caller(e.Payload()[:len(e.Payload())-5], &got); !errors.Is(err, ra.ErrCorrupt) || !got.IsZero() {
		t.Errorf("cut short: %v, %v", got, err)
	}
}
