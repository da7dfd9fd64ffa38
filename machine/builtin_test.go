package machine

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

var downs = []Down{
	{},
	{PID: alice},
	{PID: bob, Reason: DownReason{Code: DownNoConnection}},
	{PID: ra.PID{Node: ra.NodeID(strings.Repeat("n", ra.MaxNameLen)), Name: strings.Repeat("p", ra.MaxNameLen)}},
	{PID: bob, Reason: DownReason{Code: DownError, Text: strings.Repeat("x", MaxReasonText)}},
}

// EFF-50: what a down says survives the log.
func TestDownRoundTrip(t *testing.T) {
	for _, d := range downs {
		b, err := AppendDown([]byte("front"), d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeDown(b[len("front"):])
		if err != nil || got != d {
			t.Errorf("%v became %v, %v", d, got, err)
		}
		for n := range len(b) - len("front") {
			if _, err := DecodeDown(b[len("front"):][:n]); !errors.Is(err, ra.ErrCorrupt) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
		}
		if _, err := DecodeDown(append(b[len("front"):], 0)); !errors.Is(err, ra.ErrCorrupt) {
			t.Errorf("a byte more: %v", err)
		}
	}
}

func TestEncodersRefuseWhatDecodersWould(t *testing.T) {
	long := strings.Repeat("n", ra.MaxNameLen+1)
	_, err1 := AppendDown(nil, Down{PID: ra.PID{Name: long}})
	_, err2 := AppendDown(nil, Down{Reason: DownReason{Code: maxDownCode + 1}})
	_, err3 := AppendDown(nil, Down{Reason: DownReason{Code: DownError, Text: strings.Repeat("x", MaxReasonText+1)}})
	_, err4 := AppendTimeout(nil, strings.Repeat("n", MaxTimerName+1))
	_, err5 := AppendNode(nil, NodeEvent{Node: ra.NodeID(long)})
	_, err6 := AppendNode(nil, NodeEvent{})
	_, err7 := AppendCaller(nil, Caller{PID: ra.PID{Node: ra.NodeID(long)}})
	for i, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
		if err == nil {
			t.Errorf("case %d was encoded", i+1)
		}
	}
	_, bad1 := DecodeTimeout(make([]byte, MaxTimerName+1))
	_, bad2 := DecodeNode([]byte{2, 'n'})
	_, bad3 := DecodeNode([]byte{1})
	_, _, bad4 := DecodeCaller([]byte{1})
	for i, err := range []error{bad1, bad2, bad3, bad4} {
		if !errors.Is(err, ra.ErrCorrupt) {
			t.Errorf("case %d was decoded: %v", i+1, err)
		}
	}
}

// EFF-50, EFF-53: the classes of reasons; texts are valid, short UTF-8 on every member.
func TestReasonOf(t *testing.T) {
	cases := []struct {
		err  error
		want DownReason
	}{
		{nil, DownReason{Code: DownNormal}},
		{fmt.Errorf("asked: %w", ra.ErrNoProcess), DownReason{Code: DownNoProcess}},
		{ra.ErrNodeDown, DownReason{Code: DownNoConnection}},
		{errors.New("disk on fire"), DownReason{Code: DownError, Text: "disk on fire"}},
		{errors.New("bad \xff byte"), DownReason{Code: DownError, Text: "bad ? byte"}},
		{errors.New(strings.Repeat("ü", MaxReasonText)),
			DownReason{Code: DownError, Text: strings.Repeat("ü", MaxReasonText/2)}},
		{errors.New("x" + strings.Repeat("ü", MaxReasonText)),
			DownReason{Code: DownError, Text: "x" + strings.Repeat("ü", MaxReasonText/2-1)}},
	}
	for _, c := range cases {
		if got := ReasonOf(c.err); got != c.want {
			t.Errorf("%.20v became %.40v", c.err, got)
		}
		if _, err := AppendDown(nil, Down{Reason: ReasonOf(c.err)}); err != nil {
			t.Errorf("%.20v cannot be encoded: %v", c.err, err)
		}
	}
	if got := ReasonOf(errors.New("x")).String() + ", " + ReasonOf(nil).String(); got != "error: x, normal" {
		t.Error(got)
	}
}

func TestCallerRoundTrip(t *testing.T) {
	c := Caller{PID: alice, Correlation: 1 << 60}
	b, err := AppendCaller(nil, c)
	if err != nil {
		t.Fatal(err)
	}
	got, rest, err := DecodeCaller(append(b, "the command"...))
	if err != nil || got != c || string(rest) != "the command" {
		t.Errorf("%v, %q, %v", got, rest, err)
	}
}

// FuzzPayloads: no payload panics, and what is accepted has exactly one encoding.
func FuzzPayloads(f *testing.F) {
	for _, d := range downs {
		b, _ := AppendDown(nil, d)
		f.Add(b)
	}
	f.Add([]byte("timer"))
	f.Add([]byte("\x01node"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := DecodeDown(b); err == nil {
			again, err := AppendDown(nil, d)
			check(t, "down", again, err, b)
		}
		if name, err := DecodeTimeout(b); err == nil {
			again, err := AppendTimeout(nil, name)
			check(t, "timeout", again, err, b)
		}
		if e, err := DecodeNode(b); err == nil {
			again, err := AppendNode(nil, e)
			check(t, "node", again, err, b)
		}
		if c, rest, err := DecodeCaller(b); err == nil {
			again, err := AppendCaller(nil, c)
			check(t, "caller", append(again, rest...), err, b)
		}
	})
}

func check(t *testing.T, what string, again []byte, err error, b []byte) {
	t.Helper()
	if err != nil || !bytes.Equal(again, b) {
		t.Fatalf("%s: %x was accepted but is %x, %v", what, b, again, err)
	}
}
