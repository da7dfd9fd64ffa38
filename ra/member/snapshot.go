package member

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// snapshots is what a member knows of its snapshots and checkpoints, and of those of its peers that are under way.
//
// Invariants: at most one snapshot or checkpoint is being written and one checkpoint promoted; there is at most one
// transfer for each peer; one work of receiving runs at a time.
type snapshots struct {
	last       snapshot.Info // the snapshot in force; zero if there is none
	checkpoint ra.Index      // of the newest checkpoint that the machine asked for, 0 if there is none
	recovery   ra.Index      // of the newest recovery checkpoint, 0 if there is none
	writing    *writing
	promoting  bool
	again      bool // when that has ended a snapshot is to be taken, see Rescue
	// asks says that the machine asked for snapshots in this life, so that no others are taken.
	asks     bool
	hint     *hint
	looked   ra.Index // the automatic policy was asked at this index
	patience int64    // bytes that the log must have before it is asked again
	past     past
	// unfit says that the state was too large for a pack, or could not be had, so that none is offered before the next
	// snapshot is in place.
	unfit bool

	transfers []*transfer
	receiving receiving
	ready     []raft.Message // completed in the background, to be sent
}

// underWay reports whether a snapshot or checkpoint is being written or promoted.
func (n *snapshots) underWay() bool { return n.writing != nil || n.promoting }

// hint is a wish to release the log that waits for its conditions (EFF-24).
type hint struct {
	written     ra.Index
	noTransfers bool
	// index and state are those of a state that the machine kept; 0 and nil for the state as it is when the conditions
	// are met.
	index ra.Index
	state machine.Capture
}

// beginSnapshots notes what is in force in the state that the member begins with, and what is in the store.
func (s *Server) beginSnapshots() {
	s.snaps.past.begin(s.status.Applied, s.moment())
	s.snaps.patience = 0
	if store, uid := s.cfg.Snapshots, s.cfg.Raft.Self; store != nil {
		s.snaps.last, _ = store.Newest(uid)
		if known := s.cfg.Log.Snapshot(); s.snaps.last.Index > known.Index {
			// The life before this one has left it there, and log and core have not heard of it: see adoptNewest.
			s.snaps.last = snapshot.Info{UID: uid, Index: known.Index, Term: known.Term}
		}
		for _, info := range store.Checkpoints(uid) {
			if info.Recovery {
				s.snaps.recovery = info.Index
			} else {
				s.snaps.checkpoint = info.Index
			}
		}
	}
}

// moment returns what is in force now.
func (s *Server) moment() moment {
	return moment{members: s.members, version: s.machine.Version(), time: s.clock}
}

// applied takes note that an entry was applied.
func (s *Server) applied(e *ra.Entry) {
	if s.cfg.Snapshots != nil {
		s.snaps.past.note(e, s.moment())
	}
}

// policyState returns what the policy looks at.
func (s *Server) policyState() *snapshot.State {
	n := &s.snaps
	return &snapshot.State{
		Last: n.last.Index, LastBytes: n.last.Size, LastCheckpoint: n.checkpoint, LastRecovery: n.recovery,
		FirstSegment: s.cfg.Log.FirstSegment(), LogBytes: s.cfg.Log.Bytes(),
		Pending: n.underWay(),
	}
}

// wants decides on what the machine asked for while e was applied, before the next entry is (SNAP-01, CKPT-01): its
// effects are those of fx from number first on.
func (s *Server) wants(e *ra.Entry, fx *machine.Effects, first int) {
	s.snaps.asks = true
	k := 0
	for effect := range fx.All() {
		if k++; k <= first || s.cfg.Snapshots == nil {
			continue
		}
		switch effect.Kind {
		case machine.EffectReleaseCursor:
			s.releaseCursor(&hint{written: effect.Written, noTransfers: effect.NoTransfers})
		case machine.EffectCheckpoint:
			s.takeCheckpoint(e.Index, nil)
		}
	}
}

// stateEffect carries out the effects about states that the machine itself kept: ReleaseCursorAt, CheckpointAt, Promote.
func (s *Server) stateEffect(e *machine.Effect) {
	s.snaps.asks = true
	state := e.TakeCapture()
	switch {
	case s.cfg.Snapshots == nil || s.stopped != nil:
		letGo(state)
	case e.Kind == machine.EffectPromote:
		s.promote(e.Index)
	case state == nil: // taken already
	case e.Kind == machine.EffectReleaseCursorAt:
		s.releaseCursor(&hint{written: e.Written, noTransfers: e.NoTransfers, index: e.Index, state: state})
	default:
		s.takeCheckpoint(e.Index, state)
	}
}

// letGo releases a state that will not be written.
func letGo(state machine.Capture) {
	if state != nil {
		state.Release()
	}
}

// releaseCursor takes a snapshot if the conditions are met and the policy grants it. If it is only the conditions that
// are missing the wish is kept, in the place of an older one (EFF-24).
func (s *Server) releaseCursor(h *hint) {
	if !s.met(h) {
		s.dropHint()
		s.snaps.hint = h
		return
	}
	index := h.index
	if h.state == nil {
		index = s.status.Applied
	}
	if s.cfg.Policy.Accepts(s.policyState(), index, s.knows(index)) {
		s.take(index, h.state, false)
	} else {
		letGo(h.state)
	}
}

// met reports whether the conditions of a wish hold.
func (s *Server) met(h *hint) bool {
	if h.noTransfers && len(s.snaps.transfers) > 0 {
		return false
	}
	return h.written == 0 || s.core.Status().Durable >= h.written
}

func (s *Server) dropHint() {
	if h := s.snaps.hint; h != nil {
		letGo(h.state)
		s.snaps.hint = nil
	}
}

// knows reports whether the term of a committed entry is known. A checkpoint that the member began with may be ahead of what
// it knows to be committed: then the log has yet to become what led to it, and what it has there may be another entry.
func (s *Server) knows(index ra.Index) bool {
	_, known := s.cfg.Log.Term(index)
	return known && index <= s.core.Commit()
}

// takeCheckpoint takes a checkpoint at index if the policy grants it (CKPT-01).
func (s *Server) takeCheckpoint(index ra.Index, state machine.Capture) {
	if s.cfg.Policy.AcceptsCheckpoint(s.policyState(), index) && s.knows(index) {
		s.take(index, state, true)
	} else {
		letGo(state)
	}
}

// afterBatch looks after each batch whether a wish that was kept can be fulfilled now, and whether a machine that
// never asks needs a snapshot.
func (s *Server) afterBatch() {
	n := &s.snaps
	if s.cfg.Snapshots == nil || s.stopped != nil {
		return
	}
	if n.again && !n.underWay() {
		n.again = false
		s.takeForRescue()
	}
	s.reviewTransfers()
	if h := n.hint; h != nil && s.met(h) {
		n.hint = nil
		s.releaseCursor(h)
	}
	if index := s.status.Applied; !n.asks && index != n.looked {
		n.looked = index
		if s.cfg.Log.Bytes() >= max(n.patience, s.cfg.Policy.Least()) && s.cfg.Policy.Due(s.policyState(), index) && s.knows(index) {
			s.take(index, nil, false)
		}
	}
}

// take begins to write a snapshot or checkpoint of the state at index. Without a state it is the present one, which
// must be that of index. There is none of a cluster that is deleted: who got it would not hear of the deletion, and go
// on (FSM-11).
func (s *Server) take(index ra.Index, state machine.Capture, checkpoint bool) {
	if w := s.prepare(index, state, checkpoint); w != nil {
		s.background(w.run, func() { s.written(w) })
	}
}

// prepare makes ready what take and Offer write, nil if there is none to write.
func (s *Server) prepare(index ra.Index, state machine.Capture, checkpoint bool) *writing {
	if s.deleting != 0 && index >= s.deleting {
		letGo(state)
		return nil
	}
	meta, err := s.metaAt(index)
	if err == nil && state == nil {
		state, err = s.captureNow()
	}
	if err != nil {
		letGo(state)
		s.untaken(index, err)
		return nil
	}
	s.snaps.writing = &writing{store: s.cfg.Snapshots, uid: s.cfg.Raft.Self, meta: meta, state: state, checkpoint: checkpoint}
	return s.snaps.writing
}

// captureNow captures the present state. A machine that panics must not go on.
func (s *Server) captureNow() (machine.Capture, error) {
	state, err := s.capture()
	var panicked *machine.PanicError
	if errors.As(err, &panicked) {
		s.Stop(err)
	}
	return state, err
}

// capture captures the present state. A panic of the machine is an error.
func (s *Server) capture() (state machine.Capture, err error) {
	defer recoverPanic(&err)
	state, err = s.machine.Machine().Snapshot()
	if err == nil && state == nil {
		err = errNoState
	}
	return state, err
}

var (
	errNoState = errors.New("member: the machine gave no state")
	errForgot  = errors.New("member: what was in force there is not known any more")
)

// metaAt returns what is stored with the state of an index, as it was in force there (SNAP-03).
func (s *Server) metaAt(index ra.Index) (snapshot.Meta, error) {
	term, known := s.cfg.Log.Term(index)
	m, held, err := s.momentAt(index)
	if err == nil && !(known && held) {
		err = errForgot
	}
	return snapshot.Meta{
		Index: index, Term: term, MachineVersion: uint32(m.version), Members: m.members,
		Fields: map[string][]byte{
			clockField:            binary.LittleEndian.AppendUint64(nil, uint64(m.time)),
			snapshot.ClusterField: []byte(s.cfg.Cluster),
			snapshot.OriginField:  []byte(s.cfg.Origin),
		},
	}, err
}

// momentAt returns what was in force at an index, and whether that is known.
func (s *Server) momentAt(index ra.Index) (moment, bool, error) {
	if index == s.status.Applied {
		return s.moment(), true, nil
	}
	return s.snaps.past.at(index, s.timeOf)
}

// timeOf returns the time in an entry.
func (s *Server) timeOf(index ra.Index) (int64, error) {
	entries, err := s.cfg.Log.Read(nil, index, index, 0)
	if err != nil {
		return 0, err
	}
	return entries[0].Time(), nil
}

// written ends the writing of a snapshot or checkpoint.
func (s *Server) written(w *writing) {
	s.snaps.writing = nil
	switch {
	case errors.Is(w.err, snapshot.ErrStale):
		s.adoptNewest()
	case w.err != nil:
		s.untaken(w.meta.Index, w.err)
	case w.checkpoint:
		s.count(ra.CountCheckpoints, 1)
		s.snaps.checkpoint = max(s.snaps.checkpoint, w.info.Index)
	default:
		s.inPlace(w.info)
	}
}

// untaken takes note that there is no new snapshot; everything is as it was (SNAP-06). The machine's next wish may be
// tried at once; the automatic policy waits until the log has grown noticeably.
func (s *Server) untaken(index ra.Index, err error) {
	bytes := s.cfg.Log.Bytes()
	s.snaps.patience = bytes + max(bytes/4, 1<<20)
	s.problem(fmt.Errorf("no snapshot at %d: %w", index, err))
}

// inPlace takes note that the member's own snapshot is durable: the core may send it to peers, and the log up to it
// goes (SNAP-05).
func (s *Server) inPlace(info snapshot.Info) {
	if info.Index <= s.snaps.last.Index {
		return // a snapshot of the leader came first
	}
	s.count(ra.CountSnapshots, 1)
	s.snaps.last, s.snaps.patience, s.snaps.unfit = info, 0, false
	if m, known, err := s.momentAt(info.Index); known && err == nil {
		s.snaps.past.forget(info.Index, m)
	}
	s.Step(&raft.Message{Kind: raft.SnapshotTaken, Index: info.Index, LogTerm: info.Term})
	s.cfg.Log.Release(info.Index)
	s.Step(&raft.Message{Kind: raft.LogTruncated, Index: info.Index})
}

// adoptNewest takes note of a snapshot that is in the store and of which the member has not heard: it took its place
// when the life before this one ended. One above what is applied here must wait.
func (s *Server) adoptNewest() {
	info, ok := s.cfg.Snapshots.Newest(s.cfg.Raft.Self)
	if !ok || info.Index > s.status.Applied {
		return
	}
	if term, known := s.cfg.Log.Term(info.Index); known && term == info.Term {
		s.inPlace(info)
	}
}

// promote makes a snapshot of the newest checkpoint up to index (EFF-25, CKPT-05). A checkpoint that is being written
// does not stand in the way, a snapshot does.
func (s *Server) promote(index ra.Index) {
	n := &s.snaps
	if n.promoting || n.writing != nil && !n.writing.checkpoint {
		return
	}
	n.promoting = true
	var info snapshot.Info
	var found bool
	var err error
	upTo, store, uid := min(index, s.status.Applied), s.cfg.Snapshots, s.cfg.Raft.Self
	s.background(func() { info, found, err = store.Promote(uid, upTo) }, func() {
		n.promoting = false
		switch {
		case err != nil:
			s.untaken(upTo, err)
		case found:
			s.inPlace(info)
		}
	})
}

// stopSnapshots ends what the background does for a member that stops. Nothing of it needs the Server any more.
func (s *Server) stopSnapshots() {
	s.dropHint()
	if w := s.snaps.writing; w != nil && !w.rescue {
		w.stopped.Store(true)
	}
	for _, t := range s.snaps.transfers {
		s.endTransfer(t)
	}
	s.snaps.transfers, s.snaps.ready, s.later = nil, nil, nil
	s.stopReception()
}
