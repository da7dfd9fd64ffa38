package system

import (
	"testing"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// TIM-01: the lengths of election timers that a node draws lie between the bounds of their class, all over.
func TestLengthsOfElectionTimers(t *testing.T) {
	const ms = time.Millisecond
	for class, bounds := range map[raft.TimerClass][2]time.Duration{
		raft.ReallyShort: {ms, 100 * ms}, raft.Short: {100 * ms, 500 * ms}, raft.Medium: {100 * ms, 1000 * ms}, raft.Long: {1000 * ms, 2000 * ms},
	} {
		const parts = 10
		var drawn [parts]int
		for range 5000 {
			d := drawTimer(class)
			if d < bounds[0] || d >= bounds[1] {
				t.Fatalf("class %d: %v is not within %v", class, d, bounds)
			}
			drawn[(d-bounds[0])*parts/(bounds[1]-bounds[0])]++
		}
		for i, n := range drawn {
			if n < 300 { // of 500; that is ten standard deviations
				t.Errorf("class %d: part %d of %d was drawn %d times of 5000", class, i, parts, n)
			}
		}
	}
}
