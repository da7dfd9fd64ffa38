package wal

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/vfs"
)

var (
	first = flag.Uint64("first", 1, "the first seed of TestDecay")
	seeds = flag.Int("seeds", 200, "how many seeds TestDecay goes through")
)

// TestDecay has members write, crashes the log, damages what is on the disk, and opens it again, several times, while members
// go on with what they were told. Then it compares what each of them got with what was acknowledged (I9 to I12).
//
// Lost may be, as long as it is said:
//   - what a member ordered, if it has a mark. What the mark does not speak of is right all the same, and the mark stays;
//   - a whole member, or the deletion of one, if a loss was reported, or the member has a mark. Nobody knows names that are lost.
//
// Never, and that is what the test is for:
//   - is a member without a mark at another order than one from the last acknowledged on, with other than what that order
//     made of term, vote, configuration and log. Of the log entries may be missing as long as the last index is right:
//     raftlog.Recover finds the gap;
//   - does a member have a mark who wrote nothing in what was damaged, as long as each loss was said to be known whose it is;
//   - is there a mark or a loss where nothing was ever damaged;
//   - is a loss of nobody knows whom told as one, behind which somebody may be gone, that was accepted.
//
// A failure prints the shortest history that fails in the same way, and what repeats it.
func TestDecay(t *testing.T) {
	reached := make(map[string]int)
	for seed := *first; seed < *first+uint64(*seeds); seed++ {
		steps := plan(seed)
		bad, h := play(t, seed, steps)
		for what, n := range h.reached {
			reached[what] += n
		}
		if bad == nil {
			continue
		}
		steps = shortest(steps, func(some []step) bool {
			again, _ := play(t, seed, some)
			return again != nil && again.rule == bad.rule
		})
		bad, h = play(t, seed, steps)
		t.Errorf("%s\nin %d steps:\n%s\nagain: go test ./wal -run 'TestDecay$' -first %d -seeds 1",
			bad.text, len(steps), strings.Join(h.trace, "\n"), seed)
	}
	t.Log(reached)
	for _, what := range []string{"sound", "marked", "gone", "a loss known whose", "a loss of nobody knows whom", "accepted"} {
		if reached[what] == 0 && *seeds >= 200 {
			t.Errorf("there never was: %s", what)
		}
	}
}

// Seeds that failed once.
func TestDecayAgain(t *testing.T) {
	for _, seed := range []uint64{710476, 711010, 2900501, 2903051, 3000998, 3023449} {
		if bad, _ := play(t, seed, plan(seed)); bad != nil {
			t.Errorf("seed %d: %s", seed, bad.text)
		}
	}
}

// step is something that happens in a history. It draws from a seed of its own, so that others can be left out. What makes
// no sense at its time, like an order when the log is closed, does nothing.
type step struct {
	name string
	do   func(*history)
	seed uint64
}

// plan draws a history.
func plan(seed uint64) []step {
	rng := rand.New(rand.NewPCG(seed, 11))
	var all []step
	add := func(name string, do func(*history)) { all = append(all, step{name, do, rng.Uint64()}) }
	for range 4 {
		for range rng.IntN(70) {
			switch k := rng.IntN(100); {
			case k < 5:
				add("register", (*history).register)
			case k < 60:
				add("order", (*history).anyOrder)
			case k < 64:
				add("hint", (*history).hint)
			case k < 86:
				add("commit", (*history).commit)
			case k < 88:
				add("seal", (*history).seal)
			case k < 90:
				add("reserve", (*history).reserve)
			case k < 92:
				add("roll", (*history).roll)
			default:
				add("release", (*history).release)
			}
		}
		for range 1 + rng.IntN(3) {
			add("stop", (*history).stop)
			for n := rng.IntN(4); n > 0; n -= 1 + rng.IntN(3) {
				add("decay", (*history).decay)
			}
			for rng.IntN(4) == 0 {
				add("stumble", (*history).stumble)
			}
			add("start", (*history).start)
		}
	}
	return all
}

// shortest leaves out steps as long as what is left still fails: first many at once, then one by one.
func shortest(steps []step, fails func([]step) bool) []step {
	for n := len(steps) / 2; n > 0; n /= 2 {
		for at := 0; at+n <= len(steps); {
			if some := slices.Concat(steps[:at], steps[at+n:]); fails(some) {
				steps = some
			} else {
				at += n
			}
		}
	}
	return steps
}

// finding is what is wrong: which rule is broken, and by whom.
type finding struct{ rule, text string }

// play goes through the steps until a rule is broken.
func play(t *testing.T, seed uint64, steps []step) (bad *finding, h *history) {
	h = newHistory(t, seed)
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(*finding)
			if !ok {
				panic(p)
			}
			bad = f
		}
	}()
	h.start()
	for _, s := range steps {
		h.rng = rand.New(rand.NewPCG(s.seed, 12))
		s.do(h)
	}
	return nil, h
}

// truth is what is so of a member when an order of it is durable, and all before.
type truth struct {
	view
	mark    Mark
	applied ra.Index // is known to be committed: no truncation goes below
}

// author is a member and what is known of it.
type author struct {
	uid     ra.UID
	w       *Writer
	history []truth // by Seq; 0 is before the registration
	acked   uint64
	// segments has the terms of the entries that were flushed.
	segments map[ra.Index]ra.Term
	// cut, if not 0, is where the member's log ends since its last start has found damage, which its next order has to say.
	// reset says that a snapshot stands for all below.
	cut   ra.Index
	reset bool
	// was is what the member could be when that damage was found, at order adopted: the disk still says so, until there is a
	// later order.
	was     []truth
	adopted uint64
	// unsaid: its mark is recovery's, and no order of its own has repeated it.
	unsaid bool
	// committed has the terms of entries that are known to be committed: whoever loses them gets the same again.
	committed map[ra.Index]ra.Term
	// ended: it is deleted, or gone with a loss that was reported.
	ended bool
	// excused: a limit concerns it, and nothing more is known of it.
	excused bool
}

func (a *author) now() *truth { return &a.history[len(a.history)-1] }

// possible returns what the member may be once it is opened again: anything from what was acknowledged on.
func (a *author) possible() []truth {
	if a.acked == a.adopted {
		return slices.Concat(a.was, a.history[a.acked:])
	}
	return a.history[a.acked:]
}

// may reports whether the member may be something.
func (a *author) may(be func(truth) bool) bool { return slices.ContainsFunc(a.possible(), be) }

// history is a log, its disk, and what is known of it.
type history struct {
	t       *testing.T
	seed    uint64
	rng     *rand.Rand // of the step
	cfg     Config
	disk    *vfs.Mem
	errs    *vfs.Errs
	log     *Log // nil if it is not open
	batch   *Batch
	authors []*author
	term    ra.Term
	images  []*vfs.Mem // what the disk was before
	trace   []string
	reached map[string]int

	// strict: the mark beside the log is not lost and has all that was acknowledged, as nothing but kills ends the log, or the mark
	// is synced with each batch. In the other histories it is old or gone, as in FORMAT.md, Limits: "What was written behind the
	// last mark". So only a log that was closed is damaged there, which has a seal, and not in the newest file, at the end of
	// which nothing else says how far the log had come.
	strict, kills, closed bool
	// hurt: something was damaged. told: a loss was reported, sometime. anybody: one of nobody knows whom, so that
	// everybody may have a mark from then on.
	hurt, told, anybody bool
	// fresh: something was damaged, and no start has come to its end since.
	fresh bool
	// settled: that members may be gone was accepted, and nothing damaged since.
	settled bool
	// stateless: state files were lost, the newest at least.
	stateless bool
	// wrote is who wrote in each block of each WAL file, and concerned in those that were damaged.
	wrote     map[string]map[int][]ra.UID
	concerned map[ra.UID]bool
}

func newHistory(t *testing.T, seed uint64) *history {
	h := &history{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 13)), disk: vfs.NewMem(), strict: seed%3 != 0, kills: seed%6 > 3, reached: make(map[string]int),
		wrote: make(map[string]map[int][]ra.UID), concerned: make(map[ra.UID]bool),
	}
	h.cfg = Config{Dir: "wal", FileSize: MinFileSize, MaxBatch: 1 << 20, HighWater: "HIGHWATER", Random: &seeded{rand.New(rand.NewPCG(seed, 8))}}
	return h
}

func (h *history) say(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf(format, args...))
}

// breaks ends the history: a rule is broken.
func (h *history) breaks(rule, format string, args ...any) {
	panic(&finding{rule, fmt.Sprintf("seed %d: %s: ", h.seed, rule) + fmt.Sprintf(format, args...)})
}

// Orders

func (h *history) register() {
	if h.log == nil {
		return
	}
	uid := ra.UID(fmt.Sprint("u", len(h.authors)))
	w, err := h.log.Writer(uid)
	if err != nil {
		h.t.Fatal(err)
	}
	a := &author{uid: uid, w: w, history: []truth{{view: view{first: 1}}}, segments: make(map[ra.Index]ra.Term), committed: make(map[ra.Index]ra.Term)}
	h.authors = append(h.authors, a)
	config := fmt.Sprint("config of ", uid)
	h.order(a, Op{Register: &Registration{Name: "n", Config: []byte(config)}}, truth{view: view{first: 1, config: config}})
}

// order has the member order op, by which it becomes next. If it still has to say where its log ends it does that before. The mark
// need not be repeated that recovery has written.
func (h *history) order(a *author, op Op, next truth) {
	if a.cut != 0 && !op.Delete {
		cut := Op{Truncate: a.cut}
		if a.now().mark.What&DamagedLog == 0 || h.rng.IntN(2) == 0 {
			cut.Damaged = &Mark{What: DamagedLog, From: a.cut}
		}
		if a.reset {
			cut.Truncate, cut.Reset = 0, a.now().first-1
		}
		a.cut = 0
		now := *a.now()
		if cut.Damaged != nil {
			now.mark.Add(*cut.Damaged)
		}
		h.order(a, cut, now)
		if !op.Repaired {
			next.mark = now.mark
		}
	}
	op.Seq, a.unsaid = a.w.Seq()+1, a.unsaid && op.Damaged == nil
	h.say("%s orders %d: %s, and then is %v, mark %+v", a.uid, op.Seq, inWords(&op), next.view, next.mark)
	if err := h.batch.Append(a.w, &op); err != nil {
		h.t.Fatalf("seed %d: %s: order %d: %v", h.seed, a.uid, op.Seq, err)
	}
	next.log = slices.Clone(next.log)
	a.history = append(a.history, next)
}

func inWords(op *Op) string {
	return fmt.Sprintf("reset %d, truncate %d, %d entries, state %v, applied %d, damaged %+v, repaired %v, era %v, delete %v",
		op.Reset, op.Truncate, len(op.Entries), op.State, op.Applied, op.Damaged, op.Repaired, op.Era, op.Delete)
}

// author returns a member that may order something; nil if none was found.
func (h *history) author() *author {
	if h.log == nil || len(h.authors) == 0 {
		return nil
	}
	a := h.authors[h.rng.IntN(len(h.authors))]
	if a.ended || a.now().deleted {
		return nil
	}
	return a
}

// anyOrder has a member order something. One that has lost its term and vote, or its registration, may only be deleted.
func (h *history) anyOrder() {
	a := h.author()
	if a == nil {
		return
	}
	k := h.rng.IntN(100)
	if a.now().mark.What&^DamagedLog != 0 || k < 4 {
		if k < 20 {
			h.order(a, Op{Delete: true}, truth{view: view{first: 1, deleted: true}})
		}
		return
	}
	h.term++
	next, op := *a.now(), Op{}
	switch {
	case k < 8 && next.mark.What != 0:
		op.Repaired, next.mark = true, next.mark.healed()
		if h.rng.IntN(2) == 0 {
			op.Era = Era{next.mark.Era.Number + 1, ra.Index(h.rng.IntN(9)), ra.Term(h.rng.IntN(9))}
			next.mark.Era = op.Era
		}
	case k < 12 && next.last() > 0:
		op.Reset = next.last() + ra.Index(h.rng.IntN(4))
		next.first, next.log, next.applied = op.Reset+1, nil, op.Reset
	case k < 16:
		op.Damaged = &Mark{What: DamagedLog, From: next.last() + 1}
		next.mark.Add(*op.Damaged)
	case k < 40:
		h.vote(&op, &next)
	default:
		h.add(a, &op, &next)
	}
	h.order(a, op, next)
}

func (h *history) vote(op *Op, next *truth) {
	next.state = ra.HardState{Term: h.term, Vote: ra.UID(fmt.Sprint("v", h.term))}
	state := next.state
	op.State = &state
}

// add appends entries, now and then in the place of others that are not committed, and with a vote or a hint.
func (h *history) add(a *author, op *Op, next *truth) {
	next.log = slices.Clone(next.log)
	back := ra.Index(h.rng.IntN(4))
	if back = min(back, ra.Index(len(next.log)), next.last()-min(next.applied, next.last())); back > 0 && h.rng.IntN(3) == 0 {
		op.Truncate = next.last() + 1 - back
		next.log = next.log[:op.Truncate-next.first]
	}
	size := 10 + h.rng.IntN(300)
	if h.rng.IntN(8) == 0 {
		size = 3000 + h.rng.IntN(5000)
	}
	for range 1 + h.rng.IntN(4) {
		term, ok := a.committed[next.last()+1]
		if !ok {
			term = h.term
		}
		op.Entries = append(op.Entries, entry(next.last()+1, term, size))
		next.log = append(next.log, term)
	}
	if h.rng.IntN(6) == 0 {
		h.vote(op, next)
	}
	if h.rng.IntN(3) == 0 && next.applied < next.last() && next.mark.What == 0 {
		a.commit(next, 1)
		op.Applied = next.applied
	}
}

// commit notes that the member has applied n more entries.
func (a *author) commit(v *truth, n int) {
	for range n {
		v.applied++
		a.committed[v.applied] = v.log[v.applied-v.first]
	}
}

// hint has a member say nothing but how far it has applied its log.
func (h *history) hint() {
	a := h.author()
	if a == nil || a.cut != 0 || a.now().mark.What != 0 || a.now().applied >= a.now().last() {
		return
	}
	now := a.now()
	a.commit(now, 1+h.rng.IntN(int(now.last()-now.applied)))
	h.say("%s has applied %d", a.uid, now.applied)
	if err := h.batch.Append(a.w, &Op{Applied: now.applied}); err != nil {
		h.t.Fatal(err)
	}
}

// The log

// try ends what the log does when it has failed for good, as the process does.
func (h *history) try(err error) bool {
	if err != nil && !errors.Is(err, ra.ErrStorageFailed) {
		h.t.Fatalf("seed %d: %v", h.seed, err)
	}
	if err != nil {
		h.crash()
	}
	return err == nil
}

func (h *history) commit() {
	if h.log == nil {
		return
	}
	if h.rng.IntN(40) == 0 {
		op := []vfs.Op{vfs.OpWrite, vfs.OpSync}[h.rng.IntN(2)]
		h.errs.Inject(vfs.Fault{Op: op, Name: "*.wal", Times: 1 + h.rng.IntN(2), Short: h.rng.IntN(2) == 0})
		h.say("the next %s fails", op)
	}
	rows, number := len(h.batch.rows), h.log.next
	err := h.log.Commit(h.batch)
	h.errs.Heal()
	if !h.try(err) {
		return
	}
	h.say("commit: batch %d of %d rows up to block %d of file %d", number, rows, h.log.cur.off/block, h.log.cur.header.seq)
	for _, ack := range h.batch.Acks() {
		h.find(ack.Writer.UID()).acked = ack.Seq
	}
	h.batch.Reset()
	h.log.Note()
	if h.strict && !h.kills {
		h.log.noteDurably()
	}
	if h.rng.IntN(8) == 0 {
		h.images = append(h.images, h.disk.Crash(vfs.CrashKept, h.rng))
	}
}

func (h *history) find(uid ra.UID) *author {
	for _, a := range h.authors {
		if a.uid == uid {
			return a
		}
	}
	return nil
}

func (h *history) seal() {
	if h.log != nil {
		h.say("seal")
		h.try(h.log.Seal())
	}
}

func (h *history) reserve() {
	if h.log != nil {
		h.try(h.log.Reserve())
	}
}

// roll goes on to the next file before this one is full.
func (h *history) roll() {
	if h.log != nil && !h.log.cur.empty() {
		h.try(h.log.roll(block))
		if h.log != nil {
			h.say("on to file %d", h.log.cur.header.seq)
		}
	}
}

// release flushes the oldest file to segments.
func (h *history) release() {
	if h.log == nil || len(h.log.Closed()) == 0 {
		return
	}
	c := h.log.Closed()[0]
	for _, s := range c.Spans {
		if a := h.find(s.UID); a != nil && !a.ended {
			a.flush(s)
		}
	}
	h.say("release file %d", c.Seq)
	h.try(h.log.Release(c))
}

// flush brings to segments what a file had of the member.
func (a *author) flush(s Span) {
	if s.Deleted || s.Reset != 0 {
		clear(a.segments)
	}
	if s.Truncated != 0 {
		cutAt(a.segments, s.Truncated)
	}
	if s.First == 0 {
		return
	}
	cutAt(a.segments, s.First)
	was := &a.history[min(s.Seq, uint64(len(a.history)-1))]
	for i := max(s.First, was.first); i <= min(s.Last, was.last()); i++ {
		a.segments[i] = was.log[i-was.first]
	}
}

func cutAt(terms map[ra.Index]ra.Term, from ra.Index) {
	maps.DeleteFunc(terms, func(i ra.Index, _ ra.Term) bool { return i >= from })
}

// stop closes the log or crashes it.
func (h *history) stop() {
	if h.log == nil {
		return
	}
	if h.strict && h.rng.IntN(2) == 0 {
		h.crash()
		return
	}
	h.commit()
	if h.log != nil && h.try(h.log.Close()) {
		h.say("closed")
		h.crash()
		h.closed = true
	}
}

// crash leaves of the disk what one of the models does.
func (h *history) crash() {
	model := vfs.CrashModel(h.rng.IntN(int(vfs.CrashModels)))
	if h.kills {
		model = vfs.CrashKept
	}
	h.say("crash: %v", model)
	h.disk, h.log, h.closed = h.disk.Crash(model, h.rng), nil, false
}

// stumble begins to open the log and crashes on the way.
func (h *history) stumble() {
	if h.log != nil {
		return
	}
	h.open(vfs.Fault{After: h.rng.IntN(60), Err: errCrash})
	h.crash()
}

func (h *history) start() {
	if h.log == nil {
		h.open(vfs.Fault{Op: "none"})
	}
}

// open opens the log on a disk with a fault, and looks at what it finds.
func (h *history) open(fault vfs.Fault) {
	h.errs = vfs.NewErrs(h.disk)
	h.errs.Inject(fault)
	h.cfg.FS = h.errs
	l, out, err := Open(h.cfg)
	h.errs.Heal()
	if errors.Is(err, errCrash) {
		h.say("a start is cut short")
		if h.fresh { // see FORMAT.md, Limits: what it would have told the next one may not tell
			h.told, h.anybody = true, true
		}
		return
	}
	if err != nil {
		h.breaks("the log opens", "%v", err)
	}
	h.log, h.batch, h.closed, h.fresh = l, l.NewBatch(), false, false
	h.judge(out)
	h.accept(out)
}

// accept accepts, now and then, that members may be gone without a trace, or begins to.
func (h *history) accept(out *Recovery) {
	if !out.Unaccounted || h.rng.IntN(2) == 0 {
		return
	}
	if h.rng.IntN(3) == 0 {
		h.errs.Inject(vfs.Fault{After: h.rng.IntN(12), Err: errCrash})
	}
	err := h.log.AcceptUnaccounted()
	h.errs.Heal()
	h.say("accepted, %v", err)
	h.reached["accepted"]++
	if h.settled = err == nil; !h.settled {
		h.crash()
	}
}

// What is found

// judge compares what a start has found with what is known, and has the members go on with it.
func (h *history) judge(out *Recovery) {
	h.say("found: losses %+v, torn %v, quarantined %v, deleted %v", out.Losses, out.Torn, out.Quarantined, out.Deleted)
	if !h.hurt && (len(out.Losses)+len(out.Quarantined) > 0 || out.Unaccounted) {
		h.breaks("nothing is lost where nothing was damaged", "losses %+v, quarantined %v", out.Losses, out.Quarantined)
	}
	if h.settled && out.Unaccounted {
		h.breaks("what was accepted does not come back", "losses %+v", out.Losses)
	}
	for _, l := range out.Losses {
		h.told = true
		if h.anybody = h.anybody || !l.Attributed; l.Attributed {
			h.reached["a loss known whose"]++
		} else {
			h.reached["a loss of nobody knows whom"]++
		}
	}
	found := make(map[ra.UID]*Member)
	for i := range out.Members {
		found[out.Members[i].Writer.UID()] = &out.Members[i]
	}
	for _, uid := range out.Deleted {
		if a := h.find(uid); a != nil && !a.ended && !a.now().deleted {
			h.breaks("only who is deleted is said to be", "%s", uid)
		}
	}
	for _, a := range h.authors {
		r := found[a.uid]
		delete(found, a.uid)
		switch {
		case a.excused:
		case r == nil:
			h.judgeAbsent(a, out)
		case a.history[a.acked].deleted:
			h.judgeReturned(a, r)
		default: // what was gone with a loss may be back, as when damage comes and goes
			a.ended = false
			h.judgeMember(a, r)
		}
	}
	for uid := range found {
		h.breaks("nobody comes from nowhere", "%s", uid)
	}
}

// judgeAbsent looks at a member that was not found.
func (h *history) judgeAbsent(a *author, out *Recovery) {
	if lost := !a.ended && a.acked > 0 && !a.now().deleted; lost {
		if !out.Unaccounted {
			h.breaks("nobody is gone without a loss", "%s, acknowledged up to %d", a.uid, a.acked)
		}
		h.reached["gone"]++
	}
	a.ended = true
}

// judgeReturned looks at a member that was deleted and is back. Whose deletion is lost has a mark (I12).
//
// Excepted, as FORMAT.md has it under "Limits": where the deletion is lost, which was told, and later the state files that knew
// of it, nothing tells of it any more.
func (h *history) judgeReturned(a *author, r *Member) {
	if r.Mark.What == 0 && !(h.stateless && h.told) {
		h.breaks("who was deleted does not come back sound", "%s at order %d", a.uid, r.Writer.Seq())
	}
	h.reached["returned"]++
	a.ended = true
}

// judgeMember looks at a member that was found, and should be there.
func (h *history) judgeMember(a *author, r *Member) {
	entries := a.held(r)
	h.say("%s is at order %d (acknowledged %d of %d), last index %d, state %v, entries %v, mark %+v",
		a.uid, r.Writer.Seq(), a.acked, len(a.history)-1, r.Writer.Last(), r.State, entries, r.Mark)
	if r.Mark.What == 0 {
		h.judgeSound(a, r, entries)
		return
	}
	h.reached["marked"]++
	h.judgeMark(a, r)
	h.judgeMarked(a, r, entries)
	a.adopt(r, entries, r.Mark)
}

// held returns the terms of the entries that the member has, by what was found and by its segments.
func (a *author) held(r *Member) map[ra.Index]ra.Term {
	terms := maps.Clone(a.segments)
	if r.Reset != 0 {
		clear(terms)
	}
	if r.Truncated != 0 {
		cutAt(terms, r.Truncated)
	}
	if r.Entries.Len() > 0 {
		cutAt(terms, r.Entries.First())
		for _, e := range r.Entries.Read(nil, r.Entries.First(), r.Entries.Last(), 1<<30) {
			terms[e.Index] = e.Term
		}
	}
	if r.Mark.What&DamagedLog != 0 {
		cutAt(terms, max(r.Mark.From, 1))
	}
	return terms
}

// judgeSound looks at a member without a mark: it is what one of its orders made of it, from the last acknowledged one on (I9, I10).
func (h *history) judgeSound(a *author, r *Member, entries map[ra.Index]ra.Term) {
	h.reached["sound"]++
	seq := r.Writer.Seq()
	if seq < a.acked || seq >= uint64(len(a.history)) {
		h.breaks("who is sound has what was acknowledged", "%s is at order %d, acknowledged were %d of %d", a.uid, seq, a.acked, len(a.history)-1)
	}
	want := &a.history[seq]
	if seq == a.adopted && want.mark.What == 0 && len(a.was) > 0 {
		want = &a.was[0] // a gap was found, and nothing ordered since
	}
	switch {
	case want.mark.What != 0 && a.unsaid && h.anybody: // see FORMAT.md, Limits: a mark that is lost, of nobody knows whom
		a.ended, a.excused = true, true
		h.reached["a mark is lost"]++
		return
	case want.mark.What != 0:
		h.breaks("a mark stays", "%s at order %d had %+v", a.uid, seq, want.mark)
	case r.Mark.Era != want.mark.Era:
		h.breaks("who is sound has its era", "%s at order %d has %v, want %v", a.uid, seq, r.Mark.Era, want.mark.Era)
	case r.State != want.state:
		h.breaks("who is sound has its term and vote", "%s at order %d has %v, want %v", a.uid, seq, r.State, want.state)
	case string(r.Registration.Config) != want.config:
		h.breaks("who is sound has its configuration", "%s at order %d has %q", a.uid, seq, r.Registration.Config)
	case r.Writer.Last() != want.last():
		h.breaks("who is sound knows its last index", "%s at order %d has %d, want %v", a.uid, seq, r.Writer.Last(), want.view)
	}
	gap := ra.Index(0)
	for i := want.last(); i >= want.first; i-- {
		if _, ok := entries[i]; !ok {
			gap = i
		}
	}
	for i, term := range entries {
		if i > want.last() || i >= want.first && term != want.log[i-want.first] {
			h.breaks("who is sound has no wrong entry", "%s at order %d has %v, want %v", a.uid, seq, entries, want.view)
		}
	}
	if gap != 0 {
		if !h.hurt {
			h.breaks("nothing is lost where nothing was damaged", "%s has no entry %d", a.uid, gap)
		}
		h.reached["gap"]++
		a.acked, a.history = seq, append(a.history[:seq:seq], *want)
		a.adopt(r, entries, Mark{What: DamagedLog, From: gap})
		return
	}
	a.w, a.acked, a.history, a.was = r.Writer, seq, a.history[:seq+1], nil
}

// judgeMark looks at whom a mark concerns (I11).
func (h *history) judgeMark(a *author, r *Member) {
	known := a.may(func(v truth) bool { return r.Mark.What&^v.mark.What == 0 })
	switch {
	case known || h.anybody:
	case !h.hurt:
		h.breaks("nobody is marked where nothing was damaged", "%s: %+v", a.uid, r.Mark)
	case !h.concerned[a.uid]:
		h.breaks("damage costs only whose it is", "%s has mark %+v, concerned are %v", a.uid, r.Mark, h.concerned)
	}
}

// judgeMarked looks at what the mark does not speak of.
func (h *history) judgeMarked(a *author, r *Member, entries map[ra.Index]ra.Term) {
	// Who has lost a vote or its registration takes no part, whatever its log is: a mark that is lost with them need not be known.
	out := r.Mark.What&^DamagedLog != 0
	if !out && !a.may(func(v truth) bool { return v.mark.What&^r.Mark.What == 0 }) {
		h.breaks("a mark stays", "%s has %+v, had %+v", a.uid, r.Mark, a.history[a.acked].mark)
	}
	if r.Mark.What&DamagedState == 0 && !a.may(func(v truth) bool { return v.state == r.State }) {
		h.breaks("a vote is right unless the mark speaks of it", "%s has mark %+v and %v, want %v", a.uid, r.Mark, r.State, a.history[a.acked].state)
	}
	if r.Mark.What&DamagedRegistration == 0 && !a.may(func(v truth) bool { return v.config == string(r.Registration.Config) }) {
		h.breaks("a configuration is right unless the mark speaks of it", "%s has mark %+v and %q", a.uid, r.Mark, r.Registration.Config)
	}
	if a.history[a.acked].mark.What != 0 {
		return // see FORMAT.md, Limits: what is lost in front of a mark after it was written
	}
	for i, term := range entries {
		right := func(v truth) bool { return i < v.first || i <= v.last() && v.log[i-v.first] == term }
		if !a.may(right) {
			h.breaks("an entry below the mark is right", "%s has mark %+v and entries %v, want %v", a.uid, r.Mark, entries, a.history[a.acked].view)
		}
	}
}

// adopt has the member go on with what was found of it, damaged as it is.
func (a *author) adopt(r *Member, entries map[ra.Index]ra.Term, mark Mark) {
	if a.was == nil || a.acked != a.adopted {
		a.was = slices.Clone(a.history[a.acked:])
	}
	seq := r.Writer.Seq()
	v := truth{view: view{state: r.State, config: string(r.Registration.Config)}, mark: r.Mark}
	v.first = a.history[min(seq, uint64(len(a.history)-1))].first
	if r.Reset != 0 {
		v.first = r.Reset + 1
	}
	next := v.first
	for term, ok := entries[next]; ok; term, ok = entries[next] {
		v.log = append(v.log, term)
		next++
	}
	v.applied = max(v.first-1, min(next-1, a.was[0].applied))
	a.unsaid = r.Mark.What != 0
	a.w, a.acked, a.adopted, a.history = r.Writer, seq, seq, slices.Repeat([]truth{v}, int(seq)+1)
	a.cut, a.reset = next, mark.What&DamagedLog != 0 && mark.From <= v.first && v.first > 1
}

// Damage

// decay damages something of a closed or crashed log.
func (h *history) decay() {
	files := walFiles(h.t, h.disk)
	if h.log != nil || !h.strict && !h.closed || len(files) == 0 {
		return
	}
	h.survey(files)
	h.settled = false
	switch k := h.rng.IntN(40); {
	case k < 2:
		h.loseState()
	case k < 4 && !h.strict:
		h.say("DAMAGE the mark is gone")
		_ = h.disk.Remove(h.cfg.HighWater) // it may be gone already
	default:
		h.decayFile(files)
	}
}

// survey notes who wrote where, as long as it can be read.
func (h *history) survey(files []string) {
	for _, name := range files {
		if h.wrote[name] == nil {
			h.wrote[name] = make(map[int][]ra.UID)
		}
		survey(whole(h.t, h.disk, name), h.wrote[name])
	}
}

// survey adds who wrote in each block of a WAL file. A hint is nothing that could be missed.
func survey(b []byte, wrote map[int][]ra.UID) {
	if len(b) < headerSize {
		return
	}
	f, err := decodeFileHeader(b[:block])
	if err != nil {
		return
	}
	names := make(map[uint32]ra.UID)
	for p := headerSize; p+block <= len(b); p += block {
		h := decodeBatchHeader(b[p:])
		if h.fileID != f.id || !h.fits(int64(len(b)-p)) {
			continue
		}
		at, ok := check(h, b[p:][:batchFixed], b[p+batchFixed:][:h.table], int64(p))
		if !ok {
			continue
		}
		rows, _, _ := decodeTable(at.table, h.rows)
		for i := range rows {
			if rows[i].flags&rowBind != 0 {
				names[rows[i].number] = rows[i].uid
			}
			for k := p / block; rows[i].flags&^(rowBind|rowApplied) != 0 && k < int(at.end())/block; k++ {
				wrote[k] = append(wrote[k], names[rows[i].number])
			}
		}
	}
}

// damaged notes whom it concerns that blocks of a file are damaged.
func (h *history) damaged(name string, from, to int) {
	h.hurt, h.fresh = true, true
	for k, uids := range h.wrote[name] {
		for _, uid := range uids {
			h.concerned[uid] = h.concerned[uid] || k >= from && k < to
		}
	}
}

// decayFile damages a WAL file.
func (h *history) decayFile(files []string) {
	if h.rng.IntN(3) == 0 {
		files = files[max(0, len(files)-3):]
	}
	name := files[h.rng.IntN(len(files))]
	if !h.strict && name == files[len(files)-1] {
		return
	}
	b := whole(h.t, h.disk, name)
	blocks := len(b) / block
	if blocks == 0 {
		return
	}
	at := h.rng.IntN(min(blocks, used(b)+2))
	if at < headerSize/block && h.rng.IntN(8) != 0 {
		at = min(headerSize/block, blocks-1)
	}
	n := min(1+h.rng.IntN(2)*h.rng.IntN(5), blocks-at)
	what, after := h.spoil(files, name, b, at, n)
	h.say("DAMAGE %s, %d blocks at %d: %s", name, n, at, what)
	if after == nil {
		h.damaged(name, 0, blocks)
		remove(h.t, h.disk, name)
		return
	}
	if len(after) < len(b) || strings.HasPrefix(what, "what stands at") {
		n = blocks - at // see FORMAT.md, Limits: a batch that stands before its place hides what stands behind that
	}
	h.damaged(name, at, at+n)
	put(h.t, h.disk, name, after)
}

// used returns how many blocks of a file are in use.
func used(b []byte) int {
	n := len(b) / block
	for n > 1 && len(strings.Trim(string(b[(n-1)*block:n*block]), "\x00")) == 0 {
		n--
	}
	return n
}

// spoil returns what becomes of a file if n blocks of it are damaged, nil if it is gone.
func (h *history) spoil(files []string, name string, b []byte, at, n int) (what string, after []byte) {
	part := b[at*block:][:n*block]
	switch k := h.rng.IntN(26); {
	case k < 8:
		clear(part)
		return "zeros", b
	case k < 11:
		for i := range part {
			part[i] = byte(h.rng.Uint32())
		}
		return "garbage", b
	case k < 15:
		i := h.rng.IntN(len(part))
		part[i] ^= 1 << h.rng.IntN(8)
		return fmt.Sprintf("a bit flips in byte %d", i), b
	case k < 19:
		from := h.rng.IntN(used(b))
		copy(part, slices.Clone(b[from*block:]))
		return fmt.Sprintf("what stands at %d", from), b
	case k < 21:
		other := files[h.rng.IntN(len(files))]
		if o := whole(h.t, h.disk, other); len(o) > at*block {
			copy(part, o[at*block:])
		}
		return "what stands there in " + other, b
	case k < 23:
		if o := h.older(name); len(o) > at*block {
			copy(part, o[at*block:])
		}
		return "what stood there before", b
	case k < 25:
		return "cut", b[:at*block]
	}
	return "all of it is gone", nil
}

// older returns what a file once was; nil if that is not known.
func (h *history) older(name string) []byte {
	if len(h.images) == 0 {
		return nil
	}
	image := h.images[h.rng.IntN(len(h.images))]
	if !slices.Contains(walFiles(h.t, image), name) {
		return nil
	}
	return whole(h.t, image, name)
}

// loseState removes the newest state file, or both.
func (h *history) loseState() {
	names, err := h.disk.List("wal")
	if err != nil {
		h.t.Fatal(err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, stateSuffix) })
	if len(names) == 0 {
		return
	}
	from := max(0, len(names)-1-h.rng.IntN(2))
	h.hurt, h.fresh, h.stateless = true, true, true
	for _, name := range names[from:] {
		h.say("DAMAGE %s is gone", name)
		remove(h.t, h.disk, "wal/"+name)
	}
}
