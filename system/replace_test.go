package system

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// I10, API-13: all members of a node that has lost the files of its log are replaced by one call, as many as there are, with
// the membership that they had. A cluster's only member is left to AcceptLoss, and what is sound is left alone.
func TestReplaceDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(c *Config) { c.WALFileSize = wal.MinFileSize })
		const count = 12
		for i := range count {
			w.count(w.cluster(fmt.Sprint("c", i), "counter", "n1", "n2", "n3"), int64(i+1))
		}
		watching := w.on("n1", "c0")
		if err := errors.Join(watching.RemoveMember(w.ctx(), ra.ServerID{Name: "c0", Node: "n2"}),
			w.nodes["n2"].Member(ra.ServerID{Name: "c0"}).Delete(w.ctx()),
			watching.AddMember(w.ctx(), ra.ServerID{Name: "c0", Node: "n2"}, ra.NonVoter)); err != nil {
			t.Fatal(err)
		}
		w.add(w.cluster("alone", "counter", "n2"), 7)
		for before := w.n(2).Stats().RollOvers; w.n(2).Stats().RollOvers < before+2; { // all of them are in the state files now
			w.add(watching, 1)
		}
		w.close("n2")
		disk := w.disks["n2"]
		names, err := disk.List("wal")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, ".wal") {
				if err := disk.Remove("wal/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		n := w.open("n2")
		if got := n.Stats().Damaged; got != count+1 {
			t.Fatalf("%d members are damaged", got)
		}
		replaced, err := n.ReplaceDamaged(w.ctx())
		if replaced != count || !errors.Is(err, ra.ErrDamaged) || !strings.Contains(err.Error(), "alone") {
			t.Errorf("replaced %d: %v", replaced, err)
		}
		if err := n.AcceptLoss(w.ctx(), "alone"); err != nil {
			t.Fatal(err)
		}
		for i := range count {
			c := w.on("n2", fmt.Sprint("c", i))
			w.healed(c.Name(), w.add(c, 1))
		}
		if replaced, err := n.ReplaceDamaged(w.ctx()); replaced != 0 || err != nil {
			t.Errorf("there was nothing left: %d, %v", replaced, err)
		}
		synctest.Wait() // voters come back as promotable, and become voters by and by
		for i, want := range []ra.Membership{ra.NonVoter, ra.Voter} {
			id := ra.ServerID{Name: fmt.Sprint("c", i), Node: "n2"}
			o, err := n.Member(id).Overview(w.ctx())
			at := slices.IndexFunc(o.Core.Configuration.Members, func(m ra.Member) bool { return m.ID == id })
			if err != nil || at < 0 || o.Core.Configuration.Members[at].Membership != want {
				t.Errorf("%s: %+v, %v", id, o.Core.Configuration, err)
			}
		}
	})
}

// It is refused as a whole where it cannot even begin, and fails where nobody else is there.
func TestReplaceDamagedWithoutOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		_, n := w.voteLost("n1", "n2", "n3")
		w.close("n1")
		w.close("n2")
		if replaced, err := n.ReplaceDamaged(w.short()); replaced != 0 || !errors.Is(err, ra.ErrDamaged) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without the others: %d, %v", replaced, err)
		}
		w.open("n1")
		w.open("n2")
		if replaced, err := n.ReplaceDamaged(w.ctx()); replaced != 1 || err != nil {
			t.Errorf("with the others: %d, %v", replaced, err)
		}
		w.healed("c", 20)
		w.close("n3")
		if _, err := n.ReplaceDamaged(w.ctx()); !errors.Is(err, ra.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}
