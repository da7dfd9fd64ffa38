package system_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/system"
)

// counter adds numbers up. Stored gives it its snapshots.
type counter struct{ machine.Stored[int64] }

func (c *counter) Apply(_ machine.Meta, n int64, _ *machine.Effects) int64 {
	c.State += n
	return c.State
}

func newCounter(machine.Init) machine.Machine {
	return machine.From(&counter{}, machine.CBOR[int64, int64]())
}

// A node is a directory and the machines that it knows, a cluster a name, a machine and members. What was acknowledged
// is there when the directory is opened again.
func Example() {
	dir, err := os.MkdirTemp("", "heliopolis-example-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	count(dir, true)
	count(dir, false)
	// Output:
	// 1 2 3
	// 4 5 6
}

// count opens a node in dir, and counts to three in its cluster.
func count(dir string, first bool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	node, err := system.Open(ctx, system.Config{Dir: dir, Machines: map[string]machine.Factory{"counter": newCounter}})
	if err != nil {
		panic(err)
	}
	defer node.Close(ctx)
	if first {
		_, err = node.StartCluster(ctx, system.ClusterConfig{
			Name: "hits", Machine: "counter", Members: system.Members("hits", "node", "node", "node"),
		})
		if err != nil {
			panic(err)
		}
	}
	cluster, err := node.Cluster("hits")
	if err != nil {
		panic(err)
	}
	hits := system.Client(cluster, machine.CBOR[int64, int64]())
	var totals [3]int64
	for i := range totals {
		if totals[i], _, err = hits.Process(ctx, 1); err != nil {
			panic(err)
		}
	}
	fmt.Println(totals[0], totals[1], totals[2])
}
