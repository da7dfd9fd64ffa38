// Package hashihost hosts clusters on hashicorp/raft with raft-wal as log and stable store, configured for throughput:
// one raft-wal directory for each member, large batches, no snapshots during a measurement, in-memory transport.
package hashihost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"github.com/heliopolis-raft/heliopolis/examples/compare/driver"
)

const (
	// maxAppendEntries is the most that raft allows.
	maxAppendEntries = 1024
	// cachedEntries is how many entries a member keeps in memory, so that replication need not read the log. raft-wal is
	// used that way in production.
	cachedEntries = 4096
	// Segments are preallocated, one or two for each member: all together are to take at most segmentBudget.
	segmentBudget  = 6 << 30
	maxSegmentSize = 64 << 20
	minSegmentSize = 1 << 20
	// leaderTimeout is the election timeout of the member that is to lead, and followerTimeout that of the others until
	// there is a leader, and of all from then on: generous, as an overloaded member must not lose its leadership.
	leaderTimeout   = time.Second
	followerTimeout = 5 * time.Second
	// never is an interval longer than any measurement.
	never = 24 * time.Hour
	// startLimit bounds the wait for the first leaders.
	startLimit = 2 * time.Minute
	// callTimeout bounds how long a member waits for another one's answer.
	callTimeout = 10 * time.Second
)

// Host runs the nodes and implements driver.Rival. Use New to make one.
type Host struct {
	dirs     []string
	clusters []*cluster
	stats    counters
}

// counters counts what all log stores do.
type counters struct {
	syncs   atomic.Int64
	entries atomic.Int64
}

var (
	_ driver.Rival       = (*Host)(nil)
	_ driver.StateReader = (*Host)(nil)
)

// New returns a host without nodes.
func New() *Host { return &Host{} }

// Start implements driver.Rival. A node is no more than a directory here: nothing is shared between its members.
func (h *Host) Start(nodes int, dir string) error {
	for i := range nodes {
		path := filepath.Join(dir, fmt.Sprintf("node%d", i))
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		h.dirs = append(h.dirs, path)
	}
	return nil
}

// StartClusters implements driver.Rival.
func (h *Host) StartClusters(n int) error {
	segment := max(min(segmentBudget/(n*len(h.dirs)), maxSegmentSize), minSegmentSize)
	for number := range n {
		leader := number % len(h.dirs)
		c := newCluster(nil, leader)
		h.clusters = append(h.clusters, c)
		if err := h.startMembers(c, number, leader, segment); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(startLimit)
	for number, c := range h.clusters {
		if err := c.waitForLeader(deadline); err != nil {
			return fmt.Errorf("hashihost: cluster %d: %w", number, err)
		}
		c.start()
	}
	return nil
}

// startMembers starts a cluster's members, with a short timeout for the one that is to lead.
func (h *Host) startMembers(c *cluster, number, leader, segment int) error {
	var servers raft.Configuration
	transports := make([]*raft.InmemTransport, len(h.dirs))
	for i := range h.dirs {
		id := fmt.Sprintf("c%d-n%d", number, i)
		_, transports[i] = raft.NewInmemTransportWithTimeout(raft.ServerAddress(id), callTimeout)
		servers.Servers = append(servers.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	for i, dir := range h.dirs {
		for j := range transports {
			transports[i].Connect(transports[j].LocalAddr(), transports[j])
		}
		conf := config(servers.Servers[i].ID, i == leader)
		store := filepath.Join(dir, fmt.Sprintf("c%d", number))
		m, err := newMember(conf, servers, store, segment, transports[i], &h.stats)
		if err != nil {
			return err
		}
		c.members = append(c.members, m)
	}
	return nil
}

// config returns a member's configuration.
func config(id raft.ServerID, leads bool) *raft.Config {
	conf := raft.DefaultConfig()
	conf.LocalID = id
	conf.Logger = hclog.NewNullLogger()
	conf.MaxAppendEntries = maxAppendEntries
	conf.BatchApplyCh = true
	conf.SnapshotInterval = never
	conf.SnapshotThreshold = 1 << 62
	conf.NoLegacyTelemetry = true
	conf.HeartbeatTimeout = followerTimeout
	if leads {
		conf.HeartbeatTimeout = leaderTimeout
	}
	conf.ElectionTimeout = conf.HeartbeatTimeout
	conf.LeaderLeaseTimeout = leaderTimeout
	return conf
}

// waitForLeader returns when a member leads and has committed something, and gives all members the same timeouts.
func (c *cluster) waitForLeader(deadline time.Time) error {
	for {
		c.findLeader()
		leader := c.members[c.leader.Load()].raft
		if leader.State() == raft.Leader && leader.Barrier(time.Until(deadline)).Error() == nil {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("no leader")
		}
		time.Sleep(time.Millisecond)
	}
	for _, m := range c.members {
		conf := m.raft.ReloadableConfig()
		conf.HeartbeatTimeout, conf.ElectionTimeout = followerTimeout, followerTimeout
		if err := m.raft.ReloadConfig(conf); err != nil {
			return err
		}
	}
	return nil
}

// Propose implements driver.Rival.
func (h *Host) Propose(cluster int, payload []byte, done func(error)) {
	h.clusters[cluster].propose(payload, done)
}

// Stats implements driver.Rival.
func (h *Host) Stats() driver.Stats {
	return driver.Stats{Syncs: h.stats.syncs.Load(), Entries: h.stats.entries.Load()}
}

// State implements driver.StateReader.
func (h *Host) State(node, cluster int) driver.Machine {
	return h.clusters[cluster].members[node].fsm.state()
}

// Close implements driver.Rival.
func (h *Host) Close() error {
	var errs []error
	var shutdowns []raft.Future
	for _, c := range h.clusters {
		for _, m := range c.members {
			shutdowns = append(shutdowns, m.raft.Shutdown())
		}
	}
	for _, s := range shutdowns {
		errs = append(errs, s.Error())
	}
	for _, c := range h.clusters {
		c.stop()
		for _, m := range c.members {
			errs = append(errs, m.transport.Close(), m.log.Close())
		}
	}
	h.clusters = nil
	return errors.Join(errs...)
}

// member is one member of one cluster.
type member struct {
	raft      *raft.Raft
	fsm       *fsm
	log       *wal.WAL
	transport *raft.InmemTransport
}

// newMember starts a member on an empty directory.
func newMember(conf *raft.Config, servers raft.Configuration, dir string, segment int, transport *raft.InmemTransport, stats *counters) (*member, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	log, err := wal.Open(dir, wal.WithSegmentSize(segment), wal.WithLogger(conf.Logger))
	if err != nil {
		return nil, err
	}
	cache, err := raft.NewLogCache(cachedEntries, &countingStore{WAL: log, stats: stats})
	if err != nil {
		return nil, err
	}
	snapshots := raft.NewInmemSnapshotStore()
	if err := raft.BootstrapCluster(conf, cache, log, snapshots, transport, servers); err != nil {
		return nil, err
	}
	m := &member{fsm: &fsm{}, log: log, transport: transport}
	m.raft, err = raft.NewRaft(conf, m.fsm, cache, log, snapshots, transport)
	return m, err
}

// countingStore counts the appends, each of which raft-wal syncs.
type countingStore struct {
	*wal.WAL
	stats *counters
}

// StoreLogs implements raft.LogStore.
func (s *countingStore) StoreLogs(logs []*raft.Log) error {
	s.stats.syncs.Add(1)
	s.stats.entries.Add(int64(len(logs)))
	return s.WAL.StoreLogs(logs)
}

// StoreLog implements raft.LogStore.
func (s *countingStore) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }
