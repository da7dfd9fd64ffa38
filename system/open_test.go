package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// storageConfig is the configuration of a node with tiny files, whose members do not run.
func storageConfig(fs vfs.FS) Config {
	return Config{
		Dir: "memory", FS: fs, NoAutoStart: true, WALFileSize: wal.MinFileSize,
		Machines: map[string]machine.Factory{"counter": reference.NewCounter},
	}
}

// openStorageNode opens a node that is closed with the test, and leaves no goroutine behind.
func openStorageNode(t *testing.T, cfg Config) *Node {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil && !errors.Is(err, ra.ErrStorageFailed) && !errors.Is(err, ra.ErrDiskFull) {
			t.Error(err)
		}
		goleak.VerifyNone(t, leaks)
	})
	return n
}

func mustClose(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// registrationOf returns a registration of a member that is its cluster's only one.
func registrationOf(name string) registration {
	id := ra.ServerID{Name: name, Node: "node"}
	uid := newUID(name)
	return registration{
		uid: uid, id: id, cluster: name, machine: "counter", initial: []ra.Member{{ID: id, UID: uid}},
	}
}

// life stands for the Server of a member: it orders, and remembers what it ordered.
type life struct {
	t    *testing.T
	n    *Node
	r    *record
	seq  uint64 // as a Server counts
	term ra.Term
}

// newLife registers a member.
func newLife(t *testing.T, n *Node, name string) *life {
	t.Helper()
	r, err := n.register(t.Context(), registrationOf(name))
	if err != nil {
		t.Fatal(err)
	}
	return lifeOf(t, n, r)
}

// lifeOf begins a life of a member that is registered.
func lifeOf(t *testing.T, n *Node, r *record) *life {
	t.Helper()
	l := &life{t: t, n: n, r: r, term: 1}
	r.base.Store(n.wal.last(r))
	return l
}

// order gives an order to the log and waits until it is durable.
func (l *life) order(op wal.Op) {
	l.t.Helper()
	if err := l.try(l.t.Context(), op); err != nil {
		l.t.Fatal(err)
	}
}

// try is order for one who expects that it may fail.
func (l *life) try(ctx context.Context, op wal.Op) error {
	l.r.life.Lock()
	defer l.r.life.Unlock()
	l.seq++
	op.Seq = l.seq
	if err := l.n.storeLate(ctx, l.r, &op); err != nil {
		return err
	}
	return l.r.waitDurable(ctx, l.n.wal.last(l.r))
}

// entries returns count entries of the life's term that follow its log.
func (l *life) entries(count, size int) []ra.Entry {
	var out []ra.Entry
	for i := range count {
		index := l.r.log.Last() + 1 + ra.Index(i)
		payload := bytes.Repeat([]byte{byte(index)}, size)
		out = append(out, ra.Seal(ra.NewBody(payload), ra.Header{Index: index, Term: l.term, Kind: ra.KindCommand}))
	}
	return out
}

// append appends entries to log and write-ahead log.
func (l *life) append(count, size int) {
	l.t.Helper()
	entries := l.entries(count, size)
	if err := l.r.log.Append(entries); err != nil {
		l.t.Fatal(err)
	}
	l.order(wal.Op{Entries: entries})
}

// truncate removes entries, and goes on in the next term.
func (l *life) truncate(from ra.Index) {
	l.t.Helper()
	l.term++
	l.r.log.Truncate(from)
	l.order(wal.Op{Truncate: from, State: &ra.HardState{Term: l.term}})
}

// contents returns index, term and first byte of all entries of a log above its snapshot.
func contents(t *testing.T, r *record) []string {
	t.Helper()
	base, _ := r.log.Base()
	last := r.log.Last()
	var all []ra.Entry
	for next := base + 1; next <= last; next = all[len(all)-1].Index + 1 {
		got, err := r.log.Read(all, next, last, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		all = got
	}
	var out []string
	for i := range all {
		out = append(out, fmt.Sprintf("%d/%d:%x", all[i].Index, all[i].Term, all[i].Payload()[:1]))
	}
	return out
}

// walFile matches the log's current file as the file system knows it: by the name that it was opened under.
const walFile = "*.spare"

// holdLog lets no sync of the log happen until the function that it returns is called. The whole file system waits then.
func holdLog(errs *vfs.Errs) (letGo func()) {
	gate := make(chan struct{})
	errs.Trace(func(op vfs.Op, name string) {
		if ok, _ := path.Match(walFile, path.Base(name)); ok && op == vfs.OpSync {
			<-gate
		}
	})
	return sync.OnceFunc(func() { close(gate) })
}

// flushNow does in the test's goroutine what the segment writer would do, until it has nothing to do.
func flushNow(t *testing.T, n *Node) {
	t.Helper()
	n.segwriter.ref.Stop(nil)
	<-n.segwriter.ref.Done()
	n.segwriter.tidy = true
	for more := true; more; {
		var err error
		if more, err = n.segwriter.round(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReopen: what was acknowledged is there when the node is opened again, in memory and on a real disk (DIR-01, META-01).
func TestReopen(t *testing.T) {
	for _, disk := range []string{"memory", "real"} {
		t.Run(disk, func(t *testing.T) {
			cfg := storageConfig(vfs.NewMem())
			if disk == "real" {
				cfg.FS, cfg.Dir = nil, t.TempDir()
			}
			n := openStorageNode(t, cfg)
			want := make(map[ra.UID][]string)
			for i := range 3 {
				l := newLife(t, n, fmt.Sprint("m", i))
				for range 40 {
					l.append(5, 400)
				}
				l.truncate(ra.Index(150 + i))
				l.append(3, 10)
				l.order(wal.Op{State: &ra.HardState{Term: 7, Vote: "somebody"}})
				want[l.r.uid] = contents(t, l.r)
			}
			if s := n.Stats(); s.Members != 3 || s.Syncs == 0 || s.Entries != 3*203 {
				t.Errorf("stats: %+v", s)
			}
			mustClose(t, n)

			n = openStorageNode(t, cfg)
			for uid, entries := range want {
				r := n.registry.byUID(uid)
				if r == nil || r.damaged() != nil {
					t.Fatalf("member %s: %+v", uid, r)
				}
				if got := contents(t, r); fmt.Sprint(got) != fmt.Sprint(entries) {
					t.Errorf("member %s has %v\nwant %v", uid, got, entries)
				}
				if r.accepted.state != (ra.HardState{Term: 7, Vote: "somebody"}) {
					t.Errorf("member %s has state %+v", uid, r.accepted.state)
				}
			}
			if len(want) != 3 || n.registry.byName("m1") == nil || len(n.registry.byCluster("m2")) != 1 {
				t.Error("a member cannot be found by its names")
			}
		})
	}
}

// TestOtherName: a directory belongs to the node that its members' addresses name (ID-01).
func TestOtherName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := storageConfig(vfs.NewMem())
		n := openStorageNode(t, cfg)
		newLife(t, n, "m")
		mustClose(t, n)
		cfg.Name = "other"
		if _, err := Open(t.Context(), cfg); err == nil {
			t.Error("opened under another name")
		}
		cfg.Name = "node"
		openStorageNode(t, cfg)
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, bad := range []struct {
		field string
		set   func(*Config)
	}{
		{"Dir", func(c *Config) { c.Dir = "" }},
		{"Name", func(c *Config) { c.Name = "a b" }},
		{"Machines", func(c *Config) { c.Machines = map[string]machine.Factory{"": reference.NewCounter} }},
		{"Machines", func(c *Config) { c.Machines = map[string]machine.Factory{"m": nil} }},
		{"Workers", func(c *Config) { c.Workers = -1 }},
		{"ClientLane", func(c *Config) { c.ClientLane = -1 }},
		{"BackgroundJobs", func(c *Config) { c.BackgroundJobs = -1 }},
		{"MaxCommand", func(c *Config) { c.MaxCommand = ra.MaxPayload + 1 }},
		{"MaxCommand", func(c *Config) { c.MaxCommand = -1 }},
		{"WALFileSize", func(c *Config) { c.WALFileSize = wal.MinFileSize - 1 }},
		{"WALFileSize", func(c *Config) { c.WALFileSize = 1<<40 + 1 }},
		{"SnapshotLevel", func(c *Config) { c.SnapshotLevel = 23 }},
		{"Snapshots.Growth", func(c *Config) { c.Snapshots.Growth = -1 }},
		{"Snapshots.MinBytes", func(c *Config) { c.Snapshots.MinBytes = -1 }},
		{"Limits.ChunkBytes", func(c *Config) { c.Limits.ChunkBytes = minChunk - 1 }},
		{"Limits.ChunkBytes", func(c *Config) { c.Limits.ChunkBytes = maxChunk + 1 }},
		{"Limits.SnapshotPatience", func(c *Config) { c.Limits.SnapshotPatience = minPatience - 1 }},
		{"Limits.SnapshotPatience", func(c *Config) { c.Limits.SnapshotPatience = maxPatience + 1 }},
		{"Limits.InflightEntries", func(c *Config) { c.Limits.InflightEntries = -1 }},
		{"Limits.InflightEntries", func(c *Config) { c.Limits.InflightEntries = maxInflight + 1 }},
		{"Limits.EntriesPerAppend", func(c *Config) { c.Limits.EntriesPerAppend = -1 }},
		{"Limits.EntriesPerAppend", func(c *Config) { c.Limits.EntriesPerAppend = maxPerAppend + 1 }},
	} {
		cfg := Config{Dir: "d", FS: vfs.NewMem()}
		bad.set(&cfg)
		var refused *ConfigError
		if _, err := Open(t.Context(), cfg); !errors.As(err, &refused) || refused.Field != bad.field {
			t.Errorf("%s: %v", bad.field, err)
		}
	}
}

// TestOpenFails: an Open that fails half-way leaves nothing running and nothing locked, and loses nothing.
func TestOpenFails(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	mem := vfs.NewMem()
	n := openStorageNode(t, storageConfig(mem))
	newLife(t, n, "m").append(10, 100)
	mustClose(t, n)
	failed, worked := 0, 0
	for after := 0; worked < 10 && after < 1000; after++ {
		rng := rand.New(rand.NewPCG(1, uint64(after)))
		errs := vfs.NewErrs(mem.Crash(vfs.CrashKept, rng))
		errs.Inject(vfs.Fault{Op: vfs.OpAny, After: after, Times: 1})
		n, err := Open(t.Context(), storageConfig(errs))
		if err != nil {
			failed++
			errs.Heal()
			if n, err = Open(t.Context(), storageConfig(errs)); err != nil {
				t.Fatalf("after a failure at operation %d: %v", after, err)
			}
		} else {
			worked++
		}
		if r := n.registry.byName("m"); r == nil || r.damaged() != nil || r.log.Last() != 10 {
			t.Fatalf("failure at operation %d: member %+v", after, r)
		}
		if err := n.Close(context.Background()); err != nil && worked == 0 {
			t.Fatal(err)
		}
	}
	if failed < 10 || worked < 10 {
		t.Errorf("%d operations failed, %d did not matter", failed, worked)
	}
}

// An Open whose context ends, at any moment, is given up at once, and does the directory as little harm as a crash: nothing
// is taken for damaged because it was not read any more.
func TestOpenIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		cfg := storageConfig(mem)
		cfg.NoAutoStart = false
		cfg.Snapshots = snapshot.Policy{MinBytes: 1, MinRecovery: 1}
		n, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		want := fillClusters(t, n)
		mustClose(t, n)
		given := 0
		for ended := false; !ended; given++ {
			disk := mem.Crash(vfs.CrashKept, rand.New(rand.NewPCG(1, 1))) // a copy: all is durable
			ended = giveUp(t, cfg, disk, given)
			cfg.FS = disk
			n, err := Open(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r := n.Report(); len(r.Damaged)+len(r.Suspect)+len(r.Losses)+len(r.Quarantined) > 0 {
				t.Fatalf("given up after %d operations: %+v", given, r)
			}
			checkClusters(t, n, want)
			mustClose(t, n)
		}
		if given < 50 {
			t.Errorf("only %d operations", given)
		}
	})
}

// giveUp opens a node and ends the context after so many operations. It reports whether the node was open before that.
func giveUp(t *testing.T, cfg Config, disk vfs.FS, operations int) (opened bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := vfs.NewErrs(disk)
	left := operations
	errs.Judge(func(vfs.Op, string) *vfs.Fault {
		if left--; left < 0 {
			cancel()
		}
		return nil
	})
	cfg.FS, cfg.NoAutoStart = errs, true
	n, err := Open(ctx, cfg)
	if err == nil {
		mustClose(t, n)
		return true
	}
	if left >= 0 || !errors.Is(err, context.Canceled) {
		t.Fatalf("context ended after %d operations, %d were left: %v", operations, left, err)
	}
	return false
}

// fillClusters starts a few clusters and counts in them, through several files of the log. It returns the counters.
func fillClusters(t *testing.T, n *Node) map[string]int64 {
	t.Helper()
	counts := make(map[string]int64)
	for _, name := range []string{"a", "b", "c"} {
		c, err := n.StartCluster(t.Context(), ClusterConfig{Name: name, Machine: "counter"})
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); err != nil {
				t.Fatal(err)
			}
			counts[name]++
		}
	}
	return counts
}

// checkClusters compares the counters of clusters with what they should be.
func checkClusters(t *testing.T, n *Node, want map[string]int64) {
	t.Helper()
	for name, count := range want {
		c, err := n.Cluster(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.ConsistentQuery(t.Context(), nil)
		if err != nil || r.Reply != count {
			t.Errorf("%s: %v, %v, want %d", name, r.Reply, err, count)
		}
	}
}
