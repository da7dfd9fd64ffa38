package system

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// API-09, API-13: a member that is busy when it is stopped, and whose stop is given up, has not ended. Whoever asks for its
// end again waits for it: two lives of one log at the same time would write over each other.
func TestStopGivenUp(t *testing.T) {
	for name, call := range map[string]func(*Node, context.Context) error{
		"stop": func(n *Node, ctx context.Context) error {
			m := n.Member(ra.ServerID{Name: "c"})
			return errors.Join(m.Stop(ctx), m.Restart(ctx))
		},
		"shrink": func(n *Node, ctx context.Context) error { return n.ForceShrink(ctx, "c") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { stopsAgain(t, call) })
		})
	}
}

func stopsAgain(t *testing.T, call func(*Node, context.Context) error) {
	w := newWorld(t, 1, nil)
	n, c := w.n(1), w.cluster("c", "counter", "n1")
	entered, release := make(chan struct{}), make(chan struct{})
	block := machine.QueryFunc(func(machine.QueryContext, any) (any, error) {
		close(entered)
		<-release
		return nil, nil
	})
	go func() { _, _ = c.LocalQuery(w.ctx(), block) }()
	<-entered
	acked := make(chan error, 3)
	for range 3 {
		c.Go(reference.AppendAdd(nil, 1), func(_ ra.Result, err error) { acked <- err })
	}
	if err := call(n, w.short()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("while the member is busy: %v", err)
	}
	again := make(chan error, 1)
	go func() { again <- call(n, w.ctx()) }()
	synctest.Wait()
	select {
	case err := <-again:
		t.Errorf("the second call did not wait for the member's end: %v", err)
		again <- err
	default:
	}
	close(release)
	if err := <-again; err != nil {
		t.Errorf("the second call: %v", err)
	}
	sum := int64(0)
	for range 3 {
		if err := <-acked; err == nil {
			sum++
		}
	}
	got := w.add(c, 10)
	w.close("n1")
	w.open("n1")
	if after := w.add(w.on("n1", "c"), 0); got < sum+10 || after != got {
		t.Errorf("%d were acknowledged, the sum is %d, after a restart %d", sum+10, got, after)
	}
}
