package machine

import "github.com/heliopolis-raft/heliopolis/ra/warm"

// warmMachine is how much of a machine is loaded.
const warmMachine = 128

// Warm loads what the next batch will need, see package warm.
func (b *Bound) Warm(step int) {
	switch step {
	case 0:
		warm.Value(b)
	case 1:
		warm.Pointee(b.current, warmMachine)
	}
}
