package raftlog

import "github.com/heliopolis-raft/heliopolis/ra/warm"

// Warm loads the end of the log, which the next batch of the member will need, see package warm. It belongs to the member's
// goroutine.
func (l *Log) Warm(step int) {
	if step == 0 {
		warm.Value(l)
		return
	}
	if l.mu.TryLock() {
		l.table.Warm(step - 1)
		l.mu.Unlock()
	}
}
