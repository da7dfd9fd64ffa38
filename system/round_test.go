package system

import (
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
)

// Word of a commit index waits for a round, unless the peer is told more in the meantime (REP-01).
func TestWordsWait(t *testing.T) {
	bare := func(term ra.Term, commit ra.Index) *letter {
		return &letter{Message: raft.Message{Kind: raft.Append, Term: term, Commit: commit}}
	}
	entries := func(term ra.Term, commit ra.Index) *letter {
		l := bare(term, commit)
		l.Entries = make([]ra.Entry, 1)
		return l
	}
	reply := func(term ra.Term, commit ra.Index) *letter {
		l := bare(term, commit)
		l.Kind = raft.AppendReply
		return l
	}
	type step func(r *round, p *peer)
	write := func(l *letter) step { return func(r *round, p *peer) { r.write(p, l) } }
	pass := step(func(r *round, _ *peer) { r.pass() })
	for _, test := range []struct {
		name  string
		steps []step
		want  []ra.Index // the commit indexes of what leaves
	}{
		{"it stays", []step{write(bare(1, 1))}, nil},
		{"for the round that it is of", []step{write(bare(1, 1)), pass}, nil},
		{"and leaves with the next one", []step{write(bare(1, 1)), pass, pass}, []ra.Index{1}},
		{"once", []step{write(bare(1, 1)), pass, pass, pass}, []ra.Index{1}},
		{"a newer one takes its place", []step{write(bare(1, 1)), write(bare(1, 2)), pass, pass}, []ra.Index{2}},
		{"a round later, too", []step{write(bare(1, 1)), pass, write(bare(1, 2)), pass}, []ra.Index{2}},
		{"when it has left both do", []step{write(bare(1, 1)), pass, pass, write(bare(1, 2)), pass, pass}, []ra.Index{1, 2}},
		{"an append with entries says it, too", []step{write(bare(1, 1)), write(entries(1, 2)), pass, pass}, []ra.Index{2}},
		{"a round later, too", []step{write(bare(1, 1)), pass, write(entries(1, 2)), pass}, []ra.Index{2}},
		{"and what comes next waits for itself", []step{write(bare(1, 1)), write(entries(1, 2)), write(bare(1, 3)), pass, pass}, []ra.Index{2, 3}},
		{"nothing of another term says it", []step{write(bare(1, 1)), write(entries(2, 2)), pass, pass}, []ra.Index{2, 1}},
		{"nor does another message", []step{write(bare(1, 1)), write(reply(1, 2)), pass, pass}, []ra.Index{2, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRound(nil)
			o, other := &outbox{}, &outbox{}
			p, q := &peer{out: o}, &peer{out: other}
			r.write(q, bare(1, 100)) // in front of it
			for _, s := range test.steps {
				s(r, p)
			}
			if len(o.letters) != len(test.want) {
				t.Fatalf("%d letters leave, want %v", len(o.letters), test.want)
			}
			for i, l := range o.letters {
				if l.Commit != test.want[i] {
					t.Errorf("letter %d says that %d is committed, want %d", i, l.Commit, test.want[i])
				}
			}
			r.pass()
			r.pass()
			if len(other.letters) != 1 || other.letters[0].Commit != 100 {
				t.Errorf("the other peer gets %d letters", len(other.letters))
			}
		})
	}
}
