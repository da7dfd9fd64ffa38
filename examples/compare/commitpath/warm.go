package commitpath

import (
	"github.com/heliopolis-raft/heliopolis/examples/compare/walnode"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/warm"
)

// How many entries and commands are loaded; and before an entry is applied, how much of the body of which one behind
// it. The processor itself sees that a body is read from its beginning on, and more that is asked for makes it slower.
const (
	warmEntries = 8
	warmBody    = 64
	applyAhead  = 4
)

// Warm loads what the next batch will need (actor.Warmer).
func (m *member) Warm(step int) {
	if step == 0 {
		warm.Value(m)
		return
	}
	m.warmAppend(step)
	switch step {
	case 1:
		warm.Value(m.writer)
		m.table.warm(m.applied+1, warmEntries)
		warm.Slice(m.waiting, warmEntries)
	case 2:
		for _, c := range m.waiting[:min(len(m.waiting), warmEntries)] {
			warm.Value(c)
		}
	}
}

// warmAppend loads the first append that waits, then its entries.
func (m *member) warmAppend(step int) {
	switch {
	case step == 1:
		m.soon = nil
		if m.ref.TryLock() {
			m.soon = m.in.head
			m.ref.Release()
		}
		warm.Value(m.soon)
	case step == 2 && m.soon != nil:
		warm.Slice(m.soon.entries, warmEntries)
		m.soon = nil
	}
}

// warmReceivers loads what it takes to post the letters behind the first done ones.
func warmReceivers(letters []letter, done int) {
	next := letters[done:warm.Group(done, len(letters))]
	for step := range walnode.WarmPostSteps {
		for i := range next {
			next[i].to.WarmPost(step)
		}
	}
}

// WarmPost loads what a post to the member needs (walnode.Owner).
func (m *member) WarmPost(step int) {
	switch step {
	case 0:
		warm.Value(&m.ref)
		warm.Value(&m.in)
	case 1:
		m.ref.Warm()
	}
}

// warm loads the places of n entries from i on.
func (t table) warm(i ra.Index, n int) {
	if len(t) == 0 {
		return
	}
	from := int(i) & (len(t) - 1)
	warm.Slice(t[from:], n)
	warm.Slice(t, from+n-len(t)) // behind the end it goes on at the beginning
}
