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

// What a thousand members have to say of themselves, in one pack and in a file each.
func BenchmarkThousandMembers(b *testing.B) {
	const size = 200
	all := many(1000)
	for _, c := range []struct {
		name string
		put  func(*Store, ra.Index) error
	}{
		{"pack", func(s *Store, index ra.Index) error {
			p := s.NewPack()
			for _, uid := range all {
				if err := add(p, uid, index, size); err != nil {
					return err
				}
			}
			_, err := p.Commit()
			return err
		}},
		{"files", func(s *Store, index ra.Index) error {
			for _, uid := range all {
				if err := take(s, uid, index, size); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			fs, err := vfs.OpenOS(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			s := mustOpen(b, fs)
			index := ra.Index(0)
			b.ReportAllocs()
			for b.Loop() {
				index++
				if err := c.put(s, index); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
