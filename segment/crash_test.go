package segment

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var seeds = flag.Uint64("seeds", 2, "how many histories the crash test goes through")

// truth is what must be in a set at some moment. A flush or truncation that is under way when the crash comes may or may
// not have happened.
type truth struct {
	terms map[ra.UID][]ra.Term // by index; 0 is no entry
	floor map[ra.UID]ra.Index
}

func newTruth() *truth {
	return &truth{terms: map[ra.UID][]ra.Term{}, floor: map[ra.UID]ra.Index{}}
}

func (w *truth) clone() *truth {
	c := newTruth()
	for uid, terms := range w.terms {
		c.terms[uid] = append([]ra.Term(nil), terms...)
	}
	for uid, floor := range w.floor {
		c.floor[uid] = floor
	}
	return c
}

func (w *truth) flush(parts []part) {
	for _, p := range parts {
		terms := w.terms[p.uid]
		cut := p.cut
		if cut == 0 {
			cut = p.lo
		}
		if int(cut) < len(terms) {
			terms = terms[:cut]
		}
		for i := p.lo; i != 0 && i <= p.hi; i++ {
			for int(i) >= len(terms) {
				terms = append(terms, 0)
			}
			terms[i] = p.term
		}
		w.terms[p.uid] = terms
	}
}

// check compares a set, whose floors have been set, with the truth.
func (w *truth) check(s *Set) error {
	for uid, terms := range w.terms {
		lo := w.floor[uid] + 1
		got, err := s.Read(nil, uid, lo, maxIndex, 1<<30)
		if err != nil {
			return err
		}
		if want := max(len(terms)-int(lo), 0); len(got) != want {
			return fmt.Errorf("%s: %d entries from %d on, should be %d", uid, len(got), lo, want)
		}
		for k := range got {
			i := lo + ra.Index(k)
			if err := isEntry(uid, i, terms[i], &got[k]); err != nil {
				return err
			}
		}
		for _, r := range s.Runs(uid) {
			if r.Last >= ra.Index(len(terms)) {
				return fmt.Errorf("%s: %+v came back", uid, r)
			}
		}
	}
	return nil
}

// step is one thing that happens to a set; before and after are what may be there if a crash comes within.
type step struct {
	name          string
	run           func(s *Set) error
	before, after *truth
}

// story draws steps at random, with small files so that compaction has something to do.
func story(rng *rand.Rand, n int) []step {
	w := newTruth()
	last := map[ra.UID]ra.Index{}
	var steps []step
	for k := range n {
		before := w.clone()
		var st step
		switch rng.IntN(6) {
		case 0, 1, 2:
			parts := drawParts(rng, w, last, ra.Term(k+1))
			w.flush(parts)
			st = step{name: "flush", run: func(s *Set) error { _, err := s.Flush(ranges(parts...)); return err }}
		case 3:
			uid := drawUID(rng)
			w.floor[uid] = min(w.floor[uid]+ra.Index(rng.IntN(30)), last[uid])
			floor := w.floor[uid]
			st = step{name: "drop", run: func(s *Set) error { s.Drop(uid, floor); return nil }}
		case 4:
			st = step{name: "clean", run: func(s *Set) error { _, err := s.Clean(); return err }}
		default:
			st = step{name: "compact", run: func(s *Set) error { _, err := s.Compact(); return err }}
		}
		st.before, st.after = before, w.clone()
		steps = append(steps, st)
	}
	return steps
}

func drawUID(rng *rand.Rand) ra.UID { return ra.UID(string(rune('a' + rng.IntN(4)))) }

func drawParts(rng *rand.Rand, w *truth, last map[ra.UID]ra.Index, term ra.Term) []part {
	var parts []part
	for _, uid := range []ra.UID{"a", "b", "c", "d"} {
		if rng.IntN(3) == 0 {
			continue
		}
		lo := last[uid] + 1
		if back := ra.Index(rng.IntN(25)); rng.IntN(2) == 0 && lo > back+w.floor[uid] {
			lo -= back
		}
		p := part{uid: uid, lo: lo, hi: lo + ra.Index(rng.IntN(20)), term: term, size: 20 << rng.IntN(8)}
		last[uid] = p.hi
		if rng.IntN(5) == 0 {
			p = part{uid: uid, cut: lo}
			last[uid] = lo - 1
		}
		parts = append(parts, p)
	}
	return parts
}

func openSmall(fs vfs.FS) (*Set, *Report, error) {
	return Open(Config{FS: fs, Dir: "seg", OwnFile: 20_000, MaxOwn: 2, MaxOpen: 2})
}

// survivor opens what a crash left and compares it with what may be there.
func survivor(fs vfs.FS, st *step, floors *truth) error {
	s, report, err := openSmall(fs)
	if err != nil {
		return err
	}
	if len(report.Lost)+len(report.Quarantined)+len(report.Damaged)+len(report.Degraded) > 0 {
		return fmt.Errorf("damage: %+v", report)
	}
	for uid, floor := range floors.floor {
		s.Drop(uid, floor)
	}
	return matches(s, st)
}

// matches compares a set with both truths of a step. Within one flush each member's part may be there or not.
func matches(s *Set, st *step) error {
	for uid := range st.after.terms {
		one := func(w *truth) *truth {
			return &truth{terms: map[ra.UID][]ra.Term{uid: w.terms[uid]}, floor: st.after.floor}
		}
		errAfter := one(st.after).check(s)
		if errAfter == nil {
			continue
		}
		if err := one(st.before).check(s); err != nil {
			return fmt.Errorf("neither before (%w) nor after (%w)", err, errAfter)
		}
	}
	return nil
}

// I9, I12: whatever the crash leaves of what was not synced, nothing that was flushed is lost, and nothing that was
// replaced or noted as truncated comes back.
func TestCrashAtEveryOperation(t *testing.T) {
	for seed := range *seeds {
		crashRun(t, seed)
	}
}

func crashRun(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	mem := vfs.NewMem()
	errs := vfs.NewErrs(mem)
	s, _, err := openSmall(errs)
	if err != nil {
		t.Fatal(err)
	}
	steps := story(rng, 25)
	var now *step
	errs.Trace(func(op vfs.Op, name string) {
		if op == vfs.OpRead || op == vfs.OpSize || op == vfs.OpOpen {
			return
		}
		model := vfs.CrashModel(rng.IntN(int(vfs.CrashModels)))
		left := mem.Crash(model, rng)
		if err := survivor(left, now, now.after); err != nil {
			t.Fatalf("seed %d, %s, crash (%s) before %s %s: %v", seed, now.name, model, op, name, err)
		}
		if rng.IntN(3) == 0 {
			if err := loseOne(t, left, now, rng); err != nil {
				t.Fatalf("seed %d, %s, crash (%s) before %s %s: %v", seed, now.name, model, op, name, err)
			}
		}
		// And again, with the flush repeated after the crash.
		if err := repeated(left, now); err != nil {
			t.Fatalf("seed %d, %s repeated after crash (%s) before %s %s: %v", seed, now.name, model, op, name, err)
		}
	})
	for i := range steps {
		now = &steps[i]
		if err := now.run(s); err != nil {
			t.Fatal(err)
		}
		if err := now.after.check(s); err != nil {
			t.Fatalf("seed %d, after %s (%d): %v", seed, now.name, i, err)
		}
	}
}

// repeated does the step again on what the crash left, crashes at its end, and expects what is there then to be what
// the step leaves.
func repeated(fs *vfs.Mem, st *step) error {
	s, _, err := openSmall(fs)
	if err != nil {
		return err
	}
	for uid, floor := range st.after.floor {
		s.Drop(uid, floor)
	}
	if err := st.run(s); err != nil {
		return err
	}
	if _, err := s.Clean(); err != nil {
		return err
	}
	done := step{name: st.name, before: st.after, after: st.after}
	return survivor(fs.Crash(vfs.CrashLost, rand.New(rand.NewPCG(1, 1))), &done, st.after)
}

// I10: after a failed operation the flush is repeated, and all is right; the failure itself loses nothing.
func TestErrorAtEveryOperation(t *testing.T) {
	first := []part{{uid: "a", lo: 1, hi: 50, term: 1, size: 50}, {uid: "b", lo: 1, hi: 20, term: 1, size: 50}}
	second := []part{{uid: "a", lo: 30, hi: 60, term: 2, size: 1000}, {uid: "b", lo: 21, hi: 25, term: 2, size: 50}}
	for n := 0; ; n++ {
		mem := vfs.NewMem()
		errs := vfs.NewErrs(mem)
		s, _, err := openSmall(errs)
		if err != nil {
			t.Fatal(err)
		}
		w := newTruth()
		mustFlush(t, s, first...)
		w.flush(first)
		before := w.clone()
		w.flush(second)
		errs.Inject(vfs.Fault{After: n, Times: 1, Short: n%2 == 0})
		_, err = s.Flush(ranges(second...))
		errs.Heal()
		if err == nil {
			return
		}
		st := step{before: before, after: w}
		if err := matches(s, &st); err != nil {
			t.Fatalf("after error %d: %v", n, err)
		}
		mustFlush(t, s, second...)
		for model := range vfs.CrashModels {
			left := mem.Crash(model, rand.New(rand.NewPCG(uint64(n), 3)))
			st.before = w
			if err := survivor(left, &st, w); err != nil {
				t.Fatalf("error %d, then crash (%s): %v", n, model, err)
			}
		}
		s.Drop("a", 60)
		s.Drop("b", 25)
		clean(t, s)
		if files := segFiles(t, mem); len(files) != 0 {
			t.Fatalf("error %d: left %v", n, files)
		}
	}
}
