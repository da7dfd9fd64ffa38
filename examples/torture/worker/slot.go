package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// pause is between two attempts at something that failed.
const pause = 20 * time.Millisecond

// callTime bounds one call. Whatever takes longer is tried again, or given up and noted as such.
const callTime = 10 * time.Second

// slot is a name under which one cluster after the other lives.
type slot struct {
	w      *worker
	number uint16
	journal.Slot
	members []ra.ServerID
	random  *rand.Rand
}

func newSlot(w *worker, i int) *slot {
	s := &slot{w: w, number: uint16(i), Slot: w.plan.Slots[i]}
	s.members = s.Where(w.plan.Nodes)
	s.random = rand.New(rand.NewPCG(w.plan.Seed, uint64(i)))
	return s
}

// home is the node that the slot's clusters are started from.
func (s *slot) home() *system.Node { return s.w.nodes[s.Node%len(s.w.nodes)] }

// handle returns a handle on the slot's cluster: the home node's, or that of another node if a failing disk has kept the
// home node from having a member.
func (s *slot) handle() (*system.Cluster, error) {
	h, err := s.home().Cluster(s.Name)
	for i := 0; err != nil && i < len(s.w.nodes); i++ {
		if other, missing := s.w.nodes[i].Cluster(s.Name); missing == nil {
			return other, nil
		}
	}
	return h, err
}

// work has a cluster live under the name, and another one after it, until ctx is done.
func (s *slot) work(ctx context.Context) {
	for ctx.Err() == nil {
		switch s.Status {
		case journal.Half:
			s.purge(ctx)
		case journal.Absent:
			s.create(ctx)
		case journal.Live:
			if s.Idle {
				s.ask(ctx)
				continue
			}
			s.use(ctx)
			if s.w.plan.Churn && ctx.Err() == nil && s.random.IntN(4) == 0 {
				s.delete(ctx)
			}
		}
		if ctx.Err() == nil && s.Status == journal.Half {
			wait(ctx, pause)
		}
	}
}

// create starts a new cluster.
func (s *slot) create(ctx context.Context) {
	s.Nonce, s.Status = s.random.Uint64(), journal.Half
	s.tell(journal.Event{Kind: journal.Creating})
	bounded, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if _, err := s.home().StartCluster(bounded, system.ClusterConfig{Name: s.Name, Machine: machineName, Members: s.members}); err != nil {
		return
	}
	s.Status, s.Missing = journal.Live, s.Members-len(s.found())
	s.tell(journal.Event{Kind: journal.Created, Seq: uint32(s.Missing)})
}

// use has two clients send commands: one many at a time, the other one after the other.
func (s *slot) use(ctx context.Context) {
	var both sync.WaitGroup
	commands := 1 + s.random.IntN(max(s.w.plan.Commands, 1))
	seeds := [2]uint64{s.random.Uint64(), s.random.Uint64()}
	both.Go(func() { newClient(s, seeds[0]).stream(ctx, commands) })
	both.Go(func() { newClient(s, seeds[1]).call(ctx, commands) })
	both.Wait()
}

// ask has the cluster answer a query now and then.
func (s *slot) ask(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if h, err := s.handle(); err == nil {
		if _, err := h.ConsistentQuery(bounded, newest(0)); err == nil {
			s.tell(journal.Event{Kind: journal.Queried})
		}
	}
	wait(ctx, pause)
}

// delete ends the cluster by consensus.
func (s *slot) delete(ctx context.Context) {
	s.Status = journal.Half
	s.tell(journal.Event{Kind: journal.Deleting})
	c, err := s.handle()
	if err != nil {
		s.w.problem("%s: to be deleted: %v", s.Name, err)
		return
	}
	bounded, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if c.Delete(bounded) == nil && len(s.found()) == 0 {
		s.Status = journal.Absent
		s.tell(journal.Event{Kind: journal.Deleted})
	}
}

// purge deletes by force whatever has the name.
func (s *slot) purge(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	for _, id := range s.members {
		if s.node(id).Member(id).Delete(bounded) != nil {
			return
		}
	}
	s.Status = journal.Absent
	s.tell(journal.Event{Kind: journal.Purged})
}

// found returns the members that are registered under the slot's name.
func (s *slot) found() []ra.ServerID {
	var found []ra.ServerID
	for _, id := range s.members {
		if _, err := s.node(id).Member(id).Metrics(context.Background()); !errors.Is(err, ra.ErrNoProcess) {
			found = append(found, id)
		}
	}
	return found
}

// node returns the node that a member lives on.
func (s *slot) node(id ra.ServerID) *system.Node {
	for _, n := range s.w.nodes {
		if n.Name() == id.Node {
			return n
		}
	}
	return nil
}

// tell writes an event of the slot's cluster.
func (s *slot) tell(e journal.Event) {
	e.Slot, e.Nonce = s.number, s.Nonce
	s.w.tell(e)
}

// wait pauses for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
