package journal

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

func TestEvents(t *testing.T) {
	events := []Event{
		{Kind: Ready},
		{Kind: Acked, Slot: 3, Nonce: 1 << 63, Client: 7, Seq: 1 << 31, Index: 9, Term: 2},
		{Kind: Refused, Reason: DiskFull, Client: 1},
		{Kind: Problem, Data: []byte("what")},
	}
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, e := range events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	whole := b.Bytes()
	for cut := range whole {
		in := bytes.NewReader(whole[:cut])
		var got []Event
		for {
			e, err := Read(in)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		if len(got) >= len(events) || len(got) > 0 && !reflect.DeepEqual(got, events[:len(got)]) {
			t.Fatalf("cut at %d: %+v", cut, got)
		}
	}
	if _, err := Read(bytes.NewReader(make([]byte, headerLen))); err == nil || errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func TestWriterStops(t *testing.T) {
	in, out := io.Pipe()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	w := NewWriter(out)
	first := w.Write(Event{Kind: Ready})
	if again := w.Write(Event{Kind: Ready}); first == nil || !errors.Is(again, first) {
		t.Error(first, again)
	}
}

// Every changed byte of a command shows.
func TestCommands(t *testing.T) {
	for seq := range uint32(50) {
		c := Command{Nonce: 1, Client: 2, Seq: seq}
		b := c.Encode()
		if got, sum, ok := Decode(b); got != c || !ok || sum != c.Sum() || !bytes.Equal(b, c.Encode()) {
			t.Fatalf("%+v %v", got, ok)
		}
		for i := range min(len(b), 64) {
			b[i] ^= 4
			if _, _, ok := Decode(b); ok {
				t.Fatalf("a change of byte %d is not seen", i)
			}
			b[i] ^= 4
		}
	}
	if _, _, ok := Decode(make([]byte, commandLen-1)); ok {
		t.Error("too short")
	}
}

func TestRecords(t *testing.T) {
	var b []byte
	want := []Record{
		{Command: Command{Nonce: 1, Client: 2, Seq: 3}, Index: 4, Term: 5, Sum: 6, Whole: true},
		{Command: Command{Nonce: 7, Client: 8, Seq: 9}, Index: 10, Term: 11, Sum: 12},
	}
	for i := range want {
		b = AppendRecord(b, &want[i])
	}
	for i := range want {
		if got := RecordAt(b, i); got != want[i] {
			t.Errorf("%+v", got)
		}
	}
	if len(b) != 2*RecordLen {
		t.Error(len(b))
	}
}

func TestWhy(t *testing.T) {
	for err, want := range map[error]Reason{ra.ErrDiskFull: DiskFull, ra.ErrStorageFailed: StorageFailed, ra.ErrClosed: OtherReason} {
		if got := Why(err); got != want {
			t.Errorf("%v: %d", err, got)
		}
	}
}
