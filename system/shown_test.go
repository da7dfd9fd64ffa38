package system

import (
	"errors"
	"path"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heliopolis-raft/heliopolis/machine/reference"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// QRY-10: what a member's key numbers say while its disk is slow, and afterwards: what is in the log, what of it is
// durable, and how long the last command took.
func TestMetricsOfASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := vfs.NewErrs(vfs.NewMem())
		n, c := openLive(t, errs)
		if _, err := c.Process(t.Context(), reference.AppendAdd(nil, 1)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		metrics := func() Metrics {
			m, err := n.Member(ra.ServerID{Name: "c"}).Metrics(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		before := metrics()
		if before.Written != before.Last || before.Applied != before.Last || before.Latency != 0 {
			t.Errorf("at rest: %+v", before)
		}
		gate := make(chan struct{})
		errs.Judge(func(op vfs.Op, name string) *vfs.Fault {
			if ok, _ := path.Match(walFile, path.Base(name)); ok && op == vfs.OpSync {
				<-gate
			}
			return nil
		})
		done := make(chan error, 1)
		c.Go(reference.AppendAdd(nil, 1), func(_ ra.Result, err error) { done <- err })
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if m := metrics(); m.Last != before.Last+1 || m.Written != before.Last || m.Applied != before.Last {
			t.Errorf("while the disk works: %+v, before: %+v", m, before)
		}
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if m := metrics(); m.Written != m.Last || m.Applied != m.Last || m.Latency < 3*time.Second || m.Latency > 4*time.Second {
			t.Errorf("afterwards: %+v", m)
		}
		errs.Judge(nil)
	})
}

// QRY-10, MEM-04: all members of a cluster at rest have everything on their disks, and show it although nobody told them;
// they show what they are in the cluster. What is replayed at a start took no time.
func TestMetricsAtRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, nil)
		c := w.ensure("n1")
		if err := c.AddMember(w.ctx(), ra.ServerID{Name: "a", Node: "n4"}, ra.NonVoter); err != nil {
			t.Fatal(err)
		}
		for range 19 {
			w.add(c, 1)
		}
		w.healed("a", 19)
		w.add(c, 1)
		synctest.Wait() // and no tick, nor anything else, wakes the members
		for name, n := range w.nodes {
			m, err := n.Member(ra.ServerID{Name: "a"}).Metrics(w.ctx())
			want := ra.Voter
			if name == "n4" {
				want = ra.NonVoter
			}
			if err != nil || m.Written != m.Last || m.Last < 22 || m.Membership != want {
				t.Errorf("%s: %+v, %v", name, m, err)
			}
		}
		w.closeAll()
		time.Sleep(time.Hour)
		m, err := w.open("n1").Member(ra.ServerID{Name: "a"}).Metrics(w.ctx())
		if err != nil || m.Applied < 20 || m.Written != m.Last || m.Latency != 0 {
			t.Errorf("after a restart: %+v, %v", m, err)
		}
	})
}

// QRY-10: the key numbers of a member on another node come from that node, whether or not the member runs; those of nobody,
// or of a node that is not connected, are an error.
func TestMetricsOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		w.healed("a", w.add(w.ensure("n1"), 1))
		id := ra.ServerID{Name: "a", Node: "n2"}
		there := w.n(1).Member(id)
		synctest.Wait()
		far, err := there.Metrics(w.ctx())
		near, _ := w.n(2).Member(id).Metrics(w.ctx())
		if err != nil || far != near || !far.Running || far.Applied < 2 {
			t.Errorf("from n1 %+v, %v; from n2 %+v", far, err, near)
		}
		if err := there.Stop(w.ctx()); err != nil {
			t.Fatal(err)
		}
		if far, err = there.Metrics(w.ctx()); err != nil || far != (Metrics{UID: near.UID, Counts: near.Counts}) {
			t.Errorf("of a member that is stopped: %+v, %v", far, err)
		}
		_, err = w.n(1).Member(ra.ServerID{Name: "z", Node: "n2"}).Metrics(w.ctx())
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNoProcess) })
		w.close("n2")
		_, err = there.Metrics(w.short())
		wantErr(t, err, func(err error) bool { return errors.Is(err, ra.ErrNodeDown) })
	})
}
