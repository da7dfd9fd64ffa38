package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

// view is what one member should find after recovery, if it was recovered at one of its orders.
type view struct {
	first   ra.Index // of log; the log of an empty member begins at 1
	log     []ra.Term
	state   ra.HardState
	config  string
	deleted bool
}

func (v view) last() ra.Index { return v.first + ra.Index(len(v.log)) - 1 }

func (v view) String() string {
	return fmt.Sprintf("from %d terms %v, term %d vote %q, config %q, deleted %v", v.first, v.log, v.state.Term, v.state.Vote, v.config, v.deleted)
}

// modelMember is a member that remembers what it ordered.
type modelMember struct {
	w       *Writer
	history []view // by Seq; 0 is before the registration
	acked   uint64
	segment view // what is kept elsewhere once files are released
}

func (m *modelMember) now() view { return m.history[len(m.history)-1] }

// model drives a log and knows what must come back.
type model struct {
	tb      testing.TB
	fs      vfs.FS
	cfg     Config
	log     *Log
	batch   *Batch
	members map[ra.UID]*modelMember
	names   []ra.UID
	rng     *rand.Rand
	err     error // the first error of the log: as when the process dies there
}

func newModel(tb testing.TB, fs vfs.FS, seed uint64) *model {
	m := &model{tb: tb, fs: fs, members: make(map[ra.UID]*modelMember), rng: rand.New(rand.NewPCG(seed, 7))}
	m.cfg = Config{FS: fs, Dir: "wal", FileSize: MinFileSize, MaxBatch: 1 << 20, HighWater: "HIGHWATER", Random: &seeded{rand.New(rand.NewPCG(seed, 8))}}
	return m
}

// seeded makes random ids repeatable.
type seeded struct{ rng *rand.Rand }

func (s *seeded) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return len(b), nil
}

// try notes the first error, after which nothing more happens.
func (m *model) try(f func() error) {
	if m.err == nil {
		m.err = f()
	}
}

// order appends one order and notes what it leads to.
func (m *model) order(uid ra.UID, op Op, next view) {
	if m.err != nil {
		return
	}
	mem := m.members[uid]
	op.Seq = mem.w.Seq() + 1
	if err := m.batch.Append(mem.w, &op); err != nil {
		m.tb.Fatalf("%s: order %d: %v", uid, op.Seq, err)
	}
	next.log = slices.Clone(next.log)
	mem.history = append(mem.history, next)
}

func (m *model) register(uid ra.UID) {
	if m.err != nil {
		return
	}
	w, err := m.log.Writer(uid)
	if err != nil {
		m.tb.Fatal(err)
	}
	m.members[uid] = &modelMember{w: w, history: []view{{first: 1}}, segment: view{first: 1}}
	m.names = append(m.names, uid)
	config := "config of " + string(uid)
	m.order(uid, Op{Register: &Registration{Name: string(uid), Config: []byte(config)}}, view{first: 1, config: config})
}

// add appends n entries of the given size, behind a truncation that removes back entries.
func (m *model) add(uid ra.UID, term ra.Term, back, n, size int) {
	if m.err != nil {
		return
	}
	v := m.members[uid].now()
	var op Op
	v.log = slices.Clone(v.log)
	if back > 0 {
		back = min(back, len(v.log))
		op.Truncate = v.last() + 1 - ra.Index(back)
		v.log = v.log[:len(v.log)-back]
	}
	for range n {
		op.Entries = append(op.Entries, entry(v.last()+1, term, size))
		v.log = append(v.log, term)
	}
	m.order(uid, op, v)
}

func (m *model) vote(uid ra.UID, term ra.Term, vote ra.UID) {
	if m.err != nil {
		return
	}
	v := m.members[uid].now()
	v.state = ra.HardState{Term: term, Vote: vote}
	m.order(uid, Op{State: &v.state}, v)
}

func (m *model) reset(uid ra.UID, index ra.Index) {
	if m.err != nil {
		return
	}
	v := m.members[uid].now()
	v.first, v.log = index+1, nil
	m.order(uid, Op{Reset: index}, v)
}

func (m *model) delete(uid ra.UID) {
	if m.err != nil {
		return
	}
	m.order(uid, Op{Delete: true}, view{deleted: true})
}

// commit commits the batch and notes what is acknowledged.
func (m *model) commit() {
	m.try(func() error {
		if err := m.log.Commit(m.batch); err != nil {
			return err
		}
		for _, a := range m.batch.Acks() {
			m.members[a.Writer.UID()].acked = a.Seq
		}
		m.batch.Reset()
		m.log.Note()
		return nil
	})
}

// release releases the oldest closed file, after its entries have gone elsewhere.
func (m *model) release() {
	m.try(func() error {
		closed := m.log.Closed()
		if len(closed) == 0 {
			return nil
		}
		for _, s := range closed[0].Spans {
			mem := m.members[s.UID]
			mem.segment = mem.history[mem.acked]
		}
		return m.log.Release(closed[0])
	})
}

func (m *model) open() *Recovery {
	var out *Recovery
	m.try(func() (err error) {
		m.log, out, err = Open(m.cfg)
		return err
	})
	if m.err == nil {
		m.batch = m.log.NewBatch()
	}
	return out
}

// recovered returns what a member finds: entries of the log before those kept elsewhere.
func recovered(r *Member, segment view) view {
	v := view{first: segment.first, log: slices.Clone(segment.log), state: r.State, config: string(r.Registration.Config)}
	cut := func(from ra.Index) {
		if from < v.first {
			v.log = nil
		} else if from <= v.last() {
			v.log = v.log[:from-v.first]
		}
	}
	if r.Reset != 0 {
		v.first, v.log = r.Reset+1, nil
	}
	if r.Truncated != 0 {
		cut(r.Truncated)
	}
	if r.Entries.Len() > 0 {
		cut(r.Entries.First())
		if len(v.log) == 0 {
			v.first = r.Entries.First()
		}
		for _, e := range r.Entries.Read(nil, r.Entries.First(), r.Entries.Last(), 1<<30) {
			v.log = append(v.log, e.Term)
		}
	}
	return v
}

// verify checks that every member came back at an order that is not before what was acknowledged, undamaged (I9, I12).
func (m *model) verify(out *Recovery, what string) {
	m.tb.Helper()
	if len(out.Losses) > 0 || len(out.Quarantined) > 0 {
		m.tb.Fatalf("%s: losses %v, quarantined %v", what, out.Losses, out.Quarantined)
	}
	found := make(map[ra.UID]*Member)
	for i := range out.Members {
		found[out.Members[i].Writer.UID()] = &out.Members[i]
	}
	for _, uid := range m.names {
		mem, got := m.members[uid], found[uid]
		delete(found, uid)
		if got == nil {
			if want := mem.history[mem.acked]; mem.acked > 0 && !want.deleted && !mem.now().deleted {
				m.tb.Fatalf("%s: %s is gone, acknowledged was %v", what, uid, want)
			}
			continue
		}
		if got.Mark.What != 0 {
			m.tb.Fatalf("%s: %s is marked %+v after a mere crash", what, uid, got.Mark)
		}
		seq := got.Writer.Seq()
		if seq < mem.acked || seq >= uint64(len(mem.history)) {
			m.tb.Fatalf("%s: %s came back at order %d, acknowledged was %d of %d", what, uid, seq, mem.acked, len(mem.history)-1)
		}
		want := mem.history[seq]
		if v := recovered(got, mem.segment); fmt.Sprint(v) != fmt.Sprint(want) || got.Writer.Last() != want.last() {
			m.tb.Fatalf("%s: %s came back at order %d (acknowledged %d) with last index %d and\n%v, want\n%v",
				what, uid, seq, mem.acked, got.Writer.Last(), v, want)
		}
	}
	for uid := range found {
		m.tb.Fatalf("%s: %s came from nowhere", what, uid)
	}
}

// resume goes on with a recovered log, as members would.
func (m *model) resume(out *Recovery) {
	for i := range out.Members {
		mem := m.members[out.Members[i].Writer.UID()]
		mem.w = out.Members[i].Writer
		mem.history = mem.history[:mem.w.Seq()+1]
		mem.acked = mem.w.Seq()
	}
	alive := func(uid ra.UID) bool {
		return slices.ContainsFunc(out.Members, func(r Member) bool { return r.Writer.UID() == uid })
	}
	m.names = slices.DeleteFunc(m.names, func(uid ra.UID) bool { return !alive(uid) })
}

// step does something at random.
func (m *model) step() {
	uid := func() ra.UID { return m.names[m.rng.IntN(len(m.names))] }
	alive := func(f func(ra.UID)) {
		for range 3 {
			if len(m.names) > 0 {
				if u := uid(); !m.members[u].now().deleted {
					f(u)
					return
				}
			}
		}
	}
	term := ra.Term(1 + m.rng.IntN(100))
	switch k := m.rng.IntN(100); {
	case k < 8 || len(m.names) == 0:
		m.register(ra.UID(fmt.Sprintf("u%d", len(m.members))))
	case k < 45:
		alive(func(u ra.UID) { m.add(u, term, 0, 1+m.rng.IntN(4), 10+m.rng.IntN(3000)) })
	case k < 55:
		alive(func(u ra.UID) { m.add(u, term, 1+m.rng.IntN(3), m.rng.IntN(3), 100) })
	case k < 65:
		alive(func(u ra.UID) { m.vote(u, term, ra.UID(fmt.Sprintf("v%d", term))) })
	case k < 67:
		alive(func(u ra.UID) { m.reset(u, m.members[u].now().last()+ra.Index(m.rng.IntN(5)+1)) })
	case k < 69:
		alive(func(u ra.UID) { m.delete(u) })
	case k < 90:
		m.commit()
	case k < 93:
		m.try(func() error { return m.log.Seal() })
	case k < 96:
		m.try(func() error { return m.log.Reserve() })
	default:
		m.release()
	}
}

// TestRandomOrdersCrashAndRecover crashes after random orders, over and over, in every model (I9, I12; F1, F3, F4).
func TestRandomOrdersCrashAndRecover(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 40
	}
	for seed := range uint64(runs) {
		disk := vfs.NewMem()
		m := newModel(t, disk, seed)
		m.cfg.FirstFile = int64(seed%4) * MinFileSize / 4
		m.open()
		for life := range 4 {
			for range m.rng.IntN(60) {
				m.step()
			}
			if m.err != nil {
				t.Fatalf("seed %d: %v", seed, m.err)
			}
			disk = disk.Crash(vfs.CrashModel(m.rng.IntN(int(vfs.CrashModels))), m.rng)
			m.fs, m.cfg.FS = disk, disk
			out := m.open()
			if m.err != nil {
				t.Fatalf("seed %d: open: %v", seed, m.err)
			}
			m.verify(out, fmt.Sprintf("seed %d, life %d", seed, life))
			m.resume(out)
		}
	}
}

// script is a fixed workload that goes through everything that touches files.
func (m *model) script() {
	m.open()
	m.register("a")
	m.register("b")
	m.commit()
	m.add("a", 1, 0, 2, 100)
	m.vote("b", 1, "a")
	m.commit()
	m.add("a", 2, 1, 3, 100)
	m.add("b", 1, 0, 1, 6000)
	m.commit()
	m.try(func() error { return m.log.Seal() })
	m.try(func() error { return m.log.Reserve() })
	for i := range 5 {
		m.add("a", 3, 0, 2, 9000)
		m.vote("a", ra.Term(3+i), "b")
		m.commit()
	}
	m.register("c")
	m.add("c", 1, 0, 3, 30)
	m.commit()
	m.release()
	for range 6 {
		m.add("c", 4, 1, 2, 9000)
		m.commit()
	}
	m.delete("b")
	m.reset("a", 40)
	m.commit()
	m.release()
	m.add("a", 5, 0, 2, 9000)
	for range 5 {
		m.add("c", 6, 0, 2, 9000)
		m.commit()
	}
	m.release()
	m.release()
	m.vote("c", 9, "c")
	m.commit()
	m.try(func() error { return m.log.Close() })
}

var errCrash = errors.New("crashed")

// TestCrashAtEveryOperation crashes the script at every operation of the file system, in every model, and crashes the
// recovery too (F3, reliability goal G5).
func TestCrashAtEveryOperation(t *testing.T) {
	counter := vfs.NewErrs(vfs.NewMem())
	whole := newModel(t, counter, 1)
	whole.script()
	if whole.err != nil {
		t.Fatal(whole.err)
	}
	ops, points := counter.Count(), 0
	for op := range ops + 1 {
		for model := range vfs.CrashModels {
			if testing.Short() && (op+int(model))%int(vfs.CrashModels) != 0 {
				continue
			}
			m, disk := crashedAt(t, op)
			rng := rand.New(rand.NewPCG(uint64(op), uint64(model)))
			after := disk.Crash(model, rng)
			what := fmt.Sprintf("crash at operation %d of %d, %v", op, ops, model)
			m.recoverCrashing(after, rng, what)
			points++
		}
	}
	t.Logf("%d crash points, %d operations", points, ops)
}

// crashedAt runs the script until the given operation.
func crashedAt(t *testing.T, op int) (*model, *vfs.Mem) {
	disk := vfs.NewMem()
	faulty := vfs.NewErrs(disk)
	faulty.Inject(vfs.Fault{After: op, Err: errCrash})
	m := newModel(t, faulty, 1)
	m.script()
	if m.err != nil && !errors.Is(m.err, errCrash) && !errors.Is(m.err, ra.ErrStorageFailed) {
		t.Fatalf("operation %d: %v", op, m.err)
	}
	return m, disk
}

// recoverCrashing opens the log, crashes that a few operations in, opens it again and verifies; twice.
func (m *model) recoverCrashing(disk *vfs.Mem, rng *rand.Rand, what string) {
	for depth := range 2 {
		faulty := vfs.NewErrs(disk)
		faulty.Inject(vfs.Fault{After: rng.IntN(30), Err: errCrash})
		m.err, m.cfg.FS = nil, faulty
		m.open()
		if m.err != nil && !errors.Is(m.err, errCrash) {
			m.tb.Fatalf("%s, recovery %d: %v", what, depth, m.err)
		}
		disk = disk.Crash(vfs.CrashModel(rng.IntN(int(vfs.CrashModels))), rng)
	}
	m.err, m.cfg.FS = nil, disk
	out := m.open()
	if m.err != nil {
		m.tb.Fatalf("%s: %v", what, m.err)
	}
	m.verify(out, what)
}

// TestRecoveredIsDurable kills the process at every operation, opens the log on what the page cache has, and then cuts
// the power: what the first recovery told the members the second one has to tell too (I2, I9).
func TestRecoveredIsDurable(t *testing.T) {
	counter := vfs.NewErrs(vfs.NewMem())
	newModel(t, counter, 1).script()
	for op := range counter.Count() + 1 {
		m, disk := crashedAt(t, op)
		disk = disk.Crash(vfs.CrashKept, m.rng)
		what := fmt.Sprintf("killed at operation %d", op)
		m.err, m.cfg.FS = nil, disk
		out := m.open()
		if m.err != nil {
			t.Fatalf("%s: %v", what, m.err)
		}
		m.verify(out, what)
		for i := range out.Members {
			w := out.Members[i].Writer
			m.members[w.UID()].acked = w.Seq()
		}
		m.cfg.FS = disk.Crash(vfs.CrashLost, m.rng)
		m.verify(m.open(), what+", then a power cut")
	}
}
