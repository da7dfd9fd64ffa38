package fuzztest

import "testing"

// recorder is a test that only notes whether it failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

var sink []byte

func TestBounded(t *testing.T) {
	for _, c := range []struct {
		input, take int
		fails       bool
	}{
		{0, 100, false}, {1 << 20, 10 << 20, false}, {100, 4 << 20, true},
	} {
		r := recorder{TB: t}
		Bounded(&r, c.input, Slack, func() { sink = make([]byte, c.take) })
		if r.failed != c.fails {
			t.Errorf("%d bytes for an input of %d: failed is %v", c.take, c.input, r.failed)
		}
	}
}
