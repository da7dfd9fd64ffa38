package system

import (
	"testing"
	"testing/synctest"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// promisedBy returns what a follower promises that has an entry under way.
func promisedBy(t *testing.T) (p raft.Promise) {
	t.Helper()
	var members []ra.Member
	for _, uid := range []ra.UID{"a", "b"} {
		members = append(members, ra.Member{UID: uid, ID: ra.ServerID{Name: string(uid), Node: "n"}})
	}
	core, err := raft.New(raft.Config{Self: "b"}, raft.Restored{Configurations: []raft.Configuration{{Members: members}}})
	if err != nil {
		t.Fatal(err)
	}
	core.Step(&raft.Message{Kind: raft.Append, From: "a", To: "b", Term: 1})
	core.Step(&raft.Message{Kind: raft.Written, Seq: core.Orders().Seq})
	entry := ra.Seal(ra.NewBody(nil), ra.Header{Index: 1, Term: 1, Kind: ra.KindCommand})
	core.Step(&raft.Message{Kind: raft.Append, From: "a", To: "b", Term: 1, Last: 1, Entries: []ra.Entry{entry}})
	core.Orders()
	if core.Promise(&p, 0); !p.Given() {
		t.Fatal("nothing is promised")
	}
	return p
}

// REP-08: every batch takes back what was promised before it, also one of messages of the client lane only: what they
// lead to may be another answer.
func TestEveryBatchWithdraws(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, nil)
		w.cluster("a", "counter", "n1")
		p := w.n(1).registry.byName("a").proc.Load()
		synctest.Wait()
		p.ref.Lock()
		p.promise.Promise = promisedBy(t)
		p.ref.Release()
		if _, ok := w.sumAt(w.n(1), "a"); !ok {
			t.Fatal("no answer")
		}
		synctest.Wait()
		p.ref.Lock()
		defer p.ref.Release()
		if p.promise.Given() {
			t.Error("a promise outlives a batch")
		}
	})
}
