package member

import (
	"errors"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// dismissed returns whom the member has dismissed since it was last asked.
func (w *world) dismissed() (to []ra.UID) {
	for _, m := range w.sent {
		if m.Kind == raft.Dismissal {
			to = append(to, m.To)
		}
	}
	w.sent = nil
	return to
}

// ticked lets a second pass.
func (w *world) ticked() {
	w.MachineTick()
	w.Flush()
}

// wantDismissed fails unless exactly these were dismissed.
func (w *world) wantDismissed(want ...ra.UID) {
	w.t.Helper()
	if got := w.dismissed(); !slices.Equal(got, want) {
		w.t.Errorf("dismissed are %q, not %q", got, want)
	}
}

// applyDeletion has leader b delete the cluster with entry 2.
func (w *world) applyDeletion() {
	w.t.Helper()
	w.follow("x")
	del := ra.Seal(ra.NewBody(nil), ra.Header{Index: 2, Term: 1, Kind: ra.KindDelete})
	w.step(raft.Message{Kind: raft.Append, From: "b", Term: 1, Index: 1, LogTerm: 1, Last: 2, Commit: 1, Entries: []ra.Entry{del}})
	w.synced()
	w.took()
	w.step(raft.Message{Kind: raft.Append, From: "b", Term: 1, Index: 2, LogTerm: 1, Last: 2, Commit: 2, Force: true})
	w.want("enter eol", "enter terminating_follower")
	w.dismissed()
}

// FSM-11: the leader that deletes its cluster answers, tells the machine, dismisses the others as soon as it is durable
// that it knows, and goes when nothing is left of them.
func TestLeaderDeletes(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.elect()
	w.took()
	w.Command(Command{Proposal: raft.NewProposal(ra.KindDelete, 0, nil), Caller: scribe{w, 50}})
	behind := w.do("x")
	w.Flush()
	w.synced()
	w.step(raft.Message{Kind: raft.AppendReply, From: "c", Term: 1, LogTerm: 1, Index: 3, Last: 3})
	w.want("reply 50 <nil>", "enter eol", "enter terminating_leader")
	late := w.do("y")
	w.Flush()
	w.calls.want(late, ra.ErrNoProcess)
	w.took()
	if mark := w.stored[len(w.stored)-1]; mark.Applied != 2 || mark.State == nil || *mark.State != (ra.HardState{Term: 1, Vote: "a"}) {
		t.Errorf("the mark is %+v", mark)
	}
	if w.Patience() != (raft.Patience{}) {
		t.Errorf("waits for its order, and lets the news wait: %+v", w.Patience())
	}
	w.ticked()
	w.wantDismissed() // it is not durable
	w.synced()
	w.wantDismissed("b", "c")
	if !w.WantsTick() {
		t.Error("wants no tick")
	}
	w.ticked()
	w.wantDismissed("b", "c")
	for _, from := range []ra.UID{"c", "z"} {
		w.step(raft.Message{Kind: raft.Departure, From: from})
	}
	w.wantDismissed()
	w.ticked()
	w.wantDismissed("b")
	w.step(raft.Message{Kind: raft.Dismissal, From: "b"}) // gives way to this one
	if w.Failed() != nil || w.Status().Role != ra.TerminatingLeader {
		t.Fatalf("%+v, stopped: %v", w.Status(), w.Failed())
	}
	w.step(raft.Message{Kind: raft.Departure, From: "b"})
	if !errors.Is(w.Failed(), ErrDeleted) || w.DismissedBy() != "" {
		t.Errorf("stopped: %v, dismissed by %q", w.Failed(), w.DismissedBy())
	}
	if err := w.calls.results[behind].Err; !ra.MayHaveBeenApplied(err) || !errors.Is(err, ErrDeleted) {
		t.Errorf("the command behind ended with %v", err)
	}
	if got := w.took(); !slices.Contains(got, "deleted") {
		t.Errorf("happened: %q", got)
	}
}

// I13: the leader of a cluster that is deleted answers no consistent query any more, even if a member that has not heard of
// it confirms that it leads: a cluster that was started under the name may know more.
func TestNoQueryBehindTheEnd(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.elect()
	w.Command(Command{Proposal: raft.NewProposal(ra.KindDelete, 0, nil), Caller: scribe{w, 50}})
	w.Flush()
	w.synced()
	w.step(raft.Message{Kind: raft.AppendReply, From: "c", Term: 1, LogTerm: 1, Index: 2, Last: 2})
	w.synced()
	w.step(raft.Message{Kind: raft.Departure, From: "c"})
	w.Query("q", w.calls.caller(1))
	w.Flush()
	w.step(raft.Message{Kind: raft.HeartbeatReply, From: "b", Term: 1, Query: 1})
	w.calls.want(1, ra.ErrNoProcess)
}

// FSM-12: a follower that knows stays until it is dismissed, and says by whom.
func TestFollowerDeletes(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.applyDeletion()
	w.synced()
	w.ticked()
	w.wantDismissed()
	w.Server.Step(&raft.Message{Kind: raft.Dismissal, From: "b", To: "another"})
	w.step(raft.Message{Kind: raft.Departure, From: "c"})
	if w.Failed() != nil || w.DismissedBy() != "" {
		t.Fatalf("stopped: %v, dismissed by %q", w.Failed(), w.DismissedBy())
	}
	w.step(raft.Message{Kind: raft.Dismissal, From: "b"})
	w.want("deleted")
	if !errors.Is(w.Failed(), ErrDeleted) || w.DismissedBy() != "b" {
		t.Errorf("stopped: %v, dismissed by %q", w.Failed(), w.DismissedBy())
	}
}

// FSM-12, I12: who knows nothing of the deletion goes too, whatever it is and whoever it knows: its configuration may be an
// old one.
func TestDismissalIsEnough(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.took()
	w.step(raft.Message{Kind: raft.Dismissal, From: "stranger", Term: 7})
	w.want("enter eol", "deleted")
	if !errors.Is(w.Failed(), ErrDeleted) || w.DismissedBy() != "stranger" || w.Status().Term != 0 {
		t.Errorf("stopped: %v, dismissed by %q, %+v", w.Failed(), w.DismissedBy(), w.Status())
	}
	w = newWorld(t, nil).begin("b", "c")
	w.elect()
	held := w.do("x")
	w.took()
	w.step(raft.Message{Kind: raft.Dismissal, From: "b", Term: 2})
	if got := w.took(); got[0] != "enter eol" || got[len(got)-1] != "deleted" || !errors.Is(w.Failed(), ErrDeleted) {
		t.Errorf("happened: %q, stopped: %v", got, w.Failed())
	}
	if err := w.calls.results[held].Err; !ra.MayHaveBeenApplied(err) {
		t.Errorf("the command ended with %v", err)
	}
}

// FSM-12: a follower that knows, and that no leader dismisses, becomes a herald after a while. Heralds give way to those of
// a lower UID only, also in a later life, which does not dismiss anybody before it has made sure that it may.
func TestHeralds(t *testing.T) {
	w := newWorld(t, nil).begin("A", "b", "c")
	w.applyDeletion()
	w.step(raft.Message{Kind: raft.LeaderDown, From: "b"})
	for range aloneTicks {
		w.wantDismissed()
		w.ticked()
	}
	w.synced()
	w.wantDismissed("A", "b", "c")
	w.step(raft.Message{Kind: raft.Departure, From: "c"})
	w.step(raft.Message{Kind: raft.Dismissal, From: "b"})
	if w.Failed() != nil {
		t.Fatalf("gives way: %v", w.Failed())
	}
	w.stored = nil
	w.begin("A", "b", "c")
	w.took()
	w.step(raft.Message{Kind: raft.Dismissal, From: "b"})
	if w.Failed() != nil {
		t.Fatalf("gives way in another life: %v", w.Failed())
	}
	w.ticked()
	w.wantDismissed()
	w.synced()
	w.wantDismissed("A", "b", "c")
	w.step(raft.Message{Kind: raft.Departure, From: "A"})
	w.step(raft.Message{Kind: raft.Dismissal, From: "A"}) // late
	if w.Failed() != nil {
		t.Fatalf("gives way to one that is gone: %v", w.Failed())
	}
	w.stored = nil
	w.begin("A", "b", "c")
	w.took()
	w.step(raft.Message{Kind: raft.Dismissal, From: "A"})
	w.want("deleted")
}

// MEM-01, FSM-11: nobody joins behind the entry that deletes the cluster, so that all who apply it know the same members.
func TestNobodyJoinsBehindTheEnd(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.elect()
	w.Command(Command{Proposal: raft.NewProposal(ra.KindDelete, 0, nil), Caller: scribe{w, 50}})
	w.Flush()
	w.took()
	other := ra.Member{ID: ra.ServerID{Name: "m", Node: "d"}, UID: "d"}
	w.Change(raft.Set, other, scribe{w, 51})
	w.want("reply 51 error " + ra.ErrChangeNotPermitted.Error())
	w.synced()
	w.step(raft.Message{Kind: raft.AppendReply, From: "c", Term: 1, LogTerm: 1, Index: 2, Last: 2})
	w.took()
	w.Change(raft.Set, other, scribe{w, 52})
	w.want("reply 52 error " + ra.ErrNoProcess.Error())
}

// FSM-10, FSM-11: a leader that was removed before its cluster was deleted goes by itself, and dismisses nobody: its user
// may delete it at any time, and then somebody must be left who knows.
func TestRemovedLeaderIsNoHerald(t *testing.T) {
	w := newWorld(t, nil).begin("b", "c")
	w.elect()
	w.Change(raft.Remove, ra.Member{UID: "a"}, scribe{w, 50})
	w.Command(Command{Proposal: raft.NewProposal(ra.KindDelete, 0, nil), Caller: scribe{w, 51}})
	w.Flush()
	w.synced()
	w.dismissed()
	for _, from := range []ra.UID{"b", "c"} {
		w.step(raft.Message{Kind: raft.AppendReply, From: from, Term: 1, LogTerm: 1, Index: 3, Last: 3})
	}
	if !errors.Is(w.Failed(), ErrDeleted) {
		t.Errorf("stopped: %v", w.Failed())
	}
	w.wantDismissed()
}

// A cluster of one deletes itself at once (FSM-11).
func TestLonelyMemberDeletes(t *testing.T) {
	w := newWorld(t, nil).begin()
	w.leadAlone()
	w.Command(Command{Proposal: raft.NewProposal(ra.KindDelete, 0, nil), Caller: scribe{w, 50}})
	w.commit()
	w.want("reply 50 <nil>", "enter eol", "enter terminating_leader", "deleted")
}
