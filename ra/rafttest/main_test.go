package rafttest

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain collects garbage less often: a schedule leaves a few megabytes behind when it ends and keeps nothing, so
// that frequent collections only cost time, more than half of it.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
