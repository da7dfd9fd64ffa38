package wal

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// TestReserveAndReleaseBesideCommits fills one batch while another one is committed, and has spares made and files
// released by other goroutines all the while, as a node does.
func TestReserveAndReleaseBesideCommits(t *testing.T) {
	disk := vfs.NewMem()
	l := open(t, Config{FS: disk, FileSize: 256 << 10})
	var fill sync.Mutex
	filling, spare := l.NewBatch(), l.NewBatch()
	const members, rounds = 4, 300

	var writers []*Writer
	for i := range members {
		writers = append(writers, register(t, l, filling, ra.UID(fmt.Sprintf("u%d", i))))
	}
	var group, background sync.WaitGroup
	for _, w := range writers {
		group.Go(func() {
			for n := 0; n < rounds; {
				fill.Lock()
				err := filling.Append(w, &Op{Seq: w.Seq() + 1, Entries: []ra.Entry{entry(w.Last()+1, 1, 900)}})
				fill.Unlock()
				switch {
				case err == nil:
					n++
				case !errors.Is(err, ra.ErrOverloaded):
					t.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	background.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := l.Reserve(); err != nil {
				t.Error(err)
			}
			for _, c := range l.Closed() {
				if err := l.Release(c); err != nil {
					t.Error(err)
				}
			}
		}
	})
	acked := make(map[ra.UID]uint64)
	commitAll(t, l, &fill, &filling, &spare, &group, acked)
	close(done)
	background.Wait()
	for _, w := range writers {
		if acked[w.UID()] != rounds+1 {
			t.Errorf("%s: acknowledged up to %d, want %d", w.UID(), acked[w.UID()], rounds+1)
		}
	}
}

// commitAll swaps and commits until all who fill have ended and nothing is left.
func commitAll(t *testing.T, l *Log, fill *sync.Mutex, filling, spare **Batch, group *sync.WaitGroup, acked map[ra.UID]uint64) {
	ended := make(chan struct{})
	go func() {
		group.Wait()
		close(ended)
	}()
	for last := false; ; {
		fill.Lock()
		full := *filling
		*filling, *spare = *spare, full
		fill.Unlock()
		if err := l.Commit(full); err != nil {
			t.Error(err)
			return
		}
		for _, a := range full.Acks() {
			acked[a.Writer.UID()] = a.Seq
		}
		full.Reset()
		if last {
			return
		}
		select {
		case <-ended:
			last = true
		default:
		}
	}
}
