package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/examples/queue/quorumqueue"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// machineName is the name that the queues' members are stored with.
const machineName = "quorum-queue"

// Bounds of what is asked at the same time, and the pause before an answer is asked for again.
const (
	startsAtOnce  = 256
	queriesAtOnce = 16
	askAgain      = 10 * time.Millisecond
)

// queueName returns the name of a queue's cluster.
func queueName(q int) string { return fmt.Sprintf("queue-%d", q+1) }

// fleet is all nodes, open, and the queues on them.
type fleet struct {
	o        *options
	nodes    []*system.Node
	clusters []*system.Cluster
}

// openFleet opens all nodes at once.
func openFleet(ctx context.Context, o *options, d *directory, logger *zap.Logger) (*fleet, error) {
	f := &fleet{o: o, nodes: make([]*system.Node, o.nodes), clusters: make([]*system.Cluster, o.queues)}
	fabric := actor.NewFabric()
	err := together(o.nodes, o.nodes, func(i int) (err error) {
		f.nodes[i], err = system.Open(ctx, system.Config{
			Dir:        d.node(i),
			Name:       ra.NodeID(nodeName(i)),
			Machines:   map[string]machine.Factory{machineName: quorumqueue.New},
			Fabric:     fabric,
			Logger:     logger.Named(nodeName(i)),
			MaxCommand: maxCommand,
		})
		return err
	})
	if err != nil {
		return nil, errors.Join(err, f.close(ctx))
	}
	return f, nil
}

// close closes all nodes at once.
func (f *fleet) close(ctx context.Context) error {
	return together(len(f.nodes), len(f.nodes), func(i int) error {
		if f.nodes[i] == nil {
			return nil
		}
		return f.nodes[i].Close(ctx)
	})
}

// members returns where the members of a queue live: on the nodes in turns, beginning with another one for each queue.
func (f *fleet) members(q int) []ra.ServerID {
	var on []ra.NodeID
	for m := range f.o.members {
		on = append(on, f.nodes[(q+m)%len(f.nodes)].Name())
	}
	return system.Members(queueName(q), on...)
}

// home returns the node of a queue's first member.
func (f *fleet) home(q int) *system.Node { return f.nodes[q%len(f.nodes)] }

// startQueues starts the clusters of all queues, many at once.
func (f *fleet) startQueues(ctx context.Context) error {
	for node := range f.nodes {
		var all []system.ClusterConfig
		for q := node; q < f.o.queues; q += len(f.nodes) {
			all = append(all, system.ClusterConfig{Name: queueName(q), Machine: machineName, Members: f.members(q)})
		}
		for len(all) > 0 {
			n := min(len(all), startsAtOnce)
			if _, err := f.nodes[node].StartClusters(ctx, all[:n]); err != nil {
				return err
			}
			all = all[n:]
		}
	}
	return nil
}

// find looks all queues up by name.
func (f *fleet) find() error {
	for q := range f.clusters {
		c, err := f.home(q).Cluster(queueName(q))
		if err != nil {
			return fmt.Errorf("%s: %w", queueName(q), err)
		}
		f.clusters[q] = c
	}
	return nil
}

// handles returns the queues as producers and consumers see them.
func (f *fleet) handles() []cluster {
	all := make([]cluster, len(f.clusters))
	for q, c := range f.clusters {
		all[q] = c
	}
	return all
}

// describe asks queues what they say of themselves: which is certain, since the question goes by the leader and a
// majority (QRY-06). A queue that has no leader yet is asked until it answers or the context ends.
func (f *fleet) describe(ctx context.Context, queues []int) ([]quorumqueue.Summary, error) {
	all := make([]quorumqueue.Summary, len(queues))
	err := together(len(queues), queriesAtOnce, func(i int) error {
		for {
			r, err := f.clusters[queues[i]].ConsistentQuery(ctx, quorumqueue.Describe{})
			if err == nil {
				all[i] = r.Reply.(quorumqueue.Summary)
				return nil
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%s does not answer: %w (%w)", queueName(queues[i]), err, context.Cause(ctx))
			}
			time.Sleep(askAgain)
		}
	})
	return all, err
}

// agree waits until every member of a queue says the same of its messages as its leader, which has said it last. It
// returns the members that do not when the context ends.
func (f *fleet) agree(ctx context.Context, q int, leader *quorumqueue.Summary) (others []ra.ServerID) {
	for _, id := range f.members(q) {
		for {
			r, err := f.home(q).Member(id).LocalQuery(ctx, quorumqueue.Describe{})
			if err == nil && r.Reply.(quorumqueue.Summary).SameMessages(leader) {
				break
			}
			if sleep(ctx, askAgain) != nil {
				others = append(others, id)
				break
			}
		}
	}
	return others
}

// stats adds up what the nodes have written since they were opened.
func (f *fleet) stats() (syncs, entries uint64) {
	for _, n := range f.nodes {
		s := n.Stats()
		syncs += uint64(s.Syncs)
		entries += uint64(s.Entries)
	}
	return syncs, entries
}

// together calls f for 0 to n-1, at most limit at a time, and returns all errors.
func together(n, limit int, f func(int) error) error {
	var all sync.WaitGroup
	errs := make([]error, n)
	next := make(chan int)
	for range min(n, limit) {
		all.Go(func() {
			for i := range next {
				errs[i] = f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	return errors.Join(errs...)
}
