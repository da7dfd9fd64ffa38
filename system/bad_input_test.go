package system

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// API-03, API-06: what cannot be started says why, and leaves nothing behind.
func TestStartClusterRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		w.cluster("taken", "counter", "n1")
		for name, tt := range map[string]struct {
			cfg  ClusterConfig
			want error
		}{
			"no name":         {ClusterConfig{Machine: "counter"}, ra.ErrInvalidName},
			"bad name":        {ClusterConfig{Name: "a/b", Machine: "counter"}, ra.ErrInvalidName},
			"long name":       {ClusterConfig{Name: strings.Repeat("n", 256), Machine: "counter"}, ra.ErrInvalidName},
			"bad member":      {ClusterConfig{Name: "a", Machine: "counter", Members: []ra.ServerID{{Name: "a b"}}}, ra.ErrInvalidName},
			"reserved member": {ClusterConfig{Name: "a", Machine: "counter", Members: []ra.ServerID{{Name: "ra.wal"}}}, ra.ErrInvalidName},
			"bad node":        {ClusterConfig{Name: "a", Machine: "counter", Members: []ra.ServerID{{Name: "a", Node: "?"}}}, ra.ErrInvalidName},
			"twice": {ClusterConfig{Name: "a", Machine: "counter", Members: []ra.ServerID{{Name: "a"}, {Name: "a", Node: "n1"}}},
				ra.ErrNameTaken},
			"taken":           {ClusterConfig{Name: "taken", Machine: "counter"}, ra.ErrNameTaken},
			"member is taken": {ClusterConfig{Name: "b", Machine: "counter", Members: []ra.ServerID{{Name: "taken"}}}, ra.ErrNameTaken},
			"unknown machine": {ClusterConfig{Name: "a", Machine: "nothing"}, ra.ErrUnknownMachine},
			"unknown node":    {ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n9")}, ra.ErrNodeDown},
			"too many":        {ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", make([]ra.NodeID, 65)...)}, ra.ErrTooLarge},
		} {
			c, err := w.n(1).StartCluster(w.ctx(), tt.cfg)
			var start *StartError
			if c != nil || !errors.Is(err, tt.want) || !errors.As(err, &start) {
				t.Errorf("%s: %v, %v", name, c, err)
			}
		}
		if got := w.n(1).Clusters(); len(got) != 1 || w.n(1).registry.size() != 1 {
			t.Errorf("left are clusters %v, %d members", got, w.n(1).registry.size())
		}
		if got := w.add(w.on("n1", "taken"), 1); got != 1 {
			t.Errorf("the one that runs: %d", got)
		}
	})
}

// API-03: without a majority nothing is left running, and the error names who could not be started; with one, the cluster
// serves, its handle names them, and they can join later.
func TestStartClusterWithoutSomeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, nil)
		w.cluster("taken", "counter", "n2")
		_, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: Members("a", "n1", "n8", "n9")})
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNodeDown) })
		if n := w.n(1).registry.size(); n != 0 {
			t.Errorf("%d members are left", n)
		}
		var which *MemberError
		if !errors.As(err, &which) || which.Member != (ra.ServerID{Name: "a", Node: "n8"}) {
			t.Errorf("%v does not name the first", err)
		}
		members := append(Members("a", "n1", "n2", "n1", "n9"), ra.ServerID{Name: "taken", Node: "n2"})
		c, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "a", Machine: "counter", Members: members})
		if err != nil {
			t.Fatal(err)
		}
		if got := w.add(c, 3); got != 3 {
			t.Errorf("sum is %d", got)
		}
		missing := c.NotStarted()
		if len(missing) != 2 || missing[0].Member != members[3] || !errors.Is(missing[0], ra.ErrNodeDown) ||
			missing[1].Member != members[4] || !errors.Is(missing[1], ra.ErrNameTaken) {
			t.Fatalf("not started are %v", missing)
		}
		if got := w.on("n1", "a").NotStarted(); got != nil {
			t.Errorf("another handle says %v", got)
		}
		w.open("n9")
		for _, m := range []ra.ServerID{members[3], members[4]} {
			if err := c.RemoveMember(w.ctx(), m); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.AddMember(w.ctx(), members[3], ra.Voter); err != nil {
			t.Fatal(err)
		}
		w.eventually("the late one is there", func() bool {
			r, err := w.nodes["n9"].Member(members[3]).LocalQuery(w.ctx(), nil)
			return err == nil && r.Reply == int64(3)
		})
		if got := w.add(w.on("n2", "taken"), 1); got != 1 {
			t.Errorf("the cluster whose name was wanted: %d", got)
		}
	})
}

// API-15: a cluster whose members here could not be started, because their machine is missing or fails, is known, says
// why it does not answer, and can be looked at.
func TestClustersThatCannotStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var factory machine.Factory
		w := newWorld(t, 1, func(c *Config) {
			if delete(c.Machines, "counter"); factory != nil {
				c.Machines["counter"] = factory
			}
		})
		for name, bad := range map[string]machine.Factory{"fails": func(machine.Init) machine.Machine { panic("oh") }, "missing": nil} {
			w.close("n1")
			factory = reference.NewCounter
			w.open("n1")
			w.cluster(name, "counter", "n1")
			w.close("n1")
			factory = bad
			n := w.open("n1")
			if got := n.Clusters(); !slices.Contains(got, name) || len(n.Report().NotStarted) != len(got) {
				t.Errorf("%s: the node knows %v; not started are %v", name, got, n.Report().NotStarted)
			}
			c := w.on("n1", name)
			if _, err := c.Process(t.Context(), nil); !errors.Is(err, ra.ErrNoProcess) {
				t.Errorf("%s: process: %v", name, err)
			}
			if got := c.Members(); !slices.Equal(got, Members(name, "n1")) || len(n.Overview().Clusters) != len(n.Clusters()) {
				t.Errorf("%s: members are %v; %+v", name, got, n.Overview())
			}
		}
	})
}

// Calls to what is not there, with a context that has no end.
func TestCallsToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		n := w.n(1)
		if _, err := n.Cluster("nothing"); !errors.Is(err, ra.ErrUnknownCluster) {
			t.Errorf("unknown cluster: %v", err)
		}
		m := n.Member(ra.ServerID{Name: "nobody"})
		if _, err := m.Process(t.Context(), nil); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("unknown member: %v", err)
		}
		if err := m.Restart(t.Context()); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("restart: %v", err)
		}
		if err := errors.Join(m.Stop(t.Context()), m.Delete(t.Context())); err != nil { // API-09, API-10
			t.Error(err)
		}
		if _, err := m.Overview(t.Context()); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("overview: %v", err)
		}
		far := n.Member(ra.ServerID{Name: "a", Node: "n7"})
		if err := far.Stop(t.Context()); !errors.Is(err, ra.ErrNodeDown) {
			t.Errorf("stop: %v", err)
		}
		if _, err := far.Process(w.short(), nil); !errors.Is(err, ra.ErrNodeDown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("process: %v", err)
		}
	})
}

// What is no name, or no membership, is said to be none.
func TestBadArguments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "counter", "n1")
		for _, id := range []ra.ServerID{{}, {Name: "!"}, {Name: "a", Node: "ü"}} {
			m := w.n(1).Member(id)
			_, process := m.Process(w.ctx(), nil)
			_, metrics := m.Metrics(w.ctx())
			for _, err := range []error{process, metrics, m.Stop(w.ctx()), c.AddMember(w.ctx(), id, ra.Voter)} {
				if !errors.Is(err, ra.ErrInvalidName) {
					t.Errorf("%v: %v", id, err)
				}
			}
		}
		if err := c.AddMember(w.ctx(), ra.ServerID{Name: "b"}, 77); !errors.Is(err, ra.ErrInvalid) {
			t.Errorf("a membership that there is not: %v", err)
		}
		var start *StartError
		_, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "ü", Machine: "counter"})
		if !errors.As(err, &start) || !strings.Contains(err.Error(), `"ü" has 'ü' at 0`) {
			t.Errorf("a name with a letter that is not allowed: %v", err)
		}
	})
}

// API-08, API-09: a stopped member refuses calls at once, keeps its data, and can be restarted. Others do not notice.
func TestStoppedMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c, other := w.cluster("a", "counter", "n1"), w.cluster("b", "counter", "n1")
		w.add(c, 3)
		m := w.n(1).Member(ra.ServerID{Name: "a"})
		if err := errors.Join(m.Stop(t.Context()), m.Stop(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrNoProcess) || ra.MayHaveBeenApplied(err) {
			t.Errorf("process: %v", err)
		}
		if _, err := c.LocalQuery(t.Context(), nil); !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("query: %v", err)
		}
		if _, err := w.n(1).StartCluster(t.Context(), ClusterConfig{Name: "a", Machine: "counter"}); !errors.Is(err, ra.ErrNameTaken) {
			t.Errorf("start over stopped data: %v", err) // QRK-08
		}
		if got := w.add(other, 1); got != 1 {
			t.Errorf("the other one: %d", got)
		}
		if err := m.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Restart(t.Context()); !errors.Is(err, ra.ErrNameTaken) {
			t.Errorf("restart of a running member: %v", err)
		}
		if got := w.add(c, 1); got != 4 {
			t.Errorf("sum is %d, want 4", got)
		}
	})
}

// API-08: what was told to stop in vain stops before it is started again, and stop is not begun when its time is over.
func TestRestartAfterStopThatWasNotAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		for range 10 {
			ctx, cancel := context.WithCancel(w.ctx())
			go cancel()
			_ = c.Stop(ctx) // cancelled at some moment
			cancel()
			synctest.Wait()
			if err := errors.Join(c.Stop(ctx), c.Restart(w.ctx())); !errors.Is(err, ra.ErrNoAnswer) || !errors.Is(err, context.Canceled) {
				t.Errorf("a stop for which there is no time: %v", err)
			}
			w.add(c, 1)
			if got := w.running(); got != 3 {
				t.Errorf("%d members run", got)
			}
		}
	})
}

// FAIL-02, API-08: if a machine fails when its member is started again all who call it hear why.
func TestWhyRestartFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := false
		w := newWorld(t, 1, func(c *Config) {
			c.Machines["counter"] = func(i machine.Init) machine.Machine {
				if fails {
					panic("oh")
				}
				return reference.NewCounter(i)
			}
		})
		c := w.cluster("a", "counter", "n1")
		if err := c.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		fails = true
		restart := c.Restart(w.ctx())
		_, process := c.Process(w.ctx(), nil)
		for what, err := range map[string]error{"restart": restart, "process": process} {
			var p *machine.PanicError
			if !errors.As(err, &p) || p.Value != "oh" {
				t.Errorf("%s: %v", what, err)
			}
		}
		fails = false
		if err := c.Restart(w.ctx()); err != nil {
			t.Fatal(err)
		}
		w.add(c, 1)
	})
}

// ErrTooLarge: a command above Config.MaxCommand is refused where it is sent.
func TestOversizeCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, func(c *Config) { c.MaxCommand = 100 })
		c := w.cluster("a", "counter", "n1")
		if _, err := c.Process(t.Context(), make([]byte, 101)); !errors.Is(err, ra.ErrTooLarge) {
			t.Errorf("process: %v", err)
		}
		if err := c.PipelineCommand(make([]byte, 101), machine.Caller{}); !errors.Is(err, ra.ErrTooLarge) {
			t.Errorf("pipeline: %v", err)
		}
		done := make(chan error, 1)
		c.Go(make([]byte, 101), func(_ ra.Result, err error) { done <- err })
		if err := <-done; !errors.Is(err, ra.ErrTooLarge) {
			t.Errorf("go: %v", err)
		}
	})
}

// FAIL-02, QRK-04: a query that panics fails alone.
func TestPanicInQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "mixed", "n1")
		for name, ask := range map[string]func() (ra.Result, error){
			"local":      func() (ra.Result, error) { return c.LocalQuery(w.ctx(), "boom") },
			"leader":     func() (ra.Result, error) { return c.LeaderQuery(w.ctx(), "boom") },
			"consistent": func() (ra.Result, error) { return c.ConsistentQuery(w.ctx(), "boom") },
		} {
			_, err := ask()
			var p *machine.PanicError
			if !errors.As(err, &p) || p.Value != "query" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if r, err := c.LocalQuery(w.ctx(), "words"); err != nil || r.Reply != "" {
			t.Errorf("afterwards: %+v, %v", r, err)
		}
	})
}

// MAC-11, QRK-04: a machine that panics when it is looked at costs the look what it would have said, and nothing else.
func TestPanicInOverview(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "mixed", "n1")
		m := w.n(1).Member(ra.ServerID{Name: "a"})
		for i, word := range []string{"see", "hide", "see"} {
			if _, err := c.Process(w.ctx(), []byte("add "+word)); err != nil {
				t.Fatal(err)
			}
			o, err := m.Overview(w.ctx())
			var p *machine.PanicError
			if errors.As(err, &p) != (word == "hide") || (err == nil) != (o.Machine["words"] == i+1) || o.MachineName != "mixed" {
				t.Errorf("%s: %v, %+v", word, err, o)
			}
		}
	})
}

// FAIL-01, FAIL-02: a machine that panics stops its member only, which is started again twice and then stays down with
// the panic as the reason. The other clusters do not notice.
func TestPanicInApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c, other := w.cluster("a", "mixed", "n1"), w.cluster("b", "counter", "n1")
		_, err := c.Process(w.ctx(), []byte("boom"))
		var p *machine.PanicError
		if !ra.MayHaveBeenApplied(err) || !errors.As(err, &p) || p.Value != "boom" {
			t.Errorf("the command: %v", err)
		}
		for { // how long it takes to be elected again, and to panic again, is drawn
			_, err = c.Process(w.ctx(), []byte("add x"))
			if !errors.As(err, &p) {
				t.Fatalf("afterwards: %v", err)
			}
			if !ra.MayHaveBeenApplied(err) {
				break
			}
		}
		if !errors.Is(err, ra.ErrNoProcess) {
			t.Errorf("at last: %v", err)
		}
		if got := w.add(other, 1); got != 1 {
			t.Errorf("the other one: %d", got)
		}
	})
}

// FAIL-01: a machine that ends the goroutine it runs on, as a test does that gives up inside of it, is as one that panics.
func TestGoexitInMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, func(c *Config) { c.Workers = 1 })
		c, other := w.cluster("a", "mixed", "n1"), w.cluster("b", "counter", "n1")
		for _, ask := range []func() (ra.Result, error){
			func() (ra.Result, error) { return c.LocalQuery(w.ctx(), "exit") },
			func() (ra.Result, error) { return c.Process(w.ctx(), []byte("exit")) },
		} {
			if _, err := ask(); err == nil || !strings.Contains(err.Error(), "runtime.Goexit") {
				t.Errorf("it ends with %v", err)
			}
			if got := w.add(other, 1); got == 0 {
				t.Error("the other one does nothing")
			}
		}
	})
}

// FAIL-01: when all members are down each of them says why, whoever is asked last.
func TestWhyNobodyRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "mixed", "n1", "n2", "n3")
		if err := w.n(1).Member(ra.ServerID{Name: "a", Node: "n3"}).Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		_, err := c.Process(w.ctx(), []byte("boom"))
		for err == nil || ra.MayHaveBeenApplied(err) {
			_, err = c.Process(w.ctx(), []byte("add x"))
		}
		var p *machine.PanicError
		if !errors.Is(err, ra.ErrNoProcess) || !errors.As(err, &p) {
			t.Errorf("it does not say that there was a panic: %v", err)
		}
		for _, said := range []string{"member a@n1: ", "member a@n2: ", "member a@n3: ", "boom", "is stopped"} {
			if !strings.Contains(err.Error(), said) {
				t.Errorf("it does not say %q: %v", said, err)
			}
		}
	})
}

// A client lane that is full refuses calls at once.
func TestFullClientLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, func(c *Config) { c.ClientLane = 4 })
		c := w.cluster("a", "counter", "n1")
		entered, release := make(chan struct{}), make(chan struct{})
		block := machine.QueryFunc(func(machine.QueryContext, any) (any, error) {
			close(entered)
			<-release
			return nil, nil
		})
		blocked := make(chan error, 1)
		go func() {
			_, err := c.LocalQuery(w.ctx(), block)
			blocked <- err
		}()
		<-entered
		ends := make(chan error, 100)
		for range 100 {
			c.Go(reference.AppendAdd(nil, 1), func(_ ra.Result, err error) { ends <- err })
		}
		if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); !errors.Is(err, ra.ErrOverloaded) {
			t.Errorf("process: %v", err)
		}
		close(release)
		if err := <-blocked; err != nil {
			t.Error(err)
		}
		applied := int64(0)
		for range 100 {
			switch err := <-ends; {
			case err == nil:
				applied++
			case !errors.Is(err, ra.ErrOverloaded):
				t.Errorf("go: %v", err)
			}
		}
		if got := w.add(c, 0); got != applied || applied == 100 || applied == 0 {
			t.Errorf("%d were answered, the sum is %d", applied, got)
		}
	})
}

// A closed node fails all calls with ErrClosed, also those that wait.
func TestClosedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		c := w.cluster("a", "counter", "n1", "n2", "n3")
		w.add(c, 1)
		n := w.n(1)
		w.isolate("n1") // no quorum: calls wait
		waiting := make(chan error, 2)
		go func() {
			_, err := c.Process(context.Background(), reference.AppendAdd(nil, 1))
			waiting <- err
		}()
		go func() {
			_, err := c.ConsistentQuery(context.Background(), nil)
			waiting <- err
		}()
		synctest.Wait()
		w.close("n1")
		for range 2 {
			if err := <-waiting; !errors.Is(err, ra.ErrClosed) {
				t.Errorf("waiting: %v", err)
			}
		}
		_, process := c.Process(context.Background(), nil)
		_, query := c.LocalQuery(context.Background(), nil)
		_, start := n.StartCluster(context.Background(), ClusterConfig{Name: "b", Machine: "counter"})
		_, lookup := n.Cluster("a")
		m := n.Member(ra.ServerID{Name: "a"})
		_, overview := m.Overview(context.Background())
		_, metrics := m.Metrics(context.Background())
		for i, err := range []error{process, query, start, lookup, overview, metrics, m.Restart(context.Background()), c.Delete(context.Background()),
			c.AddMember(context.Background(), ra.ServerID{Name: "x"}, ra.Voter), c.PipelineCommand(nil, machine.Caller{})} {
			if !errors.Is(err, ra.ErrClosed) {
				t.Errorf("call %d: %v", i, err)
			}
		}
	})
}

// A context that is done already fails the call, which certainly has no effect.
func TestCancelledContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		c := w.cluster("a", "counter", "n1")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Process(ctx, reference.AppendAdd(nil, 1))
		if !errors.Is(err, context.Canceled) || ra.MayHaveBeenApplied(err) {
			t.Errorf("process: %v", err)
		}
		if _, err := w.n(1).StartCluster(ctx, ClusterConfig{Name: "b", Machine: "counter"}); !errors.Is(err, context.Canceled) {
			t.Errorf("start: %v", err)
		}
		synctest.Wait() // the node sees to it that nothing is left
		if n := w.n(1).registry.size(); n != 1 {
			t.Errorf("%d members are left", n)
		}
		if got := w.add(c, 1); got != 1 {
			t.Errorf("sum is %d", got)
		}
	})
}
