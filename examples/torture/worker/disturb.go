package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// disturb now and then stops a member and starts it again, or has leadership change. Whatever fails does so because the
// cluster is about to begin or end, or is being disturbed otherwise.
func (w *worker) disturb(ctx context.Context) {
	random := rand.New(rand.NewPCG(w.plan.Seed, ^uint64(0)))
	for ctx.Err() == nil {
		wait(ctx, time.Duration(random.IntN(20))*time.Millisecond)
		s := newSlot(w, random.IntN(len(w.plan.Slots)))
		if id := s.members[random.IntN(len(s.members))]; random.IntN(2) == 0 {
			s.transfer(ctx, id)
		} else {
			s.interrupt(ctx, id, time.Duration(random.IntN(50))*time.Millisecond)
		}
	}
}

// transfer has the member lead.
func (s *slot) transfer(ctx context.Context, to ra.ServerID) {
	bounded, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if c, err := s.handle(); err == nil {
		_ = c.TransferLeadership(bounded, to)
	}
}

// interrupt stops the member for a while.
func (s *slot) interrupt(ctx context.Context, id ra.ServerID, d time.Duration) {
	bounded, cancel := context.WithTimeout(context.Background(), callTime)
	defer cancel()
	m := s.node(id).Member(id)
	if s.Members == 1 || m.Stop(bounded) != nil {
		return
	}
	wait(ctx, d)
	_ = m.Restart(bounded)
}
