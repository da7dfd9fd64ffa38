package damagetest

import (
	"os"
	"runtime/debug"
	"testing"
)

// TestMain collects garbage less often: every damage leaves the remains of whole nodes behind, and nothing that lives.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}
