package member

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// away returns what loses all messages to and from a member.
func away(uid ra.UID) func(*raft.Message) bool {
	return func(m *raft.Message) bool { return m.From == uid || m.To == uid }
}

// releaseAfter has every machine ask for a snapshot after each command from number n on.
func releaseAfter(n int) func(*rigNode, machine.Meta, uint64, *machine.Effects) {
	return func(node *rigNode, _ machine.Meta, _ uint64, fx *machine.Effects) {
		if len(node.machine.ids) >= n {
			fx.ReleaseCursor()
		}
	}
}

// lagging returns a cluster in which c has missed what a's snapshot covers, and is back.
func lagging(t testing.TB) *rig {
	r := newRig(t, "a", "b", "c")
	a := r.elect("a")
	r.cut = away("c")
	a.propose(150)
	r.settle()
	r.onApply = releaseAfter(200)
	a.propose(50)
	r.settle()
	r.onApply = nil
	a.propose(5)
	r.settle()
	if info, ok := a.store.Newest("a"); !ok || info.Index != 201 {
		t.Fatalf("the leader's snapshot is %+v", info)
	}
	r.cut = nil
	return r
}

// SNX-01 to SNX-05, MAC-12, SNAP-05: a member that lags behind the leader's log is caught up by a snapshot, chunk by
// chunk, while new commands flow; then it follows.
func TestLaggingMemberIsCaughtUp(t *testing.T) {
	r := lagging(t)
	a, c := r.node("a"), r.node("c")
	chunks := 0
	r.arriving = func(m *raft.Message) {
		if m.Kind == raft.InstallSnapshot {
			chunks++
			a.propose(1)
		}
	}
	r.tick(3)
	if chunks < 6 {
		t.Errorf("the snapshot came in %d chunks", chunks)
	}
	r.check("a", "b", "c")
	if len(c.installed) != 1 || c.installed[0].New.Index != 201 || c.installed[0].Old.Index >= 201 {
		t.Errorf("installed were %+v", c.installed)
	}
	if info, ok := c.store.Newest("c"); !ok || info.Index != 201 || c.log.base.Index != 201 {
		t.Errorf("the snapshot is %+v, the log begins after %v", info, c.log.base)
	}
	if len(a.server.snaps.transfers) != 0 || len(c.leftovers()) != 0 {
		t.Errorf("left are %d transfers, files %v", len(a.server.snaps.transfers), c.leftovers())
	}
	c.crash(vfs.CrashKept)
	c.start()
	r.tick(2)
	a.propose(3)
	r.tick(2)
	r.check("a", "b", "c")
}

// Contract of raft.InstallSnapshotReply, SNX-02: the answer to a chunk leaves when it is stored and not before, also if
// the leader asks again.
func TestAnswerWaitsForTheChunk(t *testing.T) {
	r := lagging(t)
	c := r.node("c")
	var sent []uint32
	r.cut = func(m *raft.Message) bool {
		if m.Kind == raft.InstallSnapshotReply {
			sent = append(sent, m.Chunk)
		}
		return false
	}
	for len(c.works) == 0 { // until c has a chunk to store
		for _, n := range r.nodes[:2] {
			n.sync()
			n.work()
		}
		c.sync()
		if !r.deliver() {
			r.node("a").server.Step(&raft.Message{Kind: raft.Tick})
			r.node("a").server.Flush()
		}
	}
	again := raft.Message{Kind: raft.InstallSnapshot, From: "a", To: "c", Term: 1, Index: 201, LogTerm: 1, Chunk: 1}
	c.server.Step(&again)
	c.server.Flush()
	if len(sent) != 0 {
		t.Fatalf("chunks %v are confirmed before one is stored", sent)
	}
	c.work()
	if len(sent) != 1 || sent[0] != 1 {
		t.Errorf("confirmed are chunks %v", sent)
	}
	r.tick(2)
	r.check("a", "b", "c")
}

// SNX-03, SNX-06: whatever operation of the receiver's disk fails, once, nothing of the attempt is left, the member is
// as it was, and a later attempt succeeds.
func TestReceivingOnADiskThatFails(t *testing.T) {
	for at, failed := 0, true; failed; at++ {
		r := lagging(t)
		c := r.node("c")
		before := c.fs.Count()
		c.fs.Inject(vfs.Fault{After: at, Times: 1, Err: errDisk})
		r.tick(4)
		failed = c.fs.Count()-before > at
		if failed && len(c.problems) == 0 && len(c.installed) == 0 {
			t.Fatalf("operation %d: the failure went unnoticed", at)
		}
		c.fs.Heal()
		r.tick(70)
		r.check("a", "b", "c")
		if left := c.leftovers(); len(left) > 0 {
			t.Errorf("operation %d: left are %v", at, left)
		}
		if len(c.installed) != 1 {
			t.Errorf("operation %d: installed were %+v", at, c.installed)
		}
		if t.Failed() {
			t.Fatalf("operation %d: %v", at, c.problems)
		}
	}
}

// I9, I15, SNX-04: at whatever operation of its disk a member crashes that receives a snapshot, and whatever that leaves
// behind, it starts again, and what was acknowledged with its help is there when the leader is lost.
func TestReceiverCrashes(t *testing.T) {
	points := 0
	for at, crashed := 0, true; crashed; at++ {
		for model := range vfs.CrashModels {
			crashed = receiverCrash(t, at, model)
			if t.Failed() {
				t.Fatalf("crash at operation %d, %v", at, model)
			}
		}
		points = at
	}
	if points < 20 {
		t.Errorf("an installation has %d operations", points)
	}
}

// receiverCrash has the receiver crash at one operation, and reports whether there was one.
func receiverCrash(t *testing.T, at int, model vfs.CrashModel) bool {
	r := lagging(t)
	a, b, c := r.node("a"), r.node("b"), r.node("c")
	r.cut = away("b") // so that nothing is committed without c
	c.crashAt(at, model)
	a.propose(3)
	r.tick(4)
	crashed := c.dead()
	if !crashed {
		r.check("a", "c")
		return false
	}
	c.start()
	r.tick(7)
	a.crash(vfs.CrashLost)
	r.net, r.cut = nil, nil
	for _, n := range []*rigNode{b, c} {
		n.server.Step(&raft.Message{Kind: raft.LeaderDown, From: "a"})
	}
	for _, n := range []*rigNode{c, b, c} { // c wins if it has what b has not
		n.server.Step(&raft.Message{Kind: raft.Campaign})
		n.server.Flush()
		r.settle()
	}
	leader := b
	if c.server.Status().Role == ra.Leader {
		leader = c
	}
	leader.propose(2)
	r.tick(70)
	r.check("b", "c")
	if left := c.leftovers(); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	return true
}
