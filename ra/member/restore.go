package member

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/heliopolis-raft/heliopolis/machine"
	"github.com/heliopolis-raft/heliopolis/ra"
	"github.com/heliopolis-raft/heliopolis/ra/raft"
	"github.com/heliopolis-raft/heliopolis/ra/raftlog"
	"github.com/heliopolis-raft/heliopolis/ra/snapshot"
)

// New makes a running member of what was recovered: the machine from the newest checkpoint or snapshot, and the log
// replayed up to what is known to be committed, without effects (FSM-02, EFF-03). It reads the disk, may take long, tells
// the log of a snapshot of which that has not heard, and uses nothing of the configuration that other members share, nor
// Store, Net, Timer and Host. The first Flush does.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg.settings(), members: cfg.Initial, entered: ra.Recovered, scratch: new(Scratch)}
	restored, err := s.restore(&cfg)
	if err != nil {
		return nil, err
	}
	probe := s.cfg.Raft
	probe.Scratch = nil
	if s.core, err = raft.New(probe, *restored); err != nil {
		return nil, err
	}
	s.restored, s.scratch, s.sent = restored, nil, nil
	s.restoreEnd()
	return s, nil
}

// restore brings the machine to what is known to be committed, and describes the log for the core.
func (s *Server) restore(cfg *Config) (*raft.Restored, error) {
	r := &raft.Restored{
		State: cfg.State, Configurations: []raft.Configuration{{Members: cfg.Initial}}, Suspect: cfg.Suspect, Epoch: cfg.Epoch,
	}
	s.describeLog(r)
	if err := s.restoreMachine(r, min(max(cfg.Applied, r.Snapshot.Index), r.Last)); err != nil {
		return nil, err
	}
	s.beginSnapshots()
	if s.status.Applied < r.Base.Index {
		return nil, fmt.Errorf("%w: the log begins behind %d, the state of the machine is that of %d", ra.ErrDamaged, r.Base.Index, s.status.Applied)
	}
	r.State = withTerm(r.State, r.Snapshot.Term)
	r.Commit = min(max(cfg.Applied, r.Snapshot.Index, r.Commit), r.Last)
	if err := s.tellEarly(ra.Recover); err != nil {
		return nil, err
	}
	if err := s.replay(r); err != nil {
		return nil, err
	}
	if err := s.tellEarly(ra.Recovered); err != nil {
		return nil, err
	}
	s.status.Commit = r.Commit
	r.Version = uint32(s.machine.Version())
	s.cfg.Raft.MachineVersion = uint32(s.machine.Local())
	return r, nil
}

// describeLog tells the core what the log has.
func (s *Server) describeLog(r *raft.Restored) {
	base, term := s.cfg.Log.Base()
	r.Base, r.Last = raft.Position{Index: base, Term: term}, s.cfg.Log.Last()
	r.Snapshot, r.Runs = raft.Position(s.cfg.Log.Snapshot()), nil
	for first, term := range s.cfg.Log.Runs() {
		r.Runs = append(r.Runs, raft.TermRun{First: first, Term: term})
	}
}

// tellEarly tells the machine of a role before the first batch (MAC-06). What it asks for then is kept. When all is
// recovered its aux handler is made (MAC-08).
func (s *Server) tellEarly(role ra.Role) (err error) {
	defer recoverPanic(&err)
	fx := new(machine.Effects)
	if s.rare != nil && s.rare.early != nil {
		fx = s.rare.early
	}
	s.machine.EnterState(role, fx)
	if fx.Len() > 0 {
		s.needRare().early = fx
	}
	s.problem(fx.Err())
	if role == ra.Recovered {
		s.aux = s.machine.InitAux(machine.Init{Cluster: s.cfg.Cluster, Server: s.cfg.ID, Version: s.machine.Version()})
	}
	return nil
}

// withTerm returns the state of a member that has been in a term: a snapshot may be durable before the term in which
// it came. Nothing can have been promised in a higher term than the stored one.
func withTerm(state ra.HardState, term ra.Term) ra.HardState {
	if term > state.Term {
		return ra.HardState{Term: term}
	}
	return state
}

// makeMachine makes a machine with its initial state. A factory that panics makes none (FAIL-02).
func (s *Server) makeMachine() (b *machine.Bound, err error) {
	defer recoverPanic(&err)
	init := machine.Init{Cluster: s.cfg.Cluster, Server: s.cfg.ID, Version: s.cfg.InitialVersion}
	m := s.cfg.Factory(init)
	if m == nil {
		return nil, fmt.Errorf("%w: the factory made no machine", ra.ErrUnknownMachine)
	}
	return machine.Bind(m, init.Version)
}

// restoreMachine makes the machine, from the newest checkpoint or snapshot if there is one (CKPT-02). The log is committed up
// to known at least.
func (s *Server) restoreMachine(r *raft.Restored, known ra.Index) (err error) {
	if s.cfg.Snapshots == nil {
		s.machine, err = s.makeMachine()
		return err
	}
	meta, restored := s.fromCheckpoint(known)
	if !restored {
		reader, err := s.cfg.Snapshots.OpenReader(s.cfg.Raft.Self)
		if errors.Is(err, snapshot.ErrNone) {
			s.machine, err = s.makeMachine()
			return err
		}
		if err != nil {
			return err
		}
		if meta, err = s.load(reader); err != nil {
			return err
		}
	}
	snap := meta
	if restored {
		if snap, err = s.belowCheckpoint(r, &meta); err != nil {
			return err
		}
	}
	s.beginLog(r, snap)
	if term, known := s.cfg.Log.Term(meta.Index); known && term == meta.Term {
		r.Commit = meta.Index
		if meta.Index > r.Snapshot.Index {
			// Nothing goes back behind it, so the entries up to there need not be asked.
			r.Configurations = append(r.Configurations, raft.Configuration{Index: meta.Index, Members: meta.Members})
		}
	} // else the checkpoint is ahead of what is durable of the log, whose end need not be what was committed
	return nil
}

// fromCheckpoint restores the machine from the newest checkpoint from which that is possible, and reports whether there
// was one. The log still has what led to them, so one that cannot be read, or that the machine does not understand,
// gives way to what is older, whatever the reason; so does one of a history that was given up, as what is committed shows.
func (s *Server) fromCheckpoint(known ra.Index) (snapshot.Meta, bool) {
	store := s.cfg.Snapshots
	for _, info := range slices.Backward(store.Checkpoints(s.cfg.Raft.Self)) {
		meta, err := s.loadCheckpoint(info, known)
		if err == nil {
			return meta, true
		}
		if errors.Is(err, ra.ErrCorrupt) {
			err = errors.Join(err, store.CondemnCheckpoint(info))
		}
		s.problem(fmt.Errorf("no start from the checkpoint at %d: %w", info.Index, err))
	}
	return snapshot.Meta{}, false
}

// loadCheckpoint makes the machine and restores it from one checkpoint.
func (s *Server) loadCheckpoint(info snapshot.Info, known ra.Index) (snapshot.Meta, error) {
	if raftlog.RuledOut(Position{Index: info.Index, Term: info.Term}, known, s.cfg.Log.Term) {
		return snapshot.Meta{}, fmt.Errorf("%w: it is of a history that was given up", ra.ErrCorrupt)
	}
	reader, err := s.cfg.Snapshots.OpenCheckpoint(info)
	if err != nil {
		return snapshot.Meta{}, err
	}
	return s.load(reader)
}

// load makes the machine and restores it from what reader reads, which it closes.
func (s *Server) load(reader *snapshot.Reader) (snapshot.Meta, error) {
	defer reader.Close()
	meta := reader.Meta()
	b, err := s.restoredMachine(meta, reader)
	if err != nil {
		return meta, fmt.Errorf("member: snapshot at %d: %w", meta.Index, err)
	}
	s.adopt(b, meta)
	return meta, nil
}

// restoredMachine makes a machine with the state that reader reads. It may run on any goroutine.
func (s *Server) restoredMachine(meta snapshot.Meta, reader *snapshot.Reader) (b *machine.Bound, err error) {
	defer recoverPanic(&err)
	if err := meta.Owner().Contradicts(snapshot.Owner{Cluster: s.cfg.Cluster, Origin: s.cfg.Origin}); err != nil {
		return nil, fmt.Errorf("%w: %w", ra.ErrCorrupt, err)
	}
	if b, err = s.makeMachine(); err != nil {
		return nil, err
	}
	if err = b.Jump(machine.Version(meta.MachineVersion)); err != nil {
		return nil, err
	}
	if err = b.Machine().Restore(reader); err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, reader) // what the machine did not want to read must check, too
	return b, err
}

// adopt puts a machine in force whose state is that of a snapshot.
func (s *Server) adopt(b *machine.Bound, meta snapshot.Meta) {
	s.machine, s.members, s.clock = b, meta.Members, clockOf(meta)
	s.status.Applied, s.stuck = meta.Index, false
}

// belowCheckpoint returns what is known of the snapshot below the checkpoint that was loaded, the zero Meta if there is
// none. A snapshot that has taken its place just now, as the last work of an earlier life, may be above: then its state is
// loaded instead.
func (s *Server) belowCheckpoint(r *raft.Restored, loaded *snapshot.Meta) (snapshot.Meta, error) {
	reader, err := s.cfg.Snapshots.OpenReader(s.cfg.Raft.Self)
	switch {
	case errors.Is(err, snapshot.ErrNone) && r.Snapshot.Index == 0:
		return snapshot.Meta{}, nil
	case err != nil:
		return snapshot.Meta{}, err
	case reader.Meta().Index > loaded.Index:
		*loaded, err = s.load(reader)
		return *loaded, err
	}
	return reader.Meta(), reader.Close()
}

// beginLog makes the configuration of the snapshot the first one. The log may not have heard of it: it may have taken its
// place when the life before this one ended (I8).
func (s *Server) beginLog(r *raft.Restored, snap snapshot.Meta) {
	if p := (Position{Index: snap.Index, Term: snap.Term}); p.Index > r.Snapshot.Index {
		s.cfg.Log.Overtaken(p)
		s.describeLog(r)
	}
	if r.Snapshot.Index > 0 {
		r.Configurations[0] = raft.Configuration{Index: r.Snapshot.Index, Members: snap.Members}
	}
}

// replay goes through the log once: it finds the configurations and applies what is known to be committed. It begins
// behind the last configuration that is known: that of a checkpoint which the log has.
func (s *Server) replay(r *raft.Restored) error {
	var fx machine.Effects
	var entries []ra.Entry
	known := r.Configurations[len(r.Configurations)-1].Index
	if known <= r.Snapshot.Index {
		known = r.Base.Index
	}
	for next := known + 1; next <= r.Last; {
		var err error
		entries, err = s.cfg.Log.Read(entries[:0], next, r.Last, applyChunk)
		if err != nil {
			return fmt.Errorf("member: cannot read entry %d: %w", next, err)
		}
		for i := range entries {
			if err := s.replayOne(r, &entries[i], &fx); err != nil {
				return err
			}
		}
		fx.Reset()
		next += ra.Index(len(entries))
	}
	return nil
}

// replayOne takes in one entry of the log.
func (s *Server) replayOne(r *raft.Restored, e *ra.Entry, fx *machine.Effects) (err error) {
	if e.Kind() == ra.KindConfig && e.Index > r.Snapshot.Index {
		members, err := raft.DecodeMembers(e.Payload())
		if err != nil {
			return err
		}
		r.Configurations = append(r.Configurations, raft.Configuration{Index: e.Index, Members: members})
	}
	if e.Index <= s.status.Applied || e.Index > r.Commit || !s.mayApply() {
		return nil
	}
	defer recoverPanic(&err)
	var meta machine.Meta
	_, err = s.applyEntry(e, &meta, fx)
	return err
}

// clockField is the name under which snapshots keep the machine's clock.
const clockField = "time"

// clockOf returns the machine's clock as a snapshot has it, in milliseconds since 1970.
func clockOf(meta snapshot.Meta) int64 {
	b := meta.Fields[clockField]
	if len(b) != 8 {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(b))
}
