package member

import (
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// elect makes the member, of a cluster of a, b and c, the leader of the next term, with its no-op committed.
func (w *world) elect() {
	w.t.Helper()
	w.step(raft.Message{Kind: raft.Campaign})
	before := w.Server.core.Status()
	w.step(raft.Message{Kind: raft.PreVoteReply, From: "c", Term: before.State.Term, Token: w.lastTo(raft.PreVoteRequest, "c").Token})
	w.synced()
	w.step(raft.Message{Kind: raft.VoteReply, From: "c", Term: before.State.Term + 1})
	w.synced()
	w.confirm()
	if st := w.Status(); st.Role != ra.Leader || st.Applied != ra.Index(len(w.log)) {
		w.t.Fatalf("is to lead: %+v", st)
	}
}

// confirm makes everything durable on a and c.
func (w *world) confirm() {
	w.t.Helper()
	w.Flush()
	for n := 0; n != len(w.log); {
		n = len(w.log)
		w.synced()
		last := ra.Index(n)
		w.step(raft.Message{Kind: raft.AppendReply, From: "c", Term: w.Status().Term, LogTerm: w.Status().Term, Index: last, Last: last})
	}
}

// depose lets b be elected in the next term.
func (w *world) depose() {
	w.t.Helper()
	last := w.Server.core.Status().Last
	w.step(raft.Message{Kind: raft.Append, From: "b", Term: w.Status().Term + 1, Index: last.Index, LogTerm: last.Term, Last: last.Index})
	if st := w.Status(); st.Role != ra.Follower || st.Leader != "b" {
		w.t.Fatalf("is to follow: %+v", st)
	}
}

// MAC-06: the machine hears of every role that its member is found in, and what it asks for then is carried out.
func TestEnterState(t *testing.T) {
	w := newWorld(t, nil)
	for _, role := range []ra.Role{ra.Recover, ra.Recovered, ra.Follower, ra.PreVote, ra.Candidate, ra.Leader, ra.AwaitCondition} {
		w.script.enter[role] = func(fx *machine.Effects) {
			fx.Send(ra.PID{Node: "a", Name: "near", Spawn: 1}, role, machine.Local)
			fx.Send(process("far"), role)
		}
	}
	w.begin("b", "c")
	w.want("enter recover", "enter recovered", "send near recover", "send near recovered",
		"enter follower", "send near follower")
	w.elect()
	w.want("enter pre_vote", "send near pre_vote", "enter candidate", "send near candidate",
		"enter leader", "send near leader", "send far leader")
	w.step(raft.Message{Kind: raft.Transfer, To: "c"})
	w.want("enter await_condition", "send near await_condition", "send far await_condition")
	for range raft.DefaultLimits.AwaitTicks {
		w.step(raft.Message{Kind: raft.Tick})
	}
	w.want("enter leader", "send near leader", "send far leader")
	w.depose()
	w.want("enter follower", "send near follower")
}

// MAC-07: the machine of the leader has its tick when it becomes leader and then each second; no other has.
func TestMachineTick(t *testing.T) {
	w := newWorld(t, nil)
	w.script.tick = func(now time.Time, fx *machine.Effects) {
		w.line("tick")
		fx.Send(process("p"), now.UnixMilli())
	}
	w.begin("b", "c")
	if w.WantsTick() {
		t.Error("a follower wants ticks")
	}
	w.took()
	w.MachineTick()
	w.want()
	w.now = 1000
	w.elect()
	w.want("enter pre_vote", "enter candidate", "enter leader", "tick", "send p 1000")
	if !w.WantsTick() {
		t.Error("the leader wants no ticks")
	}
	w.now = 2000
	w.MachineTick()
	w.want("tick", "send p 2000")
	w.depose()
	w.MachineTick()
	w.want("enter follower")
}

// EFF-52: monitors of the machine go with leadership, and the new leader asks for its own in EnterState. Those of the
// aux handler stay (EFF-17).
func TestMonitorsGoWithLeadership(t *testing.T) {
	w := newWorld(t, nil)
	w.script.enter[ra.Leader] = func(fx *machine.Effects) {
		fx.Monitor(process("p"))
		fx.Monitor(process("both"))
		fx.MonitorNode("n")
	}
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
		switch e.Kind {
		case machine.AuxCast:
			fx.Monitor(process("both"))
			fx.MonitorNode("m")
		case machine.AuxDown:
			w.line("aux hears of %s", e.Down.PID.Name)
		case machine.AuxNode:
			w.line("aux hears that %s is %v", e.Node.Node, e.Node.Up)
		}
		return nil
	}
	w.begin("b", "c").elect()
	w.want("enter recover", "enter recovered", "enter follower", "enter pre_vote", "enter candidate",
		"enter leader", "monitor p", "monitor both", "monitor node n")
	w.AuxCast("watch")
	w.want("monitor node m")
	w.depose()
	w.want("demonitor p", "demonitor node n", "enter follower")
	w.Down(machine.Down{PID: process("p")}) // was under way
	w.Down(machine.Down{PID: process("both")})
	w.NodeEvent(machine.NodeEvent{Node: "m", Up: true})
	w.Flush()
	w.want("aux hears of both", "aux hears that m is true")
	w.elect()
	w.want("enter pre_vote", "enter candidate", "enter leader", "monitor p", "monitor both", "monitor node n")
	w.Stop(ra.ErrClosed)
	if got := len(w.took()); got != 4 {
		t.Errorf("%d monitors ended with the member", got)
	}
}

// EFF-50, EFF-53: a process that the machine monitors ends once, by an entry, behind the commands that came before; the
// reason is said. Whoever else ends is nobody's business.
func TestDown(t *testing.T) {
	w := newWorld(t, acts{"watch": asks(func(fx *machine.Effects) {
		fx.Monitor(process("p"))
		fx.Monitor(process("p"))
		fx.Monitor(process("far"))
	})})
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
		switch e.Kind {
		case machine.AuxCast:
			fx.Monitor(process("p"))
		case machine.AuxDown:
			w.line("aux hears of %s", e.Down.PID.Name)
		}
		return nil
	}
	w.begin().leadAlone()
	w.do("watch")
	w.commit()
	w.AuxCast("watch")
	w.want("apply watch", "monitor p", "monitor far", "reply 1 <nil>")
	w.do("last")
	w.Down(machine.Down{PID: process("p"), Reason: machine.ReasonOf(nil)})
	w.Down(machine.Down{PID: process("p"), Reason: machine.ReasonOf(nil)})
	w.Down(machine.Down{PID: process("far"), Reason: machine.ReasonOf(ra.ErrNodeDown)})
	w.Down(machine.Down{PID: process("stranger")})
	w.commit()
	w.want("aux hears of p", "apply last", "down p normal", "down far noconnection", "reply 2 2")
	w.do("watch")
	w.commit()
	w.want("apply watch", "monitor p", "monitor far", "reply 3 <nil>")
}

// EFF-18, QRK-09: the real monitor ends with the last of its owners, and only theirs.
func TestDemonitor(t *testing.T) {
	w := newWorld(t, acts{
		"watch": asks(func(fx *machine.Effects) { fx.Monitor(process("p")); fx.MonitorNode("n") }),
		"leave": asks(func(fx *machine.Effects) { fx.Demonitor(process("p")); fx.DemonitorNode("n") }),
	})
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
		if e.Kind == machine.AuxCast && e.Command == "watch" {
			fx.Monitor(process("p"))
			fx.MonitorNode("n")
		} else if e.Kind == machine.AuxCast {
			fx.Demonitor(process("p"))
			fx.DemonitorNode("n")
		}
		return nil
	}
	w.begin().leadAlone()
	w.do("leave") // there is nothing to end
	w.do("watch")
	w.do("leave")
	w.do("leave")
	w.do("watch")
	w.commit()
	w.want("apply leave", "apply watch", "apply leave", "apply leave", "apply watch", "reply 1 <nil>",
		"monitor p", "monitor node n", "reply 2 <nil>", "demonitor p", "demonitor node n", "reply 3 <nil>", "reply 4 <nil>",
		"monitor p", "monitor node n", "reply 5 <nil>")
	w.AuxCast("leave") // it does not watch
	w.AuxCast("watch")
	w.do("leave")
	w.commit()
	w.want("apply leave", "reply 6 <nil>")
	w.AuxCast("leave")
	w.want("demonitor p", "demonitor node n")
}

// EFF-51: nodes are told of at first and at every change, by entries; a second owner is told at once how it is.
func TestNodeMonitor(t *testing.T) {
	w := newWorld(t, acts{"watch": asks(func(fx *machine.Effects) { fx.MonitorNode("n") })})
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
		if e.Kind == machine.AuxCast {
			fx.MonitorNode("n")
		} else if e.Kind == machine.AuxNode {
			w.line("aux hears that %s is %v", e.Node.Node, e.Node.Up)
		}
		return nil
	}
	w.begin().leadAlone()
	w.do("watch")
	w.commit()
	w.NodeEvent(machine.NodeEvent{Node: "n", Up: true})
	w.NodeEvent(machine.NodeEvent{Node: "n", Up: true})
	w.NodeEvent(machine.NodeEvent{Node: "other", Up: true})
	w.commit()
	w.want("apply watch", "monitor node n", "reply 1 <nil>", "node n true")
	w.AuxCast("watch")
	w.want("aux hears that n is true")
	w.NodeEvent(machine.NodeEvent{Node: "n"})
	w.commit()
	w.want("aux hears that n is false", "node n false")
}

// EFF-19, EFF-20, QRK-05: timers of the machine are its own, whatever their names, and come back as entries.
func TestTimers(t *testing.T) {
	w := newWorld(t, acts{
		"set": asks(func(fx *machine.Effects) {
			fx.Timer("tick", time.Second)
			fx.TimerAt("at", time.UnixMilli(1500))
			fx.TimerAt("past", time.UnixMilli(1))
			fx.TimerAt("never", time.UnixMilli(1<<62))
			fx.Timer("cancelled", time.Hour)
			fx.CancelTimer("cancelled")
			fx.CancelTimer("unknown")
		}),
	}).begin()
	w.leadAlone()
	w.now = 1000
	w.do("set")
	w.commit()
	w.want("apply set", "timer tick 1s", "timer at 500ms", "timer past 0s", "timer never "+maxDelay.String(),
		"timer cancelled 1h0m0s", "cancel timer cancelled", "reply 1 <nil>")
	for _, name := range []string{"past", "tick", "tick", "cancelled", "unknown"} {
		w.Timeout(name)
	}
	w.commit()
	w.want("timeout past", "timeout tick")
}

// EFF-40, QRK-06: a timer ends with the leadership that set it, also if the same member leads again.
func TestTimersGoWithLeadership(t *testing.T) {
	w := newWorld(t, acts{"set": asks(func(fx *machine.Effects) { fx.Timer("t", time.Second) })}).begin("b", "c")
	w.elect()
	w.do("set")
	w.confirm()
	w.took()
	w.depose()
	w.want("cancel timer t", "enter follower")
	w.Timeout("t") // was under way
	w.elect()
	w.took()
	w.Timeout("t")
	w.confirm()
	w.want()
}

// EFF-50: what a leader could not put into the log when it came, it does later, behind the commands that it held.
func TestDownWhileCommandsAreHeld(t *testing.T) {
	w := newWorld(t, acts{"watch": asks(func(fx *machine.Effects) { fx.Monitor(process("p")) })}).begin("b", "c")
	w.elect()
	w.do("watch")
	w.confirm()
	w.took()
	w.Server.Step(&raft.Message{Kind: raft.Transfer, To: "c"})
	w.do("last")
	w.Down(machine.Down{PID: process("p")})
	w.Flush()
	if !w.WantsTick() {
		t.Error("the member owes an entry and wants no tick")
	}
	w.MachineTick()
	w.Flush()
	for range raft.DefaultLimits.AwaitTicks {
		w.Server.Step(&raft.Message{Kind: raft.Tick})
	}
	w.do("later")
	w.took()
	w.confirm()
	w.want("enter leader", "apply last", "down p normal", "apply later", "reply 2 2", "reply 3 3")
}

// EFF-24: a wish for a snapshot outside of Apply is one for the state as it is, on any member.
func TestReleaseCursorInATick(t *testing.T) {
	w := newWorld(t, nil)
	store, _, err := snapshot.Open(snapshot.Config{FS: vfs.NewMem(), Dir: "snap"})
	if err != nil {
		t.Fatal(err)
	}
	w.script.tick = func(_ time.Time, fx *machine.Effects) { fx.ReleaseCursor() }
	cfg := w.config(func(machine.Init) machine.Machine { return &w.script })
	cfg.Host, cfg.Snapshots, cfg.Policy.MinInterval = w, store, 1
	w.start(cfg)
	w.leadAlone()
	w.do("x")
	w.do("y")
	w.commit()
	w.MachineTick()
	w.Flush()
	if info, ok := store.Newest("a"); !ok || info.Index != w.Status().Applied || info.Term != 1 {
		t.Errorf("snapshot %+v, applied is %d", info, w.Status().Applied)
	}
}
