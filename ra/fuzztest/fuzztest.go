// Package fuzztest is for fuzz targets: it bounds the memory that a decoder takes for its input.
//
// This package makes no compatibility promise.
package fuzztest

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

// PerByte is how many bytes a decoder may allocate for each byte of its input.
const PerByte = 64

// Slack is what it may allocate beyond that, whatever the input: buffers, tables of decoders, and what the runtime does
// at the same time.
const Slack = 1 << 20

// Bounded calls f, which decodes an input of that many bytes, and fails if it allocates more than PerByte for each of them
// and slack in all. Nothing else that allocates much may run at the same time. If it seems to have been too much f is called
// once more, and measured exactly.
func Bounded(t testing.TB, input, slack int, f func()) {
	t.Helper()
	most := uint64(input*PerByte + slack)
	if measure(f, estimate) <= most {
		return
	}
	if n := measure(f, count); n > most {
		t.Errorf("%d bytes of memory for %d bytes of input, allowed are %d", n, input, most)
	}
}

func measure(f func(), allocated func() uint64) uint64 {
	before := allocated()
	f()
	return allocated() - before
}

// estimate returns how many bytes have been allocated since the process began. It costs little, and does not know of the
// newest small objects: a collection of garbage tells of all of them at once, at any moment.
func estimate() uint64 {
	sample := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample[:])
	return sample[0].Value.Uint64()
}

// count returns the same exactly, and stops everything to do so.
func count() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
