package actor

import (
	"sync"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// names holds the living actors of a node by name. A name is taken before the actor's factory runs and is free again
// when its Stop callback has returned, before anybody is told that it ended.
type names struct {
	mu      sync.RWMutex
	refs    map[string]*Ref
	closed  bool
	live    int           // actors that have a name or have yet to tell of their end
	drained chan struct{} // closed when none is left and none can come
}

func (t *names) init() {
	t.refs = make(map[string]*Ref)
	t.drained = make(chan struct{})
}

func (t *names) get(name string) *Ref {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.refs[name]
}

// take reserves r's name for r.
func (t *names) take(r *Ref) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ra.ErrClosed
	}
	if t.refs[r.name] != nil {
		return ra.ErrNameTaken
	}
	t.refs[r.name] = r
	t.live++
	return nil
}

// free gives r's name back.
func (t *names) free(r *Ref) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.refs, r.name)
}

// leave is called when an actor has ended and all that were to be told have been told.
func (t *names) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live--
	if t.closed && t.live == 0 {
		close(t.drained)
	}
}

func (t *names) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.refs)
}

// close lets no further actor in and returns those that live.
func (t *names) close() []*Ref {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed && t.live == 0 {
		close(t.drained)
	}
	t.closed = true
	all := make([]*Ref, 0, len(t.refs))
	for _, r := range t.refs {
		all = append(all, r)
	}
	return all
}
