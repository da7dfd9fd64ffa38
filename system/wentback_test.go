package system

import (
	"testing"
	"testing/synctest"
)

// addAndFlush gives counter c of n1 so many commands that add by, and opens n1 again, so that all of them are in segments.
func (w *world) addAndFlush(by int64, count int) {
	w.t.Helper()
	c, err := w.n(1).Cluster("c")
	if err != nil {
		w.t.Fatal(err)
	}
	for range count {
		w.add(c, by)
	}
	w.close("n1")
	n := w.open("n1")
	w.eventually("flush", func() bool { return n.Stats().RollOvers > 0 })
}

// I4, I11, I12: the directory of segments, its roster included, is put back as it was before a loss was accepted. What it has is not
// of the log that went on since: it has entries of another term where the write-ahead log goes on, or does not reach so far. The
// member has lost them, and says so; nothing that was given up is back.
func TestSegmentsWentBack(t *testing.T) {
	for what, more := range map[string]struct{ before, after, logged int }{
		"of another term":                 {40, 20, 5},
		"of another term, all is flushed": {40, 20, 0},
		"not so far":                      {10, 20, 5},
		"not so far, all is flushed":      {10, 20, 0},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1, nil)
				w.cluster("c", "counter", "n1")
				w.addAndFlush(100, more.before)
				w.close("n1")
				before := w.filesIn("n1", "segments")
				w.removeFiles("n1", "segments", "")
				if err := w.open("n1").AcceptLoss(w.ctx(), "c"); err != nil {
					t.Fatal(err)
				}
				w.addAndFlush(1, more.after)
				c, err := w.n(1).Cluster("c")
				if err != nil {
					t.Fatal(err)
				}
				for range more.logged {
					w.add(c, 1)
				}
				w.crash("n1")
				w.removeFiles("n1", "segments", "")
				w.putBack("segments", before)
				n := w.open("n1")
				if r := n.Report(); len(r.Suspect) != 1 {
					t.Errorf("%+v", r)
				}
				if err := n.AcceptLoss(w.ctx(), "c"); err != nil {
					t.Fatal(err)
				}
				if c, err = n.Cluster("c"); err != nil {
					t.Fatal(err)
				}
				if got := w.add(c, 1); got >= 100 {
					t.Errorf("what was given up is back: %d", got)
				}
			})
		})
	}
}
