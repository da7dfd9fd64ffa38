// Package raftpath is the path of a commit with Raft on it: the shipping actors, log, core and member shell, in-memory
// links between three nodes, and a machine that counts. It has neither segments nor snapshots: what is applied on all
// members and old is forgotten. Beside package commitpath it shows what Raft costs.
package raftpath

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/examples/compare/walnode"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// replicas is the number of nodes, and of members of each cluster.
const replicas = 3

// retained is how many entries all members of a node together keep in memory.
const retained = 60_000

// Host is three nodes in one process.
type Host struct {
	nodes    [replicas]*node
	clusters [][replicas]*peer
}

// node is one node, and its number.
type node struct {
	*walnode.Node
	id int
}

// New returns a host that is not started.
func New() driver.Rival { return &Host{} }

// Start opens the nodes, with their files below dir.
func (h *Host) Start(nodes int, dir string) error {
	if nodes != replicas {
		return fmt.Errorf("raftpath: runs %d nodes, not %d", replicas, nodes)
	}
	for i := range h.nodes {
		n := &node{id: i}
		var err error
		n.Node, err = walnode.Open(ra.NodeID(fmt.Sprint("node", i)), filepath.Join(dir, fmt.Sprint("node", i)),
			func(*walnode.Node) actor.Round { return &round{node: n} })
		if err != nil {
			return errors.Join(err, h.Close())
		}
		h.nodes[i] = n
	}
	return nil
}

// StartClusters starts clusters whose leaders are spread over the nodes, and returns when all of them serve.
func (h *Host) StartClusters(clusters int) error {
	keep := ra.Index(max(retained/clusters, 256))
	for c := range clusters {
		var members []ra.Member
		for i := range h.nodes {
			members = append(members, ra.Member{
				ID:  ra.ServerID{Name: fmt.Sprint("c", c), Node: ra.NodeID(fmt.Sprint("node", i))},
				UID: ra.UID(fmt.Sprintf("c%d_%d", c, i)),
			})
		}
		var ps [replicas]*peer
		for i, n := range h.nodes {
			p, err := startPeer(n, members, keep)
			if err != nil {
				return err
			}
			ps[i] = p
		}
		for _, p := range ps {
			p.post(func() { p.peers = ps })
		}
		ps[c%replicas].post(func() { ps[c%replicas].server.Step(&raft.Message{Kind: raft.Campaign}) })
		h.clusters = append(h.clusters, ps)
	}
	return h.serve(time.Now().Add(time.Minute))
}

// serve waits until every cluster has applied a command.
func (h *Host) serve(deadline time.Time) error {
	answers := make(chan error, len(h.clusters))
	for c := range h.clusters {
		h.Propose(c, nil, func(err error) { answers <- err })
	}
	for range h.clusters {
		select {
		case err := <-answers:
			if err != nil {
				return err
			}
		case <-time.After(time.Until(deadline)):
			return errors.New("raftpath: clusters do not serve")
		}
	}
	return nil
}

// Propose sends a command to a cluster's leader.
func (h *Host) Propose(cluster int, payload []byte, done func(error)) {
	c := commands.Get().(*command)
	c.proposal, c.done = raft.NewProposal(ra.KindCommand, 0, payload), done
	if err := h.clusters[cluster][cluster%replicas].ref.Send(c); err != nil {
		c.Done(member.Result{Err: err})
	}
}

// Stats returns how often the logs were synced, and how many entries they were given.
func (h *Host) Stats() driver.Stats {
	var s driver.Stats
	for _, n := range h.nodes {
		syncs, entries := n.Counts()
		s.Syncs += syncs
		s.Entries += entries
	}
	return s
}

// State returns the machine of a member.
func (h *Host) State(node, cluster int) driver.Machine { return h.clusters[cluster][node].shown.load() }

// Close stops the nodes and closes their logs.
func (h *Host) Close() error {
	var errs []error
	for _, n := range h.nodes {
		if n != nil {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(errs...)
}
