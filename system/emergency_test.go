package system

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// A call that accepts a loss or shrinks a cluster, and may not even begin, leaves the member alone.
func TestEmergencyCallsThatDoNotBegin(t *testing.T) {
	for name, call := range map[string]func(*Node, context.Context) error{
		"accept": func(n *Node, ctx context.Context) error { return n.AcceptLoss(ctx, "c") },
		"shrink": func(n *Node, ctx context.Context) error { return n.ForceShrink(ctx, "c") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, nil)
				n, c := w.n(1), w.cluster("c", "counter", "n1")
				w.count(c, 20)
				if name == "accept" {
					w.close("n1")
					w.damageWAL("n1", 1010)
					n = w.open("n1")
				}
				over, cancel := context.WithCancel(w.ctx())
				cancel()
				if err := call(n, over); !errors.Is(err, context.Canceled) {
					t.Errorf("with a context that is over: %v", err)
				}
				synctest.Wait()
				if s := n.Stats(); s.Running != 1 {
					t.Errorf("the member does not run any more: %+v", s)
				}
				w.close("n1")
				if err := call(n, w.ctx()); !errors.Is(err, ra.ErrClosed) {
					t.Errorf("on a closed node: %v", err)
				}
			})
		})
	}
}

// Of many calls at once one accepts the loss; the others leave the member alone that runs by then.
func TestAcceptLossAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("c", "counter", "n1")
		w.count(c, 20)
		w.close("n1")
		w.damageWAL("n1", 1010)
		n := w.open("n1")
		var all sync.WaitGroup
		ends := make(chan error, 10)
		for range cap(ends) {
			all.Go(func() { ends <- n.AcceptLoss(w.ctx(), "c") })
		}
		all.Wait()
		close(ends)
		accepted := 0
		for err := range ends {
			switch {
			case err == nil:
				accepted++
			case !errors.Is(err, ErrNothingLost):
				t.Error(err)
			}
		}
		if accepted != 1 {
			t.Errorf("the loss was accepted %d times", accepted)
		}
	})
}

// What a member has lost is said, even if only the write-ahead log's mark tells of it.
func TestLostWithoutACause(t *testing.T) {
	r := &record{id: ra.ServerID{Name: "c"}, uid: "C1"}
	r.setLost(nil)
	if text := r.lost.Error(); !errors.Is(r.lost, ra.ErrDamaged) || strings.Contains(text, "%!") {
		t.Errorf("it says %q", text)
	}
}
