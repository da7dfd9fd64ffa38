package wal

import (
	"cmp"
	"slices"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/wal/memtable"
)

// Member is what recovery found of one member.
type Member struct {
	// Writer goes on where the member left off.
	Writer *Writer
	// Registration and State are the last durable ones, unless Mark says that they may be older.
	Registration Registration
	State        ra.HardState
	Applied      ra.Index
	// Entries are those in WAL files that are not released. They take precedence over what segments have.
	Entries *memtable.Table
	// Reset, if not 0, is the index up to which a snapshot stands for the log; what segments have is void.
	Reset ra.Index
	// Truncated, if not 0, is the lowest index from which on what segments have is void.
	Truncated ra.Index
	// Highest is no lower than any index that the log ever had, as far as what is left of it goes back: the state file and
	// the WAL files. Segments that have a higher one are newer than all that.
	Highest ra.Index
	// Before is how the log ended where the WAL files begin that are not released: segments have an entry of that term there, if
	// they are those of this log. BeforeTerm is 0 if that is not known, or does not matter any more.
	Before     ra.Index
	BeforeTerm ra.Term
	// Mark says what is damaged; zero for a sound member. It is durable before Open returns.
	Mark Mark
}

// slabSize is the unit in which memory for recovered bodies is allocated: they live and die with their WAL file.
const slabSize = 64 << 10

// slab hands out copies of bodies from few allocations.
type slab struct{ free []byte }

func (s *slab) copy(b []byte) []byte {
	if len(b) > slabSize/4 {
		return append([]byte(nil), b...)
	}
	if len(b) > len(s.free) {
		s.free = make([]byte, slabSize)
	}
	out := s.free[:len(b):len(b)]
	copy(out, b)
	s.free = s.free[len(b):]
	return out
}

// replayed is a member while the files are read.
//
// Every row repeats which orders it holds, and orders are numbered without gaps. So a row that follows what is known
// proves that nothing of its member was lost before it; whoever does not give that proof after a loss is damaged.
type replayed struct {
	uid        ra.UID
	live       live
	known      bool // registered, in a row or in the state file
	loose      bool // live.last is not known, because all entries are elsewhere
	table      *memtable.Table
	sure       ra.Index // known to be committed as of the last row: a truncation that is lost cannot have been below
	reset      ra.Index
	truncated  ra.Index
	highest    ra.Index
	found      Mark   // damage that no later order made good
	cleared    int    // losses after which the member has proved that none was its; doubted: one was, as far as anybody knows
	wasMarked  Mark   // as far as it is durable already
	shown      uint64 // the last order that the files show, whatever a state file knows
	begun      bool   // there was a row of it, and this is how the log ended before the first one:
	begins     ra.Index
	beginsTerm ra.Term
	registered bool // in the files, not only in the state file
}

// replay applies rows, in the order of the batches, to members.
type replay struct {
	members map[ra.UID]*replayed
	state   *stateFile // nil if there is none, or once it was met
	losses  int
	slab    slab
	deleted map[ra.UID]bool
}

// newReplay starts with the members of the state file, as they were at the end of the last released file as far as that
// is known.
func newReplay(state *stateFile) *replay {
	r := &replay{members: make(map[ra.UID]*replayed), state: state, deleted: make(map[ra.UID]bool)}
	if state == nil {
		return r
	}
	for i := range state.members {
		m := r.member(state.members[i].uid)
		m.live = state.members[i].live
		m.highest = m.live.last
		m.live.seq, m.shown, m.known, m.loose = m.live.base, m.live.base, true, true
	}
	return r
}

// member returns the member uid, which may be new.
func (r *replay) member(uid ra.UID) *replayed {
	m := r.members[uid]
	if m == nil {
		m = &replayed{uid: uid, table: new(memtable.Table), cleared: r.losses}
		r.members[uid] = m
	}
	return m
}

// seqOf returns the number of the member's last order so far, 0 if there is none.
func (r *replay) seqOf(uid ra.UID) uint64 {
	if m := r.members[uid]; m != nil {
		return m.live.seq
	}
	return 0
}

// lose notes that something was lost of which nobody knows whose it was; all of it had batch numbers below before. The
// state file clears everybody of losses before its own moment, so it takes effect first if that is not sure.
func (r *replay) lose(before uint64) {
	if r.state != nil && r.state.batch < before {
		r.reach(r.state.batch)
	}
	r.losses++
}

// doubted is what replayed.cleared is for a member of which it is known that it wrote something in what is lost.
const doubted = -1

// doubt notes that a batch is lost in which the member wrote something. Like all members behind a loss of nobody knows whom,
// it has to show that it has lost nothing.
func (r *replay) doubt(uid ra.UID) {
	if !r.deleted[uid] {
		r.member(uid).cleared = doubted
	}
}

// reach has the state file take effect before the batch of number seq, if it is of that moment.
func (r *replay) reach(seq uint64) {
	if r.state == nil || seq < r.state.batch {
		return
	}
	inState := make(map[ra.UID]bool, len(r.state.members))
	for i := range r.state.members {
		s := &r.state.members[i]
		inState[s.uid] = true
		r.member(s.uid).meet(&s.live, r.losses)
	}
	for uid := range r.members {
		if !inState[uid] {
			// It was deleted before the state file was written.
			delete(r.members, uid)
			r.deleted[uid] = true
		}
	}
	r.state = nil
}

// meet compares the member with what the state file says of it, which is right.
func (m *replayed) meet(s *live, losses int) {
	if m.live.seq != s.seq {
		m.damage(DamagedLog, m.sure+1)
	}
	m.cleared, m.sure = losses, max(m.sure, s.applied)
	m.found.What &= DamagedLog
	last, term := m.live.last, m.live.lastTerm
	m.live, m.known, m.wasMarked = *s, true, s.mark
	if !m.loose {
		m.live.last, m.live.lastTerm = last, term // lower, if entries are lost
	}
}

// damage notes damage; entries from from on are not to be trusted. When orders are lost, a truncation may be among them:
// then only what was known to be committed before is what the log held in the end. From is never 0, whatever a forged row says.
func (m *replayed) damage(what Damage, from ra.Index) {
	m.found.Add(Mark{What: what, From: max(from, 1)})
	if what&DamagedLog != 0 {
		m.cut(m.found.From)
	}
}

// cut removes what the member has from index from on.
func (m *replayed) cut(from ra.Index) {
	m.table.Truncate(from)
	m.live.last, m.live.lastTerm = from-1, 0
}

// before returns how the log ended where the files begin, unless something in them took the place of that.
func (m *replayed) before() (ra.Index, ra.Term) {
	at, term := m.live.last, m.live.lastTerm
	if m.begun {
		at, term = m.begins, m.beginsTerm
	}
	replaced := m.truncated != 0 && m.truncated <= at || m.table.Len() > 0 && m.table.First() <= at
	if m.reset != 0 || replaced || m.found.What|m.wasMarked.What != 0 {
		return 0, 0
	}
	return at, term
}

// order checks that the row follows the member's last one.
//
// What is lost without a number was a mark of recovery, since nothing else that is echoed has none. And a row that has nothing but
// a mark may be recovery's, of which the Seq is that of an order which is lost.
func (m *replayed) order(row *row, losses int) {
	switch {
	case row.recovered(m.live.seq):
		m.marked(row)
	case row.seqLo == 0:
		return
	case row.seqLo != m.live.seq+1, m.cleared == doubted, m.cleared < losses && row.flags&^rowBind == rowMark:
		m.damage(anyDamage, m.sure+1)
	}
	m.cleared = losses
}

// marked takes over what an earlier recovery wrote about the member: it knew the member up to this order and this index,
// and what entries the files show by now does not count. But an order that it knew may have been lost since, and what it knew to be
// there.
func (m *replayed) marked(row *row) {
	found, last := m.found, row.prev
	there := last
	if row.mark.What&DamagedLog != 0 {
		there = min(there, max(row.mark.From, 1)-1)
	}
	m.found, m.wasMarked = Mark{What: found.What &^ (DamagedLog | row.mark.What)}, row.mark
	if found.What&DamagedLog != 0 && found.From <= there {
		last = found.From - 1
		m.found.Add(Mark{What: DamagedLog, From: found.From})
	}
	m.cut(last + 1)
}

// apply applies a row and the entries that were found for it, which are in order; some may be missing.
func (r *replay) apply(row *row, uid ra.UID, got []ra.Entry) {
	if r.deleted[uid] {
		return
	}
	m := r.member(uid)
	if !m.begun {
		m.begun, m.begins, m.beginsTerm = true, row.prev, row.prevTerm
	}
	m.order(row, r.losses)
	m.highest = max(m.highest, row.prev)
	m.live.apply(row)
	if row.seqHi != 0 {
		m.shown = row.seqHi
	}
	m.heal(row)
	if row.flags&rowRegister != 0 {
		m.known, m.registered = true, true
	}
	if row.flags&rowReset != 0 {
		*m.table, m.reset, m.truncated, m.loose = memtable.Table{}, row.reset, 0, false
	}
	if row.flags&rowTruncate != 0 {
		m.truncate(row.truncate)
		m.sure = min(m.sure, row.truncate-1)
	}
	m.sure = max(m.sure, row.reset)
	if row.seqLo != 0 || m.cleared == r.losses {
		// A hint alone does not show that what it is about is here.
		m.sure = max(m.sure, row.applied)
	}
	if row.flags&rowEntries != 0 {
		m.highest = max(m.highest, row.last())
		m.append(row, got)
	}
	if row.flags&rowMark != 0 {
		m.wasMarked = row.mark
	}
	if row.flags&rowDelete != 0 {
		delete(r.members, uid)
		r.deleted[uid] = true
	}
}

// heal drops damage that the row makes good.
func (m *replayed) heal(row *row) {
	if row.flags&rowState != 0 {
		m.found.What &^= DamagedState
	}
	if row.flags&rowRegister != 0 {
		m.found.What &^= DamagedRegistration
	}
	overwritten := row.flags&rowTruncate != 0 && m.found.From != 0 && row.truncate <= m.found.From
	if row.flags&rowReset != 0 || overwritten {
		m.found.What &^= DamagedLog
		m.found.From = 0
	}
}

// truncate removes entries from index from on. If that is not above a reset the snapshot which stood for the log is lost, and
// the log begins anew.
func (m *replayed) truncate(from ra.Index) {
	if m.reset != 0 && from <= m.reset {
		m.reset, from = 0, 1
	}
	if m.table.Len() == 0 || from <= m.table.First() {
		if m.truncated == 0 || from < m.truncated {
			m.truncated = from
		}
	}
	m.table.Truncate(from)
	m.loose = false
}

// append takes the entries as far as they follow each other; what is missing is damage.
func (m *replayed) append(row *row, got []ra.Entry) {
	for i := range got {
		if got[i].Index != row.first+ra.Index(i) {
			got = got[:i]
			break
		}
	}
	if m.found.What&DamagedLog != 0 {
		// Entries that stand behind a gap are of no use.
		m.live.last = m.found.From - 1
		return
	}
	m.loose = false
	if m.table.Append(got) != nil {
		m.damage(DamagedLog, m.table.Last()+1)
		return
	}
	if next := row.first + ra.Index(len(got)); next <= row.last() {
		m.damage(DamagedLog, next)
	}
}

// finish returns the members that are left, sorted by uid, and marks those that could not be cleared.
func (r *replay) finish() []*replayed {
	r.reach(^uint64(0))
	out := make([]*replayed, 0, len(r.members))
	for _, m := range r.members {
		if m.cleared < r.losses {
			m.damage(anyDamage, m.sure+1)
		}
		switch {
		case m.known:
		case m.live.seq == 0: // not one order of it is there
			m.damage(anyDamage, 0)
		default:
			m.damage(DamagedRegistration, 0)
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *replayed) int { return cmp.Compare(a.uid, b.uid) })
	return out
}

func sortByUID(members []stateMember) {
	slices.SortFunc(members, func(a, b stateMember) int { return cmp.Compare(a.uid, b.uid) })
}
