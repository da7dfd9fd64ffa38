package system

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/member"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
	"github.com/heliopolis-raft/heliopolis/segment"
	"github.com/heliopolis-raft/heliopolis/wal"
)

// errVoteLost says that a member cannot be repaired, and what is to be done.
var errVoteLost = errors.New("its term and vote are lost, so it must not vote under its uid again: " +
	"remove it from the cluster (Cluster.RemoveMember), delete it here (Member.Delete), and add a new member " +
	"(Cluster.AddMember), as Node.ReplaceDamaged does; if the sound members are no majority, Node.ForceShrink of one of them comes " +
	"first; a cluster's only member can go on by Node.AcceptLoss")

// errMarked says that nothing more is known than that the write-ahead log counts the member as damaged.
var errMarked = fmt.Errorf("%w: orders of it may be missing in the write-ahead log", ra.ErrDamaged)

// errRegistrationLost says what is to be done about a member of which only the uid is known.
var errRegistrationLost = errors.New("its registration is lost, so nobody knows of which cluster it was: the member that " +
	"the cluster misses here must be removed from it (Cluster.RemoveMember) and may be added anew (Cluster.AddMember); what is " +
	"left of this one Node.DeleteRemains deletes")

// suspicion returns what a member has lost that takes part in nothing until it is repaired; nil for others.
func (r *record) suspicion() error {
	if r.node.wal != nil && r.node.wal.ref != nil {
		r.node.wal.ref.Lock()
		defer r.node.wal.ref.Release()
	}
	if r.accepted.mark.What == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// setLost notes what a member has lost.
func (r *record) setLost(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cause == nil {
		cause = errMarked
	}
	if !errors.Is(cause, ra.ErrDamaged) {
		cause = fmt.Errorf("%w: %w", ra.ErrDamaged, cause)
	}
	r.lost = fmt.Errorf("member %s is suspect: %w", r.called(), cause)
}

// restoreLog puts a member's log together. It returns why the member must not run. What it has lost of its log, if
// anything, makes it suspect, which markSuspects makes durable. A registration that may be older than another one is as
// good as that: it is written once, and whether it is there at all the caller knows.
func (n *Node) restoreLog(r *record, m *wal.Member) error {
	snap, stays := n.ownSnapshot(r, m.Mark.Era)
	if n.mayMislead(m, snap) {
		m.Mark.Add(wal.Mark{What: wal.DamagedLog, From: 1})
	}
	if raftlog.Disowns(m, n.segments, snap) {
		stays, snap = n.disown(r, errStale), raftlog.Position{}
	}
	missing := n.missingSnapshots(m)
	var err error
	r.log, err = raftlog.Recover(m, n.segments, snap)
	r.accepted.term, _ = r.log.Term(r.log.Last())
	err = errors.Join(err, heldAll(r.log, missing))
	switch what := m.Mark.What; {
	case what&wal.DamagedState != 0:
		return errors.Join(errVoteLost, stays)
	case err != nil || what != 0:
		r.setLost(err)
		r.accepted.mark.Add(wal.Mark{What: wal.DamagedLog, From: r.log.Last() + 1})
	}
	return stays
}

// mayMislead reports whether a segment file that is lost may have left a log that seems sound and is not. Otherwise the log shows
// by itself what it has lost: it has a gap, or does not reach its end. Where nothing from the snapshot's end on comes from segments
// nothing can have come back.
func (n *Node) mayMislead(m *wal.Member, snap raftlog.Position) bool {
	lost, uid := &n.report.Segments, m.Writer.UID()
	_, last := n.segments.Bounds(uid)
	switch {
	case last > snap.Index && lost.Revives(uid): // what was removed may be there again, and nothing shows it
		return true
	case last == snap.Index && last < m.Writer.Last() && lost.Revives(uid): // and contradict the snapshot, not the log above
		return last > 0
	case last < m.Before && n.wentBack(m, snap): // what is left may be of a history of before
		return true
	case lost.Touches(uid): // the entry that would tell that log and snapshot are of different histories may be gone
		return !raftlog.Follows(m, n.segments, snap)
	}
	return false
}

// wentBack reports whether segments do not reach the entry that the write-ahead log went on from, though no file of theirs is
// missing: they are as they once were.
func (n *Node) wentBack(m *wal.Member, snap raftlog.Position) bool {
	lost, uid := &n.report.Segments, m.Writer.UID()
	damaged := func(d segment.DamagedRange) bool { return d.UID == uid }
	return m.BeforeTerm != 0 && m.Before > snap.Index && lost.Listed && !lost.Touches(uid) && !slices.ContainsFunc(lost.Damaged, damaged)
}

// errStale says that a snapshot is not of the history that its member went on with.
var errStale = errors.New("it is of a history that was given up: what is committed contradicts it")

// errEnded says that a snapshot is from before a loss that was accepted or repaired, and was not in force when it was.
var errEnded = errors.New("it is from before a loss that was accepted or repaired, and may be of a history that was given up")

// ownSnapshot returns where the member's snapshot stands, zero if there is none. One of another cluster, which has come to lie
// under the member's name, or of an era that has ended, it moves to quarantine: what the member had there is lost, as if it could
// not be read. The cluster may have had the same name. If that fails the member must not run; its log lets go of nothing for that
// snapshot all the same.
func (n *Node) ownSnapshot(r *record, era wal.Era) (raftlog.Position, error) {
	n.snapshots.SetEra(r.uid, era.Number)
	info, ok := n.snapshots.Newest(r.uid)
	if !ok {
		return raftlog.Position{}, nil
	}
	if era.Ended(info.Era, info.Index, info.Term) {
		return raftlog.Position{}, n.disown(r, errEnded)
	}
	own := snapshot.Owner{Cluster: r.reg.cluster, Origin: snapshot.Origin(r.reg.initial)}
	if cause := info.Contradicts(own); r.reg.cluster != "" && cause != nil {
		return raftlog.Position{}, n.disown(r, cause)
	}
	return raftlog.Position{Index: info.Index, Term: info.Term}, nil
}

// errInPlace says that a snapshot which is not its member's own could not be moved to quarantine.
var errInPlace = errors.New("a snapshot that is not its own cannot be moved away, which is tried again when the node is opened")

// disown moves a member's snapshot, which is not its own, to quarantine. It fails with errInPlace, and then the member must not
// run, whatever else it has lost: it would begin with that snapshot.
func (n *Node) disown(r *record, cause error) error {
	info, _ := n.snapshots.Newest(r.uid)
	if err := n.snapshots.Condemn(info); err != nil {
		return fmt.Errorf("%w: the one at %d, %w: %w", errInPlace, info.Index, cause, err)
	}
	found := &n.report.Snapshots
	found.Lost = append(found.Lost, info)
	found.Damaged = append(found.Damaged, snapshot.DamagedSnapshot{
		UID: r.uid, Index: info.Index, Term: info.Term, Cause: fmt.Errorf("%w: %w", ra.ErrCorrupt, cause),
	})
	return nil
}

// missingSnapshots returns the snapshots that a member once had, and which now lie in quarantine. One that its log rules out it
// never had, or has given up; and one of an era that has ended.
func (n *Node) missingSnapshots(m *wal.Member) []raftlog.Position {
	var missing []raftlog.Position
	for i := range n.report.Snapshots.Lost {
		lost := &n.report.Snapshots.Lost[i]
		at := raftlog.Position{Index: lost.Index, Term: lost.Term}
		if lost.UID == m.Writer.UID() && !m.Mark.Era.Ended(lost.Era, lost.Index, lost.Term) && !raftlog.Disowns(m, n.segments, at) {
			missing = append(missing, at)
		}
	}
	return missing
}

// heldAll returns an error unless the log has, or a later snapshot stands for, all that snapshots stood for which are missing:
// the member may have acknowledged it before the write-ahead log heard of it.
func heldAll(log *raftlog.Log, missing []raftlog.Position) error {
	for _, p := range missing {
		if !log.Holds(p) {
			return fmt.Errorf("%w: the snapshot at %d is lost", ra.ErrDamaged, p.Index)
		}
	}
	return nil
}

// markSuspects makes durable which members are suspect, and what their logs have left out, before anything is written
// or moved that would hide it. A member for which that is not possible now does not run.
func (n *Node) markSuspects(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, maxSettle)
	defer cancel()
	for _, r := range n.registry.all() {
		if r.suspicion() == nil || r.damaged() != nil {
			continue
		}
		n.logger.Warn("member has lost entries", zap.String("member", r.id.Name), zap.Error(r.suspicion()))
		r.life.Lock()
		err := n.mark(ctx, r)
		r.life.Unlock()
		if err != nil {
			n.report.Damaged[r.uid] = r.setDamaged(err)
		}
	}
}

// mark orders that a member is suspect and what its log has left out, and returns when that is durable. The caller holds
// r.life.
func (n *Node) mark(ctx context.Context, r *record) error {
	from := r.log.Last() + 1
	for first := true; first || r.log.NeedsCut() != 0; first = false {
		op := wal.Op{
			Seq: n.wal.last(r) + 1, Damaged: &wal.Mark{What: wal.DamagedLog, From: from}, Truncate: r.log.NeedsCut(),
		}
		if err := n.storeNow(ctx, r, &op); err != nil {
			return err
		}
	}
	return r.waitDurable(ctx, n.wal.last(r))
}

// storeNow stores an order that is numbered as the log does, and waits for room if need be.
func (n *Node) storeNow(ctx context.Context, r *record, op *wal.Op) error {
	op.Seq -= r.base.Load() // storeLate is for those of a Server
	return n.storeLate(ctx, r, op)
}

// makeServer makes a Server. If that shows that the disk has lost something of the member it is marked, and made once
// more from what is left.
func (n *Node) makeServer(r *record, cfg *member.Config) (*member.Server, error) {
	n.awaitRescue(r)
	for {
		s, err := member.New(*cfg)
		if err == nil {
			return s, nil
		}
		from, lost := n.lostBy(r, err)
		if !lost {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), maxSettle)
		again := n.lose(ctx, r, from, err)
		if again == nil {
			again = n.loadServer(ctx, r, cfg)
		}
		cancel()
		if again != nil {
			return nil, errors.Join(again, err)
		}
	}
}

// awaitRescue waits for the snapshot that the member's last life was writing, if the log stands on none: what that life
// had in memory may be the only copy (member.Server.Rescue).
func (n *Node) awaitRescue(r *record) {
	base, _ := r.log.Base()
	if info, _ := n.snapshots.Newest(r.uid); info.Index < base {
		r.work.Wait()
	}
}

// lostBy returns from where on a member has lost its log, if an error in restoring it says so: the entries that cannot
// be read, or all of it because its snapshot has decayed.
func (n *Node) lostBy(r *record, err error) (from ra.Index, lost bool) {
	var d *raftlog.DamageError
	if errors.As(err, &d) {
		return d.First, d.First <= r.log.Last()
	}
	base, _ := r.log.Base()
	info, _ := n.snapshots.Newest(r.uid)
	return 1, base > 0 && (info.Index < base || errors.Is(n.snapshots.Check(r.uid), ra.ErrCorrupt))
}

// lose makes a member that does not run suspect: its log ends before an index. A snapshot that the log does not begin
// with any more is in nobody's way.
func (n *Node) lose(ctx context.Context, r *record, from ra.Index, cause error) error {
	if err := r.life.lock(ctx); err != nil {
		return err
	}
	defer r.life.Unlock()
	n.logger.Warn("member has lost entries", zap.String("member", r.id.Name), zap.Error(cause))
	r.setLost(cause)
	r.log.Lose(from)
	if err := n.mark(ctx, r); err != nil {
		return r.setDamaged(err)
	}
	if info, ok := n.snapshots.Newest(r.uid); ok && r.log.Snapshot().Index == 0 {
		return n.snapshots.Condemn(info)
	}
	return nil
}
