package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// plain is a log as simple as can be: the entries above a base.
type plain struct {
	base    Position
	entries []ra.Entry
}

func (p *plain) last() ra.Index { return p.base.Index + ra.Index(len(p.entries)) }

func (p *plain) term(i ra.Index) (ra.Term, bool) {
	switch {
	case i == p.base.Index:
		return p.base.Term, true
	case i < p.base.Index || i > p.last():
		return 0, false
	}
	return p.entries[i-p.base.Index-1].Term, true
}

// cut removes the entries from index from on, drop those up to an index.
func (p *plain) cut(from ra.Index) {
	p.entries = p.entries[: from-p.base.Index-1 : from-p.base.Index-1]
}
func (p *plain) drop(to Position) {
	p.entries, p.base = p.entries[to.Index-p.base.Index:], to
}

// ordered is what the write-ahead log has after an order: all that was ever appended and not removed, snapshot or not.
type ordered struct {
	first   ra.Index // of entries
	entries []ra.Entry
}

func (o *ordered) last() ra.Index { return o.first + ra.Index(len(o.entries)) - 1 }

// tester is one member: its log, the model of it, and what its orders led to.
type tester struct {
	uid     ra.UID
	w       *wal.Writer
	log     *Log
	want    plain
	history []ordered // by number of the order
	acked   uint64
	snap    Position // on the disk
	removed []ra.Entry
}

// world is a node with some members, driven by chance.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	disk    *vfs.Mem
	fs      *vfs.Errs
	log     *wal.Log
	segs    *segment.Set
	batch   *wal.Batch
	members []*tester
	flush   *flushing
	err     error // the first one: the process died there
}

// flushing is a flush of a closed file under way.
type flushing struct {
	file   *wal.Closed
	ranges []segment.Range
	stage  int
}

func newWorld(t *testing.T, seed uint64) *world {
	disk := vfs.NewMem()
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), disk: disk, fs: vfs.NewErrs(disk)}
	w.open()
	for i := range 1 + w.rng.IntN(3) {
		m := &tester{uid: ra.UID(fmt.Sprint("m", i))}
		w.members = append(w.members, m)
		m.w, w.err = w.log.Writer(m.uid)
		m.log = New(m.uid, w.segs)
		m.history = []ordered{{first: 1}}
		w.order(m, &wal.Op{Register: &wal.Registration{Name: string(m.uid)}}, ordered{first: 1})
	}
	w.commit()
	return w
}

// Read makes a world the source of its random ids.
func (w *world) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return len(b), nil
}

// open opens the disk, and returns what was found in the write-ahead log.
func (w *world) open() (found *wal.Recovery) {
	w.flush = nil
	w.try(func() (err error) {
		w.segs, _, err = segment.Open(segment.Config{FS: w.fs, Dir: "seg", OwnFile: 8 << 10})
		return err
	})
	w.try(func() (err error) {
		w.log, found, err = wal.Open(wal.Config{FS: w.fs, Dir: "wal", FileSize: wal.MinFileSize, MaxBatch: 1 << 20, Random: w})
		return err
	})
	if w.err == nil {
		w.batch = w.log.NewBatch()
	}
	return found
}

var errCrash = errors.New("crash")

// try does something if nothing has failed yet. Only the crash may fail.
func (w *world) try(f func() error) {
	if w.err != nil {
		return
	}
	if w.err = f(); w.err != nil && !errors.Is(w.err, errCrash) && !errors.Is(w.err, ra.ErrStorageFailed) {
		w.t.Fatal(w.err)
	}
}

// order gives an order to the write-ahead log.
func (w *world) order(m *tester, op *wal.Op, after ordered) {
	op.Seq = m.w.Seq() + 1
	if err := m.log.Order(op); err != nil {
		w.t.Fatal(err)
	}
	if err := w.batch.Append(m.w, op); err != nil {
		w.t.Fatal(err)
	}
	m.history = append(m.history, after)
}

// change truncates and appends in one order, as members do.
func (w *world) change(m *tester, from ra.Index, entries []ra.Entry) {
	after := m.history[len(m.history)-1]
	after.entries = slices.Clone(after.entries)
	op := &wal.Op{Truncate: from, Entries: entries}
	if from != 0 {
		m.log.Truncate(from)
		m.removed = slices.Clone(m.want.entries[from-m.want.base.Index-1:])
		m.want.cut(from)
		after.entries = after.entries[:from-after.first]
	}
	if err := m.log.Append(entries); err != nil {
		w.t.Fatal(err)
	}
	m.want.entries = append(m.want.entries, entries...)
	after.entries = append(after.entries, entries...)
	w.order(m, op, after)
}

// some makes entries behind index i, whose terms do not fall.
func (w *world) some(m *tester, i ra.Index, least ra.Term) []ra.Entry {
	var out []ra.Entry
	term := max(least, 1) + ra.Term(w.rng.IntN(3)/2)
	for range w.rng.IntN(6) {
		i++
		payload := make([]byte, 8+w.rng.IntN(4000))
		_, _ = w.Read(payload[:8])
		out = append(out, ra.Seal(ra.NewBody(payload), ra.Header{Index: i, Term: term, Kind: ra.KindCommand}))
	}
	return out
}

// step does something with one member.
func (w *world) step(m *tester) {
	last := m.want.last()
	term, _ := m.want.term(last)
	switch k := w.rng.IntN(100); {
	case k < 45:
		if entries := w.some(m, last, term); len(entries) > 0 {
			w.change(m, 0, entries)
		}
	case k < 65: // a new leader overwrites the end
		if n := len(m.want.entries); n > 0 {
			from := last + 1 - ra.Index(w.rng.IntN(min(n, 12))+1)
			before, _ := m.want.term(from - 1)
			w.change(m, from, w.some(m, from-1, before+1))
		}
	case k < 75: // what was removed comes back, as it was
		if len(m.removed) > 0 && m.removed[0].Index > m.want.base.Index && m.removed[0].Index <= last {
			w.change(m, m.removed[0].Index, m.removed)
		}
	case k < 85:
		w.snapshot(m)
	case k < 90:
		w.install(m)
	case k < 93:
		w.lose(m)
	default:
		w.order(m, &wal.Op{State: &ra.HardState{Term: term}}, m.history[len(m.history)-1])
	}
}

// snapshot takes a snapshot of the member itself.
func (w *world) snapshot(m *tester) {
	if n := len(m.want.entries); n > 0 {
		at := m.want.base.Index + ra.Index(w.rng.IntN(n)+1)
		term, _ := m.want.term(at)
		m.snap = Position{at, term}
		m.want.drop(m.snap)
		m.log.Release(at)
	}
}

// install puts a received snapshot in place.
func (w *world) install(m *tester) {
	at := m.want.base.Index + ra.Index(w.rng.IntN(20)+1)
	lastTerm, _ := m.want.term(m.want.last())
	p := Position{at, lastTerm + ra.Term(w.rng.IntN(2))}
	term, ok := m.want.term(at)
	if keep := ok && w.rng.IntN(2) == 0; keep {
		p.Term = term
		m.snap = p
		m.want.drop(p)
		m.log.Install(p, true)
		return
	}
	if ok && term == p.Term {
		p.Term++ // of another history
	}
	m.snap, m.want, m.removed = p, plain{base: p}, nil
	m.log.Install(p, false)
	w.order(m, &wal.Op{Reset: p.Index}, ordered{first: p.Index + 1})
}

// lose has the disk lose the end of a log, or the snapshot and with it all. The snapshot goes to quarantine when it is durable
// that the log ends.
func (w *world) lose(m *tester) {
	from := 1 + ra.Index(w.rng.IntN(int(m.want.last())+1))
	m.log.Lose(from)
	if m.removed = nil; from > m.want.base.Index {
		m.want.cut(from)
	} else {
		m.want, from = plain{}, 1
	}
	after := m.history[len(m.history)-1]
	if from < after.first {
		after = ordered{first: from}
	}
	after.entries = slices.Clone(after.entries[:from-after.first])
	w.order(m, &wal.Op{Truncate: from}, after)
	if from == 1 {
		if w.commit(); w.err == nil {
			m.snap = Position{}
		}
	}
}

// commit makes the batch durable.
func (w *world) commit() {
	w.try(func() error {
		if err := w.log.Commit(w.batch); err != nil {
			return err
		}
		for _, a := range w.batch.Acks() {
			w.member(a.Writer.UID()).acked = a.Seq
		}
		w.batch.Reset()
		return nil
	})
}

func (w *world) member(uid ra.UID) *tester {
	return w.members[slices.IndexFunc(w.members, func(m *tester) bool { return m.uid == uid })]
}

// advance takes the flush of the oldest closed file one step further: anything may happen between two of them.
func (w *world) advance() {
	switch f := w.flush; {
	case f == nil:
		w.begin()
	case f.stage == 0:
		w.try(func() error {
			_, err := w.segs.Flush(slices.Values(f.ranges))
			return err
		})
	case f.stage == 1:
		for i := range f.file.Spans {
			w.member(f.file.Spans[i].UID).log.Flushed(&f.file.Spans[i])
		}
	default:
		w.try(func() error { return w.log.Release(f.file) })
		w.flush = nil
		return
	}
	if w.flush != nil {
		w.flush.stage++
	}
}

func (w *world) begin() {
	closed := w.log.Closed()
	if len(closed) == 0 {
		return
	}
	w.flush = &flushing{file: closed[0], stage: -1}
	spans := slices.Clone(closed[0].Spans)
	slices.SortFunc(spans, func(a, b wal.Span) int { return bytes.Compare([]byte(a.UID), []byte(b.UID)) })
	for i := range spans {
		r, err := w.member(spans[i].UID).log.Range(&spans[i])
		if err != nil {
			w.t.Fatal(err)
		}
		w.flush.ranges = append(w.flush.ranges, r)
	}
}

// happen lets something happen, and looks at one member.
func (w *world) happen() {
	m := w.members[w.rng.IntN(len(w.members))]
	switch k := w.rng.IntN(100); {
	case k < 60:
		w.step(m)
	case k < 75:
		w.commit()
	case k < 94:
		w.advance()
	case k < 97:
		w.try(func() error { _, err := w.segs.Clean(); return err })
	default:
		w.try(func() error { _, err := w.segs.Compact(); return err })
	}
	if w.err == nil {
		w.compare(m)
	}
}

// compare compares a log with its model.
func (w *world) compare(m *tester) {
	w.t.Helper()
	l, want := m.log, &m.want
	if l.Snapshot() != want.base || l.Last() != want.last() {
		w.t.Fatalf("%v: want one from %v to %d", l, want.base, want.last())
	}
	lo := want.base.Index
	for i := lo - min(lo, 2); i <= want.last()+2; i++ {
		got, ok := l.Term(i)
		if term, known := want.term(i); got != term || ok != known {
			w.t.Fatalf("%v: index %d has term %d %v, want %d %v", l, i, got, ok, term, known)
		}
	}
	w.read(m)
	w.measure(m)
}

// read reads a range at random.
func (w *world) read(m *tester) {
	want := &m.want
	from := want.base.Index + ra.Index(w.rng.IntN(len(want.entries)+2))
	to := from + ra.Index(w.rng.IntN(20))
	limit := w.rng.IntN(30_000)
	got, err := m.log.Read(nil, from, to, limit)
	switch {
	case w.err != nil || errors.Is(err, errCrash):
		return
	case from <= want.base.Index:
		if !errors.Is(err, ErrCompacted) {
			w.t.Fatalf("%v: read %d: %v", m.log, from, err)
		}
		return
	case from > want.last():
		if !errors.Is(err, ErrOutOfStep) {
			w.t.Fatalf("%v: read %d: %v", m.log, from, err)
		}
		return
	case err != nil || len(got) == 0:
		w.t.Fatalf("%v: read %d to %d: %d entries, %v", m.log, from, to, len(got), err)
	}
	total := 0
	for k, e := range got {
		total += len(e.Body)
		if x := want.entries[from-want.base.Index-1+ra.Index(k)]; e.Index != x.Index || e.Term != x.Term || !bytes.Equal(e.Body, x.Body) {
			w.t.Fatalf("%v: read entry %d of term %d, want term %d", m.log, e.Index, e.Term, x.Term)
		}
	}
	if len(got) > 1 && total > limit || from+ra.Index(len(got))-1 > to {
		w.t.Fatalf("%v: read %d entries of %d bytes from %d to %d, at most %d bytes", m.log, len(got), total, from, to, limit)
	}
}

// measure checks runs and sizes.
func (w *world) measure(m *tester) {
	want := &m.want
	next, bytes := want.base.Index+1, int64(0)
	for first, term := range m.log.Runs() {
		if t, ok := want.term(first); first < next || !ok || t != term {
			w.t.Fatalf("%v: run of term %d from %d", m.log, term, first)
		}
		next = first + 1
	}
	for _, e := range want.entries {
		bytes += int64(len(e.Body))
	}
	if got := m.log.Bytes(); got < 0 || (got > 0) != (bytes > 0) {
		w.t.Fatalf("%v: %d bytes, want about %d", m.log, got, bytes)
	}
	if f := m.log.FirstSegment(); f != 0 && (f <= want.base.Index || f > want.last()) {
		w.t.Fatalf("%v: first segment at %d", m.log, f)
	}
}

// crash cuts the power, comes back, and compares what is there with what must be.
func (w *world) crash() {
	for range 2 {
		w.disk = w.disk.Crash(vfs.CrashModel(w.rng.IntN(int(vfs.CrashModels))), w.rng)
		w.fs, w.err = vfs.NewErrs(w.disk), nil
		if w.rng.IntN(2) == 0 { // recovery crashes too
			w.fs.Inject(vfs.Fault{After: w.rng.IntN(60), Err: errCrash})
		}
		if found := w.open(); w.err == nil {
			w.restore(found)
		}
		if w.err == nil {
			return
		}
	}
	w.disk = w.disk.Crash(vfs.CrashKept, w.rng)
	w.fs, w.err = vfs.NewErrs(w.disk), nil
	w.restore(w.open())
}

func (w *world) restore(found *wal.Recovery) {
	for i := range found.Members {
		m := w.member(found.Members[i].Writer.UID())
		m.w = found.Members[i].Writer
		if seq := m.w.Seq(); seq < m.acked || seq >= uint64(len(m.history)) {
			w.t.Fatalf("%s came back at order %d, acknowledged was %d", m.uid, seq, m.acked)
		}
		m.acked, m.removed = m.w.Seq(), nil
		m.history = m.history[:m.acked+1]
		var err error
		if m.log, err = Recover(&found.Members[i], w.segs, m.snap); err != nil {
			w.t.Fatalf("%s, snapshot %v, order %d: %v", m.uid, m.snap, m.acked, err)
		}
		w.verify(m)
	}
	w.try(func() error { _, err := w.segs.Clean(); return err })
}

// verify works out what must have come back, and compares.
func (w *world) verify(m *tester) {
	was := m.history[m.acked]
	m.want = plain{base: m.snap}
	reset := was.last() < m.snap.Index
	if i := m.snap.Index; !reset && i >= was.first {
		reset = was.entries[i-was.first].Term != m.snap.Term
	}
	if !reset {
		m.want.entries = slices.Clone(was.entries[m.snap.Index+1-was.first:])
	}
	if m.log.NeedsReset() != reset {
		w.t.Fatalf("%v: needs a reset: %v, want %v; log was %d to %d", m.log, m.log.NeedsReset(), reset, was.first, was.last())
	}
	w.compare(m)
	if reset && w.rng.IntN(3) > 0 {
		w.order(m, &wal.Op{Reset: m.snap.Index}, ordered{first: m.snap.Index + 1})
		if m.log.NeedsReset() {
			w.t.Fatalf("%v: still needs a reset", m.log)
		}
	} else if reset {
		w.err = errCrash // before it could be told
	}
}

// TestModel lets everything happen to some logs, and crashes, over and over: every log equals its model after every step,
// and comes back from every crash exactly as it was at one of its orders, none of those acknowledged missing (I7, I9, I12;
// LOG-05, LOG-06, F22, F23, F24).
func TestModel(t *testing.T) {
	runs := 3000
	if testing.Short() {
		runs = 200
	}
	for seed := range uint64(runs) {
		w := newWorld(t, seed)
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w.t = t
			for range 3 {
				steps := w.rng.IntN(150)
				if w.rng.IntN(2) == 0 {
					w.fs.Inject(vfs.Fault{After: w.rng.IntN(80), Err: errCrash})
				}
				for ; steps > 0 && w.err == nil; steps-- {
					w.happen()
				}
				w.crash()
			}
		})
		if t.Failed() {
			return
		}
	}
}
