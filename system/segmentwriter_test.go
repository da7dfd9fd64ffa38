package system

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestRollOvers: while members go on, full files of the log go into segments, and nothing is lost or doubled: not by a
// restart, and not by a crash (LOG-01, SEG-01).
func TestRollOvers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		var lives []*life
		for i := range 5 {
			lives = append(lives, newLife(t, n, fmt.Sprint("m", i)))
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for n.Stats().RollOvers < 5 {
			l := lives[rng.IntN(len(lives))]
			if last := l.r.log.Last(); last > 20 && rng.IntN(10) == 0 {
				l.truncate(last - ra.Index(rng.IntN(20)))
			}
			l.append(1+rng.IntN(10), rng.IntN(1000))
		}
		want := make(map[ra.UID]string)
		for _, l := range lives {
			want[l.r.uid] = fmt.Sprint(contents(t, l.r))
		}
		check := func(n *Node, when string) {
			t.Helper()
			for uid, entries := range want {
				r := n.registry.byUID(uid)
				if r == nil || r.damaged() != nil {
					t.Fatalf("%s: member %s: %+v", when, uid, r.damaged())
				}
				if got := fmt.Sprint(contents(t, r)); got != entries {
					t.Errorf("%s: member %s has %v\nwant %v", when, uid, got, entries)
				}
			}
		}
		check(n, "live")
		for model := range vfs.CrashModels {
			check(openStorageNode(t, storageConfig(mem.Crash(model, rng))), model.String())
		}
		mustClose(t, n)
		n = openStorageNode(t, storageConfig(mem))
		flushNow(t, n)
		if files := n.log.Closed(); len(files) != 0 {
			t.Errorf("%d files wait", len(files))
		}
		check(n, "reopened")
		if s := n.Stats().Segments; s.Files == 0 {
			t.Error("nothing is in segments")
		}
	})
}

// TestSegmentWriterRetries: what fails is tried again, in order, and members go on meanwhile (FAIL-06).
func TestSegmentWriterRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n := openStorageNode(t, storageConfig(errs))
		l := newLife(t, n, "m")
		errs.Inject(vfs.Fault{Op: vfs.OpCreate, Name: "*.seg.tmp", Times: 2})
		for n.Stats().RollOvers < 3 {
			l.append(5, 1000)
			time.Sleep(time.Millisecond)
		}
		if got, want := len(contents(t, l.r)), int(l.r.log.Last()); got != want {
			t.Errorf("%d of %d entries", got, want)
		}
	})
}

// TestFlushGoesOn: a flush whose last step fails is not begun anew: on a full disk, which may be the reason, that would
// leave a copy of the same segments each time.
func TestFlushGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		errs := vfs.NewErrs(mem)
		n := openStorageNode(t, storageConfig(errs))
		l := newLife(t, n, "m")
		errs.Inject(vfs.Fault{Op: vfs.OpCreate, Name: "state.tmp", Times: 3})
		for n.Stats().RollOvers < 1 {
			l.append(5, 1000)
			time.Sleep(time.Millisecond)
		}
		mustClose(t, n)
		files, err := mem.List("segments")
		files = slices.DeleteFunc(files, func(name string) bool { return path.Ext(name) != ".seg" })
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		if last := fmt.Sprintf("%016d.seg", n.Stats().RollOvers); files[len(files)-1] > last {
			t.Errorf("the newest of the segments is %s, after %s", files[len(files)-1], last)
		}
	})
}

// LOG-01, I9: a file of the log that cannot be handed back for a while does not keep the files behind it from being flushed
// one after the other, each as a whole.
func TestReleaseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		errs := vfs.NewErrs(mem)
		cfg := storageConfig(errs)
		cfg.NoAutoStart = false
		cfg.Snapshots.Growth = 1 << 40 // none, so that all goes into segments
		n := openStorageNode(t, cfg)
		c, err := n.StartCluster(t.Context(), ClusterConfig{Name: "c", Machine: "counter"})
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		count := func(commands int) {
			for range commands {
				if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); err != nil {
					t.Fatal(err)
				}
				sum++
			}
		}
		errs.Inject(vfs.Fault{Op: vfs.OpCreate, Name: "state.tmp"})
		count(200)
		synctest.Wait() // for the segment writer, which comes when it comes
		if len(n.log.Closed()) < 3 || errs.Struck() == 0 {
			t.Fatalf("%d files wait, %d failures", len(n.log.Closed()), errs.Struck())
		}
		errs.Heal()
		time.Sleep(2 * maxBackoff)
		synctest.Wait()
		mustClose(t, n)
		cfg.FS = mem
		again := openStorageNode(t, cfg)
		if r := again.Report(); len(r.Suspect)+len(r.Damaged) > 0 {
			t.Fatalf("%+v", r)
		}
		checkClusters(t, again, map[string]int64{"c": sum})
	})
}

// TestDeletion: nothing is left of a deleted member, in no file, and nothing comes back (API-10).
func TestDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		gone, stays := newLife(t, n, "gone"), newLife(t, n, "stays")
		for n.Stats().RollOvers < 2 {
			gone.append(5, 1000)
			stays.append(1, 10)
		}
		takeSnapshot(t, gone.r, 3)
		takeSnapshot(t, stays.r, 3)
		if err := n.unregister(t.Context(), gone.r); err != nil {
			t.Fatal(err)
		}
		if n.registry.byUID(gone.r.uid) != nil || n.registry.byName("gone") != nil || n.registry.byCluster("gone") != nil {
			t.Error("the record is there")
		}
		for range 2 {
			flushNow(t, n)
			checkGone(t, n, gone.r.uid)
			if err := n.unregister(t.Context(), gone.r); err != nil {
				t.Errorf("a second time: %v", err)
			}
			mustClose(t, n)
			n = openStorageNode(t, storageConfig(mem))
		}
		if r := n.registry.byUID(stays.r.uid); r == nil || r.damaged() != nil || r.log.Last() != stays.r.log.Last() {
			t.Errorf("the other one: %+v", r)
		}
		// The file with the deletion itself goes into segments, too.
		again := lifeOf(t, n, n.registry.byUID(stays.r.uid))
		for n.Stats().RollOvers < 3 {
			again.append(5, 1000)
		}
		mustClose(t, n)
		n = openStorageNode(t, storageConfig(mem))
		flushNow(t, n)
		checkGone(t, n, gone.r.uid)
	})
}

// takeSnapshot writes a snapshot of a member at an index.
func takeSnapshot(t *testing.T, r *record, index ra.Index) {
	t.Helper()
	term, ok := r.log.Term(index)
	if !ok {
		t.Fatalf("no entry %d", index)
	}
	w, err := r.node.snapshots.Create(r.uid, snapshot.Meta{Index: index, Term: term, Members: r.reg.initial})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("state")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	r.log.Release(index)
}

func checkGone(t *testing.T, n *Node, uid ra.UID) {
	t.Helper()
	if slices.Contains(n.segments.UIDs(), uid) || slices.Contains(n.snapshots.UIDs(), uid) || len(n.report.Orphans) > 0 {
		t.Errorf("segments of %v, snapshots of %v, orphans %v", n.segments.UIDs(), n.snapshots.UIDs(), n.report.Orphans)
	}
	if s := n.segments.Stats(); s.Dead > 0 {
		t.Errorf("%d dead files are there", s.Dead)
	}
}

// TestDeletionAgain: a deletion that failed half-way is finished by the next call, or by the next start.
func TestDeletionAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, restart := range []bool{false, true} {
			mem := vfs.NewMem()
			errs := vfs.NewErrs(mem)
			n := openStorageNode(t, storageConfig(errs))
			l := newLife(t, n, "m")
			l.append(10, 10)
			takeSnapshot(t, l.r, 5)
			errs.Inject(vfs.Fault{Op: vfs.OpRemove, Name: "*.snap*", Times: 1})
			if err := n.unregister(t.Context(), l.r); err == nil {
				t.Fatal("the fault was not met")
			}
			if restart {
				mustClose(t, n)
				n = openStorageNode(t, storageConfig(mem))
			} else if err := n.unregister(t.Context(), l.r); err != nil {
				t.Fatal(err)
			}
			flushNow(t, n)
			checkGone(t, n, l.r.uid)
			if n.registry.size() != 0 {
				t.Errorf("%d members", n.registry.size())
			}
		}
	})
}

// TestDeletionWaits: a snapshot that is being written when its member is deleted never outlives what the log says of the
// deletion, or else it would be there for good if the process were killed then (I12).
func TestDeletionWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		gone, stays := newLife(t, n, "gone"), newLife(t, n, "stays")
		gone.append(10, 10)
		var killed *vfs.Mem
		write := make(chan struct{})
		memberWork{gone.r}.Run(func() {
			<-write
			takeSnapshot(t, gone.r, 5)
			killed = mem.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 2)))
		}, nil)
		deleted := make(chan error, 1)
		go func() { deleted <- n.unregister(t.Context(), gone.r) }()
		for n.Stats().RollOvers < 5 {
			stays.append(5, 1000)
		}
		close(write)
		if err := <-deleted; err != nil {
			t.Fatal(err)
		}
		flushNow(t, n)
		checkGone(t, n, gone.r.uid)
		if n = openStorageNode(t, storageConfig(killed)); len(n.report.Orphans) > 0 {
			t.Errorf("orphans %v", n.report.Orphans)
		}
	})
}

// TestSpareFile: a small node makes no second file, one that is used does in time.
func TestSpareFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := storageConfig(vfs.NewMem())
		cfg.WALFileSize = 16 * wal.MinFileSize
		n := openStorageNode(t, cfg)
		l := newLife(t, n, "m")
		flushNow(t, n)
		if !n.log.NeedsReserve() {
			t.Error("an idle node made a spare file")
		}
		for n.wal.fill() <= 0.25 {
			l.append(1, 10000)
		}
		if !n.segwriter.wanted() {
			t.Error("nobody wants a spare file")
		}
		flushNow(t, n)
		if n.log.NeedsReserve() || n.segwriter.wanted() {
			t.Error("there is no spare file")
		}
	})
}
