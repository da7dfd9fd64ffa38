package main

import "testing"

// I10: no failed write or sync becomes an acknowledgement, and a single one is never seen.
func TestInject(t *testing.T) {
	lively(t, "inject", "-seed", "3")
}
