package segment

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

func benchSet(b *testing.B) (*Set, vfs.FS) {
	fs, err := vfs.OpenOS(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s, _, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil {
		b.Fatal(err)
	}
	return s, fs
}

// load is one roll-over: the same entries for every member.
type load struct {
	uids    []ra.UID
	entries []ra.Entry
}

func newLoad(members, each, size int) *load {
	l := &load{}
	for i := range members {
		l.uids = append(l.uids, ra.UID(fmt.Sprintf("member-%06d", i)))
	}
	for i := range each {
		l.entries = append(l.entries, entry("any", ra.Index(i+1), 1, size))
	}
	return l
}

func (l *load) bytes() int64 {
	n := 0
	for i := range l.entries {
		n += len(l.entries[i].Body)
	}
	return int64(n * len(l.uids))
}

func (l *load) ranges(yield func(Range) bool) {
	for _, uid := range l.uids {
		r := Range{UID: uid, Entries: func(yield func(ra.Entry) bool) {
			for i := range l.entries {
				if !yield(l.entries[i]) {
					return
				}
			}
		}}
		if !yield(r) {
			return
		}
	}
}

// A roll-over of about 64 MiB, of many small ranges and of a few large ones.
func BenchmarkFlush(b *testing.B) {
	for _, c := range []struct{ members, each int }{{10_000, 22}, {1000, 220}, {10, 22_000}} {
		b.Run(fmt.Sprintf("members=%d", c.members), func(b *testing.B) {
			l := newLoad(c.members, c.each, 256)
			s, _ := benchSet(b)
			b.SetBytes(l.bytes())
			for b.Loop() {
				if _, err := s.Flush(l.ranges); err != nil {
					b.Fatal(err)
				}
				if _, err := s.Clean(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Reads of one entry, and of a long range, from the page cache.
func BenchmarkRead(b *testing.B) {
	l := newLoad(10, 20_000, 256)
	s, _ := benchSet(b)
	if _, err := s.Flush(l.ranges); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			var dst []ra.Entry
			i := 0
			b.SetBytes(int64(n * len(l.entries[0].Body)))
			for b.Loop() {
				i = (i + 7919) % 19_000
				var err error
				dst, err = s.Read(dst[:0], l.uids[i%10], ra.Index(i+1), ra.Index(i+n), 1<<30)
				if err != nil || len(dst) != n {
					b.Fatal(len(dst), err)
				}
			}
		})
	}
}

// Opening a set with ten shared files of 10,000 members, and what it then keeps in memory.
func BenchmarkOpen(b *testing.B) {
	l := newLoad(10_000, 10, 256)
	s, fs := benchSet(b)
	const files = 10
	for k := range files {
		for i := range l.entries {
			l.entries[i] = entry("any", ra.Index(k*10+i+1), 1, 256)
		}
		if _, err := s.Flush(l.ranges); err != nil {
			b.Fatal(err)
		}
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	s = nil
	before := heap()
	for b.Loop() {
		var err error
		if s, _, err = Open(Config{FS: fs, Dir: "seg"}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(heap()-before)/float64(len(l.uids)*files), "heap-B/block")
	runtime.KeepAlive(s)
}
