package main

import "testing"

// I10: no failed write or sync becomes an acknowledgement, and a single one is never seen.
func TestInject(t *testing.T) {
	l := small(t, "inject", "-cycles", "5", "-seed", "3")
	if l.Cycles < 5 || l.Acked == 0 || l.Compared == 0 {
		t.Error(l)
	}
}
