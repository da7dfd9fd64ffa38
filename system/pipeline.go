package system

import (
	"context"
	"fmt"
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// Pipeline sends commands to a cluster without waiting for each: at most a window of them is on the way, and their ends
// come in a channel. Commands reach the leader in the order in which they were submitted, and those that are applied are
// applied in that order. Nothing is tried again, since that would break the order: when the leader changes, commands end
// with an error that says whether they may have been applied, and later ones go to the new leader.
//
// One goroutine may submit and another receive. Close must be called.
type Pipeline struct {
	cluster *Cluster
	events  chan Completion
	room    chan struct{} // one token for each command on its way, or of which the end was not received

	mu     sync.Mutex
	ended  []Completion // not yet handed over, in order
	wake   chan struct{}
	open   int // commands on their way
	closed bool
	done   chan struct{} // closed when the pump has ended
	stop   chan struct{} // closed when nobody wants events any more
}

// Completion is the end of one command of a Pipeline.
type Completion struct {
	// Correlation is the number that the command was submitted with.
	Correlation uint64
	ra.Result
	Err error
}

// NewPipeline returns a pipeline of which at most window commands, 1 at least, are on their way or wait to be received.
func (c *Cluster) NewPipeline(window int) *Pipeline {
	window = max(window, 1)
	p := &Pipeline{
		cluster: c, events: make(chan Completion, window), room: make(chan struct{}, window),
		wake: make(chan struct{}, 1), done: make(chan struct{}), stop: make(chan struct{}),
	}
	go p.pump()
	return p
}

// Submit sends a command. It waits while the window is full, and fails with the context's error if that takes too long,
// or with ra.ErrClosed; the command was not sent then. Everything else is told by Events.
func (p *Pipeline) Submit(ctx context.Context, correlation uint64, command []byte) error {
	select {
	case p.room <- struct{}{}:
	default:
		select {
		case p.room <- struct{}{}:
		case <-p.stop:
			return ra.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		<-p.room
		return fmt.Errorf("%w: pipeline", ra.ErrClosed)
	}
	p.open++
	p.mu.Unlock()
	p.cluster.Go(command, func(r ra.Result, err error) { p.end(Completion{correlation, r, err}) })
	return nil
}

// Events returns the channel of the ends of commands: one for each that Submit took, in order as long as one member
// leads. It is closed by Close.
func (p *Pipeline) Events() <-chan Completion { return p.events }

// end takes in the end of a command, on a worker. It never blocks.
func (p *Pipeline) end(c Completion) {
	p.mu.Lock()
	p.open--
	p.ended = append(p.ended, c)
	p.mu.Unlock()
	p.poke()
}

func (p *Pipeline) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// pump hands the ends over to the channel. It gives the room of a command back when its end has found a place there, so
// that together no more than twice the window is kept.
func (p *Pipeline) pump() {
	defer close(p.done)
	defer close(p.events)
	for range p.wake {
		p.mu.Lock()
		ended := p.ended
		p.ended = nil
		last := p.closed && p.open == 0
		p.mu.Unlock()
		for _, c := range ended {
			select {
			case p.events <- c:
				<-p.room
			case <-p.stop:
				return
			}
		}
		if last || p.stopped() {
			return
		}
	}
}

// stopped reports whether nobody wants events any more.
func (p *Pipeline) stopped() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// Close ends the pipeline: it waits until all commands have ended and their ends are in the channel, which is closed
// then. If ctx is done first the rest of the ends is lost, and Close returns the context's error.
func (p *Pipeline) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.poke()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	if !p.stopped() {
		close(p.stop)
	}
	p.mu.Unlock()
	p.poke()
	<-p.done
	return ctx.Err()
}
