package system

import (
	"context"
	"sync"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra/member"
)

// pool runs work that takes long on a bounded number of goroutines, first come first served. It has none while nothing
// is to do. What waits is bounded by its users: a member has a snapshot, a checkpoint and a few transfers under way.
type pool struct {
	limit  int
	logger *zap.Logger

	mu      sync.Mutex
	waiting []func()
	running int
	closed  bool
	idle    sync.WaitGroup // the goroutines
}

// run has f called, soon. It reports whether it will be: not after close.
func (p *pool) run(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.waiting = append(p.waiting, f)
	if p.running < p.limit {
		p.running++
		p.idle.Go(p.work)
	}
	return true
}

// work is one goroutine.
func (p *pool) work() {
	for {
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.running--
			p.waiting = nil
			p.mu.Unlock()
			return
		}
		f := p.waiting[0]
		p.waiting[0] = nil
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		p.guard(f)
	}
}

// guard calls f. A capture of a user's machine may panic there, which must end neither the process nor this goroutine; if it
// ends the goroutine, by runtime.Goexit, another one takes over.
func (p *pool) guard(f func()) {
	calm := false
	defer func() {
		if v := recover(); v != nil {
			p.logger.Error("background work panicked", zap.Any("panic", v), zap.Stack("stack"))
		} else if !calm {
			p.logger.Error("background work ended its goroutine", zap.Stack("stack"))
			p.idle.Go(p.work)
		}
	}()
	f()
	calm = true
}

// close has nothing added any more, and waits until everything that waits is done.
func (p *pool) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.idle.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// memberWork is the pool as one member sees it.
type memberWork struct{ r *record }

var _ member.Background = memberWork{}

// Run runs work on the pool, and then done on the member, if that life of it still goes on.
func (m memberWork) Run(work, done func()) {
	r, p := m.r, m.r.proc.Load()
	r.work.Add(1)
	ok := r.node.pool.run(func() {
		defer func() {
			r.work.Done()
			if p != nil {
				p.finished(done, nil)
			}
			r.node.segwriter.poke()
		}()
		work()
	})
	if !ok {
		r.work.Done()
	}
}
