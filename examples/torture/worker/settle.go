package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/system"
)

// settleSeconds bounds how long a cluster may take to answer after a start: long enough for a machine that is busy
// elsewhere, so that only a cluster that is stuck needs more.
const settleSeconds = 120

// patient returns a context that ends after so many seconds in each of which this process ran: a process that was stopped
// for a while, or whose machine slept, is not one that hangs.
func patient(ctx context.Context, seconds int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for range seconds {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	return ctx, cancel
}

// settle verifies all slots as the plan says they should be, and makes an end of what was begun.
func (w *worker) settle() []*slot {
	slots := make([]*slot, len(w.plan.Slots))
	_ = together(len(slots), func(i int) error {
		slots[i] = newSlot(w, i)
		slots[i].settle()
		return nil
	})
	return slots
}

// settle verifies one slot.
func (s *slot) settle() {
	ctx, cancel := patient(context.Background(), settleSeconds)
	defer cancel()
	switch s.Status {
	case journal.Absent:
		if found := s.found(); len(found) > 0 {
			s.w.problem("%s is deleted, but there are %v", s.Name, found)
		}
	case journal.Half:
		s.purge(ctx)
	case journal.Live:
		if err := s.dump(ctx); err != nil {
			s.w.problem("%s: %v", s.Name, err)
		}
	}
}

// dump tells all that the cluster has applied, if all members say the same.
func (s *slot) dump(ctx context.Context) error {
	h, err := s.handle()
	if err != nil {
		return err
	}
	r, err := h.ConsistentQuery(ctx, machine.QueryFunc(all))
	if err != nil {
		return fmt.Errorf("consistent query: %w", err)
	}
	want, missing := r.Reply.([]byte), 0
	for _, id := range s.members {
		err := s.compare(ctx, id, r, want)
		if errors.Is(err, ra.ErrNoProcess) && missing < s.Missing {
			missing++
			continue
		}
		if err != nil {
			return fmt.Errorf("member %s: %w", id, err)
		}
	}
	s.tell(journal.Event{Kind: journal.Dump, Data: want})
	return nil
}

// compare asks one member for what it has applied, once it has applied what the leader had.
func (s *slot) compare(ctx context.Context, id ra.ServerID, at ra.Result, want []byte) error {
	r, err := s.node(id).Member(id).LocalQuery(ctx, machine.QueryFunc(all), system.AfterApplied(at.Index, at.Term))
	if err != nil {
		return err
	}
	if have := r.Reply.([]byte); !bytes.Equal(have, want) {
		return fmt.Errorf("has applied %d commands, not the %d of the leader", len(have)/journal.RecordLen, len(want)/journal.RecordLen)
	}
	return nil
}
