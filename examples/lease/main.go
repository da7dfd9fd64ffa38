// The program of docs/TUTORIAL.md: locks with leases, on three nodes in one process, and what happens to them.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run tells the story on real files.
func run() error {
	dir, err := os.MkdirTemp("", "lease-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fabric := actor.NewFabric()
	return tell(context.Background(), os.Stdout, func(name ra.NodeID) system.Config {
		return system.Config{Name: name, Dir: filepath.Join(dir, string(name)), Fabric: fabric}
	})
}

// service is three nodes that have the machine, and one that has only clients.
type service struct {
	config func(ra.NodeID) system.Config
	nodes  map[ra.NodeID]*system.Node
	app    *system.Node
	locks  *system.Cluster // as app sees it
}

var names = []ra.NodeID{"n1", "n2", "n3"}

// start opens all nodes and starts the cluster.
func (s *service) start(ctx context.Context) (err error) {
	for _, name := range names {
		if err := s.open(ctx, name, newLocks); err != nil {
			return err
		}
	}
	if s.app, err = system.Open(ctx, s.config("app")); err != nil {
		return err
	}
	s.locks, err = s.app.StartCluster(ctx, system.ClusterConfig{
		Name: "locks", Machine: "locks", Members: system.Members("locks", names...),
	})
	return err
}

// open opens a node with the machine, in one version or the other.
func (s *service) open(ctx context.Context, name ra.NodeID, code machine.Factory) error {
	cfg := s.config(name)
	cfg.Machines = map[string]machine.Factory{"locks": code}
	node, err := system.Open(ctx, cfg)
	if err == nil {
		s.nodes[name] = node
	}
	return err
}

// stop closes all nodes.
func (s *service) stop(ctx context.Context) {
	for _, node := range s.nodes {
		node.Close(ctx)
	}
	if s.app != nil {
		s.app.Close(ctx)
	}
}
