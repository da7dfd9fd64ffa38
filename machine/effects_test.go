package machine

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

var (
	alice = ra.PID{Node: "n1", Name: "alice", Incarnation: 7, Spawn: 3}
	bob   = ra.PID{Node: "n2", Name: "bob", Incarnation: 9, Spawn: 4}
)

// testCapture counts its releases.
type testCapture struct {
	Capture
	released int
}

func newTestCapture() *testCapture { return &testCapture{Capture: CaptureBytes([]byte("state"))} }

func (c *testCapture) Release() { c.released++ }

// askForAll asks for each kind of effect once, in the order of the kinds.
func askForAll(fx *Effects) {
	fx.Send(bob, "hello", AsEvent, Local)
	fx.Reply(Caller{PID: alice, Correlation: 5}, 42)
	fx.Monitor(alice)
	fx.Demonitor(alice)
	fx.MonitorNode("n2")
	fx.DemonitorNode("n2")
	fx.Timer("lease/printer", 1500*time.Millisecond)
	fx.TimerAt("midnight", time.UnixMilli(1_000_000))
	fx.CancelTimer("lease/printer")
	fx.Append([]byte("mine"))
	fx.TryAppendFor([]byte("try"), ModeNotify, Caller{PID: bob, Correlation: 8})
	fx.Call(func() {})
	fx.Log([]ra.Index{3, 1}, func([]LogEntry, *Effects) {})
	fx.LogLocal("n2", []ra.Index{2}, func([]LogEntry, *Effects) {})
	fx.ReleaseCursor(Condition{Written: 9}, Condition{NoTransfers: true})
	fx.ReleaseCursorAt(6, newTestCapture())
	fx.Checkpoint()
	fx.CheckpointAt(7, newTestCapture())
	fx.Promote(4)
	fx.Aux("sweep")
}

const transcriptOfAll = `send bob@n2#4 "hello" event local
reply alice@n1#3/5 42
monitor alice@n1#3
demonitor alice@n1#3
monitor node n2
demonitor node n2
timer "lease/printer" 1.5s
timer at "midnight" 1000000 ms
cancel timer "lease/printer"
append "mine"
try append "try" notify to bob@n2#4/8
call
log [3 1]
log local n2 [2]
release cursor when 9 is written when none is sent
release cursor at 6
checkpoint
checkpoint at 7
promote 4
aux "sweep"
`

// EFF-01, EFF-10 to EFF-29: every effect is kept, in the order in which it was asked for, and can be read.
func TestEffectsKeepOrder(t *testing.T) {
	var fx Effects
	fx.BeginEntry(12)
	askForAll(&fx)
	if got := fx.String(); got != transcriptOfAll {
		t.Errorf("transcript:\n%s\nshould be\n%s", got, transcriptOfAll)
	}
	if fx.Err() != nil || fx.Len() != int(maxEffect) {
		t.Errorf("%d effects, %v", fx.Len(), fx.Err())
	}
	next := EffectKind(1)
	for e := range fx.All() {
		if e.Kind != next {
			t.Errorf("kind %v, should be %v", e.Kind, next)
		}
		next++
	}
	for e := range fx.All() {
		if e.Kind != EffectSend {
			t.Errorf("iteration went on to %v", e.Kind)
		}
		break
	}
}

// The index tells the entry that asked, which is what ReleaseCursor stands for.
func TestEffectsRememberTheEntry(t *testing.T) {
	var fx Effects
	fx.BeginEntry(5)
	fx.Monitor(alice)
	fx.BeginEntry(6)
	fx.ReleaseCursor()
	fx.BeginAux()
	fx.Monitor(bob)
	var got []ra.Index
	var owners []Owner
	for e := range fx.All() {
		got, owners = append(got, e.Index), append(owners, e.Owner)
	}
	if !slices.Equal(got, []ra.Index{5, 6, 0}) || !slices.Equal(owners, []Owner{ForMachine, ForMachine, ForAux}) {
		t.Errorf("indexes %v, owners %v", got, owners)
	}
}

// SNAP-01: the member learns between two Applies that a state is wanted, and only then.
func TestWants(t *testing.T) {
	var fx Effects
	fx.BeginEntry(1)
	if fx.Wants() != 0 {
		t.Error("wants something from the start")
	}
	fx.ReleaseCursor()
	fx.Checkpoint()
	if fx.Wants() != WantsSnapshot|WantsCheckpoint {
		t.Errorf("wants %b", fx.Wants())
	}
	fx.BeginEntry(2)
	fx.ReleaseCursorAt(1, newTestCapture())
	fx.Promote(1)
	if fx.Wants() != 0 {
		t.Errorf("wants %b after another entry that has its state", fx.Wants())
	}
}

func TestEffectsRefuseWhatNobodyCanDo(t *testing.T) {
	refused := newTestCapture()
	bad := map[string]func(*Effects){
		"send to nobody":      func(fx *Effects) { fx.Send(ra.PID{}, 1) },
		"reply to nobody":     func(fx *Effects) { fx.Reply(Caller{}, 1) },
		"monitor nobody":      func(fx *Effects) { fx.Monitor(ra.PID{}) },
		"monitor a name":      func(fx *Effects) { fx.Monitor(ra.PID{Node: "n1", Name: "alice"}) },
		"monitor no node":     func(fx *Effects) { fx.MonitorNode("") },
		"long timer name":     func(fx *Effects) { fx.Timer(strings.Repeat("n", MaxTimerName+1), 1) },
		"no function":         func(fx *Effects) { fx.Call(nil) },
		"no log function":     func(fx *Effects) { fx.Log(nil, nil) },
		"no node":             func(fx *Effects) { fx.LogLocal("", nil, func([]LogEntry, *Effects) {}) },
		"no state":            func(fx *Effects) { fx.ReleaseCursorAt(1, nil) },
		"state of the future": func(fx *Effects) { fx.CheckpointAt(12, refused) },
		"promote nothing":     func(fx *Effects) { fx.Promote(0) },
		"notify nobody":       func(fx *Effects) { fx.AppendFor(nil, ModeNotify, Caller{}) },
		"unknown mode":        func(fx *Effects) { fx.TryAppendFor(nil, maxMode+1, Caller{PID: bob}) },
		"large command":       func(fx *Effects) { fx.Append(make([]byte, ra.MaxPayload+1)) },
	}
	for name, ask := range bad {
		var fx Effects
		fx.BeginEntry(11)
		ask(&fx)
		if fx.Len() != 0 || !errors.Is(fx.Err(), ErrBadEffect) {
			t.Errorf("%s: %d effects, error %v", name, fx.Len(), fx.Err())
		}
	}
	if refused.released != 1 {
		t.Errorf("refused capture was released %d times", refused.released)
	}
}

// A capture is released exactly once: by who took it, or else by Reset.
func TestResetReleasesWhatNobodyTook(t *testing.T) {
	var fx Effects
	taken, left := newTestCapture(), newTestCapture()
	fx.BeginEntry(3)
	fx.ReleaseCursorAt(2, taken)
	fx.CheckpointAt(2, left)
	fx.Send(bob, newTestCapture()) // a message that happens to be a capture is nobody's business
	for e := range fx.All() {
		if e.Kind == EffectReleaseCursorAt && e.TakeCapture() != taken {
			t.Error("another capture")
		}
	}
	fx.Reset()
	fx.Reset()
	if taken.released != 0 || left.released != 1 {
		t.Errorf("released %d and %d times", taken.released, left.released)
	}
	if fx.Len() != 0 || fx.Err() != nil {
		t.Error("something is left")
	}
}

// Effects cost no memory once the list has grown, and do not keep what they held.
func TestEffectsDoNotAllocate(t *testing.T) {
	var fx Effects
	var message any = "tick"
	round := func() {
		fx.Reset()
		for i := range 10 {
			fx.BeginEntry(ra.Index(i + 1))
			fx.Send(bob, message, Local)
			fx.Monitor(alice)
			fx.Timer("lease", time.Second)
			fx.ReleaseCursor()
		}
		for e := range fx.All() {
			if !e.RunsAt(Place{Leads: true, Node: "n2"}) && e.Scope() != OnNearest {
				t.Fatal("the leader runs it")
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
	for range keepEffects {
		fx.Monitor(alice)
	}
	fx.Reset()
	if cap(fx.list) != 0 {
		t.Errorf("memory for %d effects is kept", cap(fx.list))
	}
}

// What was asked for before a Reset shows in nothing that is asked for after it.
func TestEffectsStartClean(t *testing.T) {
	var used, fresh Effects
	used.BeginEntry(12)
	askForAll(&used)
	used.NoReply()
	used.Send(ra.PID{}, 0)
	used.Reset()
	for _, fx := range []*Effects{&used, &fresh} {
		for range maxEffect {
			fx.Monitor(bob)
		}
	}
	if !reflect.DeepEqual(used.list, fresh.list) || used.Err() != nil || used.TakeReply(1) != 1 {
		t.Errorf("left over:\n%v", &used)
	}
}

// EFF-02: who carries out what.
func TestScopes(t *testing.T) {
	every := map[EffectKind]bool{
		EffectDemonitor: true, EffectDemonitorNode: true, EffectTryAppend: true, EffectReleaseCursor: true,
		EffectReleaseCursorAt: true, EffectCheckpoint: true, EffectCheckpointAt: true, EffectPromote: true,
		EffectAux: true,
	}
	var fx Effects
	fx.BeginEntry(12)
	askForAll(&fx)
	defer fx.Reset()
	for e := range fx.All() {
		want := OnLeader
		switch {
		case e.Kind == EffectSend || e.Kind == EffectLogLocal: // this send has the option Local
			want = OnNearest
		case every[e.Kind]:
			want = OnEvery
		}
		if got := e.Scope(); got != want {
			t.Errorf("%v has scope %d, should be %d", e.Kind, got, want)
		}
	}
	// EFF-17: monitors of an aux handler are its member's own.
	if e := (Effect{Kind: EffectMonitor, Owner: ForAux}); e.Scope() != OnEvery {
		t.Error("an aux monitor belongs to the leader")
	}
}

// EFF-12, EFF-22: of a stable cluster exactly one member sends, and it is the one on the receiver's node if that votes.
func TestExactlyOneMemberRunsLocalEffects(t *testing.T) {
	nodes := []ra.NodeID{"n1", "n2", "n3"}
	memberships := []ra.Membership{ra.Voter, ra.Voter, ra.NonVoter}
	voterOn := func(n ra.NodeID) bool { return n == "n1" || n == "n2" }
	wantFrom := map[ra.NodeID]ra.NodeID{"n1": "n1", "n2": "n2", "n3": "leader", "elsewhere": "leader", "": "leader"}
	for _, leader := range []ra.NodeID{"n1", "n2"} {
		for target, want := range wantFrom {
			if want == "leader" {
				want = leader
			}
			send := Effect{Kind: EffectSend, Options: Local, PID: ra.PID{Node: target, Name: "p"}}
			log := Effect{Kind: EffectLogLocal, Name: string(target)}
			plain := Effect{Kind: EffectSend, PID: ra.PID{Node: target, Name: "p"}}
			for i, node := range nodes {
				p := Place{Leads: node == leader, Node: node, Membership: memberships[i], VoterOn: voterOn}
				if got := send.RunsAt(p); got != (node == want) {
					t.Errorf("leader %s: send to %q runs on %s: %v", leader, target, node, got)
				}
				if got := log.RunsAt(p); target != "" && got != (node == want) {
					t.Errorf("leader %s: log local to %q runs on %s: %v", leader, target, node, got)
				}
				if got := plain.RunsAt(p); got != p.Leads {
					t.Errorf("plain send runs on %s: %v", node, got)
				}
			}
		}
	}
}

func TestTranscriptOfOddValues(t *testing.T) {
	var fx Effects
	fx.BeginAux()
	fx.Send(bob, []byte{1, 'a'}, AsCast)
	fx.Send(bob, errors.New("gone"))
	fx.Send(bob, struct{ A, B int }{1, 2})
	fx.Aux(alice)
	want := `send bob@n2#4 "\x01a" cast (aux)
send bob@n2#4 gone (aux)
send bob@n2#4 {A:1 B:2} (aux)
aux alice@n1#3 (aux)
`
	if got := fx.String(); got != want {
		t.Errorf("transcript:\n%s\nshould be\n%s", got, want)
	}
	if EffectKind(200).String() != "invalid" || ReplyMode(200).String() != "invalid" {
		t.Error("unknown numbers have names")
	}
}

// BenchmarkEffects asks for 32 effects.
func BenchmarkEffects(b *testing.B) {
	var fx Effects
	var message any = "tick"
	b.ReportAllocs()
	for b.Loop() {
		fx.Reset()
		for i := range 16 {
			fx.BeginEntry(ra.Index(i + 1))
			fx.Send(bob, message)
			fx.Monitor(alice)
		}
	}
}
