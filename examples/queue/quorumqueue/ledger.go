package quorumqueue

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
)

// Digest sums up a set of a producer's messages, in any order: it is the sum of a hash of each. Two sets with the same
// digest are the same, as nearly certain as 128 bits make it. The zero Digest is that of no messages.
type Digest struct{ Hi, Lo uint64 }

// Add takes in a message.
func (d *Digest) Add(seq uint64, body []byte) {
	var space [256]byte
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64(space[:0], seq), body...))
	var carry uint64
	d.Lo, carry = bits.Add64(d.Lo, binary.LittleEndian.Uint64(sum[:]), 0)
	d.Hi, _ = bits.Add64(d.Hi, binary.LittleEndian.Uint64(sum[8:]), carry)
}

// ledger is a record of which of a producer's messages something happened to. It is kept independently of what decides
// whether it may happen, so that it can bear witness.
type ledger struct {
	// upTo says that 1 to upTo are in it; above holds those that are in it beyond upTo+1.
	upTo  uint64
	above map[uint64]struct{}
	// digest is that of all additions, repeated ones included.
	digest Digest
}

// add takes in a message, and reports whether it was not there before. Memory is needed only for numbers that come
// early.
func (l *ledger) add(seq uint64, body []byte) bool {
	l.digest.Add(seq, body)
	if _, ok := l.above[seq]; ok || seq <= l.upTo {
		return false
	}
	if seq != l.upTo+1 {
		if l.above == nil {
			l.above = map[uint64]struct{}{}
		}
		l.above[seq] = struct{}{}
		return true
	}
	l.upTo = seq
	for len(l.above) > 0 {
		if _, ok := l.above[l.upTo+1]; !ok {
			break
		}
		l.upTo++
		delete(l.above, l.upTo)
	}
	return true
}

// count returns how many numbers are in it.
func (l *ledger) count() uint64 { return l.upTo + uint64(len(l.above)) }

// entries is a ledger as it is captured and stored: the same with the early numbers in order.
type entries struct {
	upTo   uint64
	above  []uint64
	digest Digest
}

func (l *ledger) capture() entries {
	e := entries{upTo: l.upTo, digest: l.digest}
	for seq := range l.above {
		e.above = append(e.above, seq)
	}
	slices.Sort(e.above)
	return e
}

func (e *entries) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, e.upTo)
	b = binary.AppendUvarint(binary.AppendUvarint(b, e.digest.Hi), e.digest.Lo)
	return appendIDs(b, e.above)
}

// ledger reads one that appendTo wrote.
func (f *fields) ledger() ledger {
	l := ledger{upTo: f.uint(), digest: Digest{Hi: f.uint(), Lo: f.uint()}}
	last := l.upTo + 1
	for _, seq := range f.ids() {
		if seq <= last {
			f.fail("ledger out of order")
			return ledger{}
		}
		if l.above == nil {
			l.above = map[uint64]struct{}{}
		}
		l.above[seq] = struct{}{}
		last = seq
	}
	return l
}
