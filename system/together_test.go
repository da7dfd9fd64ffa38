package system

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// startTogether has every node of w start the same cluster, some of them several times at once, each naming its members in another
// order. It returns what became of each call.
func startTogether(w *world, name string, start func(*Node, context.Context, ClusterConfig) (*Cluster, error)) ([]*Cluster, []error) {
	const calls = 12
	clusters, errs := make([]*Cluster, calls), make([]error, calls)
	var all sync.WaitGroup
	for i := range calls {
		order := []ra.NodeID{"n1", "n2", "n3", "n1", "n2"}[i%3 : i%3+3]
		cfg := ClusterConfig{Name: name, Machine: "counter", Members: Members(name, order...)}
		all.Go(func() { clusters[i], errs[i] = start(w.n(i%3+1), w.ctx(), cfg) })
	}
	all.Wait()
	return clusters, errs
}

// API-03: of calls that start a cluster at once, through whatever nodes, exactly one succeeds.
func TestStartClusterTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		for i := range 30 {
			name := fmt.Sprint("c", i)
			clusters, errs := startTogether(w, name, (*Node).StartCluster)
			var won *Cluster
			for k, err := range errs {
				switch {
				case err == nil && won != nil:
					t.Fatalf("%s was started twice", name)
				case err == nil:
					won = clusters[k]
				case !errors.Is(err, ra.ErrNameTaken):
					t.Errorf("%s: %v", name, err)
				}
			}
			if won == nil {
				t.Fatalf("nobody could start %s: %v", name, errors.Join(errs...))
			}
			if missing := won.NotStarted(); len(missing) != 0 {
				t.Errorf("%s lacks %v", name, missing)
			}
			if got := w.add(won, 1); got != 1 {
				t.Errorf("sum of %s is %d", name, got)
			}
		}
	})
}

// API-05: calls that want a cluster, whether or not it is there, all get the same one.
func TestStartOrRestartClusterTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		for i := range 30 {
			name := fmt.Sprint("c", i)
			clusters, errs := startTogether(w, name, (*Node).StartOrRestartCluster)
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			for k, c := range clusters {
				if got := w.add(c, 1); got != int64(k+1) {
					t.Errorf("sum of %s is %d through handle %d", name, got, k+1)
				}
			}
		}
	})
}
