package monkeytest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// A run without flags takes a few seeds. A campaign names its first one and how many:
//
//	go test ./system/monkeytest -timeout 0 -first 1000 -seeds 1000
//
// A seed makes what is drawn; who overtakes whom is the scheduler's, so that a seed which failed may have to be run some
// times to fail again: -first SEED -seeds 1 -count 20. -lines tells how much is printed of what was done before.
var (
	first   = flag.Uint64("first", 1, "the first seed")
	seeds   = flag.Int("seeds", 4, "how many seeds")
	seconds = flag.Int("seconds", 20, "how long faults happen, in seconds of virtual time")
	strict  = flag.Bool("strict", false, "fail if a cluster has to be deleted by force")
	lines   = flag.Int("lines", 300, "how many lines of the trace a failure prints")
)

// TestMonkey: whatever is done to nodes, the promises of docs/RELIABILITY.md hold (I5, I9, I13-I15, I18, I20, I21).
func TestMonkey(t *testing.T) {
	each(t, func(t *testing.T, seed uint64, rng *rand.Rand) {
		run(newWorld(t, seed, 1+rng.IntN(4), -1), rng)
	})
}

// TestDecay: they do while one node's disk decays, too: all that it loses comes back from the others (I10, I11).
func TestDecay(t *testing.T) {
	each(t, func(t *testing.T, seed uint64, rng *rand.Rand) {
		nodes := 3 + rng.IntN(2)
		run(newWorld(t, seed, nodes, rng.IntN(nodes)), rng)
	})
}

// each runs a test for each seed.
func each(t *testing.T, f func(t *testing.T, seed uint64, rng *rand.Rand)) {
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, seed, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// run is the whole life of one world.
func run(w *world, rng *rand.Rand) {
	t, seed := w.t, w.seed
	defer w.print()
	for i := range w.hosts {
		w.disks = append(w.disks, vfs.NewMem())
		w.open(i, rng)
	}
	for i := range 1 + rng.IntN(4) {
		name := fmt.Sprint("c", i)
		w.clusters = append(w.clusters, &subject{name: name, machine: []string{"plain", "deferred"}[rng.IntN(2)], past: newHistory(name, w.fail)})
	}
	var keepers []*keeper
	for i, s := range w.clusters {
		k := &keeper{w: w, rng: rand.New(rand.NewPCG(seed, 100+uint64(i))), s: s}
		keepers = append(keepers, k)
		k.find()
		if err := k.create(time.Minute); err != nil {
			w.fail("%s: %v", s.name, err)
		}
	}
	late, open := w.storm(keepers, seed, rng)
	if t.Failed() {
		w.note("", "heal, though something has failed")
	}
	w.end(keepers, rng)
	late.Wait()
	if n := open.Load(); n != 0 {
		w.fail("%d calls of Go have not ended", n)
	}
	for _, s := range w.clusters {
		s.past.check()
	}
	if n := w.wiped.Load(); n > 0 {
		t.Logf("seed %d: %d clusters were deleted by force", seed, n)
		if *strict {
			t.Fail()
		}
	}
}

// storm has everything happen at once for a while.
func (w *world) storm(keepers []*keeper, seed uint64, rng *rand.Rand) (late *sync.WaitGroup, open *atomic.Int64) {
	late, open = &sync.WaitGroup{}, &atomic.Int64{}
	ctx := w.ctx(time.Duration(*seconds) * time.Second)
	var all sync.WaitGroup
	for i := range 1 + rng.IntN(6) {
		c := &client{w: w, rng: rand.New(rand.NewPCG(seed, 200+uint64(i))), late: late, open: open}
		all.Go(func() { c.run(ctx) })
	}
	for _, k := range keepers {
		all.Go(func() { k.run(ctx) })
	}
	p := &poisoner{client{w: w, rng: rand.New(rand.NewPCG(seed, 400)), late: late, open: open}}
	all.Go(func() { p.run(ctx) })
	x := &weather{w: w, rng: rand.New(rand.NewPCG(seed, 300))}
	all.Go(func() { x.run(ctx) })
	all.Wait()
	return late, open
}

// end heals the world, closes it, and looks whether all is there when it is opened again.
func (w *world) end(keepers []*keeper, rng *rand.Rand) {
	w.note("", "all faults are over")
	var all sync.WaitGroup
	for _, k := range keepers {
		all.Go(k.heal)
	}
	all.Wait()
	states := w.states()
	w.closeAll(rng)
	for i := range w.hosts {
		w.open(i, rng)
	}
	w.reopened(states)
	w.closeAll(rng)
}

func (w *world) closeAll(rng *rand.Rand) {
	for i := range w.hosts {
		w.close(i, false, rng)
	}
}

// print prints the end of the trace of a world that failed.
func (w *world) print() {
	if w.t.Failed() {
		w.t.Logf("seed %d:\n%s", w.seed, strings.Join(w.trace[max(0, len(w.trace)-*lines):], "\n"))
	}
}
