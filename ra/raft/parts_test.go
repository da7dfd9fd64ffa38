package raft

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/fuzztest"
)

// ELE-08, bug 17: the quorum of every number of voters, with every set of those who agree.
func TestQuorumExhaustively(t *testing.T) {
	for n := 1; n <= 9; n++ {
		c := Configuration{Members: members("a", "b", "c", "d", "e", "f", "g", "h", "i")[:n]}
		for set := range memberSet(1 << n) {
			count := 0
			values := make([]uint64, n)
			for i := range n {
				if set.has(i) {
					count++
					values[i] = 7
				}
			}
			if want := 2*count > n; c.quorumOf(set) != want || (agreed(values) == 7) != want {
				t.Fatalf("%d of %d voters: quorum %v", count, n, !want)
			}
		}
	}
}

// Bug 19: the index that a majority has, against counting one by one. Non-voters are never counted.
func TestAgreedAgainstCounting(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		values := make([]uint64, 1+rng.IntN(9))
		for i := range values {
			values[i] = uint64(rng.IntN(5))
		}
		want := uint64(0)
		for v := uint64(1); v < 5; v++ {
			have := 0
			for _, value := range values {
				if value >= v {
					have++
				}
			}
			if 2*have > len(values) {
				want = v
			}
		}
		if got := agreed(slices.Clone(values)); got != want {
			t.Fatalf("%v agree on %d, counted %d", values, got, want)
		}
	}
	if agreed(nil) != 0 {
		t.Error("no voters agree on something")
	}
}

// naive is a log that keeps each term.
type naive struct {
	base  Position
	terms []ra.Term
	gone  map[ra.Index]ra.Term // of what was compacted
}

// had returns the term at i as far as it is known of what is not kept any more.
func (n *naive) had(i ra.Index) (ra.Term, bool) {
	if i >= n.base.Index {
		return n.at(i)
	}
	for k := i; k < n.base.Index; k++ {
		if n.gone[k] != n.base.Term {
			return 0, false
		}
	}
	return n.base.Term, true
}

// compact forgets what lies below i.
func (n *naive) compact(i ra.Index) {
	have, _ := n.at(i)
	for k := n.base.Index; k < i; k++ {
		if n.gone == nil {
			n.gone = make(map[ra.Index]ra.Term)
		}
		n.gone[k], _ = n.at(k)
	}
	*n = naive{Position{i, have}, slices.Clone(n.terms[i-n.base.Index:]), n.gone}
}

func (n *naive) at(i ra.Index) (ra.Term, bool) {
	switch {
	case i < n.base.Index || i > n.base.Index+ra.Index(len(n.terms)):
		return 0, false
	case i == n.base.Index:
		return n.base.Term, true
	}
	return n.terms[i-n.base.Index-1], true
}

func (n *naive) lastWithin(i ra.Index, term ra.Term) Position {
	for i = min(i, n.base.Index+ra.Index(len(n.terms))); i > n.base.Index; i-- {
		if have, _ := n.at(i); have <= term {
			return Position{i, have}
		}
	}
	return n.base
}

// The runs of terms say what a list of terms says, over appends, truncations and compactions.
func TestTermsAgainstList(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var runs terms
		var list naive
		term := ra.Term(1)
		for range 40 {
			switch rng.IntN(6) {
			case 0:
				if runs.last > runs.base.Index {
					i := runs.base.Index + 1 + ra.Index(rng.IntN(int(runs.last-runs.base.Index)))
					runs.truncate(i)
					list.terms = list.terms[:i-list.base.Index-1]
				}
			case 1:
				i := runs.base.Index + ra.Index(rng.IntN(int(runs.last-runs.base.Index)+1))
				list.compact(i)
				runs.compact(i)
			default:
				term = max(term, runs.lastTerm()) + ra.Term(rng.IntN(2))
				n := 1 + rng.IntN(3)
				runs.append(n, term)
				for range n {
					list.terms = append(list.terms, term)
				}
			}
			compareTerms(t, &runs, &list)
		}
	}
}

func compareTerms(t *testing.T, runs *terms, list *naive) {
	t.Helper()
	for i := ra.Index(0); i < runs.last+3; i++ {
		got, known := runs.at(i)
		want, wantKnown := list.at(i)
		if got != want || known != wantKnown {
			t.Fatalf("term at %d is %d %v, want %d %v in %v", i, got, known, want, wantKnown, runs)
		}
		got, known = runs.had(i)
		if want, wantKnown = list.had(i); got != want || known != wantKnown {
			t.Fatalf("term at %d was %d %v, want %d %v in %v", i, got, known, want, wantKnown, runs)
		}
		for term := ra.Term(0); term < 6; term++ {
			if have, known := list.at(i); runs.excludes(Position{i, term}) != (known && have != term || i < list.base.Index && term > list.base.Term) {
				t.Fatalf("%d at %d is excluded or not, wrongly, in %v", term, i, runs)
			}
			if got, want := runs.lastWithin(i, term), list.lastWithin(i, term); got != want {
				t.Fatalf("last within %d, term %d is %v, want %v in %v", i, term, got, want, runs)
			}
		}
	}
	for k := range runs.runs {
		if k > 0 && (runs.runs[k].First <= runs.runs[k-1].First || runs.runs[k].Term <= runs.runs[k-1].Term) || runs.runs[0].First != runs.base.Index+1 {
			t.Fatalf("runs are %v after %v", runs.runs, runs.base)
		}
	}
}

// Bugs 13 and 14: a late confirmation of entries that were overwritten confirms nothing, not even if entries of the
// same index and term were written again.
func TestLateConfirmation(t *testing.T) {
	var d durability
	first := d.order(8) // entries 1 to 8
	d.truncate(6)
	second := d.order(7) // 6 and 7 again
	d.truncate(6)
	third := d.order(9) // 6 to 9 again, the same as ever
	if d.confirm(first); d.index != 5 {
		t.Errorf("after the first order %d are durable, want 5", d.index)
	}
	if d.confirm(second); d.index != 5 {
		t.Errorf("after the second order %d are durable, want 5", d.index)
	}
	if d.confirm(third); d.index != 9 {
		t.Errorf("after the third order %d are durable, want 9", d.index)
	}
	if d.truncate(4); d.index != 3 {
		t.Errorf("after a truncation at 4 %d are durable", d.index)
	}
	if d.confirm(third) || d.confirm(third+1) {
		t.Error("an old or unknown order was confirmed")
	}
}

// Bug 28: more orders than are told apart become one; it is confirmed when the last of them is.
func TestManyOrdersBecomeOne(t *testing.T) {
	var d durability
	for i := range ra.Index(3 * maxWrites) {
		d.order(i + 1)
	}
	if len(d.writes) > maxWrites {
		t.Fatalf("%d orders are kept", len(d.writes))
	}
	for seq := range d.seq {
		if d.confirm(seq); uint64(d.index) > seq {
			t.Fatalf("%d are durable after order %d", d.index, seq)
		}
	}
	if d.confirm(d.seq); d.index != 3*maxWrites || len(d.writes) != 0 {
		t.Errorf("at the end %d are durable, %d orders open", d.index, len(d.writes))
	}
}

// MEM-07: a configuration survives its encoding; what is not one is refused.
func TestMembersEncoding(t *testing.T) {
	all := members("a", "b", "c")
	all[1].Membership, all[2].Membership = ra.Promotable, ra.NonVoter
	b := EncodeMembers(nil, all)
	got, err := DecodeMembers(b)
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range b {
		if _, err := DecodeMembers(b[:i]); !errors.Is(err, ra.ErrCorrupt) {
			t.Errorf("the first %d bytes give %v", i, err)
		}
	}
	bad := [][]byte{
		append(slices.Clone(b), 0), EncodeMembers(nil, members("b", "a")), EncodeMembers(nil, members("a", "a")), {MaxMembers + 1},
	}
	wrong := slices.Clone(b)
	wrong[1] = 9
	for _, b := range append(bad, wrong) {
		if _, err := DecodeMembers(b); !errors.Is(err, ra.ErrCorrupt) {
			t.Errorf("%q gives %v", b, err)
		}
	}
	if _, err := DecodeMembers([]byte{0}); err != nil {
		t.Errorf("an empty configuration gives %v", err)
	}
}

func FuzzDecodeMembers(f *testing.F) {
	f.Add(EncodeMembers(nil, members("a", "b")))
	f.Fuzz(func(t *testing.T, b []byte) {
		var all []ra.Member
		var err error
		fuzztest.Bounded(t, len(b), fuzztest.Slack, func() { all, err = DecodeMembers(b) })
		if err == nil && string(EncodeMembers(nil, all)) != string(b) {
			t.Errorf("%q is not what its members encode to", b)
		}
	})
}

// FuzzDecodeVersion: a no-op's payload is a version, or none.
func FuzzDecodeVersion(f *testing.F) {
	f.Add(EncodeVersion(77))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, ok := DecodeVersion(b); ok && string(EncodeVersion(v)) != string(b) {
			t.Errorf("%x is taken for version %d", b, v)
		}
	})
}

// VER-02.
func TestVersionEncoding(t *testing.T) {
	if v, ok := DecodeVersion(EncodeVersion(77)); v != 77 || !ok {
		t.Errorf("77 becomes %d, %v", v, ok)
	}
	if _, ok := DecodeVersion([]byte("abc")); ok {
		t.Error("three bytes are a version")
	}
}

// MEM-02, MEM-03, MEM-09: what a change of one member gives.
func TestChangedConfiguration(t *testing.T) {
	c := Configuration{Members: members("a", "c")}
	promotable := member("b")
	promotable.Membership = ra.Promotable
	demoted := member("c")
	demoted.Membership = ra.NonVoter
	for _, test := range []struct {
		op      ChangeOp
		m       ra.Member
		want    string
		refused Refusal
	}{
		{Set, member("b"), "0:{a b c}", Accepted},
		{Set, promotable, "0:{a b+ c}", Accepted},
		{Set, demoted, "0:{a c-}", Accepted},
		{Remove, member("a"), "0:{c}", Accepted},
		{Set, member("a"), "", AlreadyMember},
		{Remove, member("x"), "", NotMember},
		{Set, ra.Member{ID: promotable.ID}, "", MissingUID},
		{Set, ra.Member{UID: "q"}, "", Malformed},
		{9, member("b"), "", Malformed},
	} {
		got, refused := c.changed(test.op, test.m)
		if refused != test.refused || refused == Accepted && (Configuration{Members: got}).String() != test.want {
			t.Errorf("op %d on %v: %v, %v", test.op, test.m, got, refused)
		}
	}
	if got := c.String(); got != "0:{a c}" {
		t.Errorf("the configuration has become %s", got)
	}
}

// A member does not start with what cannot be its own.
func TestRestoredIsChecked(t *testing.T) {
	good := Restored{
		State: ra.HardState{Term: 3}, Snapshot: Position{5, 1}, Last: 9, Runs: []TermRun{{6, 1}, {8, 3}},
		Configurations: []Configuration{{Index: 2, Members: members("a")}, {Index: 7, Members: members("a", "b")}},
	}
	if _, err := New(Config{Self: "a"}, good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Restored){
		"no configuration":        func(s *Restored) { s.Configurations = nil },
		"twice the same member":   func(s *Restored) { s.Configurations[0].Members = members("a", "a") },
		"unordered":               func(s *Restored) { s.Configurations[1].Index = 1 },
		"beyond the log":          func(s *Restored) { s.Configurations[1].Index = 10 },
		"log ends below snapshot": func(s *Restored) { s.Last, s.Runs = 4, nil },
		"hole above the snapshot": func(s *Restored) { s.Runs[0].First = 7 },
		"no terms":                func(s *Restored) { s.Runs = nil },
		"falling terms":           func(s *Restored) { s.Runs[1].Term = 0 },
		"term of the future":      func(s *Restored) { s.Runs[1].Term = 4 },
		"run beyond the log":      func(s *Restored) { s.Runs[1].First = 10 },
		"base above snapshot":     func(s *Restored) { s.Base = Position{6, 1} },
	} {
		bad := good
		bad.Runs = slices.Clone(good.Runs)
		bad.Configurations = slices.Clone(good.Configurations)
		spoil(&bad)
		if _, err := New(Config{Self: "a"}, bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Config{}, good); err == nil {
		t.Error("no UID: no error")
	}
}
