package member

import (
	"io"
	"iter"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// quiet is a surrounding and a machine that cost nothing.
type quiet struct {
	seq     uint64
	log     []ra.Entry
	first   ra.Index
	applied int
	message raft.Message
}

func (q *quiet) Append(entries []ra.Entry) error {
	if len(q.log)+len(entries) > cap(q.log) {
		q.first += ra.Index(len(q.log))
		q.log = q.log[:0]
	}
	q.log = append(q.log, entries...)
	return nil
}

func (q *quiet) Read(into []ra.Entry, lo, hi ra.Index, _ int) ([]ra.Entry, error) {
	return append(into, q.log[lo-q.first:hi-q.first+1]...), nil
}

func (q *quiet) Truncate(ra.Index)                  {}
func (q *quiet) Term(ra.Index) (ra.Term, bool)      { return 0, true }
func (q *quiet) Base() (ra.Index, ra.Term)          { return 0, 0 }
func (q *quiet) Last() ra.Index                     { return 0 }
func (q *quiet) NeedsReset() bool                   { return false }
func (q *quiet) Runs() iter.Seq2[ra.Index, ra.Term] { return func(func(ra.Index, ra.Term) bool) {} }
func (q *quiet) Release(ra.Index)                   {}
func (q *quiet) Install(Position, bool)             {}
func (q *quiet) Overtaken(Position)                 {}
func (q *quiet) Bytes() int64                       { return 0 }
func (q *quiet) FirstSegment() ra.Index             { return 0 }
func (q *quiet) Snapshot() Position                 { return Position{} }
func (q *quiet) Store(op *wal.Op) error             { q.seq = op.Seq; return nil }
func (q *quiet) NewMessage() *raft.Message          { return &q.message }
func (q *quiet) Send(*raft.Message)                 {}
func (q *quiet) Arm(raft.TimerClass)                {}
func (q *quiet) Cancel()                            {}
func (q *quiet) Tick(bool)                          {}
func (q *quiet) Now() int64                         { return 1 }
func (q *quiet) Done(Result)                        {}

// quietMachine counts commands.
type quietMachine struct{ *quiet }

func (q quietMachine) Apply(machine.Meta, []byte, *machine.Effects) any { q.applied++; return nil }
func (q quietMachine) Snapshot() (machine.Capture, error)               { return machine.CaptureBytes(nil), nil }
func (q quietMachine) Restore(io.Reader) error                          { return nil }

// newQuiet returns the leader of a cluster of one.
func newQuiet(t testing.TB) (*quiet, *Server) {
	q := &quiet{first: 1, log: make([]ra.Entry, 0, 1<<12)}
	s, err := New(Config{
		Raft: raft.Config{Self: "a"}, ID: ra.ServerID{Name: "m", Node: "a"},
		Initial: []ra.Member{{ID: ra.ServerID{Name: "m", Node: "a"}, UID: "a"}},
		Factory: func(machine.Init) machine.Machine { return quietMachine{q} },
		Log:     q, Store: q, Net: q, Timer: q,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Step(&raft.Message{Kind: raft.Campaign})
	s.Flush()
	q.written(s)
	q.written(s)
	return q, s
}

func (q *quiet) written(s *Server) {
	s.Written(q.seq)
	s.Flush()
}

// One command through a leader, from its arrival to its answer: proposal, order, confirmation, apply.
func BenchmarkCommand(b *testing.B) {
	q, s := newQuiet(b)
	proposal := raft.NewProposal(ra.KindCommand, 0, []byte("12345678"))
	b.ReportAllocs()
	for b.Loop() {
		s.Command(Command{Proposal: proposal, Caller: q})
		s.Flush()
		q.written(s)
	}
	if q.applied != b.N {
		b.Errorf("%d of %d commands were applied", q.applied, b.N)
	}
}

// Sixty-four commands in one batch.
func BenchmarkBatch(b *testing.B) {
	q, s := newQuiet(b)
	proposal := raft.NewProposal(ra.KindCommand, 0, []byte("12345678"))
	b.ReportAllocs()
	for b.Loop() {
		for range 64 {
			s.Command(Command{Proposal: proposal, Caller: q})
		}
		s.Flush()
		q.written(s)
	}
	if q.applied != 64*b.N {
		b.Errorf("%d of %d commands were applied", q.applied, 64*b.N)
	}
}

// A command without effects allocates nothing in the member, and an idle member keeps no memory for batches.
func TestCommandAllocatesNothing(t *testing.T) {
	q, s := newQuiet(t)
	proposal := raft.NewProposal(ra.KindCommand, 0, []byte("12345678"))
	n := testing.AllocsPerRun(1000, func() {
		s.Command(Command{Proposal: proposal, Caller: q})
		s.Flush()
		q.written(s)
	})
	if n != 0 {
		t.Errorf("%v allocations a command", n)
	}
	if cap(s.commands)+cap(s.queries)+cap(s.sent)+cap(s.waiting.list) != 0 || s.rare != nil {
		t.Error("an idle member keeps memory that it does not need")
	}
}
