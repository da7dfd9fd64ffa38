package actor

import (
	"fmt"
	"slices"
	"sync"
	"testing"
)

// warmed is an actor that notes how often it was warmed before each of its batches.
type warmed struct {
	steps   []int
	batches [][]int
	order   []int // of the messages
	started bool
	early   bool // warmed before Start
	done    *sync.WaitGroup
}

type numbered struct {
	Item
	sender, number int
}

func (a *warmed) Start(*Context) error {
	a.started = true
	return nil
}

func (a *warmed) Warm(step int) {
	a.early = a.early || !a.started
	a.steps = append(a.steps, step)
}

func (a *warmed) Receive(c *Context) {
	a.batches = append(a.batches, a.steps)
	a.steps = nil
	for m := c.Next(); m != nil; m = c.Next() {
		a.order = append(a.order, m.(*numbered).number)
		a.done.Done()
	}
}

// gate is an actor that keeps its worker busy until it is opened.
type gate struct{ closed, open chan struct{} }

func (g *gate) Receive(c *Context) {
	for m := c.Next(); m != nil; m = c.Next() {
		close(g.closed)
		<-g.open
	}
}

// TestWarm: every actor of a crowd that is ready together is warmed by all steps, in order, before its batch; of a few
// actors none is.
func TestWarm(t *testing.T) {
	for _, n := range []int{1, crowd - 1, crowd, 3*chunk + 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var done sync.WaitGroup
			node := openNode(t, Config{Workers: 1})
			g := &gate{make(chan struct{}), make(chan struct{})}
			keeper := mustSpawn(t, node, "gate", g)
			actors, refs := make([]*warmed, n), make([]*Ref, n)
			for i := range actors {
				actors[i] = &warmed{done: &done}
				refs[i] = mustSpawn(t, node, fmt.Sprint("a", i), actors[i])
				done.Add(1)
				refs[i].Send(new(numbered))
				done.Wait() // it has begun
			}
			keeper.Send(new(numbered))
			<-g.closed
			done.Add(n)
			for _, r := range refs {
				r.Send(new(numbered))
			}
			close(g.open)
			done.Wait()
			node.Close(t.Context())
			crowds := n / chunk * chunk
			if n%chunk >= crowd {
				crowds = n
			}
			for i, a := range actors {
				want := []int(nil)
				if i < crowds {
					want = []int{0, 1, 2, 3, 4, 5}
				}
				if len(a.batches) != 2 || a.batches[0] != nil || !slices.Equal(a.batches[1], want) || a.early {
					t.Fatalf("actor %d of %d: warmed %v before its batches, before its start %v; want %v", i, n, a.batches, a.early, want)
				}
			}
		})
	}
}

// TestWarmUnderLoad: messages that come while a lane is being warmed are neither lost nor reordered.
func TestWarmUnderLoad(t *testing.T) {
	const actors, senders, each = 3 * crowd, 4, 200
	var done sync.WaitGroup
	done.Add(actors * senders * each)
	node := openNode(t, Config{Workers: 2})
	all, refs := make([]*warmed, actors), make([]*Ref, actors)
	for i := range all {
		all[i] = &warmed{done: &done}
		refs[i] = mustSpawn(t, node, fmt.Sprint("a", i), all[i])
	}
	for s := range senders {
		go func() {
			for k := range each {
				for _, r := range refs {
					for r.Send(&numbered{sender: s, number: s*each + k}) != nil {
						// the lane is full
					}
				}
			}
		}()
	}
	done.Wait()
	node.Close(t.Context())
	for i, a := range all {
		var last [senders]int
		for _, m := range a.order {
			if s := m / each; m%each < last[s] {
				t.Fatalf("actor %d: message %d of sender %d came after %d", i, m%each, s, last[s])
			} else {
				last[s] = m % each
			}
		}
		if len(a.order) != senders*each {
			t.Fatalf("actor %d got %d messages", i, len(a.order))
		}
	}
}
