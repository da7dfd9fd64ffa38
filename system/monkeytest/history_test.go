package monkeytest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// history is what is known of all clusters that had one name. It is told of all that was sent, acknowledged, refused and
// seen, and finds contradictions.
type history struct {
	mu     sync.Mutex
	name   string
	fail   func(format string, args ...any)
	lives  map[life]*past
	newest life
	// since is when the cluster was started last that was certainly the only one of its name, and endings counts what may
	// have ended a life since then, from the moment when it was begun.
	since   int64
	endings int
	sent    map[uint64]bool
	refused map[uint64]error
}

// past is what is known of one life.
type past struct {
	ids []uint64
	// floor is how many commands are known to be committed: who asks from now on must see them.
	floor int
	// indexes are where acknowledged commands stood in the log, by their position.
	indexes map[int]ra.Index
}

// view is what somebody who asks now must see.
type view struct {
	life  life
	floor int
}

func newHistory(name string, fail func(string, ...any)) *history {
	return &history{
		name: name, fail: func(f string, args ...any) { fail(name+": "+f, args...) },
		lives: make(map[life]*past), sent: make(map[uint64]bool), refused: make(map[uint64]error),
	}
}

// send notes that commands are about to be sent, and returns what their sender must see.
func (h *history) send(ids ...uint64) view {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		h.sent[id] = true
	}
	v := view{life: h.newest}
	if p := h.lives[h.newest]; p != nil {
		v.floor = p.floor
	}
	return v
}

// ending notes that the present life may end.
func (h *history) ending() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.endings++
}

// started notes that a cluster has been started, not before that time, when none of its name was left: whatever was there
// has ended, and what comes now is one life.
func (h *history) started(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since, h.endings = at.UnixMilli(), 0
}

// count returns how many lives have begun since the last start that was certain, up to some time. If these are more than may
// have ended the last of them goes on.
func (h *history) count(until int64) (n int) {
	for l := range h.lives {
		if h.since <= l.Birth && l.Birth <= until {
			n++
		}
	}
	return n
}

// acknowledged notes the reply to a command (I15, I13). Index is 0 if it is not that of the command.
func (h *history) acknowledged(id uint64, v view, a answer, index ra.Index) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(a.IDs)
	if n == 0 || a.IDs[n-1] != id {
		h.fail("the reply to %d ends otherwise: %v", id, tail(a.IDs))
		return
	}
	h.current(fmt.Sprint("command ", id), v, a, n-1)
	if p := h.lives[a.Life]; p != nil && index != 0 {
		p.indexes[n-1] = index
	}
}

// answered notes the answer to a consistent query (I13).
func (h *history) answered(v view, a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.current("a consistent query", v, a, len(a.IDs))
}

// current checks an answer that may not be older than v, of which the first seen commands were there before.
func (h *history) current(who string, v view, a answer, seen int) {
	h.merge(a)
	switch {
	case len(a.IDs) == 0:
		if v.floor > 0 && h.endings < h.count(v.life.Birth) {
			h.fail("%s finds nothing, %d commands were there, in %v", who, v.floor, v.life)
		}
		return
	case a.Life == v.life:
		if seen < v.floor {
			h.fail("%s sees %d commands of %d that were there before, in %v", who, seen, v.floor, a.Life)
		}
	case a.Life.Birth < v.life.Birth:
		h.fail("%s sees %v, of %d ms, but %v, of %d ms, was there before", who, a.Life, a.Life.Birth, v.life, v.life.Birth)
	}
	p := h.lives[a.Life]
	p.floor = max(p.floor, len(a.IDs))
}

// seen notes what a query saw that may be old (I5).
func (h *history) seen(a answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.merge(a)
}

// merge compares an answer with all others of its life: each must be the beginning of the longest.
func (h *history) merge(a answer) {
	if len(a.IDs) == 0 {
		return
	}
	p := h.lives[a.Life]
	if p == nil {
		p = &past{indexes: make(map[int]ra.Index)}
		h.lives[a.Life] = p
		if n := h.count(math.MaxInt64); h.since <= a.Life.Birth && n > h.endings+1 {
			h.fail("%v is the %dth, and only %d ended", a.Life, n, h.endings)
		}
		if a.Life.Birth >= h.newest.Birth {
			h.newest = a.Life
		}
	}
	n := min(len(p.ids), len(a.IDs))
	for i := range n {
		if p.ids[i] != a.IDs[i] {
			h.fail("two pasts in %v: command %d is %d or %d", a.Life, i, p.ids[i], a.IDs[i])
			return
		}
	}
	if len(a.IDs) > n {
		p.ids = a.IDs
	}
}

// refuse notes that a command failed with an error which says that it is not applied, now or ever (I15).
func (h *history) refuse(id uint64, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused[id] = err
}

// floor returns how many commands the newest life must have.
func (h *history) present() view { return h.send() }

// check looks for what only the whole shows.
func (h *history) check() {
	h.mu.Lock()
	defer h.mu.Unlock()
	where := make(map[uint64]life)
	for l, p := range h.lives {
		for _, id := range p.ids {
			if old, twice := where[id]; twice {
				h.fail("command %d was applied twice, in %v and %v", id, old, l)
			}
			where[id] = l
			if !h.sent[id] {
				h.fail("command %d was applied, and nobody sent it", id)
			}
			if err := h.refused[id]; err != nil {
				h.fail("command %d was applied in %v, and refused: %v", id, l, err)
			}
		}
		last := ra.Index(0)
		for i := range p.ids {
			if index := p.indexes[i]; index != 0 {
				if index <= last {
					h.fail("command %d of %v has index %d, one before it %d", i, l, index, last)
				}
				last = index
			}
		}
	}
}

func tail(ids []uint64) []uint64 { return slices.Clone(ids[max(0, len(ids)-3):]) }
