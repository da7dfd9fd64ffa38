// Package etcdhost hosts many small clusters on go.etcd.io/raft, the way a strong engineer would if nothing but the speed
// of commands mattered.
//
// Each node has one loop that drives the raw nodes with something to do, and one preallocated log file: one write and one
// fdatasync make the entries of all of them durable, while the next batch builds up. Messages travel in memory, in
// batches for each pair of nodes. The log is recycled by wrapping round and is not meant to be read again.
package etcdhost

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

// tickInterval is the unit of election timeouts; an election times out after 10 to 20 of them.
const tickInterval = 50 * time.Millisecond

// keepEntries is how many applied entries a node keeps in memory, spread over its clusters.
const keepEntries = 60_000

// minKeepEntries is how many it keeps of each cluster at least.
const minKeepEntries = 64

// startLimit bounds the wait for the first leaders.
const startLimit = time.Minute

// Host runs the nodes and implements driver.Rival. Use New to make one.
type Host struct {
	opts   Options
	nodes  []*node
	leads  []atomic.Int32
	stop   chan struct{}
	ticker sync.WaitGroup
	once   sync.Once
}

var (
	_ driver.Rival       = (*Host)(nil)
	_ driver.StateReader = (*Host)(nil)
)

// Options say how a host works.
type Options struct {
	// Buffered writes the logs through the page cache, not past it.
	Buffered bool
	// Async uses raft's asynchronous storage writes: the loop goes on while a goroutine of its own writes the log.
	// Without it the loop itself writes and syncs between taking the Readies and sending.
	Async bool
}

// New returns a host.
func New(o Options) *Host {
	return &Host{opts: o, stop: make(chan struct{})}
}

// Start implements driver.Rival.
func (h *Host) Start(nodes int, dir string) error {
	for i := range nodes {
		f, err := createFile(filepath.Join(dir, fmt.Sprintf("node%d", i)), !h.opts.Buffered)
		if err != nil {
			return errors.Join(err, h.Close())
		}
		h.nodes = append(h.nodes, newNode(uint64(i+1), f, h.opts.Async))
	}
	return nil
}

// StartClusters implements driver.Rival. The member on the node that is to lead campaigns at once.
func (h *Host) StartClusters(n int) error {
	h.leads = make([]atomic.Int32, n)
	voters := make([]uint64, len(h.nodes))
	for i := range voters {
		voters[i] = uint64(i + 1)
	}
	keep := max(keepEntries/n, minKeepEntries)
	for _, node := range h.nodes {
		node.leads = h.leads
		for cluster := range n {
			g, err := newGroup(uint32(cluster), node.id, voters, keep, h.opts.Async)
			if err != nil {
				return err
			}
			node.groups = append(node.groups, g)
		}
	}
	for _, node := range h.nodes {
		node.start(h.nodes)
	}
	for i, node := range h.nodes {
		node.inbox.call(func() { node.campaign(i, len(h.nodes)) })
	}
	h.ticker.Go(h.tick)
	return h.waitForLeaders()
}

// tick moves the nodes' clocks until Close.
func (h *Host) tick() {
	ticker := time.NewTicker(tickInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, node := range h.nodes {
				node.inbox.tick()
			}
		case <-h.stop:
			return
		}
	}
}

// waitForLeaders returns when the leader of each cluster has applied the entry that begins its term.
func (h *Host) waitForLeaders() error {
	deadline := time.Now().Add(startLimit)
	for {
		serving := 0
		for _, node := range h.nodes {
			result := make(chan int, 1)
			node.inbox.call(func() { result <- node.serving() })
			serving += <-result
		}
		if serving == len(h.leads) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("etcdhost: %d of %d clusters have a leader after %v", serving, len(h.leads), startLimit)
		}
		time.Sleep(time.Millisecond)
	}
}

// Propose implements driver.Rival.
func (h *Host) Propose(cluster int, payload []byte, done func(error)) {
	h.nodes[h.leads[cluster].Load()].inbox.propose(uint32(cluster), payload, done)
}

// Stats implements driver.Rival.
func (h *Host) Stats() driver.Stats {
	var s driver.Stats
	for _, node := range h.nodes {
		s.Syncs += node.syncs.Load()
		s.Entries += node.entries.Load()
	}
	return s
}

// State implements driver.StateReader.
func (h *Host) State(node, cluster int) driver.Machine {
	n := h.nodes[node]
	result := make(chan driver.Machine, 1)
	n.inbox.call(func() { result <- n.groups[cluster].log.machine })
	return <-result
}

// Close implements driver.Rival.
func (h *Host) Close() error {
	var errs []error
	h.once.Do(func() {
		close(h.stop)
		h.ticker.Wait()
		for _, node := range h.nodes {
			node.inbox.close()
		}
		for _, node := range h.nodes {
			node.running.Wait()
			errs = append(errs, node.wal.file.close())
		}
	})
	return errors.Join(errs...)
}
