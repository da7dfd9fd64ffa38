package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// holds fails unless somebody has the lock, with a token and so many in line.
func (b bench) holds(lock string, want Holder) {
	b.t.Helper()
	if got, err := b.Query(Who{Lock: lock}); err != nil || got != want {
		b.t.Errorf("%s: %+v, %v, want %+v", lock, got, err, want)
	}
}

// asked fails unless the machine asked for those effects since the last time.
func (b bench) asked(want string) {
	b.t.Helper()
	got := ""
	for _, e := range b.Effects() {
		got += e.String() + "\n"
	}
	if got != want {
		b.t.Errorf("effects are\n%swant\n%s", got, want)
	}
}

// timeout lets a timer run out at a time in milliseconds.
func (b bench) timeout(at int64, timer string) {
	b.t.Helper()
	b.Advance(time.UnixMilli(at).Sub(b.Now()))
	b.Timeout(timer)
}

// A lock goes from one owner to the next, and is forgotten by the last.
func TestHandOver(t *testing.T) {
	b := newBench(t, newLocks)
	if r := b.do(acquire(anna, "l")); r != (Reply{Token: 1}) {
		t.Errorf("anna: %+v", r)
	}
	b.asked("monitor anna@app#1\ntimer at \"l\" 1000 ms\n")
	if r := b.do(acquire(bert, "l")); r != (Reply{}) {
		t.Errorf("bert: %+v", r)
	}
	b.asked("monitor bert@app#1\n")
	b.do(Command{Op: Release, Lock: "l", Token: 1})
	b.holds("l", Holder{Owner: bert, Token: 3})
	b.asked("monitor bert@app#1\ntimer at \"l\" 1000 ms\nsend bert@app#1 {Lock:l}\n")
	b.do(Command{Op: Release, Lock: "l", Token: 3})
	b.holds("l", Holder{})
	b.asked("cancel timer \"l\"\nrelease cursor\n")
}

// Commands that come once more, or late, do no harm.
func TestRepetitions(t *testing.T) {
	b := newBench(t, newLocks)
	b.do(acquire(anna, "l"))
	if r := b.do(acquire(anna, "l")); r.Token != 1 {
		t.Errorf("the second time: %+v", r)
	}
	b.do(acquire(bert, "l"))
	b.do(acquire(bert, "l"))
	b.holds("l", Holder{Owner: anna, Token: 1, Waiting: 1})
	b.do(Command{Op: Release, Lock: "l", Token: 1})
	b.do(Command{Op: Release, Lock: "l", Token: 1})
	b.do(Command{Op: Release, Lock: "l"})
	b.holds("l", Holder{Owner: bert, Token: 5})
}

// A lease ends when its time has come, and not by the timer of an earlier one.
func TestLeases(t *testing.T) {
	b := newBench(t, newLocks)
	b.do(acquire(anna, "l"))
	b.Advance(500 * time.Millisecond)
	b.do(acquire(anna, "l"))
	b.do(acquire(bert, "l"))
	b.Effects()
	b.timeout(1000, "l")
	b.asked("timer at \"l\" 1500 ms\n")
	b.holds("l", Holder{Owner: anna, Token: 1, Waiting: 1})
	b.timeout(1500, "l")
	b.holds("l", Holder{Owner: bert, Token: 5})
	b.timeout(2500, "l")
	b.holds("l", Holder{})
	b.Effects()
	b.timeout(2500, "l")
	b.asked("")
}

// EFF-50, EFF-53: who has ended has no lock and no place in line; who is out of reach keeps both.
func TestEnds(t *testing.T) {
	b := newBench(t, newLocks)
	b.do(acquire(anna, "l"))
	b.do(acquire(bert, "l"))
	b.do(acquire(cleo, "l"))
	b.end(anna, machine.DownNoConnection)
	b.end(bert, machine.DownNoConnection)
	b.holds("l", Holder{Owner: anna, Token: 1, Waiting: 2})
	b.end(bert, machine.DownError)
	b.holds("l", Holder{Owner: anna, Token: 1, Waiting: 1})
	b.end(anna, machine.DownNoProcess)
	b.holds("l", Holder{Owner: cleo, Token: 7})
}

// Commands that make no sense are answered, and change nothing.
func TestRefusals(t *testing.T) {
	b := newBench(t, newLocks)
	for _, c := range []Command{
		{}, {Op: Acquire, Lock: "l", Owner: anna}, {Op: Acquire, Lock: "l", Lease: 1}, {Op: 9, Lock: "l"},
		acquire(anna, ""), acquire(anna, string(make([]byte, machine.MaxTimerName+1))),
	} {
		if r := b.do(c); r.Refused == "" {
			t.Errorf("%+v is taken", c)
		}
	}
	b.asked("")
	if _, err := b.Query("who?"); err == nil {
		t.Error("a question that nobody can answer is answered")
	}
}

// MAC-06, EFF-52: a new leader asks for everything that the old one had; others ask for nothing.
func TestNewLeader(t *testing.T) {
	b := newBench(t, newLocks)
	b.do(acquire(anna, "b"))
	b.do(acquire(bert, "b"))
	b.do(acquire(cleo, "a"))
	b.Effects()
	b.EnterState(ra.Follower)
	b.asked("")
	b.EnterState(ra.Leader)
	b.asked("timer at \"a\" 1000 ms\nmonitor cleo@app#1\nsend cleo@app#1 {Lock:a}\n" +
		"timer at \"b\" 1000 ms\nmonitor anna@app#1\nsend anna@app#1 {Lock:b}\nmonitor bert@app#1\n")
}

// VER-05: version 1 shortens the lines that it finds, and lets none get longer.
func TestUpgrade(t *testing.T) {
	b := newBench(t, newBounded)
	b.do(acquire(anna, "l"))
	for i := range maxWaiting + 2 {
		b.do(acquire(process(fmt.Sprint("p", i)), "l"))
	}
	b.holds("l", Holder{Owner: anna, Token: 1, Waiting: maxWaiting + 2})
	b.Effects()
	b.Upgrade(1)
	b.asked("send p100@app#1 {Lock:l}\nsend p101@app#1 {Lock:l}\n")
	b.holds("l", Holder{Owner: anna, Token: 1, Waiting: maxWaiting})
	if r := b.do(acquire(bert, "l")); r.Refused == "" {
		t.Error("the line gets longer")
	}
	for _, known := range []ra.PID{anna, process("p7")} {
		if r := b.do(acquire(known, "l")); r.Refused != "" {
			t.Errorf("%v: %+v", known, r)
		}
	}
	b.do(Command{Op: Release, Lock: "l", Token: 1})
	if r := b.do(acquire(bert, "l")); r.Refused != "" {
		t.Errorf("the last place: %+v", r)
	}
}
