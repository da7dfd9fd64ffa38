package member

import (
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// openFiles counts the files of snapshots that a node has open from now on.
func openFiles(n *rigNode) *int {
	open := new(int)
	n.fs.Trace(func(op vfs.Op, _ string) {
		switch op {
		case vfs.OpOpen, vfs.OpCreate:
			*open++
		case vfs.OpClose:
			*open--
		}
	})
	return open
}

// SNX-02: a newer snapshot of the leader in the middle of a transfer does not end it: the file stays open until the
// receiver has it. What it then still lacks it is sent too.
func TestSnapshotReplacedInMidTransfer(t *testing.T) {
	r := lagging(t)
	a, c := r.node("a"), r.node("c")
	open := openFiles(a)
	r.arriving = func(m *raft.Message) {
		if m.Kind != raft.InstallSnapshot || m.Chunk != 3 || m.Index != 201 {
			return
		}
		r.onApply = releaseAfter(len(a.machine.ids) + 40)
		a.propose(40)
		for a.server.snaps.last.Index == 201 {
			a.sync()
			r.node("b").sync()
			a.work()
			r.deliver()
		}
		r.onApply = nil
		if info, _ := a.store.Newest("a"); info.Index != 246 {
			t.Errorf("the newer snapshot is %+v", info)
		}
	}
	r.tick(1)
	r.arriving = nil
	r.tick(20)
	r.check("a", "b", "c")
	got := []ra.Index{}
	for _, change := range c.installed {
		got = append(got, change.New.Index)
	}
	if !slices.Equal(got, []ra.Index{201, 246}) {
		t.Errorf("installed were the snapshots at %v", got)
	}
	if *open != 0 || len(a.server.snaps.transfers) != 0 {
		t.Errorf("%d files are open, %d transfers", *open, len(a.server.snaps.transfers))
	}
}

// Contract of raft.Sent with Chunk: if the snapshot is replaced before the transfer has opened it, the core hears of
// that and begins with the one that is there; also if the news of the replacement come later than the reader.
func TestSnapshotReplacedBeforeItIsOpened(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := lagging(t)
		a, c := r.node("a"), r.node("c")
		a.server.Step(&raft.Message{Kind: raft.Tick}) // asks c again where it is
		a.server.Flush()
		for len(a.works) == 0 {
			c.sync()
			if !r.deliver() {
				t.Fatal("no transfer begins")
			}
		}
		read := a.works[0]
		a.works = nil
		r.onApply = releaseAfter(len(a.machine.ids) + 10)
		a.propose(10)
		for len(a.works) == 0 {
			a.sync()
			r.node("b").sync()
			r.deliver()
		}
		r.onApply = nil
		taken := a.works[0]
		a.works = nil
		taken.run()
		if !late {
			taken.done()
			a.server.Flush()
		}
		read.run()
		read.done()
		a.server.Flush()
		if late {
			if len(a.server.snaps.transfers) != 1 || !a.server.snaps.transfers[0].replaced {
				t.Error("the core is told of a snapshot that it does not know")
			}
			taken.done()
			a.server.Flush()
		}
		r.settle() // no tick is needed
		r.check("a", "b", "c")
		if len(c.installed) != 1 || c.installed[0].New.Index != 216 {
			t.Errorf("late %v: installed were %+v", late, c.installed)
		}
	}
}

// SNX-06: a leader that cannot read its snapshot hands over; one that can catches the member up.
func TestLeaderThatCannotReadItsSnapshot(t *testing.T) {
	for at := range 3 {
		r := lagging(t)
		a := r.node("a")
		open := openFiles(a)
		r.onApply = releaseAfter(1)
		a.propose(1) // b has a snapshot, too
		r.onApply = nil
		a.fs.Inject(vfs.Fault{Op: []vfs.Op{vfs.OpOpen, vfs.OpRead, vfs.OpSize}[at], Err: errDisk})
		r.tick(3)
		if st := a.server.Status(); st.Role == ra.Leader || len(a.server.snaps.transfers) != 0 {
			t.Errorf("fault %d: %+v leads", at, st)
		}
		if at > 0 && *open != 0 {
			t.Errorf("fault %d: %d files are open", at, *open)
		}
		a.fs.Heal()
		r.tick(70)
		r.node("b").propose(2)
		r.tick(70)
		r.check("a", "b", "c")
	}
}

// A leader that stops, at any moment of a transfer, leaves no file open, whatever the background still does.
func TestStopWhileSending(t *testing.T) {
	for steps := range 60 {
		r := lagging(t)
		a := r.node("a")
		open := openFiles(a)
		a.server.Step(&raft.Message{Kind: raft.Tick})
		a.server.Flush()
		for range steps {
			r.node("c").sync()
			if !a.work() && !r.node("c").work() {
				r.deliver()
			}
		}
		half := len(a.works) > 0 && steps%2 == 0
		if half { // the work ends before the member hears of it
			a.works[0].run()
			a.works = a.works[1:]
		}
		a.server.Stop(ra.ErrClosed)
		for len(a.works) > 0 {
			a.works[0].run()
			a.works = a.works[1:]
		}
		if *open != 0 {
			t.Fatalf("after %d steps %d files are open", steps, *open)
		}
	}
}

// A leader whose store has a newer snapshot than it knows, since the life before it ended late, finds that out when it
// is to send the one that it knows.
func TestSenderFindsTheSnapshotOfTheLifeBefore(t *testing.T) {
	r := lagging(t)
	a := r.node("a")
	a.leave(206, a)
	r.tick(2)
	r.check("a", "b", "c")
	if got := r.node("c").installed; len(got) != 1 || got[0].New.Index != 206 {
		t.Errorf("installed were %+v", got)
	}
}

// leave puts a snapshot of the leader's present state into the store of a node, of which its member does not hear.
func (n *rigNode) leave(index ra.Index, leader *rigNode) {
	n.t.Helper()
	meta, err := leader.server.metaAt(index)
	if err != nil {
		n.t.Fatal(err)
	}
	w, err := n.store.Create(n.uid, meta)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err = (&ledgerCapture{node: leader, ids: leader.machine.ids, clock: leader.machine.clock}).WriteTo(w); err != nil {
		n.t.Fatal(err)
	}
	if _, err = w.Commit(); err != nil {
		n.t.Fatal(err)
	}
}

// SNX-04, SNAP-05: a snapshot that was received and not put in force, because the core had gone on, does not keep an older
// one of the next leader out: it comes into force itself, since that leader has no better one.
func TestLaterSnapshotServes(t *testing.T) {
	r := lagging(t)
	c := r.node("c")
	c.leave(206, r.node("a"))
	r.tick(3)
	r.check("a", "b", "c")
	if got := c.installed; len(got) != 1 || got[0].New.Index != 206 || c.log.Snapshot().Index != 206 {
		t.Errorf("installed were %+v, the log begins after %v", got, c.log.Snapshot())
	}
}
