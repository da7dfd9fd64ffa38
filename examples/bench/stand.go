package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// stageLimit is how long clusters may take to start, to recover or to serve.
const stageLimit = 5 * time.Minute

// machineName is under what name the nodes know the machine.
const machineName = "tally"

// stand is the nodes under test and their clusters.
type stand struct {
	opts     options
	nodes    []*system.Node
	files    []*vfs.OS
	clusters []*system.Cluster // each as its leader's node knows it
}

// openStand opens the nodes in the directory, on whatever is there. They open at the same time.
func openStand(ctx context.Context, o options, dir string) (*stand, error) {
	s := &stand{opts: o, nodes: make([]*system.Node, o.nodes), files: make([]*vfs.OS, o.nodes)}
	fabric := actor.NewFabric()
	err := inParallel(o.nodes, func(i int) error {
		cfg := system.Config{
			Dir:        filepath.Join(dir, string(nodeName(i))),
			Name:       nodeName(i),
			Machines:   map[string]machine.Factory{machineName: newTally},
			Fabric:     fabric,
			ClientLane: o.inflight + laneSpare,
		}
		if !o.sync {
			fs, err := vfs.OpenOS(cfg.Dir)
			if err != nil {
				return err
			}
			s.files[i], cfg.FS = fs, noSync{fs}
		}
		var err error
		s.nodes[i], err = system.Open(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// laneSpare is the room in a member's queue beside the commands in flight.
const laneSpare = 1024

func nodeName(i int) ra.NodeID { return ra.NodeID("node" + strconv.Itoa(i)) }

func clusterName(c int) string { return "c" + strconv.Itoa(c) }

// home returns the node on which a cluster is started, so that clusters are spread over the nodes.
func (s *stand) home(cluster int) int { return cluster % len(s.nodes) }

// members returns the members of a cluster: one on each node beginning with its home, and round again if there are more
// members than nodes.
func (s *stand) members(cluster int) []ra.ServerID {
	nodes := make([]ra.NodeID, s.opts.members)
	for i := range nodes {
		nodes[i] = nodeName((cluster + i) % len(s.nodes))
	}
	return system.Members(clusterName(cluster), nodes...)
}

// start starts all clusters at once, each from its home.
func (s *stand) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	return inParallel(len(s.nodes), func(i int) error {
		var configs []system.ClusterConfig
		for c := i; c < s.opts.clusters; c += len(s.nodes) {
			configs = append(configs, system.ClusterConfig{Name: clusterName(c), Machine: machineName, Members: s.members(c)})
		}
		_, err := s.nodes[i].StartClusters(ctx, configs)
		return err
	})
}

// startAndLead starts all clusters and waits until each has a leader.
func (s *stand) startAndLead(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.awaitLeaders(ctx)
}

// awaitLeaders waits until every cluster has a leader, and takes the handle of the leader's node for each.
func (s *stand) awaitLeaders(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	s.clusters = make([]*system.Cluster, s.opts.clusters)
	for c := range s.clusters {
		cluster, err := s.nodes[s.home(c)].Cluster(clusterName(c))
		if err != nil {
			return err
		}
		leader, err := cluster.WaitLeader(ctx)
		if err != nil {
			return fmt.Errorf("cluster %s has no leader: %w", clusterName(c), err)
		}
		if s.clusters[c], err = s.node(leader.Node).Cluster(clusterName(c)); err != nil {
			return err
		}
	}
	return nil
}

// node returns the node of that name.
func (s *stand) node(name ra.NodeID) *system.Node {
	for _, n := range s.nodes {
		if n.Name() == name {
			return n
		}
	}
	return s.nodes[0] // cannot be: members live on the nodes that we opened
}

// submit is a submitter.
func (s *stand) submit(cluster int, command []byte, done func(ra.Result, error)) {
	s.clusters[cluster].Go(command, done)
}

// serve lets every cluster answer one command, and counts these in l.
func (s *stand) serve(ctx context.Context, l *load) error {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	l.setBudget(len(s.clusters))
	if err := l.fill(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return errors.Join(fmt.Errorf("not every cluster served: %w", err), l.lastErr())
	}
	return nil
}

// close closes the nodes.
func (s *stand) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), stageLimit)
	defer cancel()
	return inParallel(len(s.nodes), func(i int) error {
		var errs []error
		if s.nodes[i] != nil {
			errs = append(errs, s.nodes[i].Close(ctx))
		}
		if s.files[i] != nil {
			errs = append(errs, s.files[i].Close())
		}
		return errors.Join(errs...)
	})
}

// inParallel runs f for 0 to n-1 at the same time.
func inParallel(n int, f func(int) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() { errs[i] = f(i) })
	}
	running.Wait()
	return errors.Join(errs...)
}
