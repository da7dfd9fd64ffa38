package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// settlePause is how long verify waits before it asks members again that have not applied everything yet.
const settlePause = 2 * time.Millisecond

// verify waits until all members of every cluster have applied the same commands, and demands that these are exactly
// those that l knows as acknowledged; commands that failed without anybody knowing their fate may be there or not.
func (s *stand) verify(ctx context.Context, l *load) error {
	ctx, cancel := context.WithTimeout(ctx, stageLimit)
	defer cancel()
	for c := range l.clusters {
		known := l.clusters[c]
		state, err := s.settled(ctx, c, known.acked)
		if err != nil {
			return fmt.Errorf("cluster %s, %d commands acknowledged: %w", clusterName(c), known.acked, err)
		}
		if state.Count > known.acked+known.uncertain {
			return fmt.Errorf("cluster %s applied %d commands, but only %d were acknowledged and %d may have been applied",
				clusterName(c), state.Count, known.acked, known.uncertain)
		}
	}
	return nil
}

// settled waits until all members of a cluster are equal and have applied at least so many commands.
func (s *stand) settled(ctx context.Context, cluster int, commands uint64) (tallyState, error) {
	for {
		state, equal, err := s.compare(ctx, cluster)
		if err != nil {
			return state, err
		}
		if equal && state.Count >= commands {
			return state, nil
		}
		wait(ctx, settlePause)
		if ctx.Err() != nil {
			return state, errors.Join(fmt.Errorf("members differ or lack commands, one is %+v", state), ctx.Err())
		}
	}
}

// compare asks all members of a cluster for their state.
func (s *stand) compare(ctx context.Context, cluster int) (first tallyState, equal bool, err error) {
	for i, id := range s.members(cluster) {
		state, err := s.state(ctx, id)
		if err != nil {
			return first, false, err
		}
		if i == 0 {
			first = state
		}
		if state != first {
			return first, false, nil
		}
	}
	return first, true, nil
}

// state asks one member for its machine's state, as it is there at the moment.
func (s *stand) state(ctx context.Context, id ra.ServerID) (tallyState, error) {
	r, err := s.node(id.Node).Member(id).LocalQuery(ctx, nil)
	if err != nil {
		return tallyState{}, fmt.Errorf("member %v: %w", id, err)
	}
	state, ok := r.Reply.(tallyState)
	if !ok {
		return tallyState{}, fmt.Errorf("member %v answered %v", id, r.Reply)
	}
	return state, nil
}
