package member

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// alone returns the leader of a cluster of one.
func alone(t testing.TB) *rigNode {
	r := newRig(t, "a")
	return r.elect("a")
}

// stored returns the newest snapshot in a node's store: what it stands for, and how many commands are in it.
func (n *rigNode) stored() (snapshot.Meta, int) {
	in, err := n.store.OpenReader(n.uid)
	if errors.Is(err, snapshot.ErrNone) {
		return snapshot.Meta{}, 0
	}
	if err != nil {
		n.t.Fatal(err)
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		n.t.Fatal(err)
	}
	return in.Meta(), len(b)/8 - 1
}

// FSM-11, I12: no snapshot stands for the deletion of the cluster. A member that got it would go on behind it.
func TestNoSnapshotOfDeletedCluster(t *testing.T) {
	n := alone(t)
	n.propose(5)
	n.settle()
	applied := n.server.Status().Applied
	for _, c := range []struct {
		deleting, want ra.Index
	}{{applied, 0}, {applied + 1, applied}} {
		n.server.deleting = c.deleting
		n.server.take(applied, nil, false)
		n.server.deleting = 0
		n.settle()
		if meta, _ := n.stored(); meta.Index != c.want {
			t.Errorf("deleted at %d, applied %d: the snapshot is one of %d, want %d", c.deleting, applied, meta.Index, c.want)
		}
	}
}

// EFF-24, SNAP-01, SNAP-03: a snapshot holds exactly what was applied when the machine asked, and says what was in force
// there, though more is applied in the same batch.
func TestSnapshotIsOfTheIndexThatAsked(t *testing.T) {
	n := alone(t)
	n.onApply = func(_ *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
		if meta.Index == 11 {
			fx.ReleaseCursor()
		}
	}
	n.now = 5000
	n.propose(10)
	n.now = 6000
	n.propose(10)
	n.settle()
	meta, commands := n.stored()
	if meta.Index != 11 || meta.Term != 1 || commands != 10 || !slices.Equal(meta.Members, n.members()) {
		t.Errorf("%d commands in %+v", commands, meta)
	}
	if got := clockOf(meta); got != 5000 {
		t.Errorf("the clock stands at %d", got)
	}
	if st := n.server.Core(); st.Snapshot.Index != 11 || n.log.Snapshot().Index != 11 {
		t.Errorf("the core knows %v, the log %v", st.Snapshot, n.log.Snapshot())
	}
	n.check("a")
}

// LOG-05: what a snapshot covers is not kept; a restart begins from it.
func TestRestartFromASnapshot(t *testing.T) {
	n := alone(t)
	n.onApply = releaseAfter(20)
	n.propose(20)
	n.settle()
	n.onApply = nil
	n.propose(5)
	n.settle()
	if _, err := n.log.Read(nil, 21, 21, 0); !errors.Is(err, ErrCompacted) {
		t.Errorf("entry 21 is read with %v", err)
	}
	for model := range vfs.CrashModels {
		n.crash(model)
		n.start()
		n.elect("a")
		n.propose(1)
		n.settle()
		n.check("a")
	}
}

// SNAP-01: the policy decides. What it does not grant is dropped.
func TestPolicyRefuses(t *testing.T) {
	r := newRig(t)
	r.policy = snapshot.Policy{MinInterval: 100, MinCheckpoint: 100}
	n := r.add("a")
	r.elect("a")
	r.onApply = func(_ *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
		fx.ReleaseCursor()
		fx.Checkpoint()
	}
	n.propose(99)
	r.settle()
	if meta, _ := n.stored(); meta.Index != 0 || len(n.store.Checkpoints("a")) != 0 {
		t.Errorf("there is a snapshot of %d, checkpoints %v", meta.Index, n.store.Checkpoints("a"))
	}
	n.propose(60)
	r.settle()
	if meta, commands := n.stored(); meta.Index != 101 || commands != 100 {
		t.Errorf("%d commands in %+v", commands, meta)
	}
	if st := n.server.snaps; st.hint != nil || st.writing != nil {
		t.Error("a wish is kept")
	}
}

// EFF-24: a wish whose condition is not met is kept, a later one takes its place, and it is fulfilled when the condition
// is met: for the index reached then, or for the state that was handed in.
func TestWishesWaitForTheirConditions(t *testing.T) {
	n := alone(t)
	old := &ledgerCapture{node: n}
	n.captures++
	n.onApply = func(_ *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
		switch meta.Index {
		case 3:
			fx.ReleaseCursorAt(3, old, machine.Condition{Written: 8})
		case 4:
			fx.ReleaseCursor(machine.Condition{Written: 8})
		}
	}
	for range 4 {
		n.propose(1)
		n.settle()
	}
	if meta, _ := n.stored(); meta.Index != 0 || n.server.snaps.hint == nil || !old.released {
		t.Fatalf("snapshot of %d, hint %v, the first state is released: %v", meta.Index, n.server.snaps.hint, old.released)
	}
	n.propose(3)
	n.settle()
	if meta, commands := n.stored(); meta.Index != 8 || commands != 7 || n.server.snaps.hint != nil {
		t.Errorf("%d commands in %+v", commands, meta)
	}
	n.onApply = func(n *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
		if meta.Index == 10 {
			state, _ := n.machine.Snapshot()
			fx.ReleaseCursorAt(10, state, machine.Condition{Written: 12})
		}
	}
	n.propose(4)
	n.settle()
	if meta, commands := n.stored(); meta.Index != 10 || commands != 9 {
		t.Errorf("%d commands in %+v", commands, meta)
	}
	n.check("a")
}

// EFF-24: no snapshot is taken while one is being sent, if the machine asks for that.
func TestWishWaitsForTransfers(t *testing.T) {
	r := lagging(t)
	a := r.node("a")
	during := 0
	r.onApply = func(_ *rigNode, _ machine.Meta, _ uint64, fx *machine.Effects) {
		fx.ReleaseCursor(machine.Condition{NoTransfers: true})
	}
	r.arriving = func(m *raft.Message) {
		if m.Kind != raft.InstallSnapshot {
			return
		}
		a.propose(1)
		if a.server.snaps.last.Index != 201 || a.server.snaps.writing != nil {
			t.Errorf("while chunk %d is sent, a snapshot of %d is taken", m.Chunk, a.server.snaps.last.Index)
		}
		if a.server.snaps.hint != nil {
			during++
		}
	}
	r.tick(1)
	r.arriving = nil
	r.tick(2)
	if info, _ := a.store.Newest("a"); info.Index <= 207 || during < 5 {
		t.Errorf("the wish was kept for %d chunks, then the snapshot is of %d", during, info.Index)
	}
	r.check("a", "b", "c")
}

// SNAP-03, I14: with a state of an earlier index goes what was in force there: the configuration, the version and the
// clock, not what is now.
func TestStateOfAnEarlierIndex(t *testing.T) {
	r := newRig(t, "a", "b")
	a := r.elect("a")
	r.node("b").skew = -6000 // the clock of the next leader is behind
	r.now = 9000
	a.propose(1) // 2
	r.settle()
	a.server.Step(&raft.Message{Kind: raft.Transfer, To: "b"})
	a.server.Flush()
	r.settle()
	b := r.node("b")
	b.propose(2) // 4 and 5
	r.settle()
	states := map[*rigNode]machine.Capture{}
	for _, n := range r.nodes {
		states[n], _ = n.machine.Snapshot()
	}
	r.now = 20000
	b.propose(2) // 6 and 7
	r.settle()
	r.cut = away("x")
	b.server.Step(&raft.Message{Kind: raft.Change, Op: raft.Set, Members: []ra.Member{
		{ID: ra.ServerID{Name: "x", Node: "x"}, UID: "x", Membership: ra.NonVoter},
	}})
	b.server.Flush()
	r.settle()
	r.onApply = func(n *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) { fx.ReleaseCursorAt(5, states[n]) }
	b.propose(1)
	r.settle()
	r.onApply = nil
	for _, n := range r.nodes {
		meta, commands := n.stored()
		if meta.Index != 5 || meta.Term != 2 || commands != 3 || len(meta.Members) != 2 || clockOf(meta) != 9000 {
			t.Errorf("%s: %d commands, clock %d in %+v", n.uid, commands, clockOf(meta), meta)
		}
		n.crash(vfs.CrashLost)
		n.start()
	}
	r.elect("b")
	r.node("b").propose(1)
	r.tick(3)
	r.check("a", "b")
	if got := len(b.server.Configuration().Members); got != 3 {
		t.Errorf("%d members after the restart", got)
	}
}

// CKPT-01, CKPT-02, CKPT-05, EFF-25, EFF-26, QRK-01: checkpoints leave the log alone and are where a restart begins; the
// newest one up to an index becomes the snapshot, and newer ones stay.
func TestCheckpoints(t *testing.T) {
	n := alone(t)
	n.onApply = func(n *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
		switch {
		case meta.Index == 8:
			state, _ := n.machine.Snapshot()
			fx.CheckpointAt(8, state)
		case meta.Index%5 == 0:
			fx.Checkpoint()
		case meta.Index == 24:
			fx.Promote(17)
		}
	}
	for range 22 {
		n.propose(1)
		n.settle()
	}
	if meta, _ := n.stored(); meta.Index != 0 || n.log.Snapshot().Index != 0 || len(n.store.Checkpoints("a")) != 5 {
		t.Fatalf("snapshot of %d, log after %v, checkpoints %v", meta.Index, n.log.Snapshot(), n.store.Checkpoints("a"))
	}
	n.propose(1)
	n.settle()
	meta, commands := n.stored()
	if left := n.store.Checkpoints("a"); meta.Index != 15 || commands != 14 || len(left) != 1 || left[0].Index != 20 {
		t.Errorf("%d commands in %+v, checkpoints %v", commands, meta, left)
	}
	if n.log.Snapshot().Index != 15 || n.server.Core().Snapshot.Index != 15 {
		t.Errorf("the log begins after %v, the core's snapshot is %v", n.log.Snapshot(), n.server.Core().Snapshot)
	}
	n.crash(vfs.CrashKept)
	n.start()
	if got := n.server.snaps.past.from; got != 20 {
		t.Errorf("the restart begins from %d", got)
	}
	n.elect("a")
	n.propose(1)
	n.settle()
	n.check("a")
}

// checkpointAhead returns a cluster of three whose member a has crashed and left a checkpoint at index 8, while its log ends
// with entries 5 and 6 of another history. b leads; onB is what its machine does meanwhile.
func checkpointAhead(t *testing.T, onB func(*rigNode, machine.Meta)) (r *rig, a, b *rigNode) {
	r = newRig(t, "a", "b", "c")
	a = r.elect("a")
	a.propose(3)
	r.settle()
	r.cut = away("a")
	a.propose(2) // 5 and 6 of term 1 are in a's log, and nowhere else
	r.settle()
	for _, n := range r.nodes[1:] {
		n.server.Step(&raft.Message{Kind: raft.LeaderDown, From: "a"})
		n.server.Flush()
	}
	b = r.elect("b")
	r.onApply = func(n *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
		switch {
		case n == b:
			onB(b, meta)
		case n == a && meta.Index == 8:
			fx.Checkpoint()
		}
	}
	b.propose(4) // in the place of these
	r.settle()
	r.cut = nil
	for round := 0; a.server.snaps.checkpoint == 0; round++ {
		if round > 1000 {
			t.Fatalf("there is no checkpoint: %v", a.server.Core())
		}
		if term, _ := a.log.Term(5); term == 1 { // what takes its place does not become durable
			a.sync()
		}
		a.work()
		b.sync()
		if !r.deliver() && len(a.works) == 0 {
			b.server.Step(&raft.Message{Kind: raft.Tick})
			b.server.Flush()
		}
	}
	a.crash(vfs.CrashKept)
	return r, a, b
}

// CKPT-02, I6: a checkpoint may be ahead of what is durable of the log. The log's end is not taken for committed then.
func TestCheckpointAheadOfTheLog(t *testing.T) {
	r, a, b := checkpointAhead(t, func(*rigNode, machine.Meta) {})
	a.start()
	if st := a.server.Core(); st.Commit > 4 || a.server.Status().Applied != 8 {
		t.Errorf("applied %d, %v", a.server.Status().Applied, st)
	}
	b.propose(1)
	r.tick(40)
	r.check("a", "b", "c")
}

// CKPT-02, LOG-07: nor does a mark say so, by itself or with an order, which the next start would believe.
func TestMarkBehindTheCheckpoint(t *testing.T) {
	_, a, b := checkpointAhead(t, func(*rigNode, machine.Meta) {})
	a.start()
	if mark := a.server.Mark(); mark != nil && mark.Applied > 4 {
		t.Errorf("the log is marked as applied up to %d", mark.Applied)
	}
	a.crash(vfs.CrashKept)
	a.start()
	later := b.server.Status().Term + 1
	a.server.Step(&raft.Message{Kind: raft.Append, From: "b", To: "a", Term: later, Index: 100, LogTerm: later, Last: 100})
	a.server.Flush() // an order with the term
	a.sync()
	a.crash(vfs.CrashKept)
	a.start()
	if st := a.server.Status(); st.Term != later || st.Applied != 8 || st.Commit > 4 {
		t.Errorf("begins with %+v", st)
	}
}

// CKPT-02, SNAP-03: a state that came with a checkpoint from ahead of the log is that of no entry that the log has until that
// is committed. No snapshot is made of it before, neither for want of room nor to rescue anything.
func TestNoSnapshotAheadOfTheLog(t *testing.T) {
	r, a, b := checkpointAhead(t, func(*rigNode, machine.Meta) {})
	r.policy = snapshot.Policy{Growth: 1}
	a.start()
	entries, err := b.log.Read(nil, 5, 8, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := b.log.Term(4)
	a.server.Step(&raft.Message{ // as of a leader that does not know yet what is committed
		Kind: raft.Append, From: "b", To: "a", Term: b.server.Status().Term, Index: 4, LogTerm: before, Last: 8, Commit: 4, Entries: entries,
	})
	a.server.Flush()
	if st := a.server.Core(); st.Commit != 4 || a.log.Last() != 8 {
		t.Fatalf("the log ends at %d: %v", a.log.Last(), st)
	}
	if a.server.Offer() != nil || a.server.Rescue(8) {
		t.Error("a snapshot is made of what is applied, 8, though 4 is known to be committed")
	}
	b.propose(1)
	r.settle()
	if o := a.server.Offer(); o == nil {
		t.Error("no snapshot is offered when all is committed")
	} else {
		o.Decline()
		o.Taken(snapshot.Info{}, false)
	}
	r.tick(40)
	r.check("a", "b", "c")
}

// I14: a snapshot of the leader that lies below such a checkpoint takes the place of the log, and not of the state.
func TestSnapshotBelowTheCheckpoint(t *testing.T) {
	var state machine.Capture
	r, a, b := checkpointAhead(t, func(b *rigNode, meta machine.Meta) {
		if meta.Index == 7 {
			state, _ = b.machine.Snapshot()
		}
	})
	r.onApply = func(n *rigNode, _ machine.Meta, _ uint64, fx *machine.Effects) {
		if n == b {
			fx.ReleaseCursorAt(7, state)
		}
	}
	b.propose(1)
	r.settle()
	r.onApply = nil
	a.start()
	b.propose(1)
	r.tick(40)
	r.check("a", "b", "c")
	if a.log.Snapshot().Index != 7 || len(a.installed) > 0 {
		t.Errorf("the log of a begins after %v, its machine saw %+v", a.log.Snapshot(), a.installed)
	}
}

// A machine that never asks gets a snapshot when its log has grown; one that asks is left alone.
func TestAutomaticSnapshots(t *testing.T) {
	for _, asks := range []bool{false, true} {
		r := newRig(t)
		r.policy = snapshot.Policy{MinBytes: 1000, Growth: 2, MinInterval: 1 << 20}
		n := r.add("a")
		r.elect("a")
		if asks {
			r.onApply = releaseAfter(0)
		}
		var at []ra.Index
		for range 300 {
			n.propose(1)
			r.settle()
			if info, ok := n.store.Newest("a"); ok && !slices.Contains(at, info.Index) {
				at = append(at, info.Index)
			}
		}
		if asks && len(at) != 0 || !asks && (len(at) < 3 || len(at) > 12) {
			t.Errorf("asks %v: snapshots at %v", asks, at)
		}
		for i := 2; i < len(at); i++ {
			if at[i]-at[i-1] < at[i-1]-at[i-2] {
				t.Errorf("the distance falls: %v", at)
			}
		}
		r.check("a")
	}
}

// SNAP-06: whatever operation fails while a snapshot or checkpoint is written or promoted, everything is as before, and
// a further attempt is made at once; if all fail, the next wish is.
func TestTakingOnADiskThatFails(t *testing.T) {
	for _, times := range []int{1, 0} {
		for at, failed := 0, true; failed; at++ {
			n := alone(t)
			open := openFiles(n)
			n.onApply = func(_ *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
				switch meta.Index {
				case 5, 15:
					fx.ReleaseCursor()
				case 7, 17:
					fx.Checkpoint()
				case 10, 19:
					fx.Promote(meta.Index)
				}
			}
			before := n.fs.Count()
			n.fs.Inject(vfs.Fault{After: at, Times: times, Err: errDisk})
			for range 10 {
				n.propose(1)
				n.settle()
			}
			failed = n.fs.Count()-before > at
			if first := n.server.Core().Snapshot; first.Index != n.log.Snapshot().Index || n.server.snaps.writing != nil || n.server.snaps.promoting {
				t.Errorf("the core's snapshot is %v, the log's %v", first, n.log.Snapshot())
			}
			n.fs.Heal()
			for range 10 {
				n.propose(1)
				n.settle()
			}
			if meta, _ := n.stored(); meta.Index != 17 || n.log.Snapshot().Index != 17 {
				t.Errorf("in the end the snapshot is of %d", meta.Index)
			}
			n.check("a")
			if times == 1 && *open > 1 { // the fault may have been at a close
				t.Errorf("%d files are open", *open)
			}
			n.crash(vfs.CrashLost)
			n.start()
			n.elect("a")
			n.check("a")
			if t.Failed() {
				t.Fatalf("operation %d, %d times: %v", at, times, n.problems)
			}
		}
	}
}

// I15: at whatever operation of its disk a member crashes that takes snapshots, nothing that was acknowledged is lost.
func TestTakingAndCrashing(t *testing.T) {
	for at, crashed := 0, true; crashed; at++ {
		for model := range vfs.CrashModels {
			if testing.Short() && int(model) != at%int(vfs.CrashModels) {
				continue
			}
			n := alone(t)
			n.onApply = func(_ *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
				switch meta.Index {
				case 5, 10:
					fx.ReleaseCursor()
				case 7:
					fx.Checkpoint()
				case 9:
					fx.Promote(8)
				}
			}
			n.crashAt(at, model)
			for range 12 {
				if !n.dead() {
					n.propose(1)
					n.settle()
				}
			}
			if crashed = n.dead(); !crashed {
				n.crash(model)
			}
			n.onApply = nil
			n.start()
			n.elect("a")
			n.propose(1)
			n.settle()
			n.check("a")
			if t.Failed() {
				t.Fatalf("crash at operation %d, %v", at, model)
			}
		}
	}
}

// A member that stops while a snapshot is written leaves nothing half made, and releases its captures.
func TestStopWhileTaking(t *testing.T) {
	for _, before := range []bool{false, true} {
		n := alone(t)
		open := openFiles(n)
		n.onApply = func(n *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) {
			if meta.Index == 3 {
				fx.ReleaseCursor()
			}
			if meta.Index == 4 {
				state, _ := n.machine.Snapshot()
				fx.ReleaseCursorAt(4, state, machine.Condition{Written: 1000})
			}
		}
		n.propose(4)
		n.sync()
		if len(n.works) != 1 || n.captures != 2 {
			t.Fatalf("%d works, %d captures", len(n.works), n.captures)
		}
		if before {
			n.works[0].run()
		}
		n.server.Stop(ra.ErrClosed)
		if !before {
			n.works[0].run()
		}
		if left := n.leftovers(); len(left) > 0 || *open != 0 || n.captures != 0 {
			t.Errorf("left are %v, %d files are open, %d captures", left, *open, n.captures)
		}
		if meta, _ := n.stored(); (meta.Index == 3) != before {
			t.Errorf("the snapshot is of %d", meta.Index)
		}
		n.server.Flush()
	}
}

// A snapshot that came into place when the life before had ended is found when it stands in the way.
func TestSnapshotOfTheLifeBefore(t *testing.T) {
	n := alone(t)
	n.onApply = releaseAfter(4)
	n.propose(4)
	n.sync()
	late := n.works[0]
	n.works = nil
	n.server.Stop(ra.ErrClosed)
	meta, _ := n.server.metaAt(5)
	n.onApply = nil
	n.crash(vfs.CrashKept)
	n.start()
	n.elect("a")
	w, err := n.store.Create("a", meta) // what the late work would have done
	if err != nil {
		t.Fatal(err)
	}
	late.run()
	if _, err = (&ledgerCapture{node: n, ids: n.machine.ids, clock: n.machine.clock}).WriteTo(w); err != nil {
		t.Fatal(err)
	}
	if _, err = w.Commit(); err != nil {
		t.Fatal(err)
	}
	state, _ := n.machine.Snapshot()
	n.onApply = func(_ *rigNode, meta machine.Meta, _ uint64, fx *machine.Effects) { fx.ReleaseCursorAt(4, state) }
	n.propose(1)
	n.settle()
	if st := n.server.Core(); st.Snapshot.Index != 5 || n.log.Snapshot().Index != 5 || len(n.problems) > 0 {
		t.Errorf("the core's snapshot is %v, the log's %v, problems %v", st.Snapshot, n.log.Snapshot(), n.problems)
	}
}

// FAIL-02, SNAP-06: a machine that gives no state, or cannot write it, is left alone; one that panics stops the member.
func TestMachineWithoutState(t *testing.T) {
	for name, test := range map[string]struct {
		capture func() (machine.Capture, error)
		stops   bool
	}{
		"error":   {func() (machine.Capture, error) { return nil, errDisk }, false},
		"nothing": {func() (machine.Capture, error) { return nil, nil }, false},
		"writes badly": {func() (machine.Capture, error) {
			return machine.CaptureFunc(func(io.Writer) error { return errDisk }), nil
		}, false},
		"panics writing": {func() (machine.Capture, error) {
			return machine.CaptureFunc(func(io.Writer) error { panic("no") }), nil
		}, false},
		"panics": {func() (machine.Capture, error) { panic("no") }, true},
	} {
		n := alone(t)
		n.onApply = releaseAfter(3)
		n.onSnapshot = test.capture
		n.propose(5)
		n.sync()
		for n.work() {
		}
		var panicked *machine.PanicError
		if err := n.server.Failed(); errors.As(err, &panicked) != test.stops || !test.stops && (err != nil || len(n.problems) == 0) {
			t.Errorf("%s: stopped: %v, problems %v", name, err, n.problems)
		}
		if meta, _ := n.stored(); meta.Index != 0 || len(n.leftovers()) > 0 {
			t.Errorf("%s: there is a snapshot of %d, left are %v", name, meta.Index, n.leftovers())
		}
	}
}

// VER-13: a snapshot carries the machine's version, and puts it in force where it is installed.
func TestVersionOfSnapshots(t *testing.T) {
	r := lagging(t)
	meta, _ := r.node("a").stored()
	if meta.MachineVersion != 0 {
		t.Fatalf("the version is %d", meta.MachineVersion)
	}
	r = newRig(t)
	r.version = 3
	n := r.add("a")
	r.elect("a")
	r.onApply = releaseAfter(2)
	n.propose(2)
	r.settle()
	if meta, _ := n.stored(); meta.MachineVersion != 3 {
		t.Errorf("the version is %d", meta.MachineVersion)
	}
	n.crash(vfs.CrashLost)
	n.start()
	if v := n.server.machine.Version(); v != 3 {
		t.Errorf("restarts with version %d", v)
	}
	r = newRig(t)
	n = r.add("a", "b")
	r.code = 3 // a can run it, but b cannot, so nobody puts it in force
	n.crash(vfs.CrashLost)
	n.start()
	r.code = 0
	b := r.elect("b")
	r.onApply = releaseAfter(2)
	b.propose(2)
	r.settle()
	if meta, _ := n.stored(); meta.Index == 0 || meta.MachineVersion != 0 {
		t.Errorf("at %d the version is %d", meta.Index, meta.MachineVersion)
	}
}

// The clock of a state travels as 8 bytes, little endian.
func TestClockField(t *testing.T) {
	meta := snapshot.Meta{Fields: map[string][]byte{clockField: binary.LittleEndian.AppendUint64(nil, 77)}}
	if got := clockOf(meta); got != 77 || fmt.Sprint(clockField) != "time" {
		t.Errorf("%s is %d", clockField, got)
	}
}

// SNAP-06: one failure of the disk does not cost the snapshot.
func TestTakingIsTriedAgain(t *testing.T) {
	for times := 1; times <= writeAttempts; times++ {
		n := alone(t)
		n.onApply = releaseAfter(3)
		n.fs.Inject(vfs.Fault{Op: vfs.OpSync, Times: times, Err: errDisk})
		n.propose(3)
		n.settle()
		if meta, _ := n.stored(); (meta.Index == 4) != (times < writeAttempts) || (len(n.problems) == 0) != (times < writeAttempts) {
			t.Errorf("after %d failures the snapshot is of %d, problems %v", times, meta.Index, n.problems)
		}
		n.check("a")
	}
}
