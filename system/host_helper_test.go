package system

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// world is some nodes in memory that one fabric connects.
type world struct {
	t      testing.TB
	fabric *actor.Fabric
	disks  map[ra.NodeID]*vfs.Mem
	nodes  map[ra.NodeID]*Node
	config func(*Config)
}

// newWorld opens nodes n1 to n<count>. They are closed when the test ends.
func newWorld(t testing.TB, count int, config func(*Config)) *world {
	t.Helper()
	w := &world{
		t: t, fabric: actor.NewFabric(), disks: make(map[ra.NodeID]*vfs.Mem), nodes: make(map[ra.NodeID]*Node), config: config,
	}
	t.Cleanup(w.closeAll)
	for i := range count {
		w.open(ra.NodeID(fmt.Sprint("n", i+1)))
	}
	return w
}

// open opens a node on the disk that it had before, or on a new one.
func (w *world) open(name ra.NodeID) *Node {
	w.t.Helper()
	if w.disks[name] == nil {
		w.disks[name] = vfs.NewMem()
	}
	cfg := Config{
		Dir: "/" + string(name), Name: name, Fabric: w.fabric, FS: w.disks[name], WALFileSize: 1 << 20,
		Machines: map[string]machine.Factory{"counter": reference.NewCounter, "table": reference.NewTable, "totals": reference.NewTotals, "mixed": newMixed},
	}
	if w.config != nil {
		w.config(&cfg)
	}
	n, err := Open(w.ctx(), cfg)
	if err != nil {
		w.t.Fatalf("open %s: %v", name, err)
	}
	w.nodes[name] = n
	return n
}

// close closes a node in good order.
func (w *world) close(name ra.NodeID) {
	w.t.Helper()
	n := w.nodes[name]
	delete(w.nodes, name)
	if err := n.Close(w.ctx()); err != nil {
		w.t.Errorf("close %s: %v", name, err)
	}
}

func (w *world) closeAll() {
	for name := range w.nodes {
		w.close(name)
	}
}

// ctx returns a context that ends a test which hangs.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	w.t.Cleanup(cancel)
	return ctx
}

// short returns a context that is soon over.
func (w *world) short() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	w.t.Cleanup(cancel)
	return ctx
}

// n returns node n<i>.
func (w *world) n(i int) *Node { return w.nodes[ra.NodeID(fmt.Sprint("n", i))] }

// cluster starts a cluster with one member on each of the nodes, from the first of them.
func (w *world) cluster(name, machine string, nodes ...ra.NodeID) *Cluster {
	w.t.Helper()
	c, err := w.nodes[nodes[0]].StartCluster(w.ctx(), ClusterConfig{Name: name, Machine: machine, Members: Members(name, nodes...)})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// add adds to a counter and returns the sum.
func (w *world) add(c *Cluster, n int64) int64 {
	w.t.Helper()
	r, err := c.Process(w.ctx(), reference.AppendAdd(nil, n))
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Reply.(int64)
}

// wantErr fails unless err is of the kind wanted.
func wantErr(t *testing.T, err error, is func(error) bool) {
	t.Helper()
	if err == nil || !is(err) {
		t.Errorf("got error %v", err)
	}
}

// watch has f see all letters that arrive at an open node, one at a time. Those for which it returns false are lost.
func (w *world) watch(node ra.NodeID, f func(*letter) bool) {
	n := w.nodes[node]
	var mu sync.Mutex
	n.actors.HandleFrames(func(from ra.NodeID, arriving actor.Frame) {
		if letters, ok := arriving.(*frame); ok {
			mu.Lock()
			letters.letters = slices.DeleteFunc(letters.letters, func(l *letter) bool { return !f(l) })
			mu.Unlock()
		}
		n.arrivedFrame(from, arriving)
	})
}
