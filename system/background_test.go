package system

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"go.uber.org/zap"
)

// TestPool: work is done by a bounded number of goroutines, and none when there is none.
func TestPool(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p := pool{limit: 3, logger: zap.NewNop()}
	var now, most, did atomic.Int64
	gate := make(chan struct{})
	begun := make(chan struct{}, 3)
	for range 20 {
		p.run(func() {
			k := now.Add(1)
			for m := most.Load(); k > m && !most.CompareAndSwap(m, k); m = most.Load() {
			}
			select {
			case begun <- struct{}{}:
			default:
			}
			<-gate
			now.Add(-1)
			did.Add(1)
			switch did.Load() % 5 {
			case 0:
				panic("of a user's machine")
			case 1:
				runtime.Goexit()
			}
		})
	}
	for range 3 {
		<-begun
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("close while work goes on: %v", err)
	}
	if p.run(func() { t.Error("runs after close") }) {
		t.Error("work is taken after close")
	}
	close(gate)
	if err := p.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if most.Load() != 3 || did.Load() != 20 || p.running != 0 {
		t.Errorf("%d at once, %d done, %d run", most.Load(), did.Load(), p.running)
	}
}
