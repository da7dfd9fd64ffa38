package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/actor"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// inMemory returns configurations of nodes whose disks outlive them.
func inMemory() func(ra.NodeID) system.Config {
	fabric, disks := actor.NewFabric(), map[ra.NodeID]*vfs.Mem{}
	return func(name ra.NodeID) system.Config {
		if disks[name] == nil {
			disks[name] = vfs.NewMem()
		}
		return system.Config{Name: name, Dir: "/" + string(name), Fabric: fabric, FS: disks[name], WALFileSize: 1 << 20}
	}
}

// started returns a service that runs in memory, until the test ends.
func started(t *testing.T) *story {
	t.Helper()
	s := &story{service: service{config: inMemory(), nodes: map[ra.NodeID]*system.Node{}}}
	t.Cleanup(func() { s.stop(context.Background()) })
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// The program prints what the tutorial says.
func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		if err := tell(t.Context(), &out, inMemory()); err != nil {
			t.Fatal(err)
		}
		if said := blocks(t)["text"]; len(said) != 1 || said[0] != out.String() {
			t.Errorf("the program prints\n%sthe tutorial says\n%s", out.String(), strings.Join(said, "\n"))
		}
	})
}

// A session that is never told that it has the lock finds out.
func TestLostNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t)
		first, err := OpenSession(s.app, s.locks, "first")
		if err != nil {
			t.Fatal(err)
		}
		token, err := first.Acquire(t.Context(), "l", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		deaf, err := OpenSession(s.app, s.locks, "deaf")
		if err != nil {
			t.Fatal(err)
		}
		deaf.news = nil
		got := make(chan error, 1)
		go func() {
			_, err := deaf.Acquire(t.Context(), "l", time.Hour)
			got <- err
		}()
		synctest.Wait()
		if err := first.Release(t.Context(), "l", token); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
	})
}

// Who waits in vain is told when the context ends, and loses the place in line with the session.
func TestWaitingInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t)
		has, err := OpenSession(s.app, s.locks, "has")
		if err == nil {
			_, err = has.Acquire(t.Context(), "l", time.Hour)
		}
		if err != nil {
			t.Fatal(err)
		}
		waits, err := OpenSession(s.app, s.locks, "waits")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if _, err := waits.Acquire(ctx, "l", time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		waits.Close()
		err = s.until(func() (bool, error) {
			h, err := system.Ask[Holder](t.Context(), s.locks.ConsistentQuery, Who{Lock: "l"})
			return h.Waiting == 0, err
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := has.Acquire(t.Context(), "", time.Hour); err == nil {
			t.Error("a lock without a name was granted")
		}
	})
}

// A pipeline that loses its leader on the way still gets every lock.
func TestAcquireAllWithoutLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t)
		session, err := OpenSession(s.app, s.locks, "s")
		if err != nil {
			t.Fatal(err)
		}
		names := make([]string, 3000)
		for i := range names {
			names[i] = fmt.Sprint("l", i)
		}
		closed := make(chan error, 1)
		go func() { closed <- s.closeLeader(t.Context()) }()
		tokens, err := session.AcquireAll(t.Context(), names, time.Hour)
		if err != nil || len(tokens) != len(names) {
			t.Errorf("%d locks, %v", len(tokens), err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// API-05: a node without members that is opened again finds the cluster by its members.
func TestClientsNodeOpensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t)
		err := s.app.Close(t.Context())
		if err == nil {
			s.app, err = system.Open(t.Context(), s.config("app"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.app.Cluster("locks"); !errors.Is(err, ra.ErrUnknownCluster) {
			t.Errorf("before: %v", err)
		}
		s.locks, err = s.app.StartOrRestartCluster(t.Context(), system.ClusterConfig{
			Name: "locks", Machine: "locks", Members: system.Members("locks", names...),
		})
		if err != nil {
			t.Fatal(err)
		}
		session, err := OpenSession(s.app, s.locks, "anna")
		if err == nil {
			_, err = session.Acquire(t.Context(), "l", time.Minute)
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// fragile is the machine with a bug: it fails at a lock of one name.
type fragile struct{ *locks }

func (f fragile) Apply(meta machine.Meta, c Command, fx *machine.Effects) Reply {
	if c.Lock == "boom" {
		panic("boom")
	}
	return f.locks.Apply(meta, c, fx)
}

// FAIL-02: a command at which the machine panics stops all members, one after the other. Nodes that are opened with code
// that can do it go on.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := started(t)
		broken := func(machine.Init) machine.Machine { return machine.From(fragile{emptyLocks()}, protocol) }
		swap(t, s, broken)
		client := system.Client(s.locks, protocol)
		if _, _, err := client.Process(t.Context(), acquire(anna, "l")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // all three are up to date: one that is not may never hear that the next command is committed
		_, _, err := client.Process(t.Context(), acquire(anna, "boom"))
		if !ra.MayHaveBeenApplied(err) {
			t.Errorf("the command: %v", err)
		}
		time.Sleep(time.Minute)
		var p *machine.PanicError
		if _, _, err = client.Process(t.Context(), acquire(bert, "l")); !errors.As(err, &p) || ra.MayHaveBeenApplied(err) {
			t.Errorf("afterwards: %v", err)
		}
		swap(t, s, newLocks)
		if r, _, err := client.Process(t.Context(), acquire(bert, "boom")); err != nil {
			t.Errorf("with the right code: %+v, %v", r, err)
		}
	})
}

// swap closes all nodes and opens them with other code.
func swap(t *testing.T, s *story, code machine.Factory) {
	t.Helper()
	for _, name := range names {
		if err := s.nodes[name].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		if err := s.open(t.Context(), name, code); err != nil {
			t.Fatal(err)
		}
	}
}
