package wal

import (
	"fmt"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// BenchmarkAppend measures what a member pays for one entry of 256 B, without the disk.
func BenchmarkAppend(b *testing.B) {
	for _, members := range []int{1, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			l := open(b, Config{FS: osFS(b), FileSize: 64 << 20})
			batch := l.NewBatch()
			writers := make([]*Writer, members)
			for i := range writers {
				writers[i] = register(b, l, batch, ra.UID(fmt.Sprintf("u%d", i)))
			}
			commit(b, l, batch)
			one := make([]ra.Entry, 1)
			body := entry(1, 1, 226).Body
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				w := writers[i%members]
				one[0] = ra.Entry{Index: w.Last() + 1, Term: 1, Body: body}
				if err := batch.Append(w, &Op{Seq: w.Seq() + 1, Entries: one}); err != nil {
					b.Fatal(err)
				}
				if i%4000 == 3999 {
					batch.Reset()
				}
			}
		})
	}
}

// BenchmarkCommit measures a whole batch on the disk: encode, write, sync.
func BenchmarkCommit(b *testing.B) {
	for _, buffered := range []bool{false, true} {
		for _, entries := range []int{1, 64, 1000} {
			b.Run(fmt.Sprintf("buffered=%v/entries=%d", buffered, entries), func(b *testing.B) {
				l := open(b, Config{FS: osFS(b), FileSize: 64 << 20, Buffered: buffered})
				batch := l.NewBatch()
				w := register(b, l, batch, "u1")
				commit(b, l, batch)
				if err := l.Reserve(); err != nil {
					b.Fatal(err)
				}
				one := make([]ra.Entry, 1)
				body := entry(1, 1, 226).Body
				b.SetBytes(int64(len(body) * entries))
				b.ReportAllocs()
				for b.Loop() {
					for range entries {
						one[0] = ra.Entry{Index: w.Last() + 1, Term: 1, Body: body}
						if err := batch.Append(w, &Op{Seq: w.Seq() + 1, Entries: one}); err != nil {
							b.Fatal(err)
						}
					}
					commit(b, l, batch)
				}
			})
		}
	}
}

// BenchmarkEncode measures what a batch costs beside its entries and the disk: one entry each of some members out of 1,000, and
// how many bytes are written.
func BenchmarkEncode(b *testing.B) {
	for _, members := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			l := open(b, Config{FS: vfs.NewMem(), FileSize: 64 << 20})
			batch := l.NewBatch()
			writers := make([]*Writer, 1000)
			for i := range writers {
				writers[i] = register(b, l, batch, ra.UID(fmt.Sprintf("u%d", i)))
			}
			commit(b, l, batch)
			one := make([]ra.Entry, 1)
			body := entry(1, 1, 226).Body
			written := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				for k := range members {
					w := writers[(i*members+k)%len(writers)]
					one[0] = ra.Entry{Index: w.Last() + 1, Term: 1, Body: body}
					if err := batch.Append(w, &Op{Seq: w.Seq() + 1, Entries: one}); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				written += len(batch.encode(l.cur, 1, 0))
				l.cur.echo.push()
				batch.Reset()
			}
			b.ReportMetric(float64(written)/float64(b.N), "written/op")
		})
	}
}
