package monkeytest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/system"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// world is some nodes on a fabric, and what is known of their clusters.
type world struct {
	t        *testing.T
	seed     uint64
	fabric   *actor.Fabric
	clusters []*subject
	ids      atomic.Uint64
	begin    time.Time
	wiped    atomic.Int64 // how often a cluster had to be deleted by force
	panics   panics
	victim   int // the node whose disk decays, -1 if none does

	mu    sync.Mutex
	disks []*vfs.Mem // of the nodes, open or not
	hosts []*host    // nil is a node that is not open
	trace []string
}

// subject is a cluster.
type subject struct {
	name    string
	machine string
	past    *history

	// The rest belongs to the keeper. Dying: it was deleted, or perhaps; gone: certainly. Move is the change of its members
	// under way.
	dying bool
	gone  bool
	move  move
}

// host is one life of one node.
type host struct {
	i    int
	node *system.Node
	mem  *vfs.Mem
	errs *vfs.Errs
	// crashed: nothing that the node says from now on counts.
	crashed atomic.Bool
	// slow is how long a sync of the log takes, in nanoseconds. Syncs of other files may happen under a mutex, and time does
	// not go on in a bubble while somebody waits for one.
	slow atomic.Int64
}

// newWorld returns a world of some nodes, none of which is open.
func newWorld(t *testing.T, seed uint64, nodes, victim int) *world {
	return &world{
		t: t, seed: seed, victim: victim, fabric: actor.NewFabric(), hosts: make([]*host, nodes), begin: time.Now(),
		panics: panics{been: make(map[panicked]bool)},
	}
}

func nodeName(i int) ra.NodeID { return ra.NodeID(fmt.Sprint("n", i+1)) }

// open opens a node.
func (w *world) open(i int, rng *rand.Rand) {
	h := &host{i: i, mem: w.disks[i], errs: vfs.NewErrs(w.disks[i])}
	h.errs.Judge(func(o vfs.Op, name string) *vfs.Fault {
		if d := time.Duration(h.slow.Load()); d > 0 && o == vfs.OpSync && strings.HasSuffix(name, ".spare") {
			time.Sleep(d)
		}
		return nil
	})
	cfg := system.Config{
		Dir: "/" + string(nodeName(i)), Name: nodeName(i), Fabric: w.fabric, FS: h.errs, Machines: machines(&w.panics),
		Workers: 1 + rng.IntN(2), ClientLane: []int{0, 4}[rng.IntN(2)], MaxCommand: 8 << 10, WALFileSize: wal.MinFileSize,
		Limits:    system.Limits{ChunkBytes: 1 << 10, SnapshotPatience: 10 * time.Second, InflightEntries: 1 + rng.IntN(50)},
		Snapshots: snapshot.Policy{MinInterval: 5, MinCheckpoint: 3, MinRecovery: ra.Index(rng.IntN(2) * 4), Growth: 1, MinBytes: 500},
	}
	w.note("", "open %s", cfg.Name)
	n, err := system.Open(w.ctx(time.Minute), cfg)
	if err != nil {
		w.fail("open %s: %v", cfg.Name, err)
		return
	}
	switch r := n.Report(); {
	case len(r.NotStarted) > 0, len(r.Damaged)+len(r.Suspect) > 0 && i != w.victim:
		w.fail("%s: %+v", cfg.Name, r)
	case i == w.victim:
		w.note("", "%+v", r)
	}
	h.node = n
	w.note("", "%s has %s", cfg.Name, here(n))
	w.mu.Lock()
	w.hosts[i] = h
	w.mu.Unlock()
}

// here tells which members a node has.
func here(n *system.Node) string {
	var b strings.Builder
	for _, c := range n.Overview().Clusters {
		for id, m := range c.Here {
			fmt.Fprintf(&b, "%s of %v, %v, applied %d of %d; ", id, c.Members, m.Role, m.Applied, m.Last)
		}
	}
	return b.String()
}

// close ends a node in good order, or as a power cut does.
func (w *world) close(i int, crash bool, rng *rand.Rand) {
	h := w.host(i)
	if h == nil {
		return
	}
	w.mu.Lock()
	w.hosts[i] = nil
	w.mu.Unlock()
	w.note("", "%s has %s", nodeName(i), here(h.node))
	if crash {
		model := vfs.CrashModel(rng.IntN(int(vfs.CrashModels)))
		w.note("", "crash %s, %s", nodeName(i), model)
		h.crashed.Store(true)
		w.part(i, w.fabric.Disconnect)
		w.disks[i] = h.mem.Crash(model, rng)
		w.disks[i].SetCapacity(0)
	} else {
		w.note("", "close %s", nodeName(i))
	}
	h.slow.Store(0)
	if err := h.node.Close(w.ctx(time.Minute)); err != nil && !known(err) {
		w.fail("close %s: %v", nodeName(i), err)
	} else if errors.Is(err, context.DeadlineExceeded) {
		w.fail("close %s does not end", nodeName(i))
	}
	if crash {
		w.part(i, w.fabric.Connect)
	}
	w.note("", "%s is closed", nodeName(i))
}

// part does something between a node and each other one.
func (w *world) part(i int, do func(a, b ra.NodeID)) {
	for j := range w.hosts {
		if j != i {
			do(nodeName(i), nodeName(j))
		}
	}
}

func (w *world) host(i int) *host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[i]
}

// any returns an open node, or nil.
func (w *world) any(rng *rand.Rand) *host { return w.host(rng.IntN(len(w.hosts))) }

// ctx returns a context that is over after d.
func (w *world) ctx(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	w.t.Cleanup(cancel)
	return ctx
}

// note adds a line to what is printed of a world that fails.
func (w *world) note(cluster, format string, args ...any) {
	line := fmt.Sprintf("%9.3f %-3s %s", time.Since(w.begin).Seconds(), cluster, fmt.Sprintf(format, args...))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, line)
}

// fail notes a violation.
func (w *world) fail(format string, args ...any) {
	w.note("", "FAIL "+format, args...)
	w.t.Errorf("seed %d, at %.3f s: "+format, append([]any{w.seed, time.Since(w.begin).Seconds()}, args...)...)
}

// documented are the errors that calls may end with here.
var documented = []error{
	context.DeadlineExceeded, context.Canceled, machine.ErrNoAux, machine.ErrNoQuerier, errMalformed,
	ra.ErrNameTaken, ra.ErrInvalidName, ra.ErrUnknownCluster, ra.ErrUnknownMachine, ra.ErrNoProcess, ra.ErrNodeDown, ra.ErrClosed,
	ra.ErrOverloaded, ra.ErrTooLarge, ra.ErrNotLeader, ra.ErrSuperseded, ra.ErrDamaged, ra.ErrDiskFull, ra.ErrStorageFailed,
	ra.ErrChangeNotPermitted, ra.ErrAlreadyMember, ra.ErrNotMember, ra.ErrAlreadyLeader, ra.ErrNonVoter, ra.ErrNotUpToDate,
	system.ErrNothingLost, member.ErrCompacted, vfs.ErrInjected,
}

// noVoter reports whether a change is refused because it takes the last vote.
func noVoter(err error) bool {
	return err != nil && strings.HasSuffix(err.Error(), "the cluster would have no voter")
}

// known reports whether an error is of a documented kind.
func known(err error) bool {
	if ra.MayHaveBeenApplied(err) {
		return true // whatever the cause
	}
	if noVoter(err) {
		return true
	}
	if p := (*machine.PanicError)(nil); errors.As(err, &p) && fmt.Sprint(p.Value) == "as it was asked" {
		return true
	}
	for _, e := range documented {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// slack is how long a call may outlast its context: calls that start members go on for so long to leave nothing behind.
const slack = 5100 * time.Millisecond

// call makes a call, which must end soon after its context, and with an error of a documented kind (I15).
func (w *world) call(cluster, what string, ctx context.Context, f func(context.Context) error) error {
	err := f(ctx)
	end, limited := ctx.Deadline()
	if late := time.Since(end); limited && late > slack {
		w.fail("%s: %s ended %v after its deadline", cluster, what, late)
	}
	if err != nil && !known(err) {
		w.fail("%s: %s: %v", cluster, what, err)
	}
	w.note(cluster, "%s: %v", what, err)
	return err
}
