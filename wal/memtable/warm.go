package memtable

import "github.com/heliopolis-raft/heliopolis/ra/warm"

// How many of the newest entries are loaded, how many places behind them, and how much of each body.
const (
	warmNewest = 4
	warmFree   = 4
	warmBody   = 64
)

// Warm loads the end of the table, where it grows and is read most, see package warm.
func (t *Table) Warm(step int) {
	n := len(t.chunks)
	if n == 0 {
		return
	}
	newest := t.chunks[n-1:]
	if step == 0 {
		warm.Slice(newest, 1)
		return
	}
	last := newest[0].chunk
	from := max(0, len(last)-warmNewest)
	switch step {
	case 1:
		warm.Slice(last[from:cap(last)], warmNewest+warmFree)
	case 2:
		for i := range last[from:] {
			warm.Slice(last[from+i].Body, warmBody)
		}
	}
}
