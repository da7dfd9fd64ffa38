package system

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// fullRegistration uses every field.
func fullRegistration() registration {
	return registration{
		uid: "UID1", id: ra.ServerID{Name: "q", Node: "node"}, cluster: "queue", machine: "fifo", version: 3,
		initial: []ra.Member{
			{ID: ra.ServerID{Name: "q", Node: "node"}, UID: "UID1"},
			{ID: ra.ServerID{Name: "q-2", Node: "other"}, UID: "UID2", Membership: ra.NonVoter},
		},
	}
}

// TestRegistrationGolden: the encoding is that of docs/FORMAT.md, byte by byte.
func TestRegistrationGolden(t *testing.T) {
	g := fullRegistration()
	want := "01" + "046e6f6465" + "057175657565" + "046669666f" + "03000000" + "0200" +
		"0171" + "046e6f6465" + "0455494431" + "00" +
		"03712d32" + "056f74686572" + "0455494432" + "02"
	w := g.encode()
	if got := hex.EncodeToString(w.Config); got != want || w.Name != "q" {
		t.Errorf("encoded as %s %s\nwant q %s", w.Name, got, want)
	}
	back, err := decodeRegistration("UID1", *w)
	if err != nil || !reflect.DeepEqual(back, g) {
		t.Errorf("decoded as %+v, %v", back, err)
	}
}

// TestRegistrationRefused: what cannot be stored, or found again, is not registered (ID-01, ID-02).
func TestRegistrationRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := map[string]func(*registration){
			"no name":        func(g *registration) { g.id.Name = "" },
			"other node":     func(g *registration) { g.id.Node = "other" },
			"reserved name":  func(g *registration) { g.id.Name = "ra.wal" },
			"cluster":        func(g *registration) { g.cluster = "a/b" },
			"machine":        func(g *registration) { g.machine = "" },
			"uid":            func(g *registration) { g.uid = "ä" },
			"long uid":       func(g *registration) { g.uid = ra.UID(strings.Repeat("U", 201)) },
			"nobody":         func(g *registration) { g.initial = nil },
			"crowd":          func(g *registration) { g.initial = make([]ra.Member, 2000) },
			"nameless peer":  func(g *registration) { g.initial[1].ID.Name = "" },
			"peer's no node": func(g *registration) { g.initial[1].ID.Node = "" },
			"peer's no uid":  func(g *registration) { g.initial[1].UID = "" },
		}
		n := openStorageNode(t, storageConfig(vfs.NewMem()))
		for name, change := range bad {
			g := fullRegistration()
			change(&g)
			if r, err := n.register(t.Context(), g); err == nil || r != nil {
				t.Errorf("%s: registered", name)
			}
		}
		if n.registry.size() != 0 {
			t.Errorf("%d members", n.registry.size())
		}
	})
}

// TestRegistrationVersion: a node does not open what a later program wrote.
func TestRegistrationVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := fullRegistration()
		w := g.encode()
		w.Config[0]++
		if _, err := decodeRegistration("UID1", *w); !errors.Is(err, errVersion) {
			t.Errorf("later version: %v", err)
		}
		mem := vfs.NewMem()
		l, _, err := wal.Open(wal.Config{FS: &covered{fs: mem}, Dir: "wal", FileSize: wal.MinFileSize})
		if err != nil {
			t.Fatal(err)
		}
		writer, err := l.Writer("UID1")
		if err != nil {
			t.Fatal(err)
		}
		b := l.NewBatch()
		if err := errors.Join(b.Append(writer, &wal.Op{Seq: 1, Register: w}), l.Commit(b), l.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), storageConfig(mem)); !errors.Is(err, errVersion) {
			t.Errorf("opened: %v", err)
		}
	})
}

// FuzzRegistration: whatever stands there, decoding neither panics nor takes anything that would be written differently.
func FuzzRegistration(f *testing.F) {
	g := fullRegistration()
	good := g.encode().Config
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{registrationVersion})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var g registration
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { g, err = decodeRegistration("UID1", wal.Registration{Name: "q", Config: b}) })
		if err != nil {
			if !errors.Is(err, ra.ErrCorrupt) && !errors.Is(err, errVersion) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if again := g.encode(); !bytes.Equal(again.Config, b) {
			t.Errorf("%x is written as %x", b, again.Config)
		}
	})
}

// TestNewUID: API-14.
func TestNewUID(t *testing.T) {
	form := regexp.MustCompile(`^MY-QUE[A-Z0-9]{12}$`)
	seen := make(map[ra.UID]bool)
	for range 1000 {
		uid := newUID("my-ü queue.1")
		if !form.MatchString(string(uid)) || seen[uid] {
			t.Fatalf("uid %q", uid)
		}
		seen[uid] = true
	}
}

// TestManyRegistrations: a thousand registrations share syncs, whether they come in one call or in many at once.
func TestManyRegistrations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 1000
		errs := vfs.NewErrs(vfs.NewMem())
		n := openStorageNode(t, storageConfig(errs))
		var gs []registration
		for i := range many {
			gs = append(gs, registrationOf(fmt.Sprint("a", i)))
		}
		records, failed := n.registerAll(t.Context(), gs)
		for i := range gs {
			if failed[i] != nil || records[i] == nil || n.registry.at(records[i].slot) != records[i] {
				t.Fatalf("registration %d: %v", i, failed[i])
			}
		}
		if s := n.Stats().Syncs; s > many/10 { // one or two, unless the log is scheduled in between
			t.Errorf("%d syncs for one call", s)
		}
		// Those that come while the log is busy wait for its next batch together.
		letGo := holdLog(errs)
		before := n.Stats().Syncs
		var all sync.WaitGroup
		for i := range many {
			all.Go(func() {
				if _, err := n.register(context.Background(), registrationOf(fmt.Sprint("b", i))); err != nil {
					t.Error(err)
				}
			})
		}
		for n.registry.size() < 2*many {
			runtime.Gosched()
		}
		letGo()
		all.Wait()
		if s := n.Stats().Syncs - before; s > many/2 {
			t.Errorf("%d syncs for %d calls at once", s, many)
		}
	})
}

// TestNameTaken: a local name has one member; it is free again when that is deleted, and the next one has another uid (ID-04).
func TestNameTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		n := openStorageNode(t, storageConfig(mem))
		old := newLife(t, n, "m")
		if _, err := n.register(t.Context(), registrationOf("m")); !errors.Is(err, ra.ErrNameTaken) {
			t.Errorf("the same name: %v", err)
		}
		g := registrationOf("other")
		g.uid = old.r.uid
		if _, err := n.register(t.Context(), g); !errors.Is(err, ra.ErrNameTaken) {
			t.Errorf("the same uid: %v", err)
		}
		if err := n.unregister(t.Context(), old.r); err != nil {
			t.Fatal(err)
		}
		fresh := newLife(t, n, "m")
		if fresh.r.slot != old.r.slot || n.registry.at(fresh.r.slot) != fresh.r {
			t.Errorf("slot %d is not used again", old.r.slot)
		}
		mustClose(t, n)
		n = openStorageNode(t, storageConfig(mem))
		if r := n.registry.byName("m"); n.registry.size() != 1 || r.uid != fresh.r.uid {
			t.Errorf("%d members, m is %v", n.registry.size(), r)
		}
	})
}

// TestRegistrationTakenBack: a registration that nobody waited for leaves nothing behind.
func TestRegistrationTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		errs := vfs.NewErrs(mem)
		n := openStorageNode(t, storageConfig(errs))
		letGo := holdLog(errs)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.register(ctx, registrationOf("m")); !errors.Is(err, context.Canceled) {
			t.Errorf("register: %v", err)
		}
		letGo()
		newLife(t, n, "m")
		mustClose(t, n)
		n = openStorageNode(t, storageConfig(mem))
		if n.registry.size() != 1 {
			t.Errorf("%d members", n.registry.size())
		}
	})
}

// TestRegistrationUnderWay: a member whose name is taken and whose registration is not ordered yet is found by who deletes
// or starts it. Both wait, and when the registration fails there is nothing to delete, nor to start.
func TestRegistrationUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openStorageNode(t, storageConfig(vfs.NewMem()))
		g := registrationOf("m")
		g.uid = "m-uid"
		r := &record{node: n, uid: g.uid, id: g.id, reg: g, log: raftlog.New(g.uid, n.segments)}
		r.life.Lock()
		if err := n.registry.add(r); err != nil {
			t.Fatal(err)
		}
		found := n.registry.byName("m")
		var deleted, started error
		var both sync.WaitGroup
		both.Go(func() { deleted = n.unregister(t.Context(), found) })
		both.Go(func() { started = n.loadServer(t.Context(), found, new(member.Config)) })
		n.registry.remove(r)
		r.life.Unlock()
		both.Wait()
		if deleted != nil || !errors.Is(started, ra.ErrNoProcess) {
			t.Errorf("deleted: %v, started: %v", deleted, started)
		}
		mustClose(t, n)
	})
}
