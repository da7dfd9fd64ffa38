package truth

import (
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/examples/torture/journal"
	"github.com/heliopolis-raft/heliopolis/ra"
)

const nonce = 77

// applied is a record of a command at an index.
func applied(client, seq uint32, index ra.Index) journal.Record {
	c := journal.Command{Nonce: nonce, Client: client, Seq: seq}
	return journal.Record{Command: c, Index: index, Term: 1, Sum: c.Sum(), Whole: true}
}

// dump is the event of a cluster that has applied these.
func dump(records ...journal.Record) journal.Event {
	e := journal.Event{Kind: journal.Dump, Nonce: nonce}
	for i := range records {
		e.Data = journal.AppendRecord(e.Data, &records[i])
	}
	return e
}

func acked(client, seq uint32, index ra.Index) journal.Event {
	return journal.Event{Kind: journal.Acked, Nonce: nonce, Client: client, Seq: seq, Index: index, Term: 1}
}

// The events before the dump: client 1 sent four commands, of which the second was acknowledged at index 5, the third
// refused; of the others nobody knows.
func before(t *testing.T) *Truth {
	t.Helper()
	tr := New([]journal.Slot{{Name: "c", Members: 1}})
	for _, e := range []journal.Event{
		{Kind: journal.Creating, Nonce: nonce}, {Kind: journal.Created, Nonce: nonce},
		{Kind: journal.Sent, Nonce: nonce, Client: 1, Seq: 4},
		acked(1, 2, 5),
		{Kind: journal.Refused, Nonce: nonce, Client: 1, Seq: 3, Reason: journal.DiskFull},
		{Kind: journal.Unknown, Nonce: nonce, Client: 1, Seq: 4},
	} {
		if err := tr.Take(e); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

// Every lie is found, and the truth is not taken for one.
func TestDump(t *testing.T) {
	foreign, torn, garbled := applied(1, 4, 6), applied(1, 4, 6), applied(1, 4, 6)
	foreign.Nonce++
	torn.Whole = false
	garbled.Sum++
	late := applied(1, 2, 5)
	late.Term = 2
	for name, c := range map[string]struct {
		dump journal.Event
		want string
	}{
		"least":       {dump(applied(1, 2, 5)), ""},
		"most":        {dump(applied(1, 1, 3), applied(1, 2, 5), applied(1, 4, 6)), ""},
		"lost":        {dump(applied(1, 1, 3)), "lost"},
		"all lost":    {dump(), "lost"},
		"twice":       {dump(applied(1, 2, 5), applied(1, 2, 6)), "twice"},
		"refused":     {dump(applied(1, 2, 5), applied(1, 3, 6)), "refused"},
		"never sent":  {dump(applied(1, 2, 5), applied(1, 5, 6)), "never sent"},
		"nobody's":    {dump(applied(1, 2, 5), applied(2, 1, 6)), "never sent"},
		"order":       {dump(applied(1, 2, 5), applied(1, 1, 6)), "after"},
		"index":       {dump(applied(1, 1, 5), applied(1, 2, 5)), "after"},
		"elsewhere":   {dump(applied(1, 2, 7)), "was acknowledged at"},
		"other term":  {dump(late), "was acknowledged at"},
		"other's":     {dump(applied(1, 2, 5), foreign), "another cluster"},
		"torn":        {dump(applied(1, 2, 5), torn), "bytes"},
		"garbled":     {dump(applied(1, 2, 5), garbled), "bytes"},
		"other nonce": {journal.Event{Kind: journal.Dump, Nonce: nonce + 1}, "not there"},
	} {
		err := before(t).Take(c.dump)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What was read once must stay, and nothing of the processes before may come later.
func TestSecondDump(t *testing.T) {
	tr := before(t)
	if err := tr.Take(dump(applied(1, 1, 3), applied(1, 2, 5))); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]journal.Event{
		"gone":     dump(applied(1, 1, 3)),
		"replaced": dump(applied(1, 1, 3), applied(1, 2, 6)),
		"late":     dump(applied(1, 1, 3), applied(1, 2, 5), applied(1, 4, 6)),
	} {
		if tr.Take(e) == nil {
			t.Errorf("%s: not found", name)
		}
	}
	if err := tr.Take(dump(applied(1, 1, 3), applied(1, 2, 5))); err != nil {
		t.Error(err)
	}
	if c := tr.Counts(); c.Acked != 1 || c.Refused != 1 || c.Full != 1 || c.Unknown != 1 || c.Dumps != 2 || c.Compared != 2 {
		t.Errorf("%+v", c)
	}
}

func TestAckedTwice(t *testing.T) {
	tr := before(t)
	if tr.Take(acked(1, 2, 6)) == nil {
		t.Error("not found")
	}
}

// A new cluster of the name owes nothing to the one before.
func TestNewCluster(t *testing.T) {
	tr := before(t)
	for _, k := range []journal.Kind{journal.Deleting, journal.Deleted} {
		if err := tr.Take(journal.Event{Kind: k, Nonce: nonce}); err != nil {
			t.Fatal(err)
		}
	}
	if s := tr.Slots()[0]; s.Status != journal.Absent {
		t.Error(s)
	}
	if tr.Take(dump(applied(1, 2, 5))) == nil {
		t.Error("a deleted cluster was read")
	}
	for _, k := range []journal.Kind{journal.Creating, journal.Created} {
		if err := tr.Take(journal.Event{Kind: k, Nonce: nonce + 1, Seq: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if s := tr.Slots()[0]; s.Status != journal.Live || s.Nonce != nonce+1 || s.Missing != 1 {
		t.Error(s)
	}
	if err := tr.Take(journal.Event{Kind: journal.Dump, Nonce: nonce + 1}); err != nil {
		t.Error(err)
	}
}

func TestWaiting(t *testing.T) {
	tr := before(t)
	tr.Mark()
	var want Answers
	for _, e := range []journal.Event{
		{Kind: journal.Refused, Nonce: nonce, Client: 1, Seq: 1}, acked(1, 4, 6), {Kind: journal.Unknown}, {Kind: journal.Queried},
		{Kind: journal.Elected}, {Kind: journal.Waits},
	} {
		if err := tr.Take(e); err != nil {
			t.Fatal(err)
		}
	}
	waiting := tr.Waiting(func(s *journal.Slot, a Answers) bool {
		want = a
		return s.Name != "c"
	})
	if len(waiting) != 1 || want != (Answers{Acked: 1, Ended: 3, Waits: 1, Read: 1, Elected: 1}) {
		t.Errorf("%q %+v", waiting, want)
	}
	if waiting := tr.Waiting(func(*journal.Slot, Answers) bool { return true }); len(waiting) > 0 {
		t.Error(waiting)
	}
	if tr.Client() != 1 {
		t.Error(tr.Client())
	}
}

func TestBadEvents(t *testing.T) {
	tr := before(t)
	for _, e := range []journal.Event{{Kind: journal.Problem}, {Kind: journal.Acked, Slot: 9}, {Kind: 200}} {
		if tr.Take(e) == nil {
			t.Errorf("%+v was taken", e)
		}
	}
}
