package member

import (
	"errors"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
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
func lagging(t testing.TB) *rig { return laggingBehind(t, 0) }

// laggingBehind is lagging after c has seen the first commands, with a checkpoint of the last of them.
func laggingBehind(t testing.TB, seen int) *rig {
	r := newRig(t, "a", "b", "c")
	a := r.elect("a")
	r.onApply = func(n *rigNode, _ machine.Meta, _ uint64, fx *machine.Effects) {
		if n.uid == "c" && len(n.machine.ids) == seen {
			fx.Checkpoint()
		}
	}
	a.propose(seen)
	r.settle()
	r.onApply, r.cut = nil, away("c")
	a.propose(150 - seen)
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

// receive lets c receive the snapshot until enough says so, which is asked before each of c's works.
func (r *rig) receive(enough func(c *rigNode) bool) {
	a, b, c := r.node("a"), r.node("b"), r.node("c")
	for len(c.works) == 0 || !enough(c) {
		c.work()
		c.sync()
		for _, n := range []*rigNode{a, b} {
			n.sync()
			n.work()
		}
		if !r.deliver() && len(c.works) == 0 {
			a.server.Step(&raft.Message{Kind: raft.Tick})
			a.server.Flush()
		}
	}
	c.sync()
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
	if info, ok := c.store.Newest("c"); !ok || info.Index != 201 || c.log.Snapshot().Index != 201 {
		t.Errorf("the snapshot is %+v, the log begins after %v", info, c.log.Snapshot())
	}
	if p := &c.server.snaps; p.last.Index != 201 || p.past.from != 201 {
		t.Errorf("c knows a snapshot of %d, and what was since %d", p.last.Index, p.past.from)
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

// lastWord keeps the result of a call.
type lastWord struct{ Result }

func (h *lastWord) Done(r Result) { h.Result = r }

// FSM-06: a member that receives a snapshot answers local queries from the state that it has, and calls of the aux handler; commands
// are told who leads. With the last chunk it answers from the new state.
func TestAnswersWhileReceiving(t *testing.T) {
	r := laggingBehind(t, 20)
	c := r.node("c")
	r.withAux = true
	c.crash(vfs.CrashKept)
	c.start()
	ask := func() (query, aux lastWord) {
		c.server.LocalQuery(nil, Condition{}, false, &query)
		c.server.AuxCall("role", machine.Caller{}, &aux)
		return query, aux
	}
	received := 0
	r.receive(func(*rigNode) bool {
		if c.server.Status().Role == ra.ReceiveSnapshot {
			received++
		}
		return received == 3
	})
	if query, aux := ask(); query.Err != nil || query.Reply != 20 || query.Index != 21 || aux.Err != nil || aux.Reply != ra.ReceiveSnapshot {
		t.Errorf("while it receives: %+v, %+v", query, aux)
	}
	var command lastWord
	c.server.Command(Command{Proposal: raft.NewProposal(ra.KindCommand, 0, make([]byte, rigPayload)), Caller: &command})
	c.server.Flush()
	var not *ra.NotLeaderError
	if !errors.As(command.Err, &not) || not.Leader.Node != "a" {
		t.Errorf("a command: %+v", command)
	}
	r.tick(3)
	if query, aux := ask(); query.Reply != 205 || aux.Reply != ra.Follower {
		t.Errorf("afterwards: %+v, %+v", query, aux)
	}
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
	r.receive(func(*rigNode) bool { return true }) // until c has a chunk to store
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
			if testing.Short() && int(model) != at%int(vfs.CrashModels) {
				continue
			}
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

// SNX-03: a receiver that stops at any moment leaves no file open and nothing half made.
func TestStopWhileReceiving(t *testing.T) {
	for steps := range 90 {
		r := lagging(t)
		c := r.node("c")
		open := openFiles(c)
		for range steps {
			if len(c.works) > 0 {
				c.work()
				continue
			}
			c.sync()
			r.node("a").work()
			if !r.deliver() {
				r.node("a").server.Step(&raft.Message{Kind: raft.Tick})
				r.node("a").server.Flush()
			}
		}
		if len(c.works) > 0 && steps%2 == 0 {
			c.works[0].run()
			c.works = c.works[1:]
		}
		c.server.Stop(ra.ErrClosed)
		for len(c.works) > 0 {
			c.works[0].run()
			c.works = c.works[1:]
		}
		if left := c.leftovers(); *open != 0 || len(left) > 0 {
			t.Fatalf("after %d steps %d files are open, left are %v", steps, *open, left)
		}
	}
}

// I8, SNX-04: a life may end when a received snapshot has its place and the log was not told. On the same node the next one
// begins with that snapshot, log and configuration included, as it would if the node was opened anew.
func TestSnapshotInPlaceAtTheEndOfALife(t *testing.T) {
	r := lagging(t)
	c := r.node("c")
	r.receive(func(c *rigNode) bool { return c.server.snaps.receiving.busyWithLast() })
	c.works[0].run() // and its end is not told any more
	r.begins(c)
}

// I5, I8: the last work of a life puts its snapshot in place while the next one loads a checkpoint below it. What counts then is
// the snapshot, its state included.
func TestSnapshotOvertakesTheCheckpoint(t *testing.T) {
	r := laggingBehind(t, 10)
	a, c := r.node("a"), r.node("c")
	if all := c.store.Checkpoints("c"); len(all) != 1 || all[0].Index != 11 {
		t.Fatalf("checkpoints are %v", all)
	}
	overtake := c.fetch(a)
	c.onRestore = func() error {
		c.onRestore = nil
		overtake()
		return nil
	}
	r.begins(c)
	if c.onRestore != nil {
		t.Error("no checkpoint was loaded")
	}
}

// begins gives c, whose log was not told of the leader's snapshot, a further life, and fails unless that begins with the
// snapshot and is a sound member's.
func (r *rig) begins(c *rigNode) {
	r.t.Helper()
	a, state := r.node("a"), c.server.Core().State
	c.server.Stop(ra.ErrClosed)
	c.base, c.works = c.writer.Seq(), nil
	var err error
	if c.server, err = New(c.config(state, 0)); err != nil {
		r.t.Fatal(err)
	}
	if got, last := c.server.Configuration(), c.log.Last(); got.Index != 201 || last != 201 || !c.log.NeedsReset() || c.server.Status().Applied != 201 {
		r.t.Fatalf("begins with configuration %v, the log ends at %d, %+v", got, last, c.server.Status())
	}
	c.server.Flush()
	r.settle()
	a.propose(3)
	r.tick(7)
	r.check("a", "b", "c")
	c.crash(vfs.CrashLost)
	c.start()
	a.propose(3)
	r.tick(7)
	r.check("a", "b", "c")
}

// fetch has a node receive another one's snapshot behind its member's back. It has its place when the function is called that
// is returned.
func (n *rigNode) fetch(from *rigNode) (finish func()) {
	n.t.Helper()
	data, meta := from.chunk()
	to, err := n.store.Receive(n.uid, meta.Index, meta.Term)
	if err == nil {
		err = to.Add(1, data)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return func() {
		if _, _, err := to.Finish(); err != nil {
			n.t.Error(err)
		}
	}
}

// chunk returns a node's snapshot in one piece.
func (n *rigNode) chunk() ([]byte, snapshot.Meta) {
	n.t.Helper()
	in, err := n.store.OpenSource(n.uid, 1<<20)
	if err != nil {
		n.t.Fatal(err)
	}
	defer in.Close()
	data, last, err := in.ReadChunk(1)
	if err != nil || !last {
		n.t.Fatalf("the only chunk: %v, last: %v", err, last)
	}
	return data, in.Meta()
}

// FSM-06: a transfer that a new leader interrupts is given up, and its own begins.
func TestNewLeaderInterruptsTheTransfer(t *testing.T) {
	for chunk := uint32(1); chunk < 7; chunk++ {
		for _, stored := range []bool{false, true} {
			r := lagging(t)
			r.node("c").lifo = true
			a, c := r.node("a"), r.node("c")
			open := openFiles(c)
			r.arriving = func(m *raft.Message) {
				if m.Kind != raft.InstallSnapshot || m.Chunk != chunk || m.From != "a" {
					return
				}
				r.arriving = nil
				c.server.Step(m) // it has the chunk
				c.server.Flush()
				if stored {
					c.work()
				}
				a.server.Step(&raft.Message{Kind: raft.Transfer, To: "b"})
				a.server.Flush()
			}
			r.tick(40)
			if st := r.node("b").server.Status(); st.Role != ra.Leader {
				t.Fatalf("b is to lead: %+v", st)
			}
			r.node("b").propose(1)
			r.tick(70)
			r.check("a", "b", "c")
			if left := c.leftovers(); *open != 0 || len(left) > 0 {
				t.Errorf("chunk %d: %d files are open, left are %v", chunk, *open, left)
			}
		}
	}
}

// SNAP-06: a snapshot whose state the machine cannot restore changes nothing; the member is as it was, and the same
// snapshot is put in force when that is possible.
func TestStateThatCannotBeRestored(t *testing.T) {
	r := lagging(t)
	c := r.node("c")
	before, applied := c.machine, c.server.Status().Applied
	for _, refuse := range []func(){func() { panic("unreadable") }, nil} {
		c.onRestore = func() error {
			if refuse != nil {
				refuse()
			}
			return errDisk
		}
		r.tick(4)
		if c.machine != before || c.server.Status().Applied != applied || len(c.problems) == 0 || len(c.installed) > 0 {
			t.Fatalf("%+v, problems %v, installed %v", c.server.Status(), c.problems, c.installed)
		}
	}
	c.onRestore = nil
	r.tick(70)
	r.check("a", "b", "c")
	if len(c.installed) != 1 {
		t.Errorf("installed were %+v", c.installed)
	}
}

// I15, CMD-13a: whoever waits for a command that a snapshot took the place of hears that nobody knows, whether it was
// applied or not.
func TestCallersAcrossASnapshot(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	a := r.elect("a")
	a.propose(3)
	r.settle()
	kept := a.propose(1) // goes out, but its answers do not come back
	r.cut = func(m *raft.Message) bool { return m.To == "a" }
	r.settle()
	r.cut = away("a")
	lost := a.propose(1)
	r.settle()
	b := r.node("b")
	for _, n := range r.nodes[1:] {
		n.server.Step(&raft.Message{Kind: raft.LeaderDown, From: "a"})
		n.server.Flush()
	}
	r.elect("b")
	b.propose(150)
	r.settle()
	r.onApply = releaseAfter(1)
	b.propose(1)
	r.settle()
	r.onApply, r.cut = nil, nil
	r.tick(70)
	r.check("a", "b", "c")
	if len(a.installed) != 1 {
		t.Fatalf("installed were %+v", a.installed)
	}
	for _, id := range []uint64{kept, lost} {
		if err, ended := r.ended[id]; !ended || !ra.MayHaveBeenApplied(err) {
			t.Errorf("command %d, applied %v: ended %v with %v", id, b.machine.seen[id], ended, err)
		}
	}
	if !b.machine.seen[kept] || b.machine.seen[lost] {
		t.Error("the commands' fates are not those that the test is about")
	}
}

// I1, ELE-10: a snapshot may be durable before the term in which it came. The member starts again, in that term.
func TestSnapshotIsAheadOfTheTerm(t *testing.T) {
	r := lagging(t)
	c := r.node("c")
	r.cut = away("c")
	r.node("a").server.Step(&raft.Message{Kind: raft.Transfer, To: "b"})
	r.node("a").server.Flush()
	r.settle()
	b := r.node("b")
	r.onApply = releaseAfter(1)
	b.propose(1)
	r.settle()
	r.onApply, r.cut = nil, nil
	b.server.Step(&raft.Message{Kind: raft.Tick})
	b.server.Flush()
	for len(c.works) == 0 || b.server.Core().Peers[1].Status != "sending_snapshot" || !c.server.snaps.receiving.busyWithLast() {
		c.work() // but nothing becomes durable in c's write-ahead log
		b.work()
		if !r.deliver() && len(c.works)+len(b.works) == 0 {
			b.server.Step(&raft.Message{Kind: raft.Tick})
			b.server.Flush()
		}
	}
	c.work()
	c.crash(vfs.CrashLost)
	c.start()
	if st := c.server.Core(); st.State.Term != 2 || st.State.Vote != "" || st.Snapshot.Term != 2 {
		t.Errorf("starts with %v", st)
	}
	b.propose(2)
	r.tick(7)
	r.check("a", "b", "c")
}

// busyWithLast reports whether the last chunk is being stored.
func (v *receiving) busyWithLast() bool { return v.busy && v.now != nil && v.now.order.Done }

// Raft paper figure 13, step 6: if the log holds the snapshot's last entry, what lies above stays, and the write-ahead
// log is not told to drop it.
func TestInstallKeepsTheLogAboveTheSnapshot(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	a, c := r.elect("a"), r.node("c")
	a.propose(3)
	r.settle()
	r.cut = func(m *raft.Message) bool { return m.From == "c" } // the answers of c
	a.propose(50)
	r.settle()
	r.cut = func(m *raft.Message) bool {
		return m.From == "c" || m.To == "c" && m.Kind == raft.Append && m.Last == m.Index
	}
	r.onApply = releaseAfter(60)
	var held []*raft.Message
	r.arriving = func(m *raft.Message) {
		if m.To == "c" && m.Kind == raft.Append {
			m.Commit = min(m.Commit, 10) // c does not hear what is committed
			held = append(held, m)
		}
	}
	a.propose(20)
	r.settle()
	if len(held) == 0 || c.log.Last() != 74 || c.server.Core().Commit != 54 || a.log.Snapshot().Index < 60 {
		t.Fatalf("the log of c ends at %d, %v, the leader's snapshot is at %v", c.log.Last(), c.server.Core(), a.log.Snapshot())
	}
	r.arriving, r.onApply, r.cut = nil, nil, nil
	chunk := uint32(0)
	orders := c.server.orders.last
	in, err := a.store.OpenSource("a", 256)
	if err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		chunk++
		m := raft.Message{Kind: raft.InstallSnapshot, From: "a", To: "c", Term: 1, Index: in.Meta().Index, LogTerm: in.Meta().Term, Chunk: chunk}
		if m.Data, m.Done, err = in.ReadChunk(chunk); err != nil {
			t.Fatal(err)
		}
		done = m.Done
		c.server.Step(&m)
		c.server.Flush()
		for c.work() {
		}
	}
	if len(c.installed) != 1 || c.log.Last() != 74 || c.server.Status().Applied != in.Meta().Index || c.server.orders.last != orders {
		t.Errorf("installed %+v, the log ends at %d, applied %d, %d orders", c.installed, c.log.Last(), c.server.Status().Applied, c.server.orders.last-orders)
	}
	a.propose(1)
	r.tick(3)
	r.check("a", "b", "c")
	c.crash(vfs.CrashLost)
	c.start()
	a.propose(1)
	r.tick(3)
	r.check("a", "b", "c")
}

// SNAP-05: an own snapshot of which the member hears only after a later one of the leader is in force changes nothing.
func TestOwnSnapshotComesLate(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	a, c := r.elect("a"), r.node("c")
	r.onApply = releaseAfter(10)
	a.propose(10)
	for len(c.works) == 0 {
		for _, n := range r.nodes {
			n.sync()
		}
		r.deliver()
	}
	own := c.works[0]
	c.works = nil
	own.run()
	r.cut = away("c")
	a.propose(100)
	r.settle()
	r.cut, r.onApply = nil, nil
	r.tick(9)
	if len(c.installed) != 1 || c.server.snaps.writing == nil {
		t.Fatalf("installed were %+v", c.installed)
	}
	before := c.server.snaps.last
	own.done()
	c.server.Flush()
	if c.server.snaps.last != before || c.log.Snapshot().Index != before.Index {
		t.Errorf("the snapshot was of %d, is %d", before.Index, c.server.snaps.last.Index)
	}
	a.propose(1)
	r.tick(2)
	r.check("a", "b", "c")
}

// SNAP-06, I8: a snapshot that no core can take, whoever made it, is refused, and the member goes on.
func TestSnapshotWithoutMembers(t *testing.T) {
	r := newRig(t, "a", "b", "c")
	a, c := r.elect("a"), r.node("c")
	a.propose(3)
	r.settle()
	for _, members := range [][]ra.Member{nil, {{UID: "x"}}, append(r.members(), r.members()...)} {
		w, err := a.store.Create("a", snapshot.Meta{Index: ra.Index(300 + len(members)), Term: 1, Members: members})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = (&ledgerCapture{node: a}).WriteTo(w); err != nil {
			t.Fatal(err)
		}
		if _, err = w.Commit(); err != nil {
			t.Fatal(err)
		}
		data, meta := a.chunk()
		c.server.Step(&raft.Message{
			Kind: raft.InstallSnapshot, From: "a", To: "c", Term: 1, Index: meta.Index, LogTerm: 1, Chunk: 1, Data: data, Done: true,
		})
		c.server.Flush()
		for c.work() {
		}
		if err := c.server.Failed(); err != nil || len(c.problems) == 0 || len(c.installed) > 0 {
			t.Errorf("stopped: %v, problems %v", err, c.problems)
		}
		c.problems = nil
	}
	a.propose(1)
	r.tick(3)
	r.check("a", "b", "c")
}

// I5: a snapshot in the store that is ahead of what was applied is not taken for the member's own.
func TestSnapshotAheadOfTheMachine(t *testing.T) {
	r := lagging(t)
	c := r.node("c")
	w, err := c.store.Create("c", snapshot.Meta{Index: 3, Term: 1, Members: r.members()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.Commit(); err != nil {
		t.Fatal(err)
	}
	entries := []ra.Entry{entry(2, 1, ra.KindCommand), entry(3, 1, ra.KindCommand), entry(4, 1, ra.KindCommand)}
	c.server.Step(&raft.Message{Kind: raft.Append, From: "a", To: "c", Term: 1, Index: 1, LogTerm: 1, Last: 4, Commit: 1, Entries: entries})
	c.server.Flush()
	c.server.adoptNewest()
	if c.log.Last() != 4 || c.log.Snapshot().Index != 0 || c.server.Core().Snapshot.Index != 0 {
		t.Errorf("the log of c is %v, the core's snapshot %v", c.log, c.server.Core().Snapshot)
	}
}
