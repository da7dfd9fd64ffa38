package member

import (
	"errors"
	"fmt"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// tell takes in a command whose sender wants to be notified.
func (w *world) tell(to string, correlation uint64) {
	w.t.Helper()
	w.doAs("n", machine.ModeNotify, sender(to, correlation), false)
}

// EVT-01: notifications that cannot be sent are kept and sent later, in order, in one event; those to others go on. They
// end with the process and with the leadership.
func TestNotificationsAreKept(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.elect()
	w.took()
	w.refuse[process("c")] = ra.ErrOverloaded
	w.tell("c", 1)
	w.confirm()
	w.tell("c", 2)
	w.tell("d", 1)
	w.confirm()
	w.want("apply n", "cannot send c a: applied 1=1", "apply n", "apply n", "cannot send c a: applied 1=1", "send d a: applied 1=3")
	if !w.WantsTick() {
		t.Error("there is something to send, and no tick wanted")
	}
	delete(w.refuse, process("c"))
	w.MachineTick()
	w.want("send c a: applied 1=1 2=2")
	w.MachineTick()
	w.want()

	w.refuse[process("c")] = ra.ErrNodeDown
	w.refuse[process("d")] = ra.ErrNodeDown
	w.tell("c", 3)
	w.tell("d", 3)
	w.confirm()
	w.took()
	w.refuse[process("c")] = ra.ErrNoProcess // it has ended
	w.MachineTick()
	w.want("cannot send c a: applied 3=4", "cannot send d a: applied 3=5")
	w.MachineTick()
	w.want("cannot send d a: applied 3=5")
	w.depose()
	w.MachineTick()
	w.want("enter follower")
}

// EVT-01, CMD-13a: only the leader notifies, and answers senders that wait elsewhere; for processes that are gone nothing
// is kept.
func TestOnlyTheLeaderNotifies(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	for i, mode := range []machine.ReplyMode{machine.ModeNotify, machine.ModeConsensus} {
		e, err := NewCommand([]byte("x"), mode, sender("c", 1))
		if err != nil {
			t.Fatal(err)
		}
		index := ra.Index(i) + 1
		w.step(raft.Message{Kind: raft.Append, From: "b", Term: 1, Index: index - 1, LogTerm: min(1, ra.Term(i)), Last: index, Commit: index,
			Entries: []ra.Entry{ra.Seal(e.Body, ra.Header{Index: index, Term: 1, Kind: ra.KindCommand, Flags: e.Flags()})}})
	}
	w.want("enter recover", "enter recovered", "enter follower", "apply x", "apply x")
	w.elect()
	w.took()
	w.refuse[process("c")] = ra.ErrNoProcess
	w.tell("c", 2)
	w.confirm()
	w.want("apply n", "cannot send c a: applied 2=3")
	w.MachineTick()
	w.want()
}

// EVT-01: a process that is seen down is not told any more.
func TestNotificationsEndWithTheProcess(t *testing.T) {
	w := newWorld(t, acts{"n": asks(func(fx *machine.Effects) { fx.Monitor(process("c")) })}).begin()
	w.leadAlone()
	w.refuse[process("c")], w.refuse[process("d")] = ra.ErrNodeDown, ra.ErrNodeDown
	w.tell("c", 1)
	w.tell("d", 1)
	w.commit()
	w.took()
	w.Down(machine.Down{PID: process("c"), Reason: machine.ReasonOf(ra.ErrNodeDown)})
	w.MachineTick()
	w.want("cannot send d a: applied 1=<nil>")
}

// Notifications that nobody takes are bounded.
func TestKeptNotificationsAreBounded(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	w.refuse[process("c")] = ra.ErrOverloaded
	for i := range maxUnsent + 10 {
		w.tell("c", uint64(i))
		if i%1000 == 0 {
			w.commit()
		}
	}
	w.commit()
	lost := 0
	for _, line := range w.took() {
		if line == "problem "+fmt.Sprint(&LostEventsError{To: process("c"), Commands: 10}) {
			lost++
		}
	}
	if n := len(w.Server.rare.unsent[0].commands); lost != 1 || n != maxUnsent || w.Server.rare.unsentCommands != n {
		t.Errorf("%d are kept, %d times some were lost", n, lost)
	}
}

// CMD-08, CMD-12, EVT-02: what nobody waits for is passed on by a follower that knows the leader, and dropped by one
// that does not; those who want to be notified are told that they were not heard.
func TestCommandsThatNobodyWaitsForAtAFollower(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.took()
	send := func() {
		w.doAs("cast", machine.ModeNone, machine.Caller{}, false)
		w.tell("c", 4)
		w.Flush()
	}
	send()
	w.want("send c a: {Correlation:4 Leader:@}")
	w.step(raft.Message{Kind: raft.Heartbeat, From: "b", Term: 1})
	send()
	w.want("forward cast to m@b", "send c a: {Correlation:4 Leader:m@b}")
	w.elect()
	w.took()
	w.step(raft.Message{Kind: raft.Transfer, To: "c"})
	w.took()
	send()
	w.want("send c a: {Correlation:4 Leader:@}")
	if w.Server.held() != 0 {
		t.Error("casts are held")
	}
}

// CMD-14 is not ra's here: a leader that can take no more says so to senders, by naming itself.
func TestOverloadedLeaderRejects(t *testing.T) {
	w := newWorld(t, nil)
	limits := raft.DefaultLimits
	limits.MaxUncommitted = 2
	cfg := w.config(func(machine.Init) machine.Machine { return &w.script }, "b", "c")
	cfg.Host, cfg.Raft.Limits = w, &limits
	w.start(cfg)
	w.elect()
	w.took()
	w.tell("c", 1)
	w.tell("c", 2)
	w.Flush()
	w.tell("c", 3)
	n := w.do("x")
	w.Flush()
	w.want("send c a: {Correlation:3 Leader:m@a}", fmt.Sprintf("reply %d error %v", n, ra.ErrOverloaded))
	if err := w.calls.results[n].Err; !errors.Is(err, ra.ErrOverloaded) || ra.MayHaveBeenApplied(err) {
		t.Errorf("ended with %v", err)
	}
}
