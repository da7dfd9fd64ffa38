package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// crowd is goroutines that use one store at the same time.
type crowd struct {
	s     *Store
	index atomic.Uint64
	all   []ra.UID
}

// next returns an index that nobody had.
func (c *crowd) next() ra.Index { return ra.Index(c.index.Add(1)) }

// unless returns err, but not if it is one of those that are to be expected.
func unless(err error, expected ...error) error {
	for _, e := range expected {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

func (c *crowd) pack(n int) error {
	_, err := pack(c.s, c.next(), c.all[n%3:]...)
	return err
}

func (c *crowd) take(n int) error {
	return unless(take(c.s, c.all[n%len(c.all)], c.next(), 100), ErrStale)
}

func (c *crowd) receive(n int) error {
	return unless(receive(c.s, c.all[n%len(c.all)], c.next(), 100), ErrStale)
}

// read reads a snapshot as it is restored, and as it is sent.
func (c *crowd) read(n int) error {
	uid := c.all[n%len(c.all)]
	r, err := c.s.OpenReader(uid)
	if err != nil {
		return unless(err, ErrNone)
	}
	state, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(state, stateAt(r.Meta().Index, 100)) {
		err = fmt.Errorf("not the state of %d", r.Meta().Index)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	src, err := c.s.OpenSource(uid, 50)
	if err != nil {
		return unless(err, ErrNone)
	}
	_, _, err = src.ReadChunk(src.Chunks())
	return errors.Join(err, src.Close())
}

func (c *crowd) check(n int) error { return unless(c.s.Check(c.all[n%len(c.all)]), ErrNone) }

func (c *crowd) condemn(n int) error {
	if n%8 > 0 {
		return nil
	}
	info, ok := c.s.Newest(c.all[n%len(c.all)])
	if !ok {
		return nil
	}
	return unless(c.s.Condemn(info), ErrNone)
}

func (c *crowd) remove(n int) error {
	uid := c.all[n%len(c.all)]
	switch n % 8 {
	case 0:
		return errors.Join(c.s.Remove(uid), c.s.Sweep())
	case 4:
		_, err := c.s.AcceptLoss(uid, 0)
		return err
	}
	return nil
}

// The methods of a store may be called by any goroutine at any time: nobody waits for ever, reads what is not there any
// more, or what another one wrote (for the race detector, too).
func TestCrowd(t *testing.T) {
	fs := vfs.NewMem()
	c := &crowd{s: mustOpen(t, fs), all: many(5)}
	c.index.Store(1)
	var wg sync.WaitGroup
	for _, do := range []func(int) error{c.pack, c.pack, c.take, c.receive, c.read, c.read, c.check, c.condemn, c.remove} {
		wg.Go(func() {
			for n := range 60 {
				if err := do(n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	after, report := reopen(t, kept(fs))
	if len(report.Damaged)+len(report.Quarantined) > 0 {
		t.Errorf("%+v", report)
	}
	for _, uid := range c.all {
		info, _ := c.s.Newest(uid)
		if now, _ := after.Newest(uid); now.Index < info.Index {
			t.Errorf("%s had %d, and has %d", uid, info.Index, now.Index)
		}
	}
}
