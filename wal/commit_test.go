package wal

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// entry returns a sealed entry whose payload is n bytes that depend on index and term.
func entry(index ra.Index, term ra.Term, n int) ra.Entry {
	payload := bytes.Repeat([]byte{byte(index), byte(term)}, n/2+1)[:n]
	return ra.Seal(ra.NewBody(payload), ra.Header{Index: index, Term: term, Kind: ra.KindCommand, Time: int64(index)})
}

// payloadOf returns the payload of an entry that is held nowhere.
func payloadOf(e ra.Entry) []byte { return e.Payload() }

// entries returns the entries of the given term from lo to hi.
func entries(term ra.Term, lo, hi ra.Index) []ra.Entry {
	var out []ra.Entry
	for i := lo; i <= hi; i++ {
		out = append(out, entry(i, term, 20))
	}
	return out
}

// osFS returns a file system in a temporary directory of the disk.
func osFS(tb testing.TB) vfs.FS {
	tb.Helper()
	fs, err := vfs.OpenOS(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { fs.Close() })
	return fs
}

// open opens a log, which is closed at the end of the test.
func open(tb testing.TB, cfg Config) *Log {
	tb.Helper()
	l, _, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	return l
}

// register makes a member known.
func register(tb testing.TB, l *Log, b *Batch, uid ra.UID) *Writer {
	tb.Helper()
	w, err := l.Writer(uid)
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Append(w, &Op{Seq: 1, Register: &Registration{Name: string(uid), Config: []byte("config")}}); err != nil {
		tb.Fatal(err)
	}
	return w
}

// commit commits and empties the batch.
func commit(tb testing.TB, l *Log, b *Batch) {
	tb.Helper()
	if err := l.Commit(b); err != nil {
		tb.Fatal(err)
	}
	b.Reset()
}

func TestOneEntryIsOneBlock(t *testing.T) {
	l := open(t, Config{FS: osFS(t), FileSize: 1 << 20})
	b := l.NewBatch()
	w := register(t, l, b, "u1")
	commit(t, l, b)
	for i := ra.Index(1); i <= 3; i++ {
		before := l.cur.off
		if err := b.Append(w, &Op{Seq: w.Seq() + 1, Entries: []ra.Entry{entry(i, 1, 300)}}); err != nil {
			t.Fatal(err)
		}
		commit(t, l, b)
		if got := l.cur.off - before; got != block {
			t.Errorf("entry %d took %d bytes, want %d", i, got, block)
		}
	}
}

func TestOrdersOutOfSequenceAreRefused(t *testing.T) { // WAL-06
	l := open(t, Config{FS: osFS(t), FileSize: 1 << 20})
	b := l.NewBatch()
	stranger, err := l.Writer("stranger")
	if err != nil {
		t.Fatal(err)
	}
	w := register(t, l, b, "u1")
	for name, c := range map[string]struct {
		w  *Writer
		op Op
	}{
		"unregistered":  {stranger, Op{Seq: 1, State: &ra.HardState{Term: 1}}},
		"seq repeated":  {w, Op{Seq: 1, State: &ra.HardState{Term: 1}}},
		"seq skipped":   {w, Op{Seq: 3, State: &ra.HardState{Term: 1}}},
		"gap":           {w, Op{Seq: 2, Entries: entries(1, 2, 2)}},
		"gap inside":    {w, Op{Seq: 2, Entries: append(entries(1, 1, 1), entry(3, 1, 1))}},
		"gap truncated": {w, Op{Seq: 2, Truncate: 2}},
		"no body":       {w, Op{Seq: 2, Entries: []ra.Entry{{Index: 1}}}},
	} {
		if err := b.Append(c.w, &c.op); !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v, want ErrOrder", name, err)
		}
	}
	if err := b.Append(w, &Op{Seq: 2, Entries: entries(1, 1, 2)}); err != nil {
		t.Errorf("a good order after bad ones: %v", err)
	}
}

func TestAcksNameEachMemberOnce(t *testing.T) { // WAL-03
	l := open(t, Config{FS: osFS(t), FileSize: 1 << 20})
	b := l.NewBatch()
	a, c := register(t, l, b, "a"), register(t, l, b, "c")
	for _, w := range []*Writer{a, c, a} {
		if err := b.Append(w, &Op{Seq: w.Seq() + 1, Entries: entries(1, w.Last()+1, w.Last()+2)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Append(a, &Op{Seq: 4, Truncate: 2, Entries: entries(2, 2, 3)}); err != nil {
		t.Fatal(err)
	}
	if err := l.Commit(b); err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(b.Acks()), fmt.Sprint([]Ack{{a, 4}, {c, 2}}); got != want {
		t.Errorf("acks %s, want %s", got, want)
	}
	b.Reset()
	if len(b.Acks()) != 0 || !b.Empty() || b.Urgent() {
		t.Error("the batch is not empty after Reset")
	}
}

// One order may have more entries than sixteen bits count, and more bytes than recovery reads at once or a file usually
// holds; all of it comes back as it was (WAL-02, WAL-05).
func TestManyEntries(t *testing.T) {
	const count = 1<<16 + 100
	cfg := Config{FS: vfs.NewMem(), FileSize: MinFileSize, MaxBatch: 16 << 20}
	l, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := l.NewBatch()
	w := register(t, l, b, "a")
	want := entries(1, 1, count)
	if err := b.Append(w, &Op{Seq: 2, Entries: want}); err != nil {
		t.Fatal(err)
	}
	commit(t, l, b)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, found, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if len(found.Members) != 1 || found.Members[0].Mark != (Mark{}) {
		t.Fatalf("%+v", found)
	}
	got := found.Members[0].Entries.Read(nil, 1, count, 1<<30)
	if len(got) != count {
		t.Fatalf("%d entries, want %d", len(got), count)
	}
	for i := range got {
		if got[i].Term != want[i].Term || !bytes.Equal(got[i].Body, want[i].Body) {
			t.Fatalf("entry %d came back as another", want[i].Index)
		}
	}
}
