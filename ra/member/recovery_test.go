package member

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// resting returns the leader of a cluster of one that leaves recovery checkpoints behind, with 20 commands applied.
// applied counts those that its machines apply from then on.
func resting(t testing.TB) (n *rigNode, applied *int) {
	r := newRig(t)
	r.policy.MinRecovery = 5
	n = r.add("a")
	r.elect("a")
	n.propose(20)
	n.settle()
	applied = new(int)
	n.onApply = func(*rigNode, machine.Meta, uint64, *machine.Effects) { *applied++ }
	return n, applied
}

// rest stops a member in good order, as its node does, and reports what became of its recovery checkpoint and whether one
// was due.
func (n *rigNode) rest() (bool, error) {
	c := n.server.RecoveryCheckpoint()
	n.server.Stop(ra.ErrClosed)
	if mark := n.server.Mark(); mark != nil {
		if err := (rigStore{n}).Store(mark); err != nil {
			n.t.Fatal(err)
		}
	}
	for !n.batch.Empty() {
		if err := n.wal.Commit(n.batch); err != nil {
			n.t.Fatal(err)
		}
		n.batch.Reset()
	}
	if c == nil {
		return false, nil
	}
	return true, c.Write()
}

// restWell is rest for those who know that a recovery checkpoint is written.
func (n *rigNode) restWell() {
	n.t.Helper()
	if due, err := n.rest(); !due || err != nil {
		n.t.Fatalf("a recovery checkpoint is due: %v, %v", due, err)
	}
}

// CKPT-10, FSM-02: what a member leaves behind is where its next life begins: nothing is applied again, and it knows its
// configuration though it does not read the log up to there.
func TestRecoveryCheckpoint(t *testing.T) {
	n, applied := resting(t)
	n.cut = away("x")
	n.server.Step(&raft.Message{Kind: raft.Change, Op: raft.Set, Members: []ra.Member{
		{ID: ra.ServerID{Name: "m", Node: "x"}, UID: "x", Membership: ra.NonVoter},
	}})
	n.server.Flush()
	n.settle()
	at := n.server.Status().Applied
	n.restWell()
	n.crash(vfs.CrashKept)
	n.start()
	if st := n.server.Status(); *applied != 0 || st.Applied != at || st.Commit != at || n.server.snaps.past.from != at {
		t.Errorf("%d commands were applied again, then it is at %+v; it left %d", *applied, st, at)
	}
	if got := n.server.Configuration(); len(got.Members) != 2 {
		t.Errorf("it begins with configuration %v", got)
	}
	log := &readLog{Log: n.log}
	cfg := n.config(ra.HardState{Term: 1, Vote: "a"}, 0)
	cfg.Log = log
	if _, err := New(cfg); err != nil || log.read != 0 {
		t.Errorf("the log is read up to %d: %v", log.read, err)
	}
	if due, err := n.rest(); due || err != nil {
		t.Errorf("with nothing new a recovery checkpoint is due: %v, %v", due, err)
	}
	n.crash(vfs.CrashKept)
	n.start()
	n.elect("a")
	n.propose(4) // and the leader's no-op
	n.settle()
	n.check("a")
	n.restWell()
	if all := n.store.Checkpoints("a"); *applied != 4 || len(all) != 1 || all[0].Index != at+5 || !all[0].Recovery {
		t.Errorf("%d commands were applied; checkpoints are %+v", *applied, all)
	}
	n.crash(vfs.CrashLost) // with a checkpoint that was not synced, or without it
	n.start()
	n.elect("a")
	n.check("a")
}

// readLog is a log that remembers up to where it was read.
type readLog struct {
	*raftlog.Log
	read ra.Index
}

func (l *readLog) Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error) {
	l.read = max(l.read, hi)
	return l.Log.Read(into, lo, hi, maxBytes)
}

// CKPT-10: at whatever operation of the disks a crash comes while a member stops and leaves a recovery checkpoint behind,
// with another one or a snapshot in place, it starts again and has everything.
func TestCrashWhileResting(t *testing.T) {
	for model := range vfs.CrashModels {
		for at, died := 0, true; died; at++ {
			n, _ := resting(t)
			n.onApply = releaseAfter(15)
			n.restWell()
			n.crash(vfs.CrashKept)
			n.start()
			n.elect("a")
			n.propose(6)
			n.settle()
			n.crashAt(at, model)
			_, err := n.rest()
			died = n.dead()
			if err != nil {
				t.Fatalf("crash %v at %d: %v", model, at, err)
			}
			if !died {
				n.crash(model)
			}
			n.start()
			n.elect("a")
			n.propose(1)
			n.settle()
			n.check("a")
			if left := n.leftovers(); len(left) > 0 {
				t.Errorf("crash %v at %d: %v are left", model, at, left)
			}
		}
	}
}

// CKPT-10: a checkpoint that a crash or the disk has damaged is not used, and the log is replayed.
func TestDamagedRecoveryCheckpoint(t *testing.T) {
	for _, opened := range []bool{false, true} {
		for off := int64(0); off < 400; off += 7 {
			n, applied := resting(t)
			n.restWell()
			name := slices.DeleteFunc(names(n), func(s string) bool { return s[len(s)-5:] != ".ckpt" })[0]
			if opened { // it decays while the node runs, and only this member is restarted
				if !n.disk.Flip(rigDir+"/"+name, off, 1) {
					break
				}
				server, err := New(n.config(ra.HardState{Term: 1, Vote: "a"}, 0))
				if err != nil {
					t.Fatalf("byte %d: %v", off, err)
				}
				n.server, n.base = server, n.writer.Seq()
				if len(n.problems) != 1 || !errors.Is(n.problems[0], ra.ErrCorrupt) || len(n.store.Checkpoints("a")) > 0 {
					t.Errorf("byte %d: problems %v, checkpoints %v", off, n.problems, n.store.Checkpoints("a"))
				}
				n.server.Flush()
			} else {
				n.crash(vfs.CrashKept)
				if !n.disk.Flip(rigDir+"/"+name, off, 1) {
					break
				}
				n.start()
			}
			n.elect("a")
			if *applied != 20 {
				t.Errorf("byte %d: %d commands were replayed", off, *applied)
			}
			n.check("a")
		}
	}
}

// names returns the files of a node's snapshots.
func names(n *rigNode) []string {
	all, err := n.disk.List(rigDir)
	if err != nil {
		n.t.Fatal(err)
	}
	return all
}

// CKPT-10, VER-07, VER-13: what the machine cannot take over, because it fails, panics, or is of older code than the state, is left
// aside, and stays for those who can. The member starts as it would have without it.
func TestRecoveryCheckpointIsNotUnderstood(t *testing.T) {
	for name, restore := range map[string]func() error{
		"fails": func() error { return errors.New("no") }, "panics": func() error { panic("no") },
	} {
		n, applied := resting(t)
		n.restWell()
		n.crash(vfs.CrashKept)
		n.onRestore = restore
		n.start()
		n.elect("a")
		if n.check("a"); *applied != 20 || len(n.store.Checkpoints("a")) != 1 {
			t.Errorf("%s: %d commands were replayed, checkpoints are %v", name, *applied, n.store.Checkpoints("a"))
		}
	}
	r := newRig(t)
	r.policy.MinRecovery, r.code = 1, 2
	n := r.add("a")
	r.elect("a") // puts version 2 in force
	n.propose(3)
	r.settle()
	n.restWell()
	n.crash(vfs.CrashKept)
	r.code = 1
	n.start()
	if st := n.server.Status(); st.Applied != 0 || !n.server.stuck {
		t.Errorf("older code has applied %d", st.Applied)
	}
	if due, err := n.rest(); due || err != nil {
		t.Errorf("older code leaves a checkpoint: %v, %v", due, err)
	}
	n.crash(vfs.CrashKept)
	r.code = 2
	n.start()
	if got, version := n.server.snaps.past.from, n.server.machine.Version(); got != 4 || version != 2 {
		t.Errorf("newer code begins at %d with version %d", got, version)
	}
	r.elect("a")
	n.check("a")
}

// CKPT-10: a member that has failed, whose cluster is deleted, or that is suspect leaves nothing behind, nor does one whose
// machine gives no state; that is no failure of the stop.
func TestNoRecoveryCheckpoint(t *testing.T) {
	for name, spoil := range map[string]func(n *rigNode){
		"off":     func(n *rigNode) { n.server.cfg.Policy.MinRecovery = 0 },
		"failed":  func(n *rigNode) { n.server.fail(errDisk) },
		"damaged": func(n *rigNode) { n.server.damaged(ra.ErrCorrupt) },
		"deleted": func(n *rigNode) { n.server.deleting = 3 },
		"panics":  func(n *rigNode) { n.onSnapshot = func() (machine.Capture, error) { panic("no") } },
		"refuses": func(n *rigNode) { n.onSnapshot = func() (machine.Capture, error) { return nil, errDisk } },
		"nothing": func(n *rigNode) { n.onSnapshot = func() (machine.Capture, error) { return nil, nil } },
		"suspect": func(n *rigNode) {
			cfg := n.config(ra.HardState{Term: 1, Vote: "a"}, n.server.Status().Applied)
			cfg.Suspect = true
			server, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			n.server = server
			n.server.Flush()
		},
	} {
		n, _ := resting(t)
		spoil(n)
		before := n.server.Failed()
		if c := n.server.RecoveryCheckpoint(); c != nil || n.captures != 0 || n.server.Failed() != before {
			t.Errorf("%s: there is one, or the member has failed: %v", name, n.server.Failed())
		}
		said := name == "panics" || name == "refuses" || name == "nothing"
		if said != (len(n.problems) == 1) {
			t.Errorf("%s: problems are %v", name, n.problems)
		}
	}
}

// CKPT-10: when there is no more time, or the disk fails, nothing is left of a recovery checkpoint, and its state is let go.
func TestRecoveryCheckpointGivenUp(t *testing.T) {
	for name, want := range map[string]error{"before": ra.ErrClosed, "within": ra.ErrClosed, "disk": errDisk, "panic": nil, "drop": nil} {
		n, applied := resting(t)
		var c *RecoveryCheckpoint
		n.onSnapshot = func() (machine.Capture, error) {
			return machine.CaptureFunc(func(w io.Writer) error {
				switch name {
				case "panic":
					panic("no")
				case "within":
					_, _ = w.Write([]byte("a part"))
					c.GiveUp()
				}
				_, err := w.Write(make([]byte, 300_000))
				return err
			}), nil
		}
		if name == "before" || name == "drop" {
			n.onSnapshot = nil
		}
		if c = n.server.RecoveryCheckpoint(); c == nil {
			t.Fatal("none is due")
		}
		n.server.Stop(ra.ErrClosed)
		switch name {
		case "before":
			c.GiveUp()
		case "disk":
			n.fs.Inject(vfs.Fault{Op: vfs.OpWrite, Err: errDisk})
		}
		if name == "drop" {
			c.Drop()
		} else if err := c.Write(); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		n.onSnapshot = nil
		if n.fs.Heal(); len(n.store.Checkpoints("a")) > 0 || len(n.leftovers()) > 0 || n.captures != 0 {
			t.Errorf("%s: %v and %v are left, %d captures", name, n.store.Checkpoints("a"), n.leftovers(), n.captures)
		}
		n.crash(vfs.CrashKept)
		n.start()
		n.elect("a")
		if n.check("a"); *applied != 20 {
			t.Errorf("%s: %d commands were replayed", name, *applied)
		}
	}
}
