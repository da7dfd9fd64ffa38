package member

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// errInstalled is why nobody knows what became of commands below a snapshot of the leader's.
var errInstalled = errors.New("member: a snapshot took the place of the entry")

// receiving is the snapshots that come from a leader: the one that the core is receiving, and perhaps one that it has
// given up and that a work still holds. One work runs at a time, so that they cannot get in each other's way.
type receiving struct {
	busy bool
	now  *reception
	old  *reception // given up, to be cleaned up when the work has ended
}

// reception is one snapshot that comes from a leader, chunk by chunk.
type reception struct {
	order  raft.SnapshotOrder // the newest chunk
	due    bool               // it is not stored yet
	stored uint32             // chunks up to here are
	reply  *raft.Message      // to be sent when the chunk is stored that it speaks of

	// The rest is the works' own, until the last one has ended.
	lease lease
	file  *snapshot.Receiver
	meta  snapshot.Meta
	bound *machine.Bound
	err   error
}

// at returns the position of the snapshot.
func (r *reception) at() Position { return Position{Index: r.order.Index, Term: r.order.Term} }

// snapshotOrder carries out what the core orders about a snapshot that is being received.
func (s *Server) snapshotOrder(o *raft.SnapshotOrder) {
	switch {
	case o.Op == raft.SnapshotAbort:
		s.abortReception()
	case s.cfg.Snapshots == nil:
		s.sent = append(s.sent, raft.Message{Kind: raft.SnapshotFailed})
	default:
		s.receiveChunk(o)
	}
	s.pumpReception()
}

// receiveChunk takes in one chunk. Chunk 1 takes the place of whatever is there of other transfers.
func (s *Server) receiveChunk(o *raft.SnapshotOrder) {
	v := &s.snaps.receiving
	if o.Chunk == 1 {
		s.abortReception()
		v.now = new(reception)
	} else if v.now == nil || v.now.at() != (Position{Index: o.Index, Term: o.Term}) {
		s.sent = append(s.sent, raft.Message{Kind: raft.SnapshotFailed})
		return
	}
	v.now.order, v.now.due = *o, true
}

// abortReception gives up what has arrived.
func (s *Server) abortReception() {
	v := &s.snaps.receiving
	if v.now == nil {
		return
	}
	if v.now.lease.giveUp() && v.now.file != nil {
		// Nobody uses it: pumpReception cleans it up. One that is given up before its first work began has nothing to
		// clean up, and must not take the place of one that has.
		v.old = v.now
	}
	v.now = nil
}

// stopReception gives up what has arrived because the member stops.
func (s *Server) stopReception() {
	v := &s.snaps.receiving
	s.abortReception()
	if v.old != nil {
		s.cfg.Background.Run(v.old.abort, func() {})
		v.old = nil
	}
}

// holdReply keeps the answer to a chunk that is not stored yet, so that the leader sends no further one, and reports
// whether it did.
func (s *Server) holdReply(m *raft.Message) bool {
	r := s.snaps.receiving.now
	if r == nil || m.Kind != raft.InstallSnapshotReply || m.Reject || m.Index != r.order.Index || m.Chunk <= r.stored {
		return false
	}
	held := *m
	r.reply = &held
	return true
}

// pumpReception begins the next work if none runs.
func (s *Server) pumpReception() {
	v := &s.snaps.receiving
	switch {
	case v.busy:
	case v.old != nil:
		old := v.old
		v.old, v.busy = nil, true
		s.background(old.abort, func() { v.busy = false; s.pumpReception() })
	case v.now != nil && v.now.due:
		s.storeChunk(v.now)
	}
}

// storeChunk has the chunk stored, and with the last one the snapshot put in place and its state restored.
func (s *Server) storeChunk(r *reception) {
	v := &s.snaps.receiving
	v.busy, r.due = true, false
	r.lease.use()
	o, store, uid := r.order, s.cfg.Snapshots, s.cfg.Raft.Self
	s.background(func() {
		r.err = r.store(&o, store, uid)
		if r.err == nil && o.Done {
			r.err = r.finish(store, uid, s.restoredMachine)
		}
		if !r.lease.end() || r.err != nil {
			r.abort()
		}
	}, func() {
		v.busy = false
		if v.now == r {
			s.chunkStored(r, &o)
		}
		s.pumpReception()
	})
}

// store adds one chunk to the file.
func (r *reception) store(o *raft.SnapshotOrder, store *snapshot.Store, uid ra.UID) (err error) {
	if r.file == nil {
		if r.file, err = store.Receive(uid, o.Index, o.Term); err != nil {
			r.file = nil
			return err
		}
	}
	return r.file.Add(o.Chunk, o.Data)
}

// abort removes what has arrived. After the snapshot is in place it does nothing.
func (r *reception) abort() {
	if r.file != nil {
		_ = r.file.Abort() // what it could not remove, the next start does
		r.file = nil
	}
}

// finish puts the snapshot in place, durably, and restores its state into a new machine. The member goes on with the
// old one meanwhile.
func (r *reception) finish(store *snapshot.Store, uid ra.UID, restored restorer) error {
	if r.lease.over() {
		return ra.ErrClosed
	}
	_, _, err := r.file.Finish()
	if err != nil && !errors.Is(err, snapshot.ErrStale) {
		return err
	}
	// Stale: perhaps this very one came with an earlier attempt, and could not be restored; or a later one with the attempt
	// of another leader, which the core gave up. That one serves as well, and this leader has no better.
	in, err := store.OpenReader(uid)
	if err != nil {
		return err
	}
	meta := in.Meta()
	if at := (Position{Index: meta.Index, Term: meta.Term}); at != r.at() && at.Index <= r.at().Index {
		return errors.Join(fmt.Errorf("%w: %v is in place of %v", snapshot.ErrStale, at, r.at()), in.Close())
	}
	bound, err := restored(meta, in)
	if err = errors.Join(err, in.Close(), checkMembers(meta.Members)); err != nil {
		return err
	}
	r.meta, r.bound = meta, bound
	return nil
}

// restorer makes a machine with the state that a reader reads.
type restorer func(snapshot.Meta, *snapshot.Reader) (*machine.Bound, error)

// checkMembers returns an error unless the core can take members as a configuration.
func checkMembers(members []ra.Member) error {
	if len(members) == 0 || len(members) > raft.MaxMembers {
		return fmt.Errorf("%w: snapshot with %d members", ra.ErrCorrupt, len(members))
	}
	sorted := slices.SortedFunc(slices.Values(members), func(a, b ra.Member) int { return strings.Compare(string(a.UID), string(b.UID)) })
	_, err := raft.DecodeMembers(raft.EncodeMembers(nil, sorted))
	return err
}

// chunkStored lets the leader go on, or puts the snapshot in force, or tells the core that there is none.
func (s *Server) chunkStored(r *reception, o *raft.SnapshotOrder) {
	switch {
	case r.err != nil:
		s.snaps.receiving.now = nil
		s.problem(fmt.Errorf("snapshot %v of the leader: %w", r.at(), r.err))
		s.Step(&raft.Message{Kind: raft.SnapshotFailed})
	case o.Done:
		s.snaps.receiving.now = nil
		s.install(r, o)
	default:
		r.stored = o.Chunk
		if r.reply != nil {
			s.snaps.ready = append(s.snaps.ready, *r.reply)
			r.reply = nil
		}
	}
}

// install puts a received snapshot in force: core, log and machine go over to it together (SNX-04, SNAP-05). It is
// durable already, so that a crash before the store has the reset begins from it too.
func (s *Server) install(r *reception, o *raft.SnapshotOrder) {
	p, keep := Position{Index: r.meta.Index, Term: r.meta.Term}, o.KeepLog
	if p != r.at() {
		term, known := s.cfg.Log.Term(p.Index)
		keep = known && term == p.Term
	}
	s.Step(&raft.Message{
		Kind: raft.SnapshotStored, Index: p.Index, LogTerm: p.Term, Members: r.meta.Members, Version: r.meta.MachineVersion,
	})
	if Position(s.core.Status().Snapshot) != p {
		return // the core has gone on to something else
	}
	s.count(ra.CountSnapshotsInstalled, 1)
	old := s.present()
	s.waiting.skipped(p.Index, p.Term, errInstalled)
	s.dropHint()
	s.cfg.Log.Install(p, keep)
	if !keep {
		s.orderReset(p.Index)
	}
	s.status.Commit = max(s.status.Commit, p.Index)
	if p.Index < s.status.Applied { // restored from a checkpoint that is ahead of the log: state never goes back (I14)
		s.beginSnapshots()
		return
	}
	s.adopt(r.bound, r.meta)
	s.beginSnapshots()
	s.snapshotInstalled(machine.SnapshotChange{Old: old, New: s.present()})
}

// present says what the machine's state stands for.
func (s *Server) present() machine.SnapshotMeta {
	term, known := s.cfg.Log.Term(s.status.Applied)
	if !known {
		term = s.cfg.Log.Snapshot().Term
	}
	return machine.SnapshotMeta{Index: s.status.Applied, Term: term, Version: s.machine.Version(), Time: s.clock}
}

// snapshotInstalled tells the machine that its state was replaced (MAC-12).
func (s *Server) snapshotInstalled(change machine.SnapshotChange) {
	s.collect(func(fx *machine.Effects) { s.machine.SnapshotInstalled(change, fx) })
}
