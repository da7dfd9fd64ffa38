package system

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// flipWhere changes a byte behind the last place in a directory's files where mark stands.
func flipWhere(t testing.TB, mem *vfs.Mem, dir string, mark []byte) {
	t.Helper()
	names, err := mem.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			continue
		}
		if at := bytes.LastIndex(readAll(t, mem, dir+"/"+name), mark); at >= 0 && mem.Flip(dir+"/"+name, int64(at), 1) {
			return
		}
	}
	t.Fatalf("%q stands nowhere", mark)
}

func readAll(t testing.TB, mem *vfs.Mem, name string) []byte {
	t.Helper()
	f, err := mem.Open(name, vfs.Buffered)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// isolated checks that member bad is suspect, that it alone is, and that the others can go on.
func isolated(t *testing.T, n *Node, bad, good ra.UID) {
	t.Helper()
	r, other := n.registry.byUID(bad), n.registry.byUID(good)
	if r == nil || other == nil {
		t.Fatal("a member is missing")
	}
	var c member.Config
	if err := n.loadServer(t.Context(), r, &c); err != nil || !c.Suspect || !errors.Is(n.report.Suspect[bad], ra.ErrDamaged) {
		t.Errorf("the member that lost entries: %v, suspect %v, reported as %v", err, c.Suspect, n.report.Suspect[bad])
	}
	c = member.Config{}
	if err := n.loadServer(t.Context(), other, &c); err != nil || c.Suspect || len(n.report.Suspect) != 1 {
		t.Errorf("the sound member: %v; reported are %v", err, n.report.Suspect)
	}
	if s := n.Stats(); s.Suspect != 1 || s.Damaged != 0 {
		t.Errorf("stats: %+v", s)
	}
	// The log goes on and hands its files back, whatever it has of the damaged member.
	l := lifeOf(t, n, other)
	for rolls := n.Stats().RollOvers + 3; n.Stats().RollOvers < rolls; {
		l.append(5, 1000)
	}
}

// TestDamagedLog: a member whose entries in the write-ahead log have decayed takes no part, also after further restarts,
// and nobody else suffers (I10).
func TestDamagedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		cfg := storageConfig(mem)
		cfg.WALFileSize = 4 * wal.MinFileSize
		n := openStorageNode(t, cfg)
		bad, good := newLife(t, n, "bad"), newLife(t, n, "good")
		bad.append(10, 50)
		good.append(5, 50)
		entries := bad.entries(1, 0)
		entries[0] = ra.Seal(ra.NewBody([]byte("here it breaks")), ra.Header{Index: entries[0].Index, Term: 1, Kind: ra.KindCommand})
		if err := bad.r.log.Append(entries); err != nil {
			t.Fatal(err)
		}
		bad.order(wal.Op{Entries: entries})
		good.append(5, 50)
		mustClose(t, n)
		flipWhere(t, mem, "wal", []byte("it breaks"))
		for range 3 {
			n = openStorageNode(t, cfg)
			isolated(t, n, bad.r.uid, good.r.uid)
			mustClose(t, n)
		}
	})
}

// TestDamagedSegment: the same for entries in segments, whose index has decayed or whose file is gone (LOG-06, FAIL-10).
func TestDamagedSegment(t *testing.T) {
	for _, how := range []string{"flipped", "removed"} {
		t.Run(how, func(t *testing.T) {
			mem := vfs.NewMem()
			n := openStorageNode(t, storageConfig(mem))
			bad, good := newLife(t, n, "bad"), newLife(t, n, "good")
			for n.Stats().RollOvers < 2 {
				bad.append(1, 3000)
			}
			mustClose(t, n)
			names, err := mem.List("segments")
			if err != nil {
				t.Fatal(err)
			}
			name := "segments/" + names[0]
			b := readAll(t, mem, name)
			if how == "removed" {
				if err := mem.Remove(name); err != nil {
					t.Fatal(err)
				}
			} else {
				// The superblock says where the table begins; the last index ends there (docs/FORMAT-SEGMENT.md).
				table := binary.LittleEndian.Uint64(b[32:])
				if !mem.Flip(name, int64(table)-2, 1) {
					t.Fatal("there is no index")
				}
			}
			n = openStorageNode(t, storageConfig(mem))
			isolated(t, n, bad.r.uid, good.r.uid)
		})
	}
}

// TestDamagedBody: an entry in a segment that has decayed is found when the member starts, which then is suspect like one
// whose index has: calls say so, and nobody else suffers (I10, I11).
func TestDamagedBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, func(c *Config) { c.WALFileSize, c.Snapshots.Growth = wal.MinFileSize, 1<<40 })
		bad, good := w.cluster("bad", "table", "n1"), w.cluster("good", "counter", "n1")
		for w.n(1).Stats().RollOvers == 0 { // until then the log has the entries, too
			if _, err := bad.Process(w.ctx(), reference.AppendPut(nil, "k", make([]byte, 3000))); err != nil {
				t.Fatal(err)
			}
		}
		w.add(good, 5)
		w.close("n1")
		mem := w.disks["n1"]
		names, err := mem.List("segments")
		if err != nil {
			t.Fatal(err)
		}
		if !mem.Flip("segments/"+names[0], 500, 1) {
			t.Fatal("there are no bodies")
		}
		n := w.open("n1")
		if got := w.add(w.on("n1", "good"), 1); got != 6 {
			t.Errorf("the sound cluster is at %d", got)
		}
		_, err = w.on("n1", "bad").Process(w.ctx(), reference.AppendDelete(nil, "k"))
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrDamaged) })
		if r := n.Report(); len(r.Suspect) != 1 || len(r.NotStarted) != 0 || n.Stats().Suspect != 1 {
			t.Errorf("report %+v, stats %+v", r, n.Stats())
		}
	})
}

// cutSegments has a member write until it has segments, closes the node, and cuts short the newest of their files, which it
// returns: nobody can tell any more whose that was.
func cutSegments(t *testing.T, mem *vfs.Mem, n *Node, l *life) (name string) {
	t.Helper()
	for n.Stats().RollOvers < 4 {
		l.append(1, 3000)
	}
	mustClose(t, n)
	names, err := mem.List("segments")
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range names {
		if path.Ext(each) == ".seg" {
			name = each
		}
	}
	mem.Cut("segments/"+name, 100)
	return name
}

// TestMarkBeforeQuarantine: what may be void since a file of segments is lost is marked, durably, before that file moves to
// quarantine, however slow the log's syncs are, and nothing but its batch has the mark because no segment can be written.
// The power fails in that moment: the next start knows of the loss by the mark alone (I10).
func TestMarkBeforeQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		early, late := newLife(t, n, "early"), newLife(t, n, "late")
		early.append(3, 100)
		lost := cutSegments(t, mem, n, late)
		if err := mem.Remove("segments/ROSTER"); err != nil { // or it would say that nothing of early is lost
			t.Fatal(err)
		}
		slow, left := vfs.NewErrs(mem), (*vfs.Mem)(nil)
		slow.Inject(vfs.Fault{Op: vfs.OpCreate, Name: "*.seg.tmp"})
		slow.Judge(func(op vfs.Op, name string) *vfs.Fault {
			switch log, _ := path.Match(walFile, path.Base(name)); {
			case log && op == vfs.OpSync:
				time.Sleep(time.Second) // of the bubble's clock: all else that can happen comes first
			case op == vfs.OpRename && name == path.Join("segments", vfs.Quarantine, lost) && left == nil:
				left = mem.Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1)))
			}
			return nil
		})
		n = openStorageNode(t, storageConfig(slow))
		synctest.Wait()
		mustClose(t, n)
		if left == nil {
			t.Fatal("what cannot be read has stayed where it was")
		}
		if err := left.Remove("segments/" + lost); err != nil { // the move will be durable
			t.Fatal(err)
		}
		n = openStorageNode(t, storageConfig(left))
		if r := n.Report(); !errors.Is(r.Suspect[early.r.uid], ra.ErrDamaged) {
			t.Errorf("nobody knows of the loss any more: %+v", r)
		}
	})
}

// TestLostSegmentFile: of a file of which nothing is readable it is known whose entries are missing. They are suspect, and
// others are not.
func TestLostSegmentFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		bad, good := newLife(t, n, "bad"), newLife(t, n, "good")
		cutSegments(t, mem, n, bad)
		n = openStorageNode(t, storageConfig(mem))
		if len(n.Report().Segments.Lost) != 1 {
			t.Errorf("report: %+v", n.Report().Segments)
		}
		isolated(t, n, bad.r.uid, good.r.uid)
	})
}

// TestLostSegmentFileOfAnother: a file is lost, and what is left of a member's entries in segments looks whole. So it is, if the
// roster tells that the file was another member's. If there is no roster the file may have made it void, and the member is
// suspect, too; who has no entries in segments is not.
func TestLostSegmentFileOfAnother(t *testing.T) {
	for _, known := range []bool{true, false} {
		lostSegmentFileOfAnother(t, known)
	}
}

func lostSegmentFileOfAnother(t *testing.T, known bool) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		early, late, good := newLife(t, n, "early"), newLife(t, n, "late"), newLife(t, n, "good")
		early.append(3, 100)
		cutSegments(t, mem, n, late)
		if !known {
			if err := mem.Remove("segments/ROSTER"); err != nil {
				t.Fatal(err)
			}
		}
		n = openStorageNode(t, storageConfig(mem))
		if len(n.Report().Segments.Lost) != 1 {
			t.Errorf("report: %+v", n.Report().Segments)
		}
		for l, want := range map[*life]bool{early: !known, late: true, good: false} {
			if got := n.Report().Suspect[l.r.uid]; errors.Is(got, ra.ErrDamaged) != want {
				t.Errorf("%s: reported as %v", l.r.id.Name, got)
			}
		}
	})
}

// TestLostSnapshot: without the snapshot that stands for its beginning a log is of no use (SNAP-07, FAIL-10).
func TestLostSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		bad, good := newLife(t, n, "bad"), newLife(t, n, "good")
		for n.Stats().RollOvers < 2 {
			bad.append(1, 3000)
		}
		takeSnapshot(t, bad.r, bad.r.log.Last()-1)
		flushNow(t, n)
		mustClose(t, n)
		names, err := mem.List("snapshots")
		if err != nil {
			t.Fatal(err)
		}
		mem.Cut("snapshots/"+names[0], 10)
		n = openStorageNode(t, storageConfig(mem))
		if len(n.Report().Snapshots.Damaged) != 1 {
			t.Errorf("report: %+v", n.Report().Snapshots)
		}
		isolated(t, n, bad.r.uid, good.r.uid)
	})
}

// TestOutOfStep: a member whose log in memory is not what the write-ahead log has stays down until the node is opened
// again, and then has what was stored.
func TestOutOfStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		l := newLife(t, n, "m")
		l.append(3, 10)
		if err := l.r.log.Append(l.entries(2, 10)); err != nil {
			t.Fatal(err)
		}
		var c member.Config
		for range 2 {
			if err := n.loadServer(t.Context(), l.r, &c); !errors.Is(err, ra.ErrDamaged) {
				t.Errorf("loadServer: %v", err)
			}
		}
		mustClose(t, n)
		n = openStorageNode(t, storageConfig(mem))
		r := n.registry.byUID(l.r.uid)
		if err := n.loadServer(t.Context(), r, &c); err != nil || c.Log.Last() != 3 {
			t.Errorf("loadServer: %v, %d entries", err, r.log.Last())
		}
	})
}

// TestLoadServer: a life begins with what the last one has left, its backlog included.
func TestLoadServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openStorageNode(t, storageConfig(vfs.NewMem()))
		l := newLife(t, n, "m")
		l.append(3, 10)
		l.order(wal.Op{State: &ra.HardState{Term: 1, Vote: l.r.uid}, Applied: 2})
		entries := l.entries(2, 10)
		if err := l.r.log.Append(entries); err != nil {
			t.Fatal(err)
		}
		l.r.leave([]wal.Op{{Seq: l.seq + 1, Entries: entries[:1]}, {Seq: l.seq + 2, Entries: entries[1:], State: &ra.HardState{Term: 2}}})
		var c member.Config
		if err := n.loadServer(t.Context(), l.r, &c); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Raft.Self != l.r.uid || c.ID != l.r.id || c.Cluster != "m" || c.Factory == nil || len(c.Initial) != 1:
			t.Errorf("who: %+v", c)
		case c.State != ra.HardState{Term: 2} || c.Applied != 2 || c.Log.Last() != 5 || c.Snapshots == nil || c.Background == nil:
			t.Errorf("what: %+v", c)
		case l.r.durable.Load() != l.seq+3 || l.r.base.Load() != l.seq+3:
			t.Errorf("durable %d, base %d, want %d", l.r.durable.Load(), l.r.base.Load(), l.seq+3)
		}
		n.cfg.Machines = nil
		if err := n.loadServer(t.Context(), l.r, &c); !errors.Is(err, ra.ErrUnknownMachine) {
			t.Errorf("without its machine: %v", err)
		}
	})
}

// TestStartAll: Open starts everybody that can be started, says who cannot, and keeps what it is told to leave alone.
func TestStartAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 100
		mem := vfs.NewMem()
		cfg := storageConfig(mem)
		cfg.NoAutoStart = false
		n := openStorageNode(t, cfg)
		var all []ClusterConfig
		for i := range many {
			all = append(all, ClusterConfig{Name: fmt.Sprint("c", i), Machine: "counter"})
		}
		clusters, err := n.StartClusters(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range clusters {
			if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 3)); err != nil {
				t.Fatal(err)
			}
		}
		mustClose(t, n)

		n = openStorageNode(t, cfg)
		if s := n.Stats(); s.Running != many || s.Members != many || len(n.Report().NotStarted) != 0 {
			t.Errorf("stats: %+v, %v", s, n.Report())
		}
		for i := range many {
			c, err := n.Cluster(fmt.Sprint("c", i))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.WaitLeader(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r, err := c.Process(t.Context(), reference.AppendAdd(nil, 4)); err != nil || r.Reply != int64(7) {
				t.Fatalf("cluster %d: %+v, %v", i, r, err)
			}
		}
		mustClose(t, n)

		without := cfg
		without.Machines = nil
		n = openStorageNode(t, without)
		if s := n.Stats(); s.Running != 0 || len(n.Report().NotStarted) != many {
			t.Errorf("without machines: %+v, %v", s, n.Report())
		}
		for _, err := range n.Report().NotStarted {
			if !errors.Is(err, ra.ErrUnknownMachine) {
				t.Errorf("not started: %v", err)
			}
		}
		mustClose(t, n)

		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Open(canceled, cfg); !errors.Is(err, context.Canceled) {
			t.Errorf("without time: %v", err)
		}
		cfg.NoAutoStart = true
		n = openStorageNode(t, cfg)
		if s := n.Stats(); s.Running != 0 || s.Members != many || len(n.Report().NotStarted) != 0 {
			t.Errorf("without start: %+v, %v", s, n.Report())
		}
	})
}

// Open does not report members as not started that another node had started, or deleted, before it came to them. Those that
// are stopped it starts, of course.
func TestOvertakenAtOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		records := make(map[string]*record)
		for _, name := range []string{"runs", "stopped", "deleted"} {
			w.cluster(name, "counter", "n1")
			records[name] = w.n(1).registry.byName(name)
		}
		there := func(name string) *Member { return w.n(2).Member(ra.ServerID{Name: name, Node: "n1"}) }
		if err := errors.Join(there("stopped").Stop(w.ctx()), there("deleted").Delete(w.ctx())); err != nil {
			t.Fatal(err)
		}
		for name, r := range records {
			if err := w.n(1).startFirst(w.ctx(), r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if runs := r.proc.Load() != nil; runs != (name != "deleted") {
				t.Errorf("%s runs: %v", name, runs)
			}
		}
	})
}
