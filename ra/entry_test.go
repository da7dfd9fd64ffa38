package ra

import (
	"bytes"
	"errors"
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

// I11: every single-bit flip of a sealed body, header included, is detected.
func TestEntryDetectsEveryBitFlip(t *testing.T) {
	body := sealed("the quick brown fox").Body
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
