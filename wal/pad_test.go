package wal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// What is neither head, frames nor tail of a batch is zero, whatever the batch held before: nothing that looks like a part of
// an older batch gets into the file.
func TestPaddingIsZero(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 0))
		l := open(t, Config{FS: vfs.NewMem(), FileSize: 64 << 20})
		b := l.NewBatch()
		f := &file{header: fileHeader{id: 1, seq: 1 << 40}}
		var writers []*Writer
		for range 300 {
			if len(writers) == 0 || rng.IntN(20) == 0 {
				w, err := l.Writer(ra.UID(fmt.Sprint("u", len(writers))))
				if err != nil {
					t.Fatal(err)
				}
				writers = append(writers, w)
				if err := b.Append(w, &Op{Seq: 1, Register: &Registration{Name: "n", Config: []byte("c")}}); err != nil {
					t.Fatal(err)
				}
			}
			for range 1 + rng.IntN(len(writers)) {
				w := writers[rng.IntN(len(writers))]
				body := bytes.Repeat([]byte{0xa5}, 40+rng.IntN([]int{1, 100, 300, 3000, 20_000, 200_000}[rng.IntN(6)]))
				if err := b.Append(w, &Op{Seq: w.Seq() + 1, Entries: []ra.Entry{{Index: w.Last() + 1, Term: 1, Body: body}}}); err != nil {
					t.Fatal(err)
				}
			}
			out := b.encode(f, 1, 0)
			h := decodeBatchHeader(out)
			head, tail := batchFixed+int(h.table), len(out)-batchFixed-int(h.table)
			frames := int(h.framesAt) + int(h.frames)
			for what, part := range map[string][]byte{"before the frames": out[head:h.framesAt], "behind them": out[frames:tail]} {
				if i := bytes.IndexFunc(part, func(r rune) bool { return r != 0 }); i >= 0 {
					t.Fatalf("seed %d: of %d bytes of padding %s byte %d is not zero", seed, len(part), what, i)
				}
			}
			if len(out)%block != 0 || !bytes.Equal(out[batchFixed:head], out[tail:][:h.table]) {
				t.Fatalf("seed %d: a batch of %d bytes, tables %x and %x", seed, len(out), out[batchFixed:head], out[tail:][:h.table])
			}
			b.Reset()
		}
	}
}
