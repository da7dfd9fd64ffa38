package rafttest

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// decay is what becomes of a disk at rest: bits that flip. It strikes one node at a time, and only where a majority of each cluster
// stays sound.
type decay struct {
	flips int
	wal   bool // one of them was in the write-ahead log
	fresh bool // one of them was since the node was last started
	// struck are the segments and snapshots of which a bit flipped: see hides.
	struck []string
	// snapshots are those that lie in quarantine.
	snapshots []snapshot.Info
	rng       *rand.Rand
}

// any reports whether the disk has ever decayed.
func (d *decay) any() bool { return d.flips > 0 }

// decays lets a bit of the node's disk flip now and then, before it starts.
func (n *node) decays() {
	d := &n.decay
	if n.sim.profile.DecayOneIn == 0 || n.sim.healing || n.sim.decaying(n) || !n.spared() {
		return
	}
	if d.rng == nil {
		d.rng = rand.New(rand.NewPCG(n.sim.opts.Seed, 77+uint64(n.id)))
	}
	if d.rng.IntN(n.sim.profile.DecayOneIn) > 0 {
		return
	}
	n.flip([...]string{"segments", "snapshots", "wal"}[d.rng.IntN(3)])
}

// hides reports whether the node still has a file, outside of quarantine, of which a bit flipped. Segments and snapshots are
// read when they are needed and no sooner, so that it may turn out at any later start that somebody has lost something. What
// flipped in the log is found by the next one.
func (n *node) hides() bool {
	return slices.ContainsFunc(n.decay.struck, func(name string) bool {
		f, err := n.disk.Open(name, 0)
		return err == nil && f.Close() == nil
	})
}

// decaying reports whether any other node has lost something and is not repaired, or may have.
func (s *sim) decaying(but *node) bool {
	for _, n := range s.nodes {
		if n == but {
			continue
		}
		if n.decay.fresh || n.hides() {
			return true
		}
		for _, p := range n.peers {
			if !p.gone && (p.suspect || p.unmarked) {
				return true
			}
		}
	}
	return false
}

// flip flips a bit of some file in a directory: of what is written there, mostly, and not of the zeros. In the
// write-ahead log it does so once in a schedule: two that strike both tables of a batch take votes with them.
func (n *node) flip(dir string) {
	d := &n.decay
	names, err := n.disk.List(dir)
	if err != nil || len(names) == 0 || dir == "wal" && d.wal {
		return
	}
	name := names[d.rng.IntN(len(names))]
	if strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".spare") {
		return
	}
	name = dir + "/" + name
	f, err := n.disk.Open(name, 0)
	if err != nil {
		return
	}
	defer f.Close()
	size, _ := f.Size()
	for range 50 {
		var b [1]byte
		off := d.rng.Int64N(max(size, 1))
		if _, err := f.ReadAt(b[:], off); err != nil || b[0] == 0 && d.rng.IntN(8) > 0 {
			continue
		}
		n.disk.Flip(name, off, 1<<d.rng.IntN(8))
		d.flips++
		d.fresh, d.wal = true, d.wal || dir == "wal"
		if dir != "wal" && name != "segments/ROSTER" { // which is read, and put right, by the next start
			d.struck = append(d.struck, name)
		}
		n.sim.done.Decayed++
		return
	}
}

// assess finds out what the member has lost, as system does.
func (p *peer) assess(m *wal.Member, lost error) {
	p.unmarked = false
	p.suspect = m.Mark.What != 0
	if !p.node.decay.any() {
		return
	}
	if m.Mark.What&^wal.DamagedLog != 0 {
		p.cluster.truth.breach("I11", "%s has lost its vote by a flipped bit: %+v", p.uid, m.Mark)
	}
	for _, s := range p.node.decay.snapshots {
		ended := m.Mark.Era.Ended(s.Era, s.Index, s.Term)
		if s.UID == p.uid && !ended && !p.log.Holds(raftlog.Position{Index: s.Index, Term: s.Term}) {
			p.suspect = true
		}
	}
	p.suspect = p.suspect || lost != nil
	p.unmarked = p.suspect
}

// mark makes durable that the member is suspect, and what its log has left out. It begins when that is.
func (p *peer) mark() {
	from := p.log.Last() + 1
	for first := true; first || p.log.NeedsCut() != 0; first = false {
		op := wal.Op{Seq: p.writer.Seq() + 1, Damaged: &wal.Mark{What: wal.DamagedLog, From: from}, Truncate: p.log.NeedsCut()}
		err := p.log.Order(&op)
		if err == nil {
			err = p.node.store(p, &op)
		}
		if err != nil {
			p.sim.plan(time.Second, event{kind: evRevive, node: p.node, worker: p, life: p.node.life})
			return
		}
	}
	p.base, p.fresh, p.unmarked = p.writer.Seq(), true, false
}

// loses deals with entries that turn out to be unreadable when the member begins, as system does, and reports whether
// there are any.
func (p *peer) loses(err error) bool {
	var d *raftlog.DamageError
	if !errors.As(err, &d) || !p.node.decay.any() {
		return false
	}
	p.log.Lose(d.First)
	p.cluster.truth.loses(p.uid, d.First)
	p.suspect, p.unmarked = true, true
	p.mark()
	return true
}

// repaired: it is durable that the member is sound again.
func (p *peer) repaired() {
	p.suspect = false
	p.cluster.truth.repaired(p.uid)
	p.sim.done.Repairs++
	p.recall()
}

// admits: I10: what a suspect member acknowledges says so.
func (p *peer) admits(m *raft.Message) {
	if p.suspect && !m.Suspect {
		p.cluster.truth.breach("I10", "%s is suspect and acknowledges %v", p.uid, m)
	}
}

// decayed: uid came back from a disk that has decayed, with everything as far as is known. What it was about to note as
// lost is not known any more. The snapshot may be lost, and an older one in its place, if the log has what lies between.
// A member that is deleted stays so, whatever it had lost before.
func (t *truth) decayed(uid ra.UID, r *recovery) {
	if !r.known {
		return
	}
	if d := t.members[uid]; d.lost != nil {
		t.members[uid] = d.lost
	}
	if d := t.members[uid]; r.snap.Index < d.snap.Index && r.base == r.snap {
		d.snap = r.snap
	}
}

// damaged: uid came back and has lost entries. I2, I7: its term and vote are what they were; I11: what is left of its log
// is what it had. I12: who was deleted does not come back damaged either.
func (t *truth) damaged(uid ra.UID, maybe *durable, r *recovery) {
	d := t.members[uid]
	if d.deleted {
		t.breach("I12", "%s was deleted, and is back damaged: %+v", uid, *r)
	}
	if maybe != nil && r.seq == maybe.seq && r.seq != d.seq {
		lost, snap := d.lost, d.snap
		if d = maybe; r.state != d.state {
			t.breach("I2", "%s came back with %+v, durable was %+v", uid, r.state, d.state)
		}
		d.lost, d.snap = lost, snap
	}
	if r.seq != d.seq || r.state != d.state {
		t.breach("I2", "%s came back with %+v at order %d, durable was %+v at %d", uid, r.state, r.seq, d.state, d.seq)
	}
	for i, term := range r.terms {
		at := position{r.base.Index + 1 + ra.Index(i), term}
		if !d.had(at) && at.index > d.snap.Index {
			t.breach("I11", "%s came back with index %d of term %d, which it never had", uid, at.index, term)
		}
	}
	if r.base.Index > 0 {
		t.covers(uid, r.base)
	}
	t.members[uid] = &durable{
		seq: r.seq, state: r.state, first: r.base.Index + 1, log: r.terms, snap: r.snap, lost: d,
	}
}

// loses: the durable entries of uid from an index on cannot be read.
func (t *truth) loses(uid ra.UID, from ra.Index) {
	d := t.members[uid].clone()
	d.lost = t.members[uid]
	d.promise = raft.Position{}
	d.cut(from)
	t.members[uid] = d
}

// repaired: uid is sound again. I9: it has everything that is committed and that it ever had.
func (t *truth) repaired(uid ra.UID) {
	d := t.members[uid]
	for _, at := range t.committed {
		had := d.lost.had(at) || at.index <= d.lost.snap.Index
		if term, ok := d.term(at.index); had && at.index > d.snap.Index && (!ok || term != at.term) {
			t.breach("I9", "%s is sound again without index %d of term %d, which it had", uid, at.index, at.term)
		}
	}
	d.lost, d.healed = nil, false
}

// had reports whether the member has an entry durably, or had it before its disk decayed.
func (d *durable) had(at position) bool {
	for ; d != nil; d = d.lost {
		if term, ok := d.term(at.index); ok && term == at.term {
			return true
		}
	}
	return false
}

// counts reports whether a leader may count a member for an entry: if it has it, and was sound when it got it. I10.
func (d *durable) counts(at position) bool {
	if d.lost != nil {
		return d.lost.had(at)
	}
	term, ok := d.term(at.index)
	return ok && term == at.term
}
