package worker

import (
	"context"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/ra"
)

// electAll has every idle cluster elect a leader, all at once. A single member leads already.
func (w *worker) electAll(ctx context.Context) {
	_ = together(len(w.plan.Slots), func(i int) error {
		if s := newSlot(w, i); s.Idle && s.Members > 1 {
			s.elect(ctx)
		}
		return nil
	})
}

// elect hands leadership to one member after the other until one leads in a higher term than before. What is told of a cluster by its
// number would be of another one if the name changed hands, so this is for plans without churn.
func (s *slot) elect(ctx context.Context) {
	bounded, cancel := patient(ctx, settleSeconds)
	defer cancel()
	before, _ := s.leading()
	for bounded.Err() == nil {
		id := s.members[s.random.IntN(len(s.members))]
		s.transfer(bounded, id)
		for range 10 {
			if term, ok := s.leading(); ok && term > before {
				s.tell(journal.Event{Kind: journal.Elected})
				return
			}
			wait(bounded, pause)
		}
	}
}

// leading returns the highest term of the members, and whether one of them was elected in it. A leader that has no room
// for the entry that its leadership begins with waits for some.
func (s *slot) leading() (term ra.Term, ok bool) {
	for _, id := range s.members {
		m, err := s.node(id).Member(id).Metrics(context.Background())
		if err != nil || m.Term < term {
			continue
		}
		elected := m.Role == ra.Leader || m.Role == ra.AwaitCondition
		ok = ok && m.Term == term || elected
		term = m.Term
	}
	return term, ok
}
