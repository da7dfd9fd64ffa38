package system

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// era is a machine that writes down the upgrades that it went through, and the version in which each command came.
type era struct {
	machine.Stored[[]string]
	code machine.Version
}

func (e *era) Version() machine.Version { return e.code }

func (e *era) Apply(meta machine.Meta, command []byte, _ *machine.Effects) any {
	e.State = append(e.State, fmt.Sprintf("%s/%d", command, meta.Version))
	return len(e.State)
}

func (e *era) Upgrade(_ machine.Meta, c machine.VersionChange, _ *machine.Effects) {
	e.State = append(e.State, fmt.Sprintf("%d-%d", c.From, c.To))
}

func (e *era) Query(machine.QueryContext, any) (any, error) { return fmt.Sprint(e.State), nil }

// eras returns a world whose nodes have the code of era that is in force when they are opened.
func eras(t *testing.T, nodes int, code *machine.Version) *world {
	return newWorld(t, nodes, func(c *Config) {
		now := *code
		c.Machines["era"] = func(machine.Init) machine.Machine { return &era{code: now} }
	})
}

// VER-02 to VER-05: nodes get newer code one after the other, under way. When the last one has it, and no sooner, it comes
// in force, everywhere at the same index.
func TestRollingUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := machine.Version(1)
		w := eras(t, 3, &code)
		say := func(word string) {
			t.Helper()
			for _, n := range w.nodes {
				c, err := n.Cluster("c")
				if err == nil {
					_, err = c.Process(w.ctx(), []byte(word))
				}
				if err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		// A cluster of three begins with version 0, and its members agree on the next one at once.
		w.cluster("c", "era", "n1", "n2", "n3")
		w.eventually("the first version", func() bool { return w.eraOn("n1") == "[0-1]" })
		say("a")
		code = 4
		want := "[0-1 a/1"
		for _, name := range []ra.NodeID{"n1", "n2", "n3"} {
			w.close(name)
			say("b")
			w.open(name)
			want += " b/1"
			if name == "n3" {
				want += " 1-4"
			}
			for node := range w.nodes {
				w.eventually(fmt.Sprintf("%s on %s", want, node), func() bool { return w.eraOn(node) == want+"]" })
			}
		}
	})
}

// eraOn returns what the member of cluster c on a node has written down.
func (w *world) eraOn(node ra.NodeID) string {
	r, err := w.nodes[node].Member(ra.ServerID{Name: "c"}).LocalQuery(w.ctx(), "state")
	if err != nil {
		return err.Error()
	}
	return r.Reply.(string)
}

// VER-10, VER-11: a cluster begins with the version that it is started with; if the code cannot do that it is not started,
// and its name stays free.
func TestInitialVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := machine.Version(3)
		w := eras(t, 3, &code)
		members := Members("c", "n1", "n2", "n3")
		cfg := ClusterConfig{Name: "c", Machine: "era", Members: members, InitialVersion: 4}
		if _, err := w.n(1).StartCluster(w.ctx(), cfg); !errors.Is(err, machine.ErrVersion) {
			t.Fatalf("a version that the code cannot do: %v", err)
		}
		if _, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "d", Machine: "counter", Members: Members("d", "n1"), InitialVersion: 1}); !errors.Is(err, machine.ErrVersion) {
			t.Fatalf("a version of a machine that has none: %v", err)
		}
		cfg.InitialVersion = 2
		c, err := w.n(1).StartCluster(w.ctx(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Process(w.ctx(), []byte("a")); err != nil {
			t.Fatal(err)
		}
		for node := range w.nodes {
			w.eventually("version 3", func() bool { s := w.eraOn(node); return s == "[2-3 a/3]" || s == "[a/2 2-3]" })
		}
		if _, err := w.n(1).StartCluster(w.ctx(), ClusterConfig{Name: "d", Machine: "counter"}); err != nil {
			t.Error(err)
		}
	})
}
