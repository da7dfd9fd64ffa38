package snapshot

import (
	"fmt"
	"io"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// Snapshots of a tiny and of a large state, written durably and read back.
func BenchmarkSnapshot(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 20} {
		fs, err := vfs.OpenOS(b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		s := mustOpen(b, fs)
		state := stateAt(1, size)
		index := ra.Index(0)
		b.Run(fmt.Sprintf("write/bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				index++
				w, err := s.Create("a", metaAt(index))
				if err != nil {
					b.Fatal(err)
				}
				if _, err := w.Write(state); err != nil {
					b.Fatal(err)
				}
				if _, err := w.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("read/bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				r, err := s.OpenReader("a")
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(size) {
					b.Fatal(n, err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
