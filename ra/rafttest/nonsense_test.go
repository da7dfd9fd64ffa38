package rafttest

import (
	"fmt"
	"testing"
)

// TestNonsense: what makes no sense changes nothing. Runs in which members hear it, and runs in which they do not, are the
// same, event by event.
func TestNonsense(t *testing.T) {
	for s := uint64(1); s <= 150; s++ {
		for _, o := range []Options{{Seed: s, Events: 700}, Decay(s, 700)} {
			a, errA := Run(o)
			o.sober = true
			b, errB := Run(o)
			if a != b || fmt.Sprint(errA) != fmt.Sprint(errB) {
				t.Fatalf("seed %d: %+v %v\nwithout nonsense: %+v %v", s, a, errA, b, errB)
			}
		}
	}
}
