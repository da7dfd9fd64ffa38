package main

import (
	"math/bits"
	"time"
)

// subBits is the number of bits after the leading one that a bucket tells apart: 1/128 ≈ 0.8 % resolution.
const subBits = 7

// hist is a histogram of durations with logarithmic buckets, of the same size however much it records. The zero hist is
// empty. It belongs to one goroutine.
type hist struct {
	buckets [(64 - subBits) << subBits]uint64
	count   uint64
}

// bucket returns the number of the bucket that ns falls into.
func bucket(ns uint64) int {
	if ns < 1<<subBits {
		return int(ns)
	}
	shift := bits.Len64(ns) - subBits - 1
	return (shift << subBits) + int(ns>>shift)
}

// lower returns the smallest number of nanoseconds that falls into bucket b.
func lower(b int) uint64 {
	if b < 1<<subBits {
		return uint64(b)
	}
	shift := b>>subBits - 1
	return uint64(b-shift<<subBits) << shift
}

// add records one duration. Negative ones count as zero.
func (h *hist) add(d time.Duration) {
	h.buckets[bucket(uint64(max(d, 0)))]++
	h.count++
}

// merge adds all that other has recorded.
func (h *hist) merge(other *hist) {
	for i, n := range other.buckets {
		h.buckets[i] += n
	}
	h.count += other.count
}

// quantile returns the duration that the share q of all recorded ones do not exceed, rounded down to a bucket's start;
// 0 if nothing was recorded.
func (h *hist) quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	var seen uint64
	for b, n := range h.buckets {
		seen += n
		if seen > rank || n > 0 && seen == h.count {
			return time.Duration(lower(b))
		}
	}
	return 0
}
