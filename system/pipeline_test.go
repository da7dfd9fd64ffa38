package system

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// EVT-01: commands of a pipeline are applied, and their ends come, in the order in which they were submitted.
func TestPipelineOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		w.cluster("a", "counter", "n1", "n2", "n3")
		const many = 5000
		for i := range 3 { // by way of each node, of which one has the leader
			on := w.on(w.n(i+1).Name(), "a")
			if _, err := on.WaitLeader(w.ctx()); err != nil {
				t.Fatal(err)
			}
			p := on.NewPipeline(64)
			submitted := make(chan error, 1)
			go func() {
				for k := range uint64(many) {
					if err := p.Submit(w.ctx(), k, reference.AppendAdd(nil, 1)); err != nil {
						submitted <- err
						return
					}
				}
				submitted <- p.Close(w.ctx())
			}()
			next := 0
			for e := range p.Events() {
				if e.Err != nil || e.Correlation != uint64(next) || e.Reply != int64(i*many+next+1) {
					t.Fatalf("node %d: number %d ended as %+v", i+1, next, e)
				}
				next++
			}
			if err := <-submitted; err != nil || next != many {
				t.Fatalf("%d ends, %v", next, err)
			}
		}
	})
}

// A pipeline whose ends nobody receives holds back who submits, and can be closed all the same.
func TestPipelineWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		p := w.cluster("a", "counter", "n1").NewPipeline(4)
		taken := 0
		for p.Submit(w.short(), 0, reference.AppendAdd(nil, 1)) == nil {
			taken++
		}
		if taken < 4 || taken > 9 {
			t.Errorf("%d were taken", taken)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Close(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("close: %v", err)
		}
		if err := p.Submit(t.Context(), 0, nil); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("submit: %v", err)
		}
	})
}

// A pipeline is closed in time although its commands cannot be committed; what becomes of them, nobody hears.
func TestPipelineOfStuckCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		leader := w.leaderNode(c)
		for _, n := range w.others(leader) {
			w.fabric.Cut(leader, n)
		}
		p := w.on(leader, "a").NewPipeline(4)
		for i := range uint64(3) {
			if err := p.Submit(w.ctx(), i, reference.AppendAdd(nil, 1)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- p.Close(w.short()) }()
		select {
		case err := <-closed:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("close: %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("close takes a minute")
		}
		if e, ok := <-p.Events(); ok {
			t.Errorf("a command ended as %+v", e)
		}
	})
}

// The typed client turns values into commands, and replies into values.
func TestTypedClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		client := Client(w.cluster("a", "totals", "n1", "n2"), reference.TotalsProtocol())
		for i := range int64(3) {
			sum, r, err := client.Process(w.ctx(), reference.Add{Key: "k", N: 2})
			if err != nil || sum != 2*(i+1) || r.Index == 0 {
				t.Fatalf("%d, %+v, %v", sum, r, err)
			}
		}
		done := make(chan int64, 1)
		client.Go(reference.Add{Key: "k", N: 1}, func(sum int64, _ ra.Result, err error) {
			if err != nil {
				t.Error(err)
			}
			done <- sum
		})
		if got := <-done; got != 7 {
			t.Errorf("sum is %d", got)
		}
	})
}
