package rafttest

import (
	"flag"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	every    = flag.Int("every", 101, "try every so manieth point of each workload; 1 tries all")
	point    = flag.Int("point", -1, "try this point only")
	workload = flag.String("workload", "", "try the points of this workload only")
)

// TestPoints tries crashes at every change of a disk with every model of what they leave, in the middle of recoveries too,
// and errors at every operation (F3, F6; G5, G6): all of them with -every 1. After each the faults end, and everything
// that was acknowledged must be there.
func TestPoints(t *testing.T) {
	all, err := AllPoints()
	if err != nil {
		t.Fatal(err)
	}
	for k, p := range all {
		if *workload != "" && *workload != p.Workload.Name {
			continue
		}
		t.Run(p.Workload.Name, func(t *testing.T) { tryPoints(t, p, k) })
	}
}

func tryPoints(t *testing.T, p *Points, offset int) {
	step := *every
	if testing.Short() {
		step = max(step, 1009)
	}
	if *point >= 0 {
		if _, err := p.Try(*point); err != nil {
			t.Fatal(err)
		}
		return
	}
	var next, failed atomic.Int64
	var total tally
	var wg sync.WaitGroup
	next.Store(int64(offset % step))
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := int(next.Add(int64(step))) - step; i < p.Len() && failed.Load() < 10; i = int(next.Add(int64(step))) - step {
				out, err := p.Try(i)
				total.add(out)
				if err != nil {
					failed.Add(1)
					t.Errorf("%v\nrepeat it with: go test ./ra/rafttest -run TestPoints -workload %s -point %d", err, p.Workload.Name, i)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d points, every %d tried: %s", p.Len(), step, &total)
}
