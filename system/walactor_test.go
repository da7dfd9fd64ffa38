package system

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestBatching: what comes while a batch is being synced goes out with the next, and all of it with one sync (WAL-03).
func TestBatching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n := openStorageNode(t, storageConfig(errs))
		var lives []*life
		for i := range 50 {
			lives = append(lives, newLife(t, n, fmt.Sprint("m", i)))
		}
		before := n.Stats()
		letGo := holdLog(errs)
		for _, l := range lives {
			for range 3 {
				entries := l.entries(1, 10)
				l.seq++
				if err := errors.Join(l.r.log.Append(entries), n.store(l.r, &wal.Op{Seq: l.seq, Entries: entries})); err != nil {
					t.Fatal(err)
				}
			}
			n.wakeWAL()
		}
		letGo()
		for _, l := range lives {
			l.r.life.Lock()
			if err := l.r.waitDurable(t.Context(), n.wal.last(l.r)); err != nil {
				t.Fatal(err)
			}
			l.r.life.Unlock()
		}
		after := n.Stats()
		if syncs := after.Syncs - before.Syncs; syncs > 2 || after.Entries-before.Entries != 150 {
			t.Errorf("%d syncs for %d entries", syncs, after.Entries-before.Entries)
		}
	})
}

// TestStoreAllocates nothing: it is on the way of every order.
func TestStoreAllocates(t *testing.T) {
	n := openStorageNode(t, storageConfig(vfs.NewMem()))
	l := newLife(t, n, "m")
	op := wal.Op{State: &ra.HardState{Term: 1}}
	store := func() {
		l.seq++
		op.Seq = l.seq
		if err := n.store(l.r, &op); err != nil {
			t.Fatal(err)
		}
	}
	if got := testing.AllocsPerRun(100, store); got != 0 {
		t.Errorf("%v allocations an order", got)
	}
}

// TestOverload: a full batch turns orders away, and who was turned away may come again when it was taken.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n := openStorageNode(t, storageConfig(errs))
		l := newLife(t, n, "m")
		letGo := holdLog(errs)
		var err error
		for err == nil {
			entries := l.entries(1, 1000)
			l.seq++
			op := wal.Op{Seq: l.seq, Entries: entries}
			if err = l.r.log.Append(entries); err != nil {
				t.Fatal(err)
			}
			if err = n.store(l.r, &op); err != nil {
				l.r.leave([]wal.Op{op})
			}
			n.wakeWAL()
		}
		if !errors.Is(err, ra.ErrOverloaded) {
			t.Fatal(err)
		}
		// The life ends with this backlog; the next one finds it stored (LOG-04).
		done := make(chan error)
		go func() {
			l.r.life.Lock()
			defer l.r.life.Unlock()
			done <- n.settle(context.Background(), l.r)
		}()
		letGo()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n.wal.last(l.r) != l.r.durable.Load() || l.r.writer.Last() != l.r.log.Last() {
			t.Errorf("orders to %d, durable %d; entries to %d of %d", n.wal.last(l.r), l.r.durable.Load(), l.r.writer.Last(), l.r.log.Last())
		}
	})
}

// TestDiskFull: while there is no space nobody is told that anything was written, votes go on, and when there is space
// again so do entries (FAIL-07).
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		cfg := storageConfig(mem)
		cfg.WALFileSize = 4 * wal.MinFileSize
		n := openStorageNode(t, cfg)
		l, voter := newLife(t, n, "m"), newLife(t, n, "voter")
		l.append(1, 1000)
		mem.SetCapacity(1)
		if err := n.log.Reserve(); !errors.Is(err, ra.ErrDiskFull) {
			t.Fatal(err)
		}
		var op wal.Op
		for {
			entries := l.entries(1, 1000)
			l.seq++
			op = wal.Op{Seq: l.seq, Entries: entries}
			if err := l.r.log.Append(entries); err != nil {
				t.Fatal(err)
			}
			err := n.store(l.r, &op)
			if errors.Is(err, ra.ErrDiskFull) {
				break
			}
			if err != nil && !errors.Is(err, ra.ErrOverloaded) {
				t.Fatal(err)
			}
			n.wakeWAL()
			if err == nil {
				continue
			}
			l.r.life.Lock()
			if err := n.storeLate(shortly(t, n), l.r, &op); err != nil {
				l.r.life.Unlock()
				break
			}
			l.r.life.Unlock()
		}
		voter.order(wal.Op{State: &ra.HardState{Term: 9}})
		acked := l.r.durable.Load()
		crashed := mem.Crash(vfs.CrashLost, nil)
		crashed.SetCapacity(0)
		c := openStorageNode(t, storageConfig(crashed))
		if r := c.registry.byUID(l.r.uid); r == nil || r.writer.Seq() < acked {
			t.Errorf("acknowledged are orders up to %d, after a crash there are %d", acked, r.writer.Seq())
		}
		mem.SetCapacity(0)
		l.r.life.Lock()
		err := n.storeLate(t.Context(), l.r, &op)
		if err == nil {
			err = l.r.waitDurable(t.Context(), n.wal.last(l.r))
		}
		l.r.life.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		want := contents(t, l.r)
		mustClose(t, n)
		n = openStorageNode(t, cfg)
		if got := contents(t, n.registry.byUID(l.r.uid)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("found %d entries, %d were written", len(got), len(want))
		}
	})
}

// shortly returns a context that ends when the log has found out that the disk is full.
func shortly(t *testing.T, n *Node) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		for ctx.Err() == nil {
			n.wal.ref.Lock()
			full := n.wal.stuck || len(n.wal.noSpace) > 0
			n.wal.ref.Release()
			if full {
				cancel()
			}
		}
	}()
	return ctx
}

// TestStorageFailure: one failure is late, two in a row are the end: everybody hears of it, and nothing is acknowledged
// any more (I10, FAIL-07).
func TestStorageFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n := openStorageNode(t, storageConfig(errs))
		l, other := newLife(t, n, "m"), newLife(t, n, "other")
		errs.Inject(vfs.Fault{Op: vfs.OpSync, Name: walFile, Times: 1})
		l.append(1, 10)
		if n.storageErr() != nil {
			t.Fatal("one failure ended the log")
		}
		errs.Inject(vfs.Fault{Op: vfs.OpSync, Name: walFile})
		acked := l.r.durable.Load()
		var all sync.WaitGroup
		for _, x := range []*life{l, other} {
			all.Go(func() {
				if err := x.try(t.Context(), wal.Op{State: &ra.HardState{Term: 2}}); !errors.Is(err, ra.ErrStorageFailed) {
					t.Errorf("an order: %v", err)
				}
			})
		}
		all.Wait()
		if _, err := n.register(t.Context(), registrationOf("late")); !errors.Is(err, ra.ErrStorageFailed) {
			t.Errorf("a registration: %v", err)
		}
		if !errors.Is(n.storageErr(), ra.ErrStorageFailed) || l.r.durable.Load() != acked || n.registry.byName("late") != nil {
			t.Errorf("storageErr %v, durable %d of %d", n.storageErr(), l.r.durable.Load(), acked)
		}
	})
}

// TestSeal: an idle log vouches for its last batch, once, so that losing it is not taken for a crash.
func TestSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n := openStorageNode(t, storageConfig(errs))
		newLife(t, n, "m").append(1, 10)
		seals := 0
		errs.Trace(func(op vfs.Op, _ string) {
			if op == vfs.OpSync { // nothing else is written here
				seals++
			}
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if s := n.Stats().Syncs; s != 2 || seals != 1 {
			t.Errorf("%d batches, %d seals", s, seals)
		}
		errs.Trace(nil)
	})
}

// WAL-05: nodes draw how much of their first file they use, so that they do not roll over at the same moment.
func TestFirstFileIsDrawn(t *testing.T) {
	const size = 1 << 20
	low, high := int64(size), int64(0)
	for range 1000 {
		n := firstFile(size)
		low, high = min(low, n), max(high, n)
	}
	if low < size/2 || low > size*6/10 || high > size || high < size*9/10 {
		t.Errorf("drawn are %d to %d of %d", low, high, size)
	}
	if n := firstFile(wal.MinFileSize); n < wal.MinFileSize/2 || n > wal.MinFileSize {
		t.Errorf("of the smallest file %d", n)
	}
}
