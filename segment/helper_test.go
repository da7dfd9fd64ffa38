package segment

import (
	"errors"
	"fmt"
	"iter"
	"path"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// entry returns an entry whose payload tells what it is.
func entry(uid ra.UID, i ra.Index, term ra.Term, size int) ra.Entry {
	payload := fmt.Appendf(nil, "%s/%d/%d/", uid, i, term)
	for len(payload) < size {
		payload = append(payload, byte(len(payload)*7+int(i)))
	}
	return ra.Seal(ra.NewBody(payload), ra.Header{Index: i, Term: term, Kind: ra.KindCommand, Time: int64(i)})
}

// part is a range of a flush in a test.
type part struct {
	uid    ra.UID
	cut    ra.Index
	lo, hi ra.Index
	term   ra.Term
	size   int
}

func (p part) rng() Range {
	r := Range{UID: p.uid, Cut: p.cut}
	if p.lo != 0 {
		r.Entries = func(yield func(ra.Entry) bool) {
			for i := p.lo; i <= p.hi; i++ {
				if !yield(entry(p.uid, i, p.term, p.size)) {
					return
				}
			}
		}
	}
	return r
}

func ranges(parts ...part) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		for _, p := range parts {
			if !yield(p.rng()) {
				return
			}
		}
	}
}

func mustOpen(t testing.TB, fs vfs.FS) *Set {
	t.Helper()
	s, report, err := Open(Config{FS: fs, Dir: "seg"})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Damaged)+len(report.Lost)+len(report.Degraded)+len(report.Quarantined) > 0 {
		t.Fatalf("damage in a sound set: %+v", report)
	}
	return s
}

func mustFlush(t testing.TB, s *Set, parts ...part) []Ref {
	t.Helper()
	refs, err := s.Flush(ranges(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return refs
}

// expect checks that exactly the entries lo to hi of uid are there, with the term that termOf gives them.
func expect(t testing.TB, s *Set, uid ra.UID, lo, hi ra.Index, termOf func(ra.Index) ra.Term) {
	t.Helper()
	got, err := s.Read(nil, uid, lo, maxIndex, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != int(hi-lo+1) {
		t.Fatalf("%s: %d entries from %d on, want up to %d", uid, len(got), lo, hi)
	}
	for k := range got {
		i := lo + ra.Index(k)
		if err := isEntry(uid, i, termOf(i), &got[k]); err != nil {
			t.Fatal(err)
		}
		if term, ok := s.Term(uid, i); !ok || term != termOf(i) {
			t.Fatalf("%s: term of %d is %d, %v", uid, i, term, ok)
		}
	}
	if first, last := s.Bounds(uid); first > lo || last != hi {
		t.Fatalf("%s: bounds %d to %d, want %d to %d", uid, first, last, lo, hi)
	}
}

// isEntry checks that e is what entry made.
func isEntry(uid ra.UID, i ra.Index, term ra.Term, e *ra.Entry) error {
	want := fmt.Sprintf("%s/%d/%d/", uid, i, term)
	if e.Index != i || e.Term != term || len(e.Payload()) < len(want) || string(e.Payload()[:len(want)]) != want {
		return fmt.Errorf("entry %d of term %d is %.40q, want %q", e.Index, e.Term, e.Payload(), want)
	}
	return nil
}

func term(x ra.Term) func(ra.Index) ra.Term { return func(ra.Index) ra.Term { return x } }

func segFiles(t testing.TB, fs vfs.FS) []string {
	t.Helper()
	names, err := fs.List("seg")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(names, func(n string) bool { _, ok := parseName(n); return !ok })
}

func clean(t testing.TB, s *Set) int {
	t.Helper()
	n, err := s.Clean()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func lostNames(r *Report) (out []string) {
	for _, l := range r.Lost {
		out = append(out, l.Name)
	}
	return out
}

func filePath(name string) string { return path.Join("seg", name) }

func isDamage(err error) bool {
	var d *DamageError
	return errors.As(err, &d)
}
