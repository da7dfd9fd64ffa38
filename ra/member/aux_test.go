package member

import (
	"errors"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// QRY-13, MAC-09: calls are answered in any role, at once or later; casts, ticks and evals come by themselves.
func TestAux(t *testing.T) {
	w := newWorld(t, nil)
	w.script.aux = func(v machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
		w.line("aux %v %v as %v", e.Kind, e.Command, v.Status().Role)
		switch e.Command {
		case "later":
			fx.NoReply()
		case "answer":
			fx.Reply(sender("calls", 3), "late")
		case "nothing":
			return machine.NoReply
		}
		return e.Command
	}
	w.begin("b", "c")
	w.AuxCall("now", machine.Caller{}, scribe{w, 1})
	w.AuxCast("cast")
	w.MachineTick()
	w.AuxCall("later", sender("calls", 3), scribe{w, 2})
	w.AuxCall("nothing", machine.Caller{}, scribe{w, 3})
	w.AuxCall("answer", machine.Caller{}, scribe{w, 4})
	w.want("enter recover", "enter recovered", "enter follower",
		"aux call now as follower", "reply 1 now", "aux cast cast as follower", "aux tick <nil> as follower",
		"aux call later as follower",
		"aux call nothing as follower", "reply 3 <nil>",
		"aux call answer as follower", "send calls a: applied 3=late", "reply 4 answer")
	w.calls.wantOpen(2)
	w.follow("x")
	w.want("apply x", "aux eval <nil> as follower")
	w.step(raft.Message{Kind: raft.Campaign})
	w.took()
	w.MachineTick() // none as a candidate
	w.want()
}

// QRY-13: a machine without an aux handler says so.
func TestNoAux(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.AuxCast("lost")
	w.AuxCall("x", machine.Caller{}, w.calls.caller(1))
	w.calls.want(1, machine.ErrNoAux)
	w.Stop(ra.ErrClosed)
	w.AuxCall("x", machine.Caller{}, w.calls.caller(2))
	w.calls.want(2, ra.ErrNoProcess)
}

// EFF-17, EFF-27: the aux handler hears of the machine's Aux effects on every member, may ask for effects in any role,
// and its commands to itself are carried out in place, but not without end.
func TestAuxEffects(t *testing.T) {
	w := newWorld(t, acts{"x": asks(func(fx *machine.Effects) { fx.Aux("from machine"); fx.Aux("loop") })})
	loops := 0
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any {
		switch e.Command {
		case "from machine":
			fx.Send(process("p"), "from a follower")
			fx.TryAppend([]byte("t"))
			fx.Timer("none", 1)
			fx.Log([]ra.Index{1}, func(entries []machine.LogEntry, fx *machine.Effects) { fx.Monitor(process("q")) })
		case "loop":
			loops++
			fx.Aux("loop")
		}
		return nil
	}
	w.begin("b", "c")
	w.follow("x")
	w.want("apply x", "send p from a follower", "monitor q", "problem "+ErrTooDeep.Error(), "forward t to m@b")
	w.depose() // the monitor is the aux handler's
	w.want()
	if loops != maxDepth-1 {
		t.Errorf("%d loops", loops)
	}
}

// MAC-08, MAC-10: the aux handler is made for the version in force, and sees its member.
func TestAuxView(t *testing.T) {
	w := newWorld(t, nil)
	var status machine.AuxStatus
	var state any
	var found []string
	w.script.aux = func(v machine.AuxView, e machine.AuxEvent, _ *machine.Effects) any {
		status, state = v.Status(), v.State()
		for i := range ra.Index(5) {
			if entry, ok := v.Command(i); ok {
				found = append(found, string(entry.Command))
			}
		}
		return nil
	}
	w.begin("b", "c")
	w.follow("x", "y")
	if status.Role != ra.Follower || status.Leader.Node != "b" || status.Term != 1 || status.Applied != 2 ||
		status.LastIndex != 2 || status.LastTerm != 1 || len(status.Members) != 3 || status.WALFill != 0.25 || status.SnapshotSize != 0 {
		t.Errorf("status is %+v", status)
	}
	if state != &w.script || !slices.Equal(found, []string{"x", "y"}) {
		t.Errorf("state is %T, commands are %q", state, found)
	}
}

// QRY-07: the aux handler of a leader is asked when it is proved that it leads.
func TestConsistentAux(t *testing.T) {
	w := newWorld(t, nil)
	w.script.aux = func(_ machine.AuxView, e machine.AuxEvent, fx *machine.Effects) any { return e.Command }
	w.begin("b", "c").elect()
	w.took()
	w.ConsistentAux("x", machine.Caller{}, scribe{w, 1})
	w.Flush()
	w.want()
	w.step(raft.Message{Kind: raft.HeartbeatReply, From: "b", Term: 1, Query: 1})
	w.want("reply 1 x")
	w.depose()
	w.ConsistentAux("x", machine.Caller{}, scribe{w, 2})
	w.Flush()
	w.calls.want(2, ra.ErrNotLeader)
}

// FAIL-02: a panic of the aux handler stops the member, and its caller hears why.
func TestAuxPanics(t *testing.T) {
	w := newWorld(t, nil)
	w.script.aux = func(machine.AuxView, machine.AuxEvent, *machine.Effects) any { panic("oh") }
	w.begin()
	w.AuxCall("x", machine.Caller{}, w.calls.caller(1))
	var p *machine.PanicError
	if !errors.As(w.calls.results[1].Err, &p) || !errors.As(w.Failed(), &p) {
		t.Errorf("call ended with %v, member with %v", w.calls.results[1].Err, w.Failed())
	}
}
