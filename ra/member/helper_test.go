package member

import (
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// host is the surroundings of one Server, for tests that look at what it does.
type host struct {
	*Server
	t       *testing.T
	calls   *heard
	log     []ra.Entry // log[i] has index i+1
	stored  []wal.Op
	full    error // the store's answer
	read    error // the log's answer
	sent    []raft.Message
	timer   raft.TimerClass
	armed   bool
	ticking bool
	applied []uint64 // numbers of the commands
	next    int
	now     int64
}

// newHost returns a brand-new member "a" of a cluster of a and others.
func newHost(t *testing.T, others ...ra.UID) *host {
	h := &host{t: t, calls: newHeard(t)}
	h.start(h.config(func(machine.Init) machine.Machine { return counter{h} }, others...))
	return h
}

// config returns the configuration of member "a" of a cluster of a and others.
func (h *host) config(factory machine.Factory, others ...ra.UID) Config {
	var members []ra.Member
	for _, uid := range append([]ra.UID{"a"}, others...) {
		members = append(members, ra.Member{ID: ra.ServerID{Name: "m", Node: ra.NodeID(uid)}, UID: uid})
	}
	return Config{
		Raft: raft.Config{Self: "a"}, ID: members[0].ID, Cluster: "cluster", Initial: members, Factory: factory,
		Log: log{h}, Store: h, Net: h, Timer: h, MaxAppendBytes: 400, MaxHeld: 5,
	}
}

// start makes the member and ends its first batch.
func (h *host) start(cfg Config) {
	h.t.Helper()
	s, err := New(cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.Server = s
	s.Flush()
}

// log is the member's log; host has methods of other interfaces by the same names.
type log struct{ *host }

func (h log) Append(entries []ra.Entry) error {
	for _, e := range entries {
		if e.Index != ra.Index(len(h.host.log))+1 {
			h.t.Fatalf("entry %d is appended behind %d", e.Index, len(h.host.log))
		}
		h.host.log = append(h.host.log, e)
	}
	return nil
}

func (h log) Truncate(from ra.Index) { h.host.log = h.host.log[:from-1] }

func (h log) Term(i ra.Index) (ra.Term, bool) {
	if i == 0 || int(i) > len(h.host.log) {
		return 0, i == 0
	}
	return h.host.log[i-1].Term, true
}

func (h log) Base() (ra.Index, ra.Term) { return 0, 0 }
func (h log) Last() ra.Index            { return ra.Index(len(h.host.log)) }
func (h log) Snapshot() Position        { return Position{} }
func (h log) NeedsReset() bool          { return false }
func (h log) Release(ra.Index)          {}
func (h log) Install(Position, bool)    {}
func (h log) Overtaken(Position)        {}
func (h log) Bytes() int64              { return 0 }
func (h log) FirstSegment() ra.Index    { return 0 }

func (h log) Runs() iter.Seq2[ra.Index, ra.Term] {
	return func(yield func(ra.Index, ra.Term) bool) {
		last := ra.Term(0)
		for _, e := range h.host.log {
			if e.Term != last && !yield(e.Index, e.Term) {
				return
			}
			last = e.Term
		}
	}
}

func (h log) Read(into []ra.Entry, lo, hi ra.Index, maxBytes int) ([]ra.Entry, error) {
	if h.read != nil {
		return into, h.read
	}
	bytes := 0
	for i := lo; i <= hi; i++ {
		e := h.host.log[i-1]
		if bytes += len(e.Body); i > lo && bytes > maxBytes {
			break
		}
		into = append(into, e)
	}
	return into, nil
}

func (h *host) Store(op *wal.Op) error {
	if h.full != nil {
		return h.full
	}
	kept := *op
	kept.Entries = slices.Clone(op.Entries)
	if op.State != nil {
		kept.State = new(*op.State)
	}
	if n := len(h.stored); n > 0 && h.stored[n-1].Seq >= op.Seq {
		h.t.Fatalf("order %d is stored behind order %d", op.Seq, h.stored[n-1].Seq)
	}
	h.stored = append(h.stored, kept)
	return nil
}

func (h *host) NewMessage() *raft.Message { return new(raft.Message) }

func (h *host) Send(m *raft.Message) { h.sent = append(h.sent, *m) }

func (h *host) Arm(class raft.TimerClass) { h.timer, h.armed = class, true }
func (h *host) Cancel()                   { h.armed = false }
func (h *host) Tick(on bool)              { h.ticking = on }
func (h *host) Now() int64                { return h.now }

// counter is a machine that counts its commands.
type counter struct{ h *host }

func (c counter) Apply(_ machine.Meta, command []byte, _ *machine.Effects) any {
	h := c.h
	h.applied = append(h.applied, binary.LittleEndian.Uint64(command))
	return len(h.applied)
}

func (c counter) Snapshot() (machine.Capture, error) { return machine.CaptureBytes(nil), nil }

func (c counter) Restore(io.Reader) error { return nil }

// step takes messages in as one batch.
func (h *host) step(messages ...raft.Message) {
	h.t.Helper()
	for i := range messages {
		if m := &messages[i]; m.Kind.FromPeer() {
			m.To = "a"
		}
		h.Server.Step(&messages[i])
	}
	h.Flush()
}

// synced confirms all orders that the store has.
func (h *host) synced() {
	h.t.Helper()
	if n := len(h.stored); n > 0 {
		h.Written(h.stored[n-1].Seq)
		h.Flush()
	}
}

// lead makes the member the leader of term 1, with its no-op committed by b if there is one.
func (h *host) lead() {
	h.t.Helper()
	h.step(raft.Message{Kind: raft.Campaign})
	h.step(raft.Message{Kind: raft.PreVoteReply, From: "b", Token: 1})
	h.synced()
	h.step(raft.Message{Kind: raft.VoteReply, From: "b", Term: 1})
	h.synced()
	h.acked(1)
	if st := h.Status(); st.Role != ra.Leader || st.Term != 1 || st.Commit != 1 {
		h.t.Fatalf("is to lead: %+v", st)
	}
}

// acked brings b's acknowledgement.
func (h *host) acked(index ra.Index) {
	h.t.Helper()
	h.step(raft.Message{Kind: raft.AppendReply, From: "b", Term: 1, LogTerm: 1, Index: index, Last: index})
}

// command takes in a command, and returns the number of its call.
func (h *host) command(extra int) int {
	payload := make([]byte, 8+extra)
	binary.LittleEndian.PutUint64(payload, uint64(h.next))
	h.Command(Command{Proposal: raft.NewProposal(ra.KindCommand, 0, payload), Caller: h.calls.caller(h.next)})
	h.next++
	return h.next - 1
}

// query takes in a query, and returns the number of its call.
func (h *host) query() int {
	h.Server.Query(machine.QueryFunc(func(machine.QueryContext, any) (any, error) { return len(h.applied), nil }), h.calls.caller(h.next))
	h.next++
	return h.next - 1
}

// entry returns an entry as a leader sends it.
func entry(index ra.Index, term ra.Term, kind ra.Kind) ra.Entry {
	return ra.Seal(ra.NewBody(make([]byte, 8)), ra.Header{Index: index, Term: term, Kind: kind})
}

// count returns how many messages of a kind were sent to a member.
func (h *host) count(kind raft.Kind, to ra.UID) int {
	n := 0
	for i := range h.sent {
		if h.sent[i].Kind == kind && h.sent[i].To == to {
			n++
		}
	}
	return n
}

var errDisk = errors.New("disk on fire")
