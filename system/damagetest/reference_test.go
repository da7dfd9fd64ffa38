package damagetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/system"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// reference is what nodes have on their disks after some work, at a moment when all of it is durable and nothing is under
// way, and what the clusters had acknowledged by then.
type reference struct {
	nodes []ra.NodeID
	disks map[ra.NodeID]*vfs.Mem
	// killed is what the disks held a little earlier, right after the last acknowledgement, when the logs were not sealed yet:
	// what a process leaves that is killed at work.
	killed map[ra.NodeID]*vfs.Mem
	// older is what the disks held some time before. The cluster "late" began after that.
	older map[ra.NodeID]*vfs.Mem
	// clones are what became of a copy of the disks of that time that was opened too, and went on in its own way.
	clones map[ra.NodeID]*vfs.Mem
	// want is the state of each cluster. All have one member on each node. past holds every state that it went through,
	// from the empty one on.
	want map[string]digest
	past map[string][]digest
}

// config is how a node of a reference is opened, also afterwards.
func config(name ra.NodeID, fabric *actor.Fabric, fs vfs.FS) system.Config {
	return system.Config{
		Dir: string(name), Name: name, Fabric: fabric, FS: fs, WALFileSize: wal.MinFileSize,
		Machines:  map[string]machine.Factory{"ledger": newLedger},
		Snapshots: snapshot.Policy{MinInterval: 1, MinCheckpoint: 1},
	}
}

// builder makes a reference.
type builder struct {
	t      *testing.T
	ref    *reference
	rng    *rand.Rand
	fabric *actor.Fabric
	fs     map[ra.NodeID]*vfs.Errs
	open   map[ra.NodeID]*system.Node
}

// newReference makes a reference of some nodes. It runs in a bubble of its own, with its clock.
func newReference(t *testing.T, count int) *reference {
	t.Helper()
	ref := &reference{
		disks: make(map[ra.NodeID]*vfs.Mem), older: make(map[ra.NodeID]*vfs.Mem), want: make(map[string]digest),
		past: make(map[string][]digest),
	}
	synctest.Test(t, func(t *testing.T) {
		b := &builder{
			t: t, ref: ref, rng: rand.New(rand.NewPCG(1, uint64(count))), fabric: actor.NewFabric(),
			fs: make(map[ra.NodeID]*vfs.Errs), open: make(map[ra.NodeID]*system.Node),
		}
		for i := range count {
			name := ra.NodeID(fmt.Sprint("n", i+1))
			ref.nodes = append(ref.nodes, name)
			ref.disks[name] = vfs.NewMem()
			b.fs[name] = vfs.NewErrs(ref.disks[name])
		}
		b.build()
	})
	return ref
}

// build goes through the life of the reference. The order of the steps decides what files there are at the end.
func (b *builder) build() {
	b.openAll()
	b.start("tiny", "quiet", "many", "big", "twin-a", "twin-b", "state", "gone")
	b.fill()
	b.do(job{"gone", opCount, 5, 100})
	b.check(b.cluster("gone").Delete(b.t.Context()))
	delete(b.ref.want, "gone")
	b.litter()
	b.closeAll()
	b.openAll() // now strangers are in quarantine
	b.fill()
	b.ref.older = b.images()
	then := maps.Clone(b.ref.want)

	// From now on nothing leaves the write-ahead log, so that several full files of it are there at the end.
	for _, fs := range b.fs {
		fs.Inject(vfs.Fault{Op: vfs.OpCreate, Name: "*.seg.tmp"})
	}
	b.start("late")
	if len(b.ref.nodes) > 2 {
		for _, name := range slices.Sorted(maps.Keys(b.ref.want)) {
			b.lead(name)
		}
		last := b.ref.nodes[len(b.ref.nodes)-1] // lags behind from here on
		for _, n := range b.ref.nodes[:len(b.ref.nodes)-1] {
			b.fabric.Disconnect(n, last)
		}
	}
	b.do(job{"late", opCount, 20, 200}, job{"many", opCount, 40, 300}, job{"big", opCount, 30, 3000})
	b.do(job{"twin-a", opSnapshot, 1, 50}, job{"twin-b", opSnapshot, 1, 50})
	b.do(job{"twin-a", opCount, 3, 100}, job{"twin-b", opCount, 3, 90}, job{"late", opCount, 20, 100})
	b.do(job{"tiny", opCount, 2, 20}, job{"many", opCount, 20, 30})
	b.ref.killed = b.imagesNow()
	b.ref.disks = b.images()
	for _, fs := range b.fs {
		fs.Heal()
	}
	b.closeAll()
	b.clone(then)
}

// clone opens a copy of the older disks, among other nodes, and has its clusters do other work, of the same kind, until its
// logs have come as far. The clusters' states were those that are given.
func (b *builder) clone(then map[string]digest) {
	c := &builder{
		t: b.t, rng: rand.New(rand.NewPCG(2, uint64(len(b.ref.nodes)))), fabric: actor.NewFabric(),
		fs: make(map[ra.NodeID]*vfs.Errs), open: make(map[ra.NodeID]*system.Node),
		ref: &reference{nodes: b.ref.nodes, disks: make(map[ra.NodeID]*vfs.Mem), want: then, past: make(map[string][]digest)},
	}
	for _, name := range c.ref.nodes {
		c.ref.disks[name] = clone(b.ref.older[name])
		c.fs[name] = vfs.NewErrs(c.ref.disks[name])
	}
	c.openAll()
	behind := func() bool {
		return slices.ContainsFunc(c.ref.nodes, func(n ra.NodeID) bool {
			return newestWAL(list(b.t, c.ref.disks[n])) < newestWAL(list(b.t, b.ref.disks[n]))
		})
	}
	for behind() {
		c.do(job{"many", opCount, 20, 300}, job{"big", opCount, 10, 3000}, job{"tiny", opCount, 1, 20})
	}
	b.ref.clones = c.images()
	c.closeAll()
}

// fill gives the clusters work that ends in segments, small and large, in snapshots and in checkpoints.
func (b *builder) fill() {
	b.do(job{"tiny", opCount, 1, 20}, job{"many", opCount, 60, 100}, job{"big", opCount, 24, 3000}, job{"state", opKeep, 12, 1500})
	b.do(job{"twin-a", opCount, 20, 100}, job{"twin-b", opCount, 20, 80})
	b.do(job{"state", opSnapshot, 1, 20}, job{"twin-a", opSnapshot, 1, 20}, job{"twin-b", opSnapshot, 1, 20})
	b.do(job{"twin-a", opCount, 4, 100}, job{"state", opKeep, 3, 1500}, job{"twin-b", opCount, 4, 100})
	b.do(job{"state", opCheckpoint, 1, 20}, job{"many", opCount, 60, 400})
	b.do(job{"state", opCount, 5, 50}, job{"big", opCount, 16, 3000})
}

func (b *builder) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *builder) openAll() {
	for _, name := range b.ref.nodes {
		n, err := system.Open(b.t.Context(), config(name, b.fabric, b.fs[name]))
		b.check(err)
		b.open[name] = n
	}
}

func (b *builder) closeAll() {
	for _, name := range b.ref.nodes {
		b.check(b.open[name].Close(context.Background()))
	}
}

// start starts clusters, one after the other.
func (b *builder) start(names ...string) {
	for _, name := range names {
		_, err := b.open[b.ref.nodes[0]].StartCluster(b.t.Context(), system.ClusterConfig{
			Name: name, Machine: "ledger", Members: system.Members(name, b.ref.nodes...),
		})
		b.check(err)
		b.ref.want[name], b.ref.past[name] = digest{}, []digest{{}}
	}
}

func (b *builder) cluster(name string) *system.Cluster {
	c, err := b.open[b.ref.nodes[0]].Cluster(name)
	b.check(err)
	return c
}

// job is commands of one kind and size for a cluster.
type job struct {
	cluster string
	op      byte
	count   int
	size    int
}

// burst is how many commands a cluster gets before the next one has its turn. What is ordered at the same time shares
// batches of the log.
const burst = 8

// do has the jobs done side by side, and returns when all is acknowledged and the nodes rest.
func (b *builder) do(jobs ...job) {
	for i := range jobs {
		b.lead(jobs[i].cluster)
	}
	for more := true; more; {
		more = false
		var wg sync.WaitGroup
		for i := range jobs {
			n := min(jobs[i].count, burst)
			jobs[i].count -= n
			more = more || jobs[i].count > 0
			for range n {
				b.send(&wg, &jobs[i])
			}
		}
		wg.Wait()
		synctest.Wait()
	}
}

// lead sees to it that the first node's member leads: Go asks the leader, and tries once.
func (b *builder) lead(cluster string) {
	c, first := b.cluster(cluster), ra.ServerID{Name: cluster, Node: b.ref.nodes[0]}
	if _, err := c.ConsistentQuery(b.t.Context(), nil); err != nil {
		b.t.Fatal(err)
	}
	if at, ok := c.Leader(); ok && at == first {
		return
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	err := c.TransferLeadership(ctx, first)
	for errors.Is(err, ra.ErrNotUpToDate) { // it has just been opened, and the others commit without it
		time.Sleep(time.Millisecond)
		err = c.TransferLeadership(ctx, first)
	}
	b.check(err)
	synctest.Wait()
	_, err = c.ConsistentQuery(b.t.Context(), nil)
	b.check(err)
}

// send sends a command, and checks its reply when it comes.
func (b *builder) send(wg *sync.WaitGroup, j *job) {
	command := make([]byte, j.size)
	for i := range command {
		command[i] = byte(b.rng.Uint32()) // does not shrink when it is compressed
	}
	command[0] = j.op
	want := b.ref.want[j.cluster].next(command)
	b.ref.want[j.cluster], b.ref.past[j.cluster] = want, append(b.ref.past[j.cluster], want)
	wg.Add(1)
	b.cluster(j.cluster).Go(command, func(got ra.Result, err error) {
		if err != nil || got.Reply != want {
			b.t.Errorf("%s: %+v, %v, want %+v", j.cluster, got.Reply, err, want)
		}
		wg.Done()
	})
}

// litter leaves files that are nobody's.
func (b *builder) litter() {
	for _, fs := range b.fs {
		for _, name := range []string{"wal/notes.txt", "segments/17.seg", "snapshots/old.snap", "snapshots/README"} {
			write(b.t, fs, name, []byte("a file that a person may have left behind: "+name))
			b.check(fs.SyncDir(path.Dir(name)))
		}
	}
}

// images copies the disks once all is durable and the log is sealed.
func (b *builder) images() map[ra.NodeID]*vfs.Mem {
	time.Sleep(time.Second)
	return b.imagesNow()
}

// imagesNow copies the disks once nothing is under way.
func (b *builder) imagesNow() map[ra.NodeID]*vfs.Mem {
	synctest.Wait()
	out := make(map[ra.NodeID]*vfs.Mem)
	for name, fs := range b.ref.disks {
		out[name] = fs.Crash(vfs.CrashKept, b.rng)
	}
	return out
}
