// Package commitpath is a commit without Raft: the shipping mailboxes, workers and write-ahead log, and the messages
// that one command causes on three nodes, with nothing decided on the way. What it does in a second is what Raft, log
// and machine could at best; what a full engine does less is their share.
package commitpath

import (
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
	"github.com/heliopolis-raft/heliopolis/examples/compare/walnode"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// replicas is the number of nodes, and of members of each group.
const replicas = 3

// retained is how many entries all groups of a node together keep in memory, like the hosts that this one is compared
// with, and minRetained how many each keeps at least.
const (
	retained    = 60_000
	minRetained = 64
)

// Host is three nodes in one process, each with its actors and its write-ahead log.
type Host struct {
	nodes  [replicas]*node
	groups [][replicas]*member
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
		return fmt.Errorf("commitpath: runs %d nodes, not %d", replicas, nodes)
	}
	for i := range h.nodes {
		n, err := openNode(i, filepath.Join(dir, fmt.Sprint("node", i)))
		if err != nil {
			return errors.Join(err, h.Close())
		}
		h.nodes[i] = n
	}
	return nil
}

func openNode(id int, dir string) (*node, error) {
	n := &node{id: id}
	var err error
	n.Node, err = walnode.Open(ra.NodeID(fmt.Sprint("node", id)), dir, func(*walnode.Node) actor.Round {
		return &round{node: n}
	})
	return n, err
}

// StartClusters starts groups of three members each; the leaders are spread over the nodes.
func (h *Host) StartClusters(groups int) error {
	size := 1 << bits.Len(uint(max(retained/groups, minRetained)-1))
	for g := range groups {
		ms, err := h.startGroup(g, size)
		if err != nil {
			return err
		}
		h.groups = append(h.groups, ms)
	}
	return nil
}

// startGroup starts three members that know each other, then makes them known to their logs, which tell them when that is
// durable.
func (h *Host) startGroup(g, size int) (ms [replicas]*member, err error) {
	for i, n := range h.nodes {
		ms[i] = &member{node: n, leader: g % replicas, table: make(table, size), order: 1}
	}
	for i, m := range ms {
		m.peers = ms
		if m.ref, err = m.node.Actors.Spawn(uidOf(g, i), func() actor.Actor { return m }); err != nil {
			return ms, err
		}
	}
	for i, m := range ms {
		if m.writer, err = m.node.Register(ra.UID(uidOf(g, i)), m); err != nil {
			return ms, err
		}
	}
	return ms, nil
}

func uidOf(group, node int) string { return fmt.Sprintf("g%d-%d", group, node) }

// Propose sends a command to a group's leader; done is called when it is durable on two nodes and applied there.
func (h *Host) Propose(group int, payload []byte, done func(error)) {
	if err := h.groups[group][group%replicas].ref.Send(newCommand(payload, done)); err != nil {
		done(err)
	}
}

// Stats returns how many times the logs were synced, and how many entries they were given.
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
func (h *Host) State(node, group int) driver.Machine { return h.groups[group][node].shown.load() }

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
