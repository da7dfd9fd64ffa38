package system

import (
	"context"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// slowDisks has each sync of the nodes' logs take a while, in virtual time, as long as it is set.
func slowDisks(sync time.Duration, on *atomic.Bool) func(*Config) {
	return func(c *Config) {
		errs := vfs.NewErrs(c.FS)
		errs.Judge(func(op vfs.Op, name string) *vfs.Fault {
			if ok, _ := path.Match(walFile, path.Base(name)); ok && op == vfs.OpSync && on.Load() {
				time.Sleep(sync)
			}
			return nil
		})
		c.FS = errs
	}
}

// I18, ELE-05: clusters that are opened again elect their leaders also on disks that take most of a second for each sync,
// and answer a consistent query that is asked once.
func TestElectionsOnSlowDisks(t *testing.T) {
	const clusters, bound = 8, 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		w := newWorld(t, 3, slowDisks(700*time.Millisecond, &slow))
		for i := range clusters {
			w.cluster(fmt.Sprint("c", i), "counter", "n1", "n2", "n3")
		}
		w.closeAll()
		for i := range 3 {
			w.open(ra.NodeID(fmt.Sprint("n", i+1)))
		}
		slow.Store(true)
		defer slow.Store(false)
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		var all sync.WaitGroup
		for i := range clusters {
			c := w.on("n1", fmt.Sprint("c", i))
			all.Go(func() {
				if _, err := c.ConsistentQuery(ctx, nil); err != nil {
					t.Errorf("%s: %v", c.Name(), err)
				}
			})
		}
		all.Wait()
	})
}
