// Package heliopolis is this library as its users have it: three nodes of package system in one process, joined by a
// fabric, and commands submitted by Cluster.Go on the leader's node.
package heliopolis

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// startLimit and closeLimit bound how long the clusters may take to start, and the nodes to close.
const (
	startLimit = 2 * time.Minute
	closeLimit = 30 * time.Second
	queryLimit = 10 * time.Second
)

// machineName is under what name the nodes know the machine.
const machineName = "driver"

// Host is three nodes in one process.
type Host struct {
	nodes    []*system.Node
	clusters []*system.Cluster // each as the node of its leader knows it
}

// New returns a host that is not started.
func New() driver.Rival { return &Host{} }

func nodeName(i int) ra.NodeID { return ra.NodeID(fmt.Sprint("node", i)) }

func clusterName(c int) string { return fmt.Sprint("c", c) }

// Start opens the nodes, with their files below dir.
func (h *Host) Start(nodes int, dir string) error {
	fabric := actor.NewFabric()
	for i := range nodes {
		n, err := system.Open(context.Background(), system.Config{
			Dir:        filepath.Join(dir, string(nodeName(i))),
			Name:       nodeName(i),
			Machines:   map[string]machine.Factory{machineName: newMachine},
			Fabric:     fabric,
			ClientLane: 1 << 16,
		})
		if err != nil {
			return errors.Join(err, h.Close())
		}
		h.nodes = append(h.nodes, n)
	}
	return nil
}

// StartClusters starts the clusters, one third of them from each node, and returns when all of them serve. Cluster c is
// led by node c modulo their number.
func (h *Host) StartClusters(clusters int) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, len(h.nodes))
	for i := range h.nodes {
		wg.Go(func() { errs[i] = h.startFrom(ctx, i, clusters) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	h.clusters = make([]*system.Cluster, clusters)
	for c := range clusters {
		if err := h.settle(ctx, c); err != nil {
			return fmt.Errorf("cluster %d: %w", c, err)
		}
	}
	return nil
}

// startFrom starts the clusters that node i is to lead.
func (h *Host) startFrom(ctx context.Context, i, clusters int) error {
	var configs []system.ClusterConfig
	for c := i; c < clusters; c += len(h.nodes) {
		var nodes []ra.NodeID
		for k := range h.nodes {
			nodes = append(nodes, nodeName((i+k)%len(h.nodes)))
		}
		configs = append(configs, system.ClusterConfig{
			Name: clusterName(c), Machine: machineName, Members: system.Members(clusterName(c), nodes...),
		})
	}
	_, err := h.nodes[i].StartClusters(ctx, configs)
	return err
}

// settle waits until a cluster serves and has the leader that it should have.
func (h *Host) settle(ctx context.Context, c int) error {
	home := h.nodes[c%len(h.nodes)]
	cluster, err := home.Cluster(clusterName(c))
	if err != nil {
		return err
	}
	h.clusters[c] = cluster
	for {
		leader, err := cluster.WaitLeader(ctx)
		if err != nil {
			return err
		}
		if leader.Node == home.Name() {
			return nil
		}
		if err := cluster.TransferLeadership(ctx, ra.ServerID{Name: leader.Name, Node: home.Name()}); err != nil && ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// Propose sends a command to a cluster's leader.
func (h *Host) Propose(cluster int, payload []byte, done func(error)) {
	h.clusters[cluster].Go(payload, func(_ ra.Result, err error) { done(err) })
}

// Stats returns how often the logs were synced, and how many entries they were given.
func (h *Host) Stats() driver.Stats {
	var s driver.Stats
	for _, n := range h.nodes {
		st := n.Stats()
		s.Syncs += st.Syncs
		s.Entries += st.Entries
	}
	return s
}

// State asks a member for its machine.
func (h *Host) State(node, cluster int) driver.Machine {
	ctx, cancel := context.WithTimeout(context.Background(), queryLimit)
	defer cancel()
	id := system.Members(clusterName(cluster), nodeName(node))[0]
	r, err := h.nodes[node].Member(id).LocalQuery(ctx, nil)
	if err != nil {
		return driver.Machine{}
	}
	state, _ := r.Reply.(driver.Machine)
	return state
}

// Close closes the nodes.
func (h *Host) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	var errs []error
	for _, n := range h.nodes {
		errs = append(errs, n.Close(ctx))
	}
	return errors.Join(errs...)
}
