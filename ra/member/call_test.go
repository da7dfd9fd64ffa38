package member

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
)

// heard collects how calls ended, in order.
type heard struct {
	t       *testing.T
	results map[int]Result
	order   []int
}

func newHeard(t *testing.T) *heard { return &heard{t: t, results: map[int]Result{}} }

// caller is one call, known by its number.
type caller struct {
	*heard
	n int
}

func (h *heard) caller(n int) Caller { return caller{h, n} }

func (c caller) Done(r Result) {
	c.t.Helper()
	if _, twice := c.results[c.n]; twice {
		c.t.Errorf("call %d ended twice", c.n)
	}
	c.results[c.n] = r
	c.order = append(c.order, c.n)
}

// want fails unless call n has ended with err, or without an error.
func (h *heard) want(n int, err error) {
	h.t.Helper()
	if r, ended := h.results[n]; !ended || !errors.Is(r.Err, err) {
		h.t.Errorf("call %d: ended %v with %v, want %v", n, ended, r.Err, err)
	}
}

// wantOpen fails if one of the calls has ended.
func (h *heard) wantOpen(calls ...int) {
	h.t.Helper()
	for _, n := range calls {
		if r, ended := h.results[n]; ended {
			h.t.Errorf("call %d has ended with %+v", n, r)
		}
	}
}

func position(index ra.Index, term ra.Term) string { return fmt.Sprint(index, "/", term) }

// history is a committed log and a member's leaderships in it: terms[i] is the term of entry i+1.
type history struct {
	terms []ra.Term
	// led has, for each term in which the member led, the index of its first entry.
	led []ra.Term
}

// randomHistory draws a committed log. Its last term is above all in which the member led, as after any loss of
// leadership that is over.
func randomHistory(rng *rand.Rand) history {
	var h history
	term := ra.Term(1)
	for range 1 + rng.IntN(5) {
		for range 1 + rng.IntN(4) {
			h.terms = append(h.terms, term)
		}
		term += 1 + ra.Term(rng.IntN(3))
	}
	h.terms = append(h.terms, term)
	for t := ra.Term(1); t < term; t++ {
		if rng.IntN(2) == 0 {
			h.led = append(h.led, t)
		}
	}
	return h
}

// first returns where the member's own entries of a term begin, if it has applied up to applied when it is elected: at
// the term's place in the committed log, or, if nothing of the term was committed, anywhere behind.
func (h *history) first(term ra.Term, applied ra.Index, rng *rand.Rand) ra.Index {
	for i, t := range h.terms {
		if t == term {
			return ra.Index(i + 1)
		}
	}
	return applied + 1 + ra.Index(rng.IntN(4))
}

// I15: over histories of elections, each call ends exactly once: with its reply if its entry was committed, and with
// ErrSuperseded if another stands there.
func TestWaitlistAgainstHistories(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 20_000 {
		h := randomHistory(rng)
		w, calls, n := waitlist{}, newHeard(t), 0
		wanted, at := map[int]bool{}, ra.Index(0)
		apply := func(to ra.Index) {
			for ; at < to; at++ {
				done(w.applied(at+1, h.terms[at]), Result{Index: at + 1, Term: h.terms[at]})
			}
		}
		for _, term := range h.led {
			first := h.first(term, at, rng)
			if first <= at {
				continue // this leadership began before the member had applied so much
			}
			for i := range 1 + ra.Index(rng.IntN(5)) {
				index := first + i
				w.add(index, term, calls.caller(n))
				wanted[n] = int(index) <= len(h.terms) && h.terms[index-1] == term
				n++
			}
			// No more is committed than the next leader of a higher term, which may be this one, has.
			for int(at) < len(h.terms) && h.terms[at] <= term && rng.IntN(3) > 0 {
				apply(at + 1)
			}
		}
		apply(ra.Index(len(h.terms)))
		for i := range n {
			r, ended := calls.results[i]
			if !ended || (r.Err == nil) != wanted[i] || r.Err != nil && !errors.Is(r.Err, ra.ErrSuperseded) {
				t.Fatalf("history %d, terms %v, led %v: call %d: ended %v, %+v, committed %v", round, h.terms, h.led, i, ended, r, wanted[i])
			}
		}
		if w.len() != 0 {
			t.Fatalf("history %d: %d calls are left", round, w.len())
		}
	}
}

// I15: an entry of a lower term than the call's, committed at its very index by a later leader, does not end the call
// yet; the later leader's own entry does.
func TestWaitlistOlderEntryAtItsIndex(t *testing.T) {
	calls, w := newHeard(t), waitlist{}
	w.add(10, 3, calls.caller(0))
	w.add(12, 5, calls.caller(1))
	if w.applied(10, 2) != nil || len(calls.results) != 0 {
		t.Fatal("entry 10/2 has ended a call of term 3")
	}
	if w.applied(11, 5) != nil {
		t.Fatal("nobody waits for 11/5")
	}
	calls.want(0, ra.ErrSuperseded)
	if w.applied(12, 5) == nil || w.len() != 0 {
		t.Error("12/5 has not ended its call")
	}
}

// I15: what a snapshot covers may have been applied or not; what cannot be in the log of the snapshot's last entry was
// superseded; the rest goes on waiting.
func TestWaitlistSkipped(t *testing.T) {
	calls, w := newHeard(t), waitlist{}
	for n, at := range []waiting{{index: 4, term: 1}, {index: 9, term: 1}, {index: 6, term: 2}, {index: 8, term: 2}} {
		w.add(at.index, at.term, calls.caller(n))
	}
	w.skipped(6, 2, ra.ErrClosed)
	for n, want := range []error{ra.ErrClosed, ra.ErrSuperseded, ra.ErrClosed} {
		calls.want(n, want)
		if r := calls.results[n]; ra.MayHaveBeenApplied(r.Err) != (want == ra.ErrClosed) {
			t.Errorf("call %d at %s: %v", n, position(r.Index, r.Term), r.Err)
		}
	}
	calls.wantOpen(3)
	w.abandon(ra.ErrNoProcess)
	if calls.want(3, ra.ErrNoProcess); !ra.MayHaveBeenApplied(calls.results[3].Err) {
		t.Errorf("abandoned: %v", calls.results[3].Err)
	}
}

// The list forgets callers that have heard, and keeps its order over many of them.
func TestWaitlistOrderAndMemory(t *testing.T) {
	calls, w := newHeard(t), waitlist{}
	next := ra.Index(1)
	for i := ra.Index(1); i <= 5000; i++ {
		w.add(i, 1, calls.caller(int(i)))
		if i%3 != 0 || i > 4000 {
			done(w.applied(next, 1), Result{})
			next++
		}
	}
	if cap(w.list) > 8192 || w.len() != 5001-int(next) {
		t.Errorf("%d wait in a list of %d", w.len(), cap(w.list))
	}
	for i, n := range calls.order {
		if n != i+1 {
			t.Fatalf("call %d ended as number %d", n, i+1)
		}
	}
}
