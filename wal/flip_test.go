package wal

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// framesOf returns the frames of entries with payloads of these lengths.
func framesOf(salt uint32, lengths ...int) []byte {
	var head frameHead
	var b []byte
	for i, n := range lengths {
		e := ra.Seal(ra.NewBody(bytes.Repeat([]byte{byte(i)}, n)), ra.Header{Index: ra.Index(i + 1), Term: 1, Kind: ra.KindCommand})
		frame := make([]byte, maxFrameHead+len(e.Body))
		b = append(b, frame[:head.put(frame, salt, uint32(i%3), e.Body)]...)
	}
	return b
}

// F9: each bit of a batch's frames that is turned over is told from a tear; two are not, nor is what a tear leaves.
func TestFlippedIsNotTorn(t *testing.T) {
	const salt = 4711
	whole := framesOf(salt, 0, 1, 300, 700, 17)
	flipped := func(frames []byte) bool {
		s := &source{buf: frames, size: int64(len(frames))}
		return s.flipped(&batchInfo{header: batchHeader{frames: uint64(len(frames)), salt: salt}})
	}
	if flipped(whole) {
		t.Error("frames that are whole count as flipped")
	}
	for bit := range 8 * len(whole) {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		if !flipped(b) {
			t.Fatalf("bit %d of byte %d: not noticed", bit%8, bit/8)
		}
	}
	rng := rand.New(rand.NewPCG(1, 9))
	for range 2000 {
		b := bytes.Clone(whole)
		first, second := rng.IntN(8*len(b)), rng.IntN(8*len(b))
		if first == second {
			continue
		}
		b[first/8] ^= 1 << (first % 8)
		b[second/8] ^= 1 << (second % 8)
		if flipped(b) {
			t.Fatalf("bits %d and %d: taken for one", first, second)
		}
	}
	for cut := 0; cut < len(whole); cut += 97 {
		for _, old := range [][]byte{make([]byte, len(whole)), framesOf(salt+1, 200, 300, 200, 300, 100, 500)} {
			b := append(bytes.Clone(whole[:cut]), old[cut:len(whole)]...)
			if !bytes.Equal(b, whole) && len(whole)-cut > 1 && flipped(b) {
				t.Fatalf("a tear at %d counts as a flip", cut)
			}
		}
	}
}

// F9: a bit of a row with several entries, in a last batch for which nothing vouches, costs its member those from there on, and
// nobody else anything, at this start and the next.
func TestFlipInLastRow(t *testing.T) {
	disk := vfs.NewMem()
	m := newModel(t, disk, 5)
	m.cfg.HighWater = ""
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	m.add("a", 1, 0, 2, 50)
	m.commit()
	m.add("b", 1, 0, 3, 60)
	m.add("a", 2, 1, 4, 100)
	m.vote("b", 2, "a")
	m.commit()
	name := "wal/" + fileName(1)
	end := len(content(t, disk, name))
	rng, marked := rand.New(rand.NewPCG(3, 2)), make(map[ra.Index]bool)
	for off := int64(end - block); off < int64(end); off++ {
		hurt := disk.Crash(vfs.CrashKept, rng)
		hurt.Flip(name, off, byte(1)<<rng.IntN(8))
		got := m.reopen(hurt, fmt.Sprintf("byte %d", off), false)
		if got.marked > 1 || got.votes > 0 || got.torn {
			t.Fatalf("byte %d: %+v", off, got)
		}
		if w := m.log.writers["a"]; w.live.mark.What != 0 {
			marked[w.live.mark.From] = true
		}
	}
	if want := map[ra.Index]bool{2: true, 3: true, 4: true, 5: true}; !maps.Equal(marked, want) {
		t.Errorf("a is marked from %v", marked)
	}
}
