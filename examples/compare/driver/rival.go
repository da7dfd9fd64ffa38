// Package driver loads replicated logs with commands in a closed loop and measures what they do.
//
// A system under test is a Rival, made known by Register. The driver knows nothing else about it, and gives every
// rival the same commands from the same goroutines.
package driver

import (
	"fmt"
	"sort"
)

// Nodes is how many nodes a rival runs in this process, and how many members each of its clusters has.
const Nodes = 3

// Rival is a system under test: Nodes nodes in this process, each with its own data directory below the one it is
// given, and clusters with one member on each node. Every member feeds the commands of its log to a Machine.
//
// The driver makes one Rival for one measurement: Start, StartClusters, any number of Propose, Close.
type Rival interface {
	// Start opens the nodes, with their data below the empty directory dir.
	Start(nodes int, dir string) error
	// StartClusters starts clusters 0 to n-1 and returns when all of them serve. Cluster c is led by node c modulo the
	// number of nodes, or at least the leaders are spread as evenly. It is called once.
	StartClusters(n int) error
	// Propose hands payload to a cluster's leader and returns without waiting for anything slow. The caller may change
	// payload as soon as Propose has returned, so a rival that keeps it has to copy it.
	//
	// done is called exactly once, from any goroutine and perhaps before Propose returns: with nil when the command is
	// durable on a majority and applied to the leader's machine, with an error otherwise. done neither blocks nor calls
	// the rival, but it is not free: a mutex may be held while calling it if nothing better offers.
	//
	// Commands proposed to one cluster from one goroutine are applied in that order. Propose is called from several
	// goroutines at once.
	Propose(cluster int, payload []byte, done func(error))
	// Stats returns counts since Start, summed over the nodes. It may be called at any time before Close.
	Stats() Stats
	// Close stops everything and returns when no goroutine of the rival runs any more. Commands not answered by then
	// may stay unanswered.
	Close() error
}

// StateReader is implemented by rivals that can show the machines of their members. The driver uses it after a
// measurement to check that all members of each cluster have applied the same commands in the same order.
type StateReader interface {
	// State returns the machine of a cluster's member on a node. It may be called at any time before Close.
	State(node, cluster int) Machine
}

// Stats is what a rival counted since its start, on all nodes together.
type Stats struct {
	// Syncs is how often the rival asked the kernel to make a log durable.
	Syncs int64
	// Entries is how many log entries these syncs made durable; an entry counts once on each node.
	Entries int64
}

// Machine is the state machine that each rival's members run: it counts commands and sums up their beginnings in an
// order-dependent way. The zero Machine is the initial state.
type Machine struct {
	Count uint64
	Sum   uint64
}

// Apply feeds one command to the machine. It does not keep cmd.
func (m *Machine) Apply(cmd []byte) {
	m.Count++
	var word uint64
	for i := 0; i < len(cmd) && i < stampLen; i++ {
		word |= uint64(cmd[i]) << (8 * i)
	}
	m.Sum = (m.Sum ^ word) * 0x100000001b3 // the FNV prime
}

// registry holds the factories by name. It is filled before measurements start and read-only from then on.
var registry = map[string]func() Rival{}

// Register makes a rival known under a name. It is meant to be called from an init function or from the start of main.
// Each measurement calls factory once. Register panics if the name is taken, which is a mistake in the program.
func Register(name string, factory func() Rival) {
	if _, taken := registry[name]; taken {
		panic("driver: rival " + name + " is registered twice")
	}
	registry[name] = factory
}

// New makes a new instance of the rival of that name.
func New(name string) (Rival, error) {
	factory, ok := registry[name]
	if !ok {
		return nil, fmt.Errorf("driver: no rival %q; there are %v", name, Names())
	}
	return factory(), nil
}

// Names returns the names of all registered rivals in alphabetical order.
func Names() []string {
	names := make([]string, 0, len(registry))
	for name := range registry {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
