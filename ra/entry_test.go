package ra

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func sealed(payload string) Entry {
	return Seal(NewBody([]byte(payload)), Header{Index: 7, Term: 3, Kind: KindCommand, Flags: 2, Time: 1234})
}

func TestEntryRoundTrip(t *testing.T) {
	for _, payload := range []string{"", "x", strings.Repeat("y", 100_000)} {
		e := sealed(payload)
		got, err := OpenEntry(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got.Index != 7 || got.Term != 3 || got.Kind() != KindCommand || got.Flags() != 2 || got.Time() != 1234 {
			t.Fatalf("header changed: %+v", got)
		}
		if string(got.Payload()) != payload {
			t.Fatalf("payload of %d bytes changed", len(payload))
		}
	}
}

// TestShapes seals with index, term and time at the bounds of what each number of bytes holds. The draft can still be asked
// for what it was, wherever in it the header now begins.
func TestShapes(t *testing.T) {
	var bounds []uint64
	for n := range 64 {
		bounds = append(bounds, 1<<n-1, 1<<n)
	}
	bounds = append(bounds, 1<<64-1)
	for _, index := range bounds {
		for _, term := range bounds {
			draft := append(Draft(KindDown, 9, 3), "xyz"...)
			e := Seal(draft, Header{Index: Index(index), Term: Term(term), Kind: KindDown, Flags: 9, Time: int64(index >> 1)})
			got, err := OpenEntry(e.Body)
			if err != nil || got.Index != Index(index) || got.Term != Term(term) {
				t.Fatalf("index %x, term %x: %x, %x, %v", index, term, got.Index, got.Term, err)
			}
			if want := int64(min(index>>1, MaxTime)); got.Time() != want || got.Kind() != KindDown || got.Flags() != 9 || string(got.Payload()) != "xyz" {
				t.Fatalf("index %x, term %x: kind %d, flags %d, time %x, payload %q", index, term, got.Kind(), got.Flags(), got.Time(), got.Payload())
			}
			if before := (Entry{Body: draft}); !IsDraft(draft) || before.Kind() != KindDown || before.Flags() != 9 || string(before.Payload()) != "xyz" {
				t.Fatalf("index %x, term %x: sealing spoils the draft", index, term)
			}
			if n := len(e.Body) - 3; n < MinHeaderLen || n > MaxHeaderLen {
				t.Fatalf("header of %d bytes", n)
			}
		}
	}
	if n := len(Seal(NewBody(nil), Header{Index: 1 << 24, Term: 200, Kind: KindCommand}).Body); n != 18 {
		t.Errorf("a common header has %d bytes", n)
	}
	if e := Seal(NewBody(nil), Header{Kind: KindCommand, Time: -5}); e.Time() != 0 {
		t.Errorf("a time before 1970 became %d", e.Time())
	}
}

// Every body has one encoding: shapes that nothing is sealed in are refused, and numbers longer than need be.
func TestOpenEntryRefusesOtherShapes(t *testing.T) {
	refused := func(what string, body []byte) {
		binary.LittleEndian.PutUint32(body, Checksum(body[4:]))
		if _, err := OpenEntry(body); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	body := Seal(NewBody([]byte("some payload that numbers could reach into")), Header{Index: 7, Term: 3, Kind: KindCommand}).Body
	for i := range 16 {
		for n := range 16 {
			if i == 0 || n == 0 || i+n > 8 && (i != 8 || n != 8) {
				bad := bytes.Clone(body)
				bad[shapeAt] = byte(i | n<<4)
				refused(fmt.Sprintf("index of %d bytes, term of %d", i, n), bad)
			}
		}
	}
	for what, numbers := range map[string][]byte{
		"\x12 index 7 in two bytes": {7, 0, 3}, "\x21 term 3 in two bytes": {7, 3, 0},
		"\x88 few bytes in many": {7, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0},
	} {
		bad := append(append(bytes.Clone(body[:numbersAt]), numbers...), "payload"...)
		bad[shapeAt] = what[0]
		refused(what, bad)
	}
}

func TestHasHeader(t *testing.T) {
	e := Seal(NewBody(nil), Header{Index: 1 << 40, Term: 1 << 40, Kind: KindCommand})
	for n := range len(e.Body) + 1 {
		cut := Entry{Body: e.Body[:n]}
		if cut.HasHeader() != (n == MaxHeaderLen) {
			t.Errorf("%d of %d bytes: %v", n, MaxHeaderLen, cut.HasHeader())
		}
		if IsDraft(cut.Body) != (n == MaxHeaderLen) {
			t.Errorf("%d bytes count as a draft: %v", n, IsDraft(cut.Body))
		}
	}
}

// I11: every single-bit flip of a sealed body, header included, is detected.
func TestEntryDetectsEveryBitFlip(t *testing.T) {
	everyFlip(t, sealed("the quick brown fox").Body)
	everyFlip(t, Seal(NewBody(nil), Header{Index: 1 << 20, Term: 1 << 10, Kind: KindCommand}).Body)
	everyFlip(t, Seal(NewBody([]byte("x")), Header{Index: 1 << 60, Term: 9, Kind: KindCommand}).Body)
}

func everyFlip(t *testing.T, body []byte) {
	for i := range body {
		for bit := range 8 {
			bad := bytes.Clone(body)
			bad[i] ^= 1 << bit
			if _, err := OpenEntry(bad); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("flip of bit %d in byte %d: %v", bit, i, err)
			}
		}
	}
}

func TestEntryDetectsEveryTruncation(t *testing.T) {
	body := sealed("the quick brown fox").Body
	for n := range body {
		if _, err := OpenEntry(body[:n]); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestOpenEntryRefusesUnknownKind(t *testing.T) {
	e := Seal(NewBody(nil), Header{Index: 1, Term: 1, Kind: maxKind + 1})
	if _, err := OpenEntry(e.Body); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("unknown kind: %v", err)
	}
}

func FuzzOpenEntry(f *testing.F) {
	f.Add(sealed("seed").Body)
	f.Add(Seal(NewBody(nil), Header{Index: 1 << 40, Term: 1 << 40, Kind: KindCommand}).Body)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := OpenEntry(body)
		if err != nil {
			return
		}
		again := Seal(NewBody(e.Payload()), Header{e.Index, e.Term, e.Kind(), e.Flags(), e.Time()})
		if !bytes.Equal(again.Body, body) {
			t.Fatal("accepted bytes that sealing does not give")
		}
	})
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "orders.1", "A-Z_0=9", strings.Repeat("n", MaxNameLen)} {
		if err := CheckName(good); err != nil {
			t.Errorf("%q refused: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".hidden", "..", "a/b", "a\x00", "å", "a b", strings.Repeat("n", MaxNameLen+1)} {
		if err := CheckName(bad); !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q accepted: %v", bad, err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	body := NewBody(make([]byte, 256))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		Seal(body, Header{Index: 1, Term: 1, Kind: KindCommand})
	}
}
