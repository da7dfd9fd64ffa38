package system

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// farewell is the wish that a member which is being stopped leaves a recovery checkpoint behind (CKPT-10). Its process
// takes the wish when it ends, and captures the state; the pool writes it.
type farewell struct {
	// ctx is over when there is no more time for it.
	ctx context.Context
	// done is closed, by whoever took the wish, when nothing is to be waited for any more.
	done chan struct{}
}

// farewellTime returns a context that is over when half of the time has passed that ctx leaves: the other half is for the
// stop itself, which must not fail because a state is large.
func farewellTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// restMember stops a member in good order: it leaves a recovery checkpoint behind, if one is due and written before
// writing is over. Whatever becomes of that, the stop does not fail for it.
func (n *Node) restMember(ctx, writing context.Context, r *record) error {
	if n.cfg.Snapshots.MinRecovery == 0 {
		return n.stopMember(ctx, r)
	}
	f := &farewell{ctx: writing, done: make(chan struct{})}
	l := n.lockOf(r)
	if err := l.lock(ctx); err != nil {
		return err
	}
	r.farewell.Store(f)
	err := n.stopLocked(ctx, r)
	taken := !r.farewell.CompareAndSwap(f, nil)
	l.Unlock()
	if err != nil || !taken {
		return err
	}
	select {
	case <-f.done:
	case <-ctx.Done(): // it has stopped, and its machine does not let go
	}
	return nil
}

// sayFarewell has the member's last state written aside, if that is wished and the member sound. The process is about to
// stop.
func (p *process) sayFarewell(reason error) {
	f := p.rec.farewell.Swap(nil)
	if f == nil {
		return
	}
	written := false
	defer func() {
		if !written {
			close(f.done)
		}
	}()
	if reason != nil || f.ctx.Err() != nil || p.rec.damaged() != nil {
		return
	}
	if c := p.server.RecoveryCheckpoint(); c != nil {
		written = p.writeLast(f, c)
	}
}

// writeLast hands the member's last state to the pool. It reports false if the node is closing too far for that.
func (p *process) writeLast(f *farewell, c *member.RecoveryCheckpoint) bool {
	r := p.rec
	r.work.Add(1)
	ok := r.node.pool.run(func() {
		defer close(f.done)
		defer r.work.Done()
		defer context.AfterFunc(f.ctx, c.GiveUp)()
		switch err := c.Write(); {
		case errors.Is(err, ra.ErrClosed):
			r.node.logger.Warn("no time for a recovery checkpoint", zap.String("member", r.id.Name))
		case err != nil:
			p.problem(err)
		}
	})
	if !ok {
		r.work.Done()
		c.Drop()
	}
	return ok
}
