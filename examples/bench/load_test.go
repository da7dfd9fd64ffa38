package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// memoryCluster answers from another goroutine. Every failEvery-th command fails; of these every second one was
// applied all the same.
type memoryCluster struct {
	mu        sync.Mutex
	failEvery int
	commands  int
	applied   map[int]uint64
	inFlight  map[int]int
	most      int
	stamps    map[string]bool
	running   sync.WaitGroup
}

func newMemoryCluster(failEvery int) *memoryCluster {
	return &memoryCluster{failEvery: failEvery, applied: map[int]uint64{}, inFlight: map[int]int{}, stamps: map[string]bool{}}
}

func (m *memoryCluster) submit(cluster int, command []byte, done func(ra.Result, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commands++
	m.stamps[string(command)] = true
	m.inFlight[cluster]++
	m.most = max(m.most, m.inFlight[cluster])
	err := m.fate(m.commands)
	if err == nil || ra.MayHaveBeenApplied(err) {
		m.applied[cluster]++
	}
	m.running.Go(func() {
		m.mu.Lock()
		m.inFlight[cluster]--
		m.mu.Unlock()
		done(ra.Result{}, err)
	})
}

func (m *memoryCluster) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.commands
}

func (m *memoryCluster) fate(n int) error {
	switch {
	case m.failEvery == 0 || n%m.failEvery != 0:
		return nil
	case n%(2*m.failEvery) == 0:
		return &ra.UncertainError{Cause: ra.ErrClosed}
	}
	return ra.ErrOverloaded
}

func TestFill(t *testing.T) {
	for _, failEvery := range []int{0, 10} {
		m := newMemoryCluster(failEvery)
		l := newLoad(options{clusters: 7, inflight: 3, payload: 16, clients: 2}, m.submit)
		l.setBudget(100)
		if err := l.fill(context.Background()); err != nil {
			t.Fatal(err)
		}
		m.running.Wait()
		var acked uint64
		for c, known := range l.clusters {
			acked += known.acked
			if m.applied[c] != known.acked+known.uncertain {
				t.Errorf("cluster %d applied %d, known are %+v", c, m.applied[c], known)
			}
			if want := uint64(100 / 7); known.acked != want && known.acked != want+1 {
				t.Errorf("cluster %d got %d commands", c, known.acked)
			}
		}
		if acked != 100 || m.most > 3 || len(m.stamps) != m.commands {
			t.Errorf("%d acknowledged, %d in flight at most, %d of %d commands differ", acked, m.most, len(m.stamps), m.commands)
		}
		if (l.failures() > 0) != (failEvery > 0) || (l.lastErr() != nil) != (failEvery > 0) {
			t.Errorf("%v failures, last error %v", l.failures(), l.lastErr())
		}
	}
}

func TestMeasuredCountsOnlyTheMeasurement(t *testing.T) {
	m := newMemoryCluster(0)
	l := newLoad(options{clusters: 1, inflight: 2, payload: 8}, m.submit)
	samples := 0
	sampled := func() sample {
		samples++
		for m.count() < 10 { // so some are answered during the warm-up
			runtime.Gosched()
		}
		return sample{entries: float64(m.count())}
	}
	before, after, err := l.measured(context.Background(), options{}, sampled)
	if err != nil {
		t.Fatal(err)
	}
	m.running.Wait()
	h, failed := l.total()
	if samples != 2 || failed != 0 || h.count == 0 || h.count >= l.clusters[0].acked || l.clusters[0].acked != m.applied[0] {
		t.Errorf("%d samples, %v failed, %d measured, %d acknowledged, %d applied", samples, failed, h.count, l.clusters[0].acked, m.applied[0])
	}
	if before.entries >= after.entries {
		t.Errorf("%v commands had begun before the measurement, %v until its end", before.entries, after.entries)
	}
}

func TestInterruptedLoadEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	m := newMemoryCluster(0)
	l := newLoad(options{clusters: 2, inflight: 2, payload: 1}, func(c int, b []byte, done func(ra.Result, error)) {
		m.submit(c, b, done)
		cancel()
	})
	if _, _, err := l.measured(ctx, options{warmup: time.Hour, duration: time.Hour}, func() sample { return sample{} }); err != nil {
		t.Error(err)
	}
	m.running.Wait()
}

func TestAskers(t *testing.T) {
	a := &asker{phase: new(atomic.Int32), first: newFirst()}
	a.record(time.Millisecond, nil)
	a.phase.Store(phaseMeasure)
	a.record(time.Millisecond, nil)
	a.record(time.Millisecond, errors.New("no"))
	if a.hist.count != 1 || a.failed != 1 || a.lastErr == nil {
		t.Errorf("%d recorded, %v failed, last error %v", a.hist.count, a.failed, a.lastErr)
	}
}
