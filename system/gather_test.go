package system

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// padded is a counter whose commands have anything behind their number, so that few of them fill a file of the log.
type padded struct {
	reference.Counter
	w *workshop
}

// workshop is what padded machines share with their test.
type workshop struct {
	door    chan struct{} // if there is one Apply waits until it is closed
	ballast int           // how much longer the state is
	fails   error         // what Snapshot fails with
	asked   atomic.Int64  // how often it was called
}

func (w *workshop) machine(machine.Init) machine.Machine { return &padded{w: w} }

// Apply adds the number.
func (p *padded) Apply(meta machine.Meta, command []byte, fx *machine.Effects) any {
	if p.w.door != nil {
		<-p.w.door
	}
	return p.Counter.Apply(meta, command[:8], fx)
}

// Snapshot captures the counter, and random bytes behind it.
func (p *padded) Snapshot() (machine.Capture, error) {
	p.w.asked.Add(1)
	if p.w.fails != nil {
		return nil, p.w.fails
	}
	value, _ := p.Query(machine.QueryContext{}, nil)
	b := reference.AppendAdd(nil, value.(int64))
	for rng := rand.New(rand.NewPCG(1, 1)); len(b) < 8+p.w.ballast; {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return machine.CaptureBytes(b), nil
}

// Restore reads the counter.
func (p *padded) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return p.Counter.Restore(bytes.NewReader(b[:8]))
}

// openPacking opens a node on which each machine is made in its workshop.
func openPacking(t *testing.T, fs vfs.FS, shops map[string]*workshop) *Node {
	t.Helper()
	cfg := storageConfig(fs)
	cfg.NoAutoStart = false
	cfg.Machines = make(map[string]machine.Factory)
	for name, w := range shops {
		cfg.Machines[name] = w.machine
	}
	return openStorageNode(t, cfg)
}

// startPacking starts a cluster of one member for each workshop, under the same name.
func startPacking(t *testing.T, n *Node, names ...string) (all []*Cluster) {
	t.Helper()
	for _, name := range names {
		c, err := n.StartCluster(t.Context(), ClusterConfig{Name: name, Machine: name})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// padding makes a command that adds 1.
func padding() []byte { return append(reference.AppendAdd(nil, 1), make([]byte, 2000)...) }

// fill sends each cluster long commands until some files more are flushed, and returns how many each has had.
func fill(t *testing.T, n *Node, all []*Cluster, files int64) (commands int64) {
	t.Helper()
	for until := n.Stats().RollOvers + files; n.Stats().RollOvers < until; commands++ {
		for _, c := range all {
			if _, err := c.Process(t.Context(), padding()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond) // for the segment writer, in virtual time
	}
	return commands
}

// countSnapshots returns how many of a node's snapshots are files of their own, and how many packs there are.
func countSnapshots(t *testing.T, fs vfs.FS) (alone, packs int) {
	t.Helper()
	names, err := fs.List("snapshots")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, ".pack"):
			packs++
		case strings.HasSuffix(name, ".snap"):
			alone++
		}
	}
	return alone, packs
}

// SNAP-01, SEG-01, I9: members with a small state give a snapshot when a file of the log is full, all of them in one file,
// and hardly anything of theirs goes into segments. The node comes back with what was applied, after a crash, too.
func TestPackInsteadOfSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		shops := map[string]*workshop{"a": {}, "b": {}, "c": {}}
		n := openPacking(t, mem, shops)
		sum := fill(t, n, startPacking(t, n, "a", "b", "c"), 4)
		if s := n.Stats().Segments; s.Bytes > 16<<10 {
			t.Errorf("%d bytes are in segments", s.Bytes)
		}
		if alone, packs := countSnapshots(t, mem); alone != 0 || packs == 0 || packs > 3 {
			t.Errorf("%d snapshots alone, %d packs", alone, packs)
		}
		want := map[string]int64{"a": sum, "b": sum, "c": sum}
		for model := range vfs.CrashModels {
			left := mem.Crash(model, rand.New(rand.NewPCG(1, uint64(model))))
			again := openPacking(t, left, shops)
			checkClusters(t, again, want)
			mustClose(t, again)
		}
		mustClose(t, n)
		checkClusters(t, openPacking(t, mem, shops), want)
	})
}

// FAIL-06: what a member has that gives no state, or too much of it, goes into segments as ever; the others do not notice.
func TestPackWithoutOne(t *testing.T) {
	for name, odd := range map[string]*workshop{
		"failing": {fails: errors.New("not now")},
		"large":   {ballast: 200 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := vfs.NewMem()
				shops := map[string]*workshop{"a": {}, "b": {}, "odd": odd}
				n := openPacking(t, mem, shops)
				all := startPacking(t, n, "a", "b", "odd")
				events := all[2].NewPipeline(64)
				for k := range 20 {
					if err := events.Submit(t.Context(), uint64(k), padding()); err != nil {
						t.Fatal(err)
					}
				}
				sum := fill(t, n, all[:2], 8)
				if s := n.Stats().Segments; s.Bytes < 20*2000 {
					t.Errorf("%d bytes are in segments", s.Bytes)
				}
				for range 20 {
					if e := <-events.Events(); e.Err != nil {
						t.Fatal(e.Err)
					}
				}
				if err := events.Close(t.Context()); err != nil {
					t.Fatal(err)
				}
				if asked := odd.asked.Load(); asked > 2 {
					t.Errorf("the state was asked for %d times", asked)
				}
				if alone, packs := countSnapshots(t, mem); alone != 0 || packs == 0 {
					t.Errorf("%d snapshots alone, %d packs", alone, packs)
				}
				mustClose(t, n)
				checkClusters(t, openPacking(t, mem, shops), map[string]int64{"a": sum, "b": sum, "odd": 20})
			})
		})
	}
}

// Who does not answer in time is not waited for, and can be asked again.
func TestLateOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &workshop{}
		n := openPacking(t, vfs.NewMem(), map[string]*workshop{"a": w})
		c := startPacking(t, n, "a")[0]
		for range 3 {
			if _, err := c.Process(t.Context(), padding()); err != nil {
				t.Fatal(err)
			}
		}
		r := n.registry.byName("a")
		file := &wal.Closed{Spans: []wal.Span{{UID: r.uid, First: 1, Last: r.log.Last()}}}
		w.door = make(chan struct{})
		go c.Process(t.Context(), padding())
		synctest.Wait()
		if offers := n.gather(file); len(offers) != 0 {
			t.Fatal("an offer of a member that is busy")
		}
		if first := r.log.FirstSegment(); first != 0 {
			t.Fatal(first)
		}
		close(w.door)
		synctest.Wait()
		if base, _ := r.log.Base(); base != 0 {
			t.Fatalf("a late offer has let go of the log up to %d", base)
		}
		n.spare(file)
		if base, _ := r.log.Base(); base != r.log.Last() {
			t.Errorf("the log is kept from %d to %d", base, r.log.Last())
		}
	})
}

// I12, FAIL-06: of a deleted member nothing is left in a pack when the log forgets the deletion, even if the disk is full just
// then.
func TestDeletedFromAPack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		errs := vfs.NewErrs(mem)
		shops := map[string]*workshop{"a": {}, "b": {}}
		n := openPacking(t, errs, shops)
		all := startPacking(t, n, "a", "b")
		sum := fill(t, n, all, 2)
		uid := n.registry.byName("b").uid
		if !slices.Contains(n.snapshots.UIDs(), uid) {
			t.Fatal("b has no snapshot")
		}
		if err := all[1].Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		for n.registry.byUID(uid) != nil {
			time.Sleep(time.Millisecond)
		}
		full := vfs.Fault{Op: vfs.OpWrite, Name: "*.pack.tmp", Times: 2, Err: syscall.ENOSPC} // for the new pack, and to be rid of the old one
		errs.Inject(full)
		began := time.Now()
		sum += fill(t, n, all[:1], 3)
		if time.Since(began) > minBackoff || errs.Struck() != 2 {
			t.Errorf("it has taken %v, %d failures", time.Since(began), errs.Struck())
		}
		mustClose(t, n)
		names, err := mem.List("snapshots")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if b := readAll(t, mem, "snapshots/"+name); bytes.Contains(b, []byte(uid)) {
				t.Errorf("%s tells of %s", name, uid)
			}
		}
		n = openPacking(t, mem, shops)
		checkGone(t, n, uid)
		checkClusters(t, n, map[string]int64{"a": sum})
	})
}
