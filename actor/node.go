// Package actor is what the BEAM would have given us: processes with names, mailboxes, monitors, timers and sends.
//
// It is the only package here that imports protoactor-go. Every actor is a protoactor actor, registered under its name
// in its node's actor system, with a mailbox and a dispatcher of our own: protoactor's default ones are made for few
// messages at a time and lose messages when a name is spawned anew under traffic.
//
// # How work flows
//
// A node has a few workers, and as many goroutines. An actor is pinned to a worker for life. Somebody who posts to an
// idle actor puts it on its worker's ready list. The worker takes up to 128 ready actors in a round and gives each one
// batch: everything that waits in its internal lane, and a bounded number of client messages. Then it ends the round
// (Round.End), which flushes what the actors left in the worker's outboxes; only after that an actor can run again. So
// what an actor sends to one receiver stays in order. While one of many actors runs the memory of the next ones is loaded
// (Warmer).
package actor

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pa "github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// DefaultClientLane is how many client messages wait for one actor at most, unless configured otherwise.
const DefaultClientLane = 4096

// Config says how a node is to be opened. The zero value works, except for the name.
type Config struct {
	// Name is the node's name, as ra.CheckName allows it. It must be given.
	Name ra.NodeID
	// Workers is how many actors run at the same time at most, beside those with an own worker; 0 means 1. More than
	// one per two processors did not pay in our measurements.
	Workers int
	// ClientLane bounds the client messages that wait for one actor; 0 means DefaultClientLane.
	ClientLane int
	// Tick is the interval of Context.Subscribe; 0 means DefaultTick.
	Tick time.Duration
	// Logger gets the few events worth telling; nil is silent.
	Logger *zap.Logger
	// Fabric connects the node to the others that are opened with it; nil is alone. When Open returns they see each other.
	Fabric *Fabric
	// Apart: that is left to Node.Join. Until then nobody can be reached.
	Apart bool
	// NewRound makes the per-worker state that the actors of that worker share during a round. It may be nil.
	NewRound func(worker int) Round
}

// validate fills in what was left out and refuses what cannot work.
func (cfg *Config) validate() error {
	if err := ra.CheckName(string(cfg.Name)); err != nil {
		return fmt.Errorf("actor: node name: %w", err)
	}
	if cfg.Workers == 0 {
		cfg.Workers = 1
	}
	if cfg.ClientLane == 0 {
		cfg.ClientLane = DefaultClientLane
	}
	if cfg.Tick == 0 {
		cfg.Tick = DefaultTick
	}
	if cfg.Workers < 0 || cfg.ClientLane < 0 || cfg.Tick < 0 {
		return errors.New("actor: numbers of workers and client messages, and the tick, must not be negative")
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	cfg.Logger = cfg.Logger.With(zap.String("node", string(cfg.Name)))
	return nil
}

// Node hosts actors: one protoactor system, its workers and its names. All methods may be called from any goroutine.
type Node struct {
	cfg         Config
	log         *zap.Logger
	incarnation uint64

	system *pa.ActorSystem
	root   *pa.RootContext // spawns under a guardian that stops what fails
	props  *pa.Props       // shared by all actors, see spawner
	spawn  spawner

	names names
	wheel wheel
	ticks ticks

	monitors   monitors
	foreigners foreigners
	peers      peers
	links      sync.Map // ra.NodeID to *Link
	frames     atomic.Pointer[func(ra.NodeID, Frame)]

	spawns  atomic.Uint64
	counts  counters
	workers []*worker
	woken   chan *worker   // workers that somebody has to play
	running sync.WaitGroup // the goroutines of all workers
}

// Open starts a node. It has no goroutine but its workers, and they sleep while nothing is to do.
func Open(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Logger, woken: make(chan *worker, wokenRoom)}
	n.incarnation = newIncarnation()
	n.names.init()
	n.monitors.init()
	n.foreigners.init()
	n.peers.init()
	n.wheel.init(n.tick)
	n.ticks = ticks{every: cfg.Tick, workers: make(map[*worker]struct{})}
	n.openSystem()
	for i := range cfg.Workers {
		w := newWorker(n, i)
		if cfg.NewRound != nil {
			w.round = cfg.NewRound(i)
		}
		n.workers = append(n.workers, w)
		w.start()
	}
	if !cfg.Apart {
		if err := n.Join(); err != nil {
			n.shutdown()
			n.running.Wait()
			return nil, err
		}
	}
	return n, nil
}

// Join connects a node that was opened apart to the others of its Fabric, once: for who first has to prepare for what they
// send. When it returns all have been told by HandleNodes and MonitorNode, one of whose functions must not call it. It fails
// with ra.ErrNameTaken if one of the name is open.
func (n *Node) Join() error {
	if n.cfg.Fabric == nil {
		return nil
	}
	return n.cfg.Fabric.join(n)
}

// newIncarnation draws the number that tells this opening of the node from all others.
func newIncarnation() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails, see its documentation
	return binary.LittleEndian.Uint64(b[:])
}

// Name returns the node's name.
func (n *Node) Name() ra.NodeID { return n.cfg.Name }

// Incarnation returns the number drawn when the node was opened; it is part of every PID.
func (n *Node) Incarnation() uint64 { return n.incarnation }

// Workers returns the number of workers that actors are spread over.
func (n *Node) Workers() int { return len(n.workers) }

// System returns the protoactor system, for users who run their own protoactor actors beside ours.
func (n *Node) System() *pa.ActorSystem { return n.system }

// Lookup returns the living actor of that name.
func (n *Node) Lookup(name string) (*Ref, bool) {
	r := n.names.get(name)
	return r, r != nil
}

// Close stops all actors, lets each finish the batch it is in and run its Stop callback, and then ends the workers.
// It returns early with the context's error if that takes too long; the actors still stop, and Close may be called
// again to wait for them. An actor must not call it. Spawn fails with ra.ErrClosed from the first call on.
func (n *Node) Close(ctx context.Context) error {
	for _, r := range n.names.close() {
		r.Stop(nil)
	}
	select {
	case <-n.names.drained:
	case <-ctx.Done():
		return fmt.Errorf("actor: close node %s: %w", n.cfg.Name, ctx.Err())
	}
	n.counts.closeOnce.Do(func() {
		if n.cfg.Fabric != nil {
			n.cfg.Fabric.leave(n)
		}
		n.shutdown()
	})
	n.running.Wait()
	return nil
}

// shutdown ends what still runs when no actor is left.
func (n *Node) shutdown() {
	n.wheel.close()
	n.foreigners.close(n.system)
	for _, w := range n.workers {
		w.close()
	}
	n.system.Shutdown()
}
