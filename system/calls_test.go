package system

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// A call that is abandoned while it is being answered is freed once, and whoever abandons it does not touch it after
// that: under the race detector this fails otherwise.
func TestAbandonWhileAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		p := &process{node: w.n(1)}
		for range 1000 {
			c := w.n(1).newCall(callConsistent)
			if !c.take(p) {
				t.Fatal("a new call is not taken")
			}
			var both sync.WaitGroup
			both.Go(func() { c.Done(member.Result{Reply: 1}) })
			both.Go(func() {
				r, err := c.abandon(context.Canceled)
				if answered := err == nil; answered != (r.Reply == 1) || !answered && !errors.Is(err, context.Canceled) {
					t.Errorf("ended with %v, %v", r, err)
				}
			})
			both.Wait()
		}
	})
}
