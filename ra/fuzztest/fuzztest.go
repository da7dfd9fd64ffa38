// Package fuzztest is for fuzz targets: it bounds the memory that a decoder takes for its input.
//
// This package makes no compatibility promise.
package fuzztest

import (
	"runtime/metrics"
	"testing"
)

// PerByte is how many bytes a decoder may allocate for each byte of its input.
const PerByte = 64

// Slack is what it may allocate beyond that, whatever the input: buffers, tables of decoders, and what the runtime does
// at the same time.
const Slack = 1 << 20

// Bounded calls f, which decodes an input of that many bytes, and fails if it allocates more than PerByte for each of them
// and slack in all. Nothing else that allocates much may run at the same time.
func Bounded(t testing.TB, input, slack int, f func()) {
	t.Helper()
	before := allocated()
	f()
	if n, most := allocated()-before, uint64(input*PerByte+slack); n > most {
		t.Errorf("%d bytes of memory for %d bytes of input, allowed are %d", n, input, most)
	}
}

// allocated returns how many bytes have been allocated since the process began. Small objects count when the runtime gets
// the page for them, which is good enough for a bound.
func allocated() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}
